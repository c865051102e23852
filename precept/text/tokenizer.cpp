#include "precept/text/tokenizer.h"

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/text/bpe.h"
#include "precept/text/byte_alphabet.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

const std::string kNothing;

const BpeToken* token_at(const Tokenizer::Tables& tables, std::int32_t id) {
  if (id < 0 || static_cast<std::size_t>(id) >= tables.tokens.size()) return nullptr;
  return &tables.tokens[static_cast<std::size_t>(id)];
}

// As the vocabulary in tokenizer.json spells it.
std::string spelled(const BpeToken& token) {
  if (!token.special_name.empty()) return token.special_name;
  return token.added ? token.bytes : to_byte_alphabet(token.bytes);
}

nlohmann::ordered_json byte_level() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

}  // namespace

Result<Tokenizer> Tokenizer::load(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  const auto text = read_text(path, kMaxBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse(*text, path);
}

std::string Tokenizer::to_json() const {
  nlohmann::ordered_json added = nlohmann::ordered_json::array();
  nlohmann::ordered_json vocab = nlohmann::ordered_json::object();
  // push_back on the object's own vector: ordered_json looks for the key first, which is quadratic.
  auto& entries = vocab.get_ref<nlohmann::ordered_json::object_t&>();
  for (std::size_t id = 0; id < tables_->tokens.size(); ++id) {
    const BpeToken& token = tables_->tokens[id];
    std::string name = spelled(token);
    const bool special = !token.special_name.empty();
    if (special || token.added) {
      added.push_back({{"id", id}, {"content", name}, {"single_word", false}, {"lstrip", false},
                       {"rstrip", false}, {"normalized", false}, {"special", special}});
    }
    entries.push_back({std::move(name), id});
  }
  nlohmann::ordered_json merges = nlohmann::ordered_json::array();
  for (const BpeMerge& merge : tables_->merges) {
    merges.push_back(spelled(tables_->tokens[static_cast<std::size_t>(merge.left)]) + " " +
                     spelled(tables_->tokens[static_cast<std::size_t>(merge.right)]));
  }
  nlohmann::ordered_json model = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", nullptr},
                                  {"continuing_subword_prefix", nullptr}, {"end_of_word_suffix", nullptr},
                                  {"fuse_unk", false}, {"byte_fallback", false},
                                  {"ignore_merges", tables_->ignore_merges}};
  model["vocab"] = std::move(vocab);
  model["merges"] = std::move(merges);
  nlohmann::ordered_json all = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}};
  all["added_tokens"] = std::move(added);
  all["normalizer"] = nullptr;
  all["pre_tokenizer"] = byte_level();
  all["post_processor"] = nullptr;
  all["decoder"] = byte_level();
  all["model"] = std::move(model);
  return all.dump(1) + "\n";
}

int Tokenizer::size() const { return static_cast<int>(tables_->tokens.size()); }

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  ids.reserve(text.size() / 3 + 1);
  for (const std::string_view piece : tables_->splitter.split(text)) tables_->encode_piece(piece, ids);
  return ids;
}

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids) const {
  std::string text;
  for (const std::int32_t id : ids) text += bytes(id);
  return text;
}

const std::string& Tokenizer::bytes(std::int32_t id) const {
  const BpeToken* token = token_at(*tables_, id);
  return token != nullptr ? token->bytes : kNothing;
}

bool Tokenizer::is_special(std::int32_t id) const { return !special_name(id).empty(); }

std::optional<std::int32_t> Tokenizer::special(std::string_view name) const {
  const auto found = tables_->specials.find(name);
  if (found == tables_->specials.end()) return std::nullopt;
  return found->second;
}

const std::string& Tokenizer::special_name(std::int32_t id) const {
  const BpeToken* token = token_at(*tables_, id);
  return token != nullptr ? token->special_name : kNothing;
}

std::string Tokenizer::digest() const { return sha256(to_json()); }

}  // namespace precept
