// SentencePiece vocabularies -> Tables: scores become ranks of merges, the normalizer and decoder become steps.

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "precept/core/strict_json.h"
#include "precept/text/tokenizer_build.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using Tables = Tokenizer::Tables;
constexpr const char* kSpaceMark = "\xE2\x96\x81";  // U+2581

Json replace(const char* kind, const char* what, const char* with) {
  return {{"type", "Replace"}, {"pattern", {{kind, what}}}, {"content", with}};
}

std::string normalizer_of(const SentencePieces& pieces) {
  Json steps = Json::array();
  if (!pieces.charsmap_base64.empty()) steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", pieces.charsmap_base64}});
  if (pieces.remove_extra_whitespaces) {
    steps.push_back(replace("Regex", "\\A +| +\\z", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (pieces.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  steps.push_back(replace("String", " ", kSpaceMark));
  return Json{{"type", "Sequence"}, {"normalizers", std::move(steps)}}.dump();
}

std::string decoder_of(const SentencePieces& pieces) {
  Json steps = Json::array();
  steps.push_back(replace("String", kSpaceMark, " "));
  if (pieces.byte_fallback) steps.push_back({{"type", "ByteFallback"}});
  steps.push_back({{"type", "Fuse"}});
  if (pieces.add_dummy_prefix || pieces.remove_extra_whitespaces) {
    const int most = pieces.remove_extra_whitespaces ? 1 << 16 : 1;
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", most}, {"stop", 0}});
  }
  return Json{{"type", "Sequence"}, {"decoders", std::move(steps)}}.dump();
}

// Merges of two pieces, or of characters that are no pieces, into each piece that takes part; the higher its score, the earlier.
class ScoreMerges {
 public:
  ScoreMerges(const SentencePieces& pieces, Tables& tables, const std::string& file) : pieces_(pieces), tables_(tables), file_(file) {}

  Status run() {
    std::uint64_t work = 0;
    for (std::size_t id = 0; id < pieces_.text.size(); ++id) {
      if (!takes_part(id)) continue;
      ids_.emplace(pieces_.text[id], static_cast<std::int32_t>(id));
      work += static_cast<std::uint64_t>(pieces_.text[id].size()) * pieces_.text[id].size();
      distinct_.push_back(pieces_.score[id]);
    }
    constexpr std::uint64_t kMostWork = std::uint64_t{1} << 31;
    if (work > kMostWork) return bad_input("the pieces are too long", "is this the right file?", file_);
    std::sort(distinct_.begin(), distinct_.end(), std::greater<>());
    distinct_.erase(std::unique(distinct_.begin(), distinct_.end()), distinct_.end());
    for (std::size_t id = 0; id < pieces_.text.size(); ++id) {
      if (takes_part(id)) split(static_cast<std::int32_t>(id));
    }
    return {};
  }

 private:
  bool takes_part(std::size_t id) const {
    const int type = pieces_.type[id];
    return type == SentencePieces::kNormal || type == SentencePieces::kUserDefined || type == SentencePieces::kUnused;
  }

  std::int32_t symbol(std::string_view text) {
    if (const auto known = ids_.find(text); known != ids_.end()) return known->second;
    if (text.size() != utf8_length(text[0])) return -1;
    const auto fresh = static_cast<std::int32_t>(tables_.tokens.size() + tables_.extras.size());
    tables_.extras.push_back({std::string(text), -1});
    ids_.emplace(*pieces_text_.emplace_back(std::make_unique<std::string>(text)), fresh);
    return fresh;
  }

  void split(std::int32_t id) {
    const std::string_view text = pieces_.text[static_cast<std::size_t>(id)];
    const auto at = std::lower_bound(distinct_.begin(), distinct_.end(), pieces_.score[static_cast<std::size_t>(id)], std::greater<>());
    const auto rank = static_cast<std::uint32_t>(at - distinct_.begin());
    for (std::size_t i = text.empty() ? 0 : utf8_length(text[0]); i < text.size(); i += utf8_length(text[i])) {
      // Not both in one expression: a character that is no piece gets its symbol only where the other side exists.
      const std::string_view left = text.substr(0, i), right = text.substr(i);
      if (!exists(left) || !exists(right)) continue;
      tables_.merges.push_back({symbol(left), symbol(right), id});
      tables_.ranks.push_back(rank);
    }
  }
  bool exists(std::string_view text) const { return ids_.count(text) > 0 || text.size() == utf8_length(text[0]); }

  const SentencePieces& pieces_;
  Tables& tables_;
  const std::string& file_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::vector<std::unique_ptr<std::string>> pieces_text_;
  std::vector<float> distinct_;
};

void mark_special(Tables& tables, std::size_t id, const std::string& text, bool special) {
  AddedToken token;
  token.id = static_cast<std::int32_t>(id);
  token.content = text;
  token.special = special;
  tables.added.push_back(token);
}

Status fill_tokens(const SentencePieces& pieces, Tables& tables, const std::string& file) {
  std::unordered_set<std::string_view> seen;
  for (std::size_t id = 0; id < pieces.text.size(); ++id) {
    const std::string& text = pieces.text[id];
    const int type = pieces.type[id];
    if (!std::isfinite(pieces.score[id])) return bad_input("piece " + std::to_string(id) + " has no finite score", "get the file again", file);
    if (!seen.insert(text).second) return bad_input("piece " + in_quotes(text) + " stands twice", "get the file again", file);
    const bool special = (type == SentencePieces::kControl || type == SentencePieces::kUnknown) && !text.empty();
    const bool apart = type == SentencePieces::kUserDefined && !pieces.user_defined_in_model && !text.empty();
    if (special || apart) mark_special(tables, id, text, special);
    tables.tokens.push_back(special ? BpeToken{"", text, false, false} : BpeToken{text, "", apart, false});
  }
  return {};
}

NamedToken named(const SentencePieces& pieces, bool wanted, const std::optional<std::int32_t>& id) {
  if (!wanted || !id) return std::nullopt;
  return std::pair<std::string, std::int32_t>(pieces.text[static_cast<std::size_t>(*id)], *id);
}

}  // namespace

Json around_text(const NamedToken& before, const NamedToken& after) {
  if (!before && !after) return {};
  Json single = Json::array(), pair = Json::array(), specials = Json::object();
  const auto put = [&](const NamedToken& token, int type) {
    if (!token) return;
    const Json piece = {{"SpecialToken", {{"id", token->first}, {"type_id", type}}}};
    if (type == 0) single.push_back(piece);
    pair.push_back(piece);
    specials[token->first] = {{"id", token->first}, {"ids", {token->second}}, {"tokens", {token->first}}};
  };
  put(before, 0);
  single.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  pair.push_back({{"Sequence", {{"id", "A"}, {"type_id", 0}}}});
  put(after, 0);
  put(before, 1);
  pair.push_back({{"Sequence", {{"id", "B"}, {"type_id", 1}}}});
  put(after, 1);
  return {{"type", "TemplateProcessing"}, {"single", std::move(single)}, {"pair", std::move(pair)}, {"special_tokens", std::move(specials)}};
}

Result<std::shared_ptr<Tables>> tables_from_pieces(SentencePieces pieces, const std::string& file) {
  auto tables = std::make_shared<Tables>();
  tables->kind = pieces.unigram ? ModelKind::kUnigram : ModelKind::kCharBpe;
  if (auto fine = fill_tokens(pieces, *tables, file); !fine) return tl::unexpected<Error>(fine.error());
  tables->byte_fallback = pieces.byte_fallback;
  tables->fuse_unk = true;
  tables->unk = pieces.unk;
  tables->unk_in_model = pieces.unk.has_value();
  tables->bos = pieces.bos;
  tables->eos = pieces.eos;
  tables->pad = pieces.pad;
  for (std::size_t id = 0; id < pieces.text.size(); ++id) {
    const auto number = static_cast<std::int32_t>(id);
    const int type = pieces.type[id];
    if (pieces.unigram) {
      tables->scores.push_back(pieces.score[id]);
      if (type == SentencePieces::kNormal || type == SentencePieces::kUserDefined) tables->unigram_ids.push_back(number);
      if (type == SentencePieces::kUserDefined) tables->user_defined.push_back(number);
    } else if (type == SentencePieces::kUnused && pieces.user_defined_in_model && pieces.text[id].size() > 4) {
      return bad_input("piece " + in_quotes(pieces.text[id]) + " is marked as unused: not supported in a BPE model", "use a conversion to tokenizer.json", file);
    } else if (type == SentencePieces::kUserDefined && pieces.user_defined_in_model && !pieces.text[id].empty()) {
      tables->extras.push_back({pieces.text[id], number});
    }
  }
  tables->unigram_float = pieces.unigram;
  if (!pieces.unigram) {
    if (auto fine = ScoreMerges(pieces, *tables, file).run(); !fine) return tl::unexpected<Error>(fine.error());
  } else if (!tables->unk_in_model) {
    return bad_input("no piece for unknown characters", "get the file again", file);
  }
  tables->normalizer_json = normalizer_of(pieces);
  tables->decoder_json = decoder_of(pieces);
  const Json post = around_text(named(pieces, pieces.add_bos, pieces.bos), named(pieces, pieces.add_eos, pieces.eos));
  tables->post_json = post.is_null() ? std::string() : post.dump();
  if (auto fine = tables->pipeline(file); !fine) return tl::unexpected<Error>(fine.error());
  if (auto fine = tables->index(file); !fine) return tl::unexpected<Error>(fine.error());
  std::vector<AddedMatcher::Entry> kept;
  for (std::size_t id = 0; id < pieces.text.size(); ++id) {
    if (pieces.type[id] == SentencePieces::kUserDefined && pieces.user_defined_in_model && !pieces.text[id].empty()) kept.push_back({pieces.text[id], {}});
  }
  tables->normalizer.keep(AddedMatcher(std::move(kept)));
  return tables;
}

}  // namespace precept
