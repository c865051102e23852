// Vocabularies as GGUF files hold them -> Tables. How text is split follows llama.cpp's src/llama-vocab.cpp.

#include <algorithm>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/fast_split.h"
#include "precept/text/tokenizer_build.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using Tables = Tokenizer::Tables;
constexpr std::size_t kMaxTokens = std::size_t{1} << 20;

std::optional<std::vector<std::string>> patterns_of(const std::string& pre) {
  const auto is = [&](std::initializer_list<std::string_view> names) {
    return std::find(names.begin(), names.end(), std::string_view(pre)) != names.end();
  };
  const std::string gpt2(split_pattern(SplitFamily::kGpt2));
  if (is({"gpt-2", "gpt2", "phi-2", "jina-es", "jina-de", "gigachat", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum"})) return {{gpt2}};
  if (is({"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral"})) return {{std::string(split_pattern(SplitFamily::kLlama3))}};
  if (is({"qwen2", "deepseek-r1-qwen"})) return {{std::string(split_pattern(SplitFamily::kQwen2))}};
  // Words begin with capitals and go on with small letters, of scripts that have them.
  static constexpr const char* kUpper = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)";
  static constexpr const char* kLower = R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)";
  static constexpr const char* kRest = R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  if (is({"tekken"})) return {{std::string(kUpper) + "|" + kLower + "|\\p{N}|" + kRest}};
  if (is({"gpt-4o", "llama4"})) {
    const std::string shortened = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?|";
    return {{kUpper + shortened + kLower + shortened + "\\p{N}{1,3}|" + kRest}};
  }
  if (is({"smollm", "starcoder", "refact", "command-r", "codeshell"})) return {{"\\p{N}", gpt2}};
  if (is({"deepseek-v3"})) {
    return {{"\\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+",
             R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)"}};
  }
  if (is({"default", ""})) {
    return {{R"([\p{P}\$\+<=>\^~\|]+)", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S))", "\\p{N}+", "[0-9][0-9][0-9]"}};
  }
  return std::nullopt;
}

// As llama.cpp: words of the vocabulary are taken whole.
bool ignores_merges(const std::string& pre, const std::vector<std::string>& patterns) {
  return pre == "tekken" || (patterns.size() == 1 && patterns.front() == split_pattern(SplitFamily::kLlama3));
}

Status check(const VocabularySpec& spec, const std::string& file) {
  const auto damaged = [&](const std::string& what) { return bad_input(what, "the file is damaged: get it again", file); };
  const std::size_t size = spec.tokens.size();
  if (size == 0 || size > kMaxTokens) return damaged("a vocabulary of " + std::to_string(size) + " tokens");
  if (!spec.token_types.empty() && spec.token_types.size() != size) return damaged("types of tokens: not one a token");
  for (const auto& id : {spec.bos_id, spec.eos_id, spec.unk_id, spec.pad_id}) {
    if (id && (*id < 0 || static_cast<std::size_t>(*id) >= size)) return damaged("a special token has the id " + std::to_string(*id) + ", which no token has");
  }
  for (std::size_t i = 0; i < size; ++i) {
    if (find_invalid_utf8(spec.tokens[i])) return damaged("token " + std::to_string(i) + " is not UTF-8");
  }
  for (const std::int32_t type : spec.token_types) {
    if (type < 0 || type > SentencePieces::kByte) return damaged("a token of type " + std::to_string(type));
  }
  return {};
}

Result<std::shared_ptr<Tables>> from_scores(const VocabularySpec& spec, const std::string& file) {
  if (spec.scores.size() != spec.tokens.size()) return bad_input("scores: not one a token", "a vocabulary of the kind \"llama\" has them", file);
  SentencePieces pieces;
  pieces.text = spec.tokens;
  pieces.score = spec.scores;
  pieces.type.assign(spec.token_types.begin(), spec.token_types.end());
  if (pieces.type.empty()) pieces.type.assign(spec.tokens.size(), SentencePieces::kNormal);
  for (int& type : pieces.type) {
    if (type == 0) type = SentencePieces::kNormal;
    pieces.byte_fallback = pieces.byte_fallback || type == SentencePieces::kByte;
  }
  pieces.add_dummy_prefix = spec.add_space_prefix;
  pieces.user_defined_in_model = false;
  pieces.unk = spec.unk_id;
  pieces.bos = spec.bos_id;
  pieces.eos = spec.eos_id;
  pieces.pad = spec.pad_id;
  pieces.add_bos = spec.add_bos;
  pieces.add_eos = spec.add_eos;
  return tables_from_pieces(std::move(pieces), file);
}

NamedToken named(const VocabularySpec& spec, bool wanted, const std::optional<std::int32_t>& id) {
  if (!wanted || !id) return std::nullopt;
  return std::pair<std::string, std::int32_t>(spec.tokens[static_cast<std::size_t>(*id)], *id);
}

Result<std::shared_ptr<Tables>> from_merges(const VocabularySpec& spec, const std::string& file) {
  const auto patterns = patterns_of(spec.pre);
  if (!patterns) {
    return bad_input("tokenizer.ggml.pre " + in_quotes(spec.pre) + " is not supported",
                     "supported: gpt-2, llama-bpe, qwen2, tekken, gpt-4o, smollm, starcoder, deepseek-v3, falcon3, pixtral, default", file);
  }
  Json vocab = Json::object(), added = Json::array();
  for (std::size_t i = 0; i < spec.tokens.size(); ++i) {
    const std::string& text = spec.tokens[i];
    if (vocab.contains(text)) return bad_input("token " + in_quotes(text) + " stands twice", "get the file again", file);
    vocab[text] = i;
    const int type = spec.token_types.empty() ? SentencePieces::kNormal : spec.token_types[i];
    const bool special = type == SentencePieces::kControl || type == SentencePieces::kUnknown;
    if ((!special && type != SentencePieces::kUserDefined) || text.empty()) continue;
    added.push_back({{"id", i}, {"content", text}, {"special", special}, {"normalized", false}});
  }
  Json root = {{"added_tokens", std::move(added)}, {"normalizer", nullptr}, {"decoder", Json::parse(kByteLevelJson)}};
  root["pre_tokenizer"] = byte_level_split(*patterns);
  root["post_processor"] = around_text(named(spec, spec.add_bos, spec.bos_id), named(spec, spec.add_eos, spec.eos_id));
  root["model"] = {{"type", "BPE"}, {"ignore_merges", ignores_merges(spec.pre, *patterns)}};
  root["model"]["vocab"] = std::move(vocab);
  root["model"]["merges"] = spec.merges;
  auto tables = tables_from_json(root, file);
  if (!tables) return tables;
  (*tables)->bos = spec.bos_id;
  (*tables)->eos = spec.eos_id;
  (*tables)->unk = spec.unk_id;
  (*tables)->pad = spec.pad_id;
  return tables;
}

}  // namespace

Json byte_level_split(const std::vector<std::string>& regexes) {
  if (regexes.size() == 1 && regexes[0] == split_pattern(SplitFamily::kGpt2)) return Json::parse(kByteLevelJson);
  Json steps = Json::array();
  for (const std::string& regex : regexes) {
    steps.push_back({{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", false}});
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

Result<Tokenizer> Tokenizer::from_vocabulary(const VocabularySpec& spec, const std::string& file) {
  if (auto fine = check(spec, file); !fine) return tl::unexpected<Error>(fine.error());
  if (spec.model != "llama" && spec.model != "gpt2") {
    return bad_input("a vocabulary of the kind " + in_quotes(spec.model) + " is not supported", "supported: llama (SentencePiece), gpt2 (byte-level)", file);
  }
  auto tables = spec.model == "llama" ? from_scores(spec, file) : from_merges(spec, file);
  if (!tables) return tl::unexpected<Error>(tables.error());
  return Tokenizer(std::move(*tables));
}

}  // namespace precept
