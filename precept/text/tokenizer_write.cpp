// Tables -> tokenizer.json.

#include <algorithm>
#include <numeric>

#include <nlohmann/json.hpp>

#include "precept/text/tables.h"

namespace precept {
namespace {

using Ordered = nlohmann::ordered_json;

Ordered part(const std::string& json) { return json.empty() ? Ordered() : Ordered::parse(json, nullptr, false); }

// push_back on the object's own vector: ordered_json looks for the key first, which is quadratic.
void put(Ordered& object, std::string key, Ordered value) {
  object.get_ref<Ordered::object_t&>().push_back({std::move(key), std::move(value)});
}

Ordered added_tokens(const Tokenizer::Tables& tables) {
  Ordered list = Ordered::array();
  for (const AddedToken& token : tables.added) {
    list.push_back({{"id", token.id}, {"content", token.content}, {"single_word", token.single_word}, {"lstrip", token.lstrip},
                    {"rstrip", token.rstrip}, {"normalized", token.normalized}, {"special", token.special}});
  }
  return list;
}

Ordered unigram(const Tokenizer::Tables& tables) {
  Ordered model = {{"type", "Unigram"}};
  model["unk_id"] = tables.unk_in_model ? Ordered(*tables.unk) : Ordered();
  model["byte_fallback"] = tables.byte_fallback;
  Ordered vocab = Ordered::array();
  for (std::size_t id = 0; id < tables.tokens.size(); ++id) {
    const double score = id < tables.scores.size() ? tables.scores[id] : 0.0;
    vocab.push_back({tables.spelled(static_cast<std::int32_t>(id)), score});
  }
  model["vocab"] = std::move(vocab);
  return model;
}

// "LEFT RIGHT", or a pair where a token holds a space.
Ordered merges(const Tokenizer::Tables& tables) {
  std::vector<std::size_t> order(tables.merges.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!tables.ranks.empty()) {
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return tables.ranks[a] < tables.ranks[b]; });
  }
  const auto size = static_cast<std::int32_t>(tables.tokens.size());
  std::vector<std::pair<std::string, std::string>> written;
  bool spaces = false;
  for (const std::size_t i : order) {
    const BpeMerge& merge = tables.merges[i];
    if (merge.left >= size || merge.right >= size) continue;  // of characters that are no tokens
    written.emplace_back(tables.spelled(merge.left), tables.spelled(merge.right));
    spaces = spaces || written.back().first.find(' ') != std::string::npos || written.back().second.find(' ') != std::string::npos;
  }
  Ordered list = Ordered::array();
  for (const auto& [left, right] : written) {
    if (spaces) list.push_back({left, right});
    else list.push_back(std::string(left).append(" ").append(right));
  }
  return list;
}

Ordered bpe(const Tokenizer::Tables& tables) {
  Ordered model = {{"type", "BPE"}, {"dropout", nullptr}};
  model["unk_token"] = tables.unk_in_model ? Ordered(tables.spelled(*tables.unk)) : Ordered();
  model["continuing_subword_prefix"] = nullptr;
  model["end_of_word_suffix"] = nullptr;
  model["fuse_unk"] = tables.fuse_unk;
  model["byte_fallback"] = tables.byte_fallback;
  model["ignore_merges"] = tables.ignore_merges;
  Ordered vocab = Ordered::object();
  for (std::size_t id = 0; id < tables.tokens.size(); ++id) put(vocab, tables.spelled(static_cast<std::int32_t>(id)), id);
  model["vocab"] = std::move(vocab);
  model["merges"] = merges(tables);
  return model;
}

}  // namespace

std::string Tokenizer::to_json() const {
  Ordered all = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  all["added_tokens"] = added_tokens(*tables_);
  all["normalizer"] = part(tables_->normalizer_json);
  all["pre_tokenizer"] = part(tables_->pre_json);
  all["post_processor"] = part(tables_->post_json);
  all["decoder"] = part(tables_->decoder_json);
  all["model"] = tables_->kind == ModelKind::kUnigram ? unigram(*tables_) : bpe(*tables_);
  return all.dump(1) + "\n";
}

}  // namespace precept
