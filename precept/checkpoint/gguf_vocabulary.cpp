#include "precept/checkpoint/gguf_vocabulary.h"

#include <limits>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

const std::string kPrefix = "tokenizer.ggml.";
const char* const kChatTemplate = "tokenizer.chat_template";
const char* const kHint = "the file is damaged, or its converter went wrong: convert the model again";

struct IdKey {
  const char* key;
  std::optional<std::int32_t> GgufVocabulary::* id;
  bool may_lie_outside;
};
constexpr IdKey kIds[] = {{"bos_token_id", &GgufVocabulary::bos, false},     {"eos_token_id", &GgufVocabulary::eos, false},
                          {"eot_token_id", &GgufVocabulary::eot, false},     {"eom_token_id", &GgufVocabulary::eom, false},
                          {"unknown_token_id", &GgufVocabulary::unk, true}, {"padding_token_id", &GgufVocabulary::pad, true}};

struct FlagKey {
  const char* key;
  std::optional<bool> GgufVocabulary::* flag;
};
constexpr FlagKey kFlags[] = {{"add_bos_token", &GgufVocabulary::add_bos},
                              {"add_eos_token", &GgufVocabulary::add_eos},
                              {"add_space_prefix", &GgufVocabulary::add_space_prefix}};

Status check_length(const GgufMetadata& metadata, const char* name, std::size_t length, std::size_t tokens) {
  if (length == tokens) return {};
  return bad_input("metadata " + in_quotes(kPrefix + name) + " has " + std::to_string(length) + " elements for " +
                       std::to_string(tokens) + " tokens", kHint, metadata.file);
}

Status read_lists(const GgufMetadata& metadata, GgufVocabulary& out) {
  auto tokens = metadata.texts(kPrefix + "tokens");
  if (!tokens) return tl::unexpected<Error>(tokens.error());
  out.tokens = std::move(*tokens);
  if (out.tokens.empty() || out.tokens.size() > std::numeric_limits<std::int32_t>::max()) {
    return bad_input("the vocabulary has " + std::to_string(out.tokens.size()) + " tokens", kHint, metadata.file);
  }
  if (metadata.has(kPrefix + "scores")) {
    auto scores = metadata.reals(kPrefix + "scores");
    if (!scores) return tl::unexpected<Error>(scores.error());
    if (auto fine = check_length(metadata, "scores", scores->size(), out.tokens.size()); !fine) return fine;
    out.scores = std::move(*scores);
  }
  if (metadata.has(kPrefix + "token_type")) {
    const auto types = metadata.integers(kPrefix + "token_type", 0, 6);
    if (!types) return tl::unexpected<Error>(types.error());
    if (auto fine = check_length(metadata, "token_type", types->size(), out.tokens.size()); !fine) return fine;
    for (const std::int64_t type : *types) out.types.push_back(static_cast<GgufTokenType>(type));
  }
  if (metadata.has(kPrefix + "merges")) {
    auto merges = metadata.texts(kPrefix + "merges");
    if (!merges) return tl::unexpected<Error>(merges.error());
    out.merges = std::move(*merges);
  }
  return {};
}

Status read_id(const GgufMetadata& metadata, const IdKey& row, GgufVocabulary& out) {
  const std::string key = kPrefix + row.key;
  if (!metadata.has(key)) return {};
  const auto last = static_cast<std::int64_t>(out.tokens.size()) - 1;
  const auto id = metadata.integer(key, 0, last);
  if (!id && row.may_lie_outside && metadata.integer(key, -1, std::numeric_limits<std::uint32_t>::max())) return {};
  if (!id) return tl::unexpected<Error>(id.error());
  out.*row.id = static_cast<std::int32_t>(*id);
  return {};
}

}  // namespace

Result<GgufVocabulary> read_gguf_vocabulary(const GgufMetadata& metadata) {
  GgufVocabulary out;
  auto model = metadata.text(kPrefix + "model");
  if (!model) return tl::unexpected<Error>(model.error());
  out.model = std::move(*model);
  if (metadata.has(kPrefix + "pre")) {
    auto pre = metadata.text(kPrefix + "pre");
    if (!pre) return tl::unexpected<Error>(pre.error());
    out.pre = std::move(*pre);
  }
  if (auto fine = read_lists(metadata, out); !fine) return tl::unexpected<Error>(fine.error());
  for (const IdKey& row : kIds) {
    if (auto fine = read_id(metadata, row, out); !fine) return tl::unexpected<Error>(fine.error());
  }
  for (const FlagKey& row : kFlags) {
    if (!metadata.has(kPrefix + row.key)) continue;
    const auto flag = metadata.flag(kPrefix + row.key);
    if (!flag) return tl::unexpected<Error>(flag.error());
    out.*row.flag = *flag;
  }
  if (metadata.has(kChatTemplate)) {
    auto text = metadata.text(kChatTemplate);
    if (!text) return tl::unexpected<Error>(text.error());
    out.chat_template = std::move(*text);
  }
  return out;
}

void write_gguf_vocabulary(const GgufVocabulary& vocabulary, GgufMetadata& metadata) {
  const auto set = [&](const std::string& key, GgufValue value) { metadata.values.insert_or_assign(key, std::move(value)); };
  set(kPrefix + "model", vocabulary.model);
  if (!vocabulary.pre.empty()) set(kPrefix + "pre", vocabulary.pre);
  set(kPrefix + "tokens", vocabulary.tokens);
  if (!vocabulary.scores.empty()) set(kPrefix + "scores", vocabulary.scores);
  if (!vocabulary.types.empty()) {
    std::vector<std::int32_t> types;
    for (const GgufTokenType type : vocabulary.types) types.push_back(static_cast<std::int32_t>(type));
    set(kPrefix + "token_type", std::move(types));
  }
  if (!vocabulary.merges.empty()) set(kPrefix + "merges", vocabulary.merges);
  for (const IdKey& row : kIds) {
    if (const auto id = vocabulary.*row.id) set(kPrefix + row.key, static_cast<std::uint32_t>(*id));
  }
  for (const FlagKey& row : kFlags) {
    if (const auto flag = vocabulary.*row.flag) set(kPrefix + row.key, *flag);
  }
  if (vocabulary.chat_template) set(kChatTemplate, *vocabulary.chat_template);
}

}  // namespace precept
