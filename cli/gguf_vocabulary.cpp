#include "cli/gguf_vocabulary.h"

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/matching_tokenizer.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/chat_codec.h"
#include "precept/text/fast_split.h"

namespace precept {
namespace {

using Json = nlohmann::json;

const std::string kMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space
const char* const kHint = "byte-level BPE that splits as GPT-2, Llama 3, Qwen 2, Mistral (tekken), GPT-4o, SmolLM or DeepSeek V3 can, and BPE made of a SentencePiece model";

std::vector<Json> steps_of(const Json& part, const char* key) {
  if (part.is_null()) return {};
  if (part.value("type", "") == "Sequence") return part[key].get<std::vector<Json>>();
  return {part};
}

// The patterns by which a byte-level tokenizer splits text, one after the other; nullopt: it splits in some other way.
std::optional<std::vector<std::string>> splits_of(const Json& pre_tokenizer) {
  const std::vector<Json> steps = steps_of(pre_tokenizer, "pretokenizers");
  std::vector<std::string> splits;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const Json& step = steps[i];
    const std::string type = step.value("type", "");
    const bool last = i + 1 == steps.size();
    if (last != (type == "ByteLevel")) return std::nullopt;
    if (type == "Split" && step.value("behavior", "") == "Isolated" && !step.value("invert", false) && step["pattern"].contains("Regex")) {
      splits.push_back(step["pattern"]["Regex"].get<std::string>());
    } else if (type == "Digits" && step.value("individual_digits", false)) {
      splits.push_back("\\p{N}");
    } else if (type != "ByteLevel" || step.value("add_prefix_space", false)) {
      return std::nullopt;
    } else if (step.value("use_regex", true)) {
      splits.push_back(std::string(split_pattern(SplitFamily::kGpt2)));
    }
  }
  return steps.empty() ? std::nullopt : std::optional(std::move(splits));
}

// llama.cpp's name of how a byte-level tokenizer splits text: the one under which we would read a GGUF file alike; nullopt: none.
std::optional<std::string> pre_name(const Tokenizer& tokenizer, const Json& json) {
  const auto splits = splits_of(json["pre_tokenizer"]);
  if (!splits) return std::nullopt;
  VocabularySpec bytes;  // the smallest vocabulary there is
  for (std::int32_t id = 0; id < tokenizer.size(); ++id) {
    if (tokenizer.bytes(id).size() == 1 && !tokenizer.is_special(id)) bytes.tokens.push_back(tokenizer.token(id));
  }
  // Qwen 2 normalizes to NFC first, which llama.cpp does not: composed text, which is nearly all text, is read alike.
  const std::vector<Json> normalizer = steps_of(json["normalizer"], "normalizers");
  const bool nfc = normalizer.size() == 1 && normalizer[0].value("type", "") == "NFC";
  for (const char* pre : {"gpt-2", "llama-bpe", "qwen2", "tekken", "gpt-4o", "smollm", "deepseek-v3"}) {
    bytes.pre = pre;
    const auto read = Tokenizer::from_vocabulary(bytes);
    if (!read) return std::nullopt;
    const Json theirs = Json::parse(read->to_json());
    if (splits_of(theirs["pre_tokenizer"]) != splits || theirs["model"]["ignore_merges"] != json["model"]["ignore_merges"]) continue;
    if (normalizer.empty() || (nfc && std::string(pre) == "qwen2")) return pre;
  }
  return std::nullopt;
}

std::pair<std::string, std::string> parts_of(const Json& merge) {
  if (merge.is_array()) return {merge[0].get<std::string>(), merge[1].get<std::string>()};
  const auto text = merge.get<std::string>();
  const std::size_t space = text.find(' ');
  return {text.substr(0, space), text.substr(space + 1)};
}

std::size_t character_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

// What a SentencePiece-style tokenizer does around its merges.
struct Around {
  bool space_prefix = false;  // a space before the text
  bool splits_words = false;  // no merge goes beyond a space
};

std::optional<Around> around_of(const Json& json) {
  Around around;
  bool marked = false;
  for (const Json& step : steps_of(json["normalizer"], "normalizers")) {
    const std::string type = step.value("type", "");
    if (type == "Prepend" && step.value("prepend", "") == kMark) around.space_prefix = true;
    else if (type == "Replace" && step["pattern"].value("String", "") == " " && step.value("content", "") == kMark) marked = true;
    else return std::nullopt;
  }
  const Json& pre = json["pre_tokenizer"];
  if (!pre.is_null()) {
    if (pre.value("type", "") != "Metaspace" || pre.value("replacement", "") != kMark || marked) return std::nullopt;
    around.space_prefix = pre.value("prepend_scheme", pre.value("add_prefix_space", true) ? "always" : "never") != "never";
    around.splits_words = pre.value("split", true);
    marked = true;
  }
  return marked ? std::optional(around) : std::nullopt;
}

// One score a token such that merging by score is merging by rank: SentencePiece merges whatever two neighbours make a token,
// the best score first; the file's own merges must be just these, those of one token together. `ordinary`: tokens of text.
// (Of two merges into the same token that overlap in a text the ranks decide here, and the place there.)
Result<std::vector<float>> scores_of(const Json& json, const std::vector<std::string>& tokens, const std::vector<bool>& ordinary,
                                     const std::string& folder) {
  const auto refuse = [&](const std::string& what) {
    return bad_input("this tokenizer cannot be written as GGUF: " + what, "its merges must be those of a SentencePiece model", folder);
  };
  std::map<std::string, std::size_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (ordinary[id]) ids.emplace(tokens[id], id);
  }
  std::vector<float> scores(tokens.size(), 0);
  std::set<std::pair<std::string, std::string>> merges;
  float place = 0;
  std::string last;
  for (const Json& merge : json["model"]["merges"]) {
    auto parts = parts_of(merge);
    const std::string made = parts.first + parts.second;
    const auto id = ids.find(made);
    if (id == ids.end()) return refuse("a merge makes " + in_quotes(made) + ", which is no token of text");
    if (made != last && scores[id->second] != 0) return refuse("merges into " + in_quotes(made) + " have others between them");
    if (made != last) scores[id->second] = place -= 1;
    last = made;
    merges.insert(std::move(parts));
  }
  const float worst = place - 1;
  for (const auto& [text, id] : ids) {
    if (scores[id] == 0) scores[id] = worst;
    for (std::size_t at = text.empty() ? 0 : character_length(text[0]); at < text.size(); at += character_length(text[at])) {
      const std::string left = text.substr(0, at), right = text.substr(at);
      if (ids.count(left) == 0 || ids.count(right) == 0 || merges.count({left, right}) != 0) continue;
      return refuse(in_quotes(left) + " and " + in_quotes(right) + " make a token, but are not merged");
    }
  }
  return scores;
}

bool is_byte_token(const std::string& text) {
  return text.size() == 6 && text.rfind("<0x", 0) == 0 && text[5] == '>' && text.find_first_not_of("0123456789ABCDEF", 3) == 5;
}

Status fill_characters(const Json& json, const std::string& folder, GgufVocabulary& out) {
  const auto around = around_of(json);
  if (!around) return bad_input("this tokenizer cannot be written as GGUF", kHint, folder);
  const bool bytes = json["model"].value("byte_fallback", false);
  std::vector<bool> ordinary;
  for (std::size_t id = 0; id < out.tokens.size(); ++id) {
    const std::string& text = out.tokens[id];
    GgufTokenType& type = out.types[id];
    if (bytes && type == GgufTokenType::kNormal && is_byte_token(text)) type = GgufTokenType::kByte;
    if (out.unk && static_cast<std::size_t>(*out.unk) == id) type = GgufTokenType::kUnknown;
    ordinary.push_back(type == GgufTokenType::kNormal);
    if (around->splits_words && ordinary.back() && text.find(kMark, 1) != std::string::npos) {
      return bad_input("this tokenizer cannot be written as GGUF: it splits words, but " + in_quotes(text) + " goes beyond one", kHint, folder);
    }
  }
  auto scores = scores_of(json, out.tokens, ordinary, folder);
  if (!scores) return tl::unexpected<Error>(scores.error());
  out.model = "llama";
  out.pre = "default";
  out.scores = std::move(*scores);
  out.add_space_prefix = around->space_prefix;
  return {};
}

Result<std::optional<std::string>> chat_template_of(const std::string& folder, const ChatCodec& chat) {
  if (chat.format() != nullptr) return std::optional(chat.format()->jinja());
  std::error_code error;
  if (std::filesystem::exists(folder + "/chat_template.jinja", error)) {
    auto text = read_text(folder + "/chat_template.jinja", std::size_t{1} << 20);
    if (!text) return tl::unexpected<Error>(text.error());
    return std::optional(std::move(*text));
  }
  if (!chat.has_chat()) return std::optional<std::string>();
  const auto text = read_text(folder + "/tokenizer_config.json", std::size_t{16} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  const Json config = Json::parse(*text, nullptr, false);
  const Json& given = config.is_object() && config.contains("chat_template") ? config["chat_template"] : Json();
  if (given.is_string()) return std::optional(given.get<std::string>());
  for (const Json& one : given) {
    if (one.is_object() && one.value("name", "") == "default" && one.contains("template")) return std::optional(one["template"].get<std::string>());
  }
  return std::optional<std::string>();
}

void fill_tokens(const Tokenizer& tokenizer, const Json& json, int rows, GgufVocabulary& out) {
  std::map<std::int32_t, bool> added;  // id -> special
  for (const Json& one : json["added_tokens"]) added[one["id"].get<std::int32_t>()] = one["special"].get<bool>();
  for (std::int32_t id = 0; id < rows; ++id) {
    const auto found = added.find(id);
    // Models have more rows than their tokenizer has tokens; llama.cpp wants a name for each.
    out.tokens.push_back(id < tokenizer.size() ? tokenizer.token(id) : "[PAD" + std::to_string(id) + "]");
    out.types.push_back(id >= tokenizer.size()  ? GgufTokenType::kUnused
                        : found == added.end() ? GgufTokenType::kNormal
                        : found->second        ? GgufTokenType::kControl
                                               : GgufTokenType::kUserDefined);
  }
}

// Where texts begin and answers end. GGUF has three names of ends: eos, eot and eom.
void fill_ids(const Tokenizer& tokenizer, const ChatCodec& chat, const LlamaConfig& config, GgufVocabulary& out) {
  out.bos = tokenizer.bos_id();
  out.unk = tokenizer.unk_id();
  out.pad = tokenizer.pad_id();
  if (!out.bos && config.bos_token_id >= 0) out.bos = config.bos_token_id;
  const std::vector<std::int32_t>& ends = chat.stop_ids();
  out.eos = ends.empty() ? tokenizer.eos_id() : ends[0];
  if (!out.eos && config.eos_token_id >= 0) out.eos = config.eos_token_id;
  if (ends.size() > 1) out.eot = ends[1];
  if (ends.size() > 2) out.eom = ends[2];
  const std::vector<std::int32_t> begun = chat.raw(tokenizer, "");
  out.add_bos = !begun.empty() && out.bos == begun[0];
}

}  // namespace

Result<GgufVocabulary> gguf_vocabulary_of(const std::string& folder, const LlamaConfig& config) {
  const auto files = load_tokenizer_files(folder);
  if (!files) return tl::unexpected<Error>(files.error());
  if (const Status fits = check_tokenizer_fits(files->tokenizer, config, folder); !fits) return tl::unexpected<Error>(fits.error());
  const Json json = Json::parse(files->tokenizer.to_json());
  if (json["model"]["type"] != "BPE") return bad_input("this tokenizer cannot be written as GGUF", kHint, folder);
  GgufVocabulary out;
  fill_ids(files->tokenizer, files->chat, config, out);
  fill_tokens(files->tokenizer, json, config.vocab_size, out);
  if (const auto pre = pre_name(files->tokenizer, json)) {
    out.model = "gpt2";
    out.pre = *pre;
    for (const Json& merge : json["model"]["merges"]) {
      const auto parts = parts_of(merge);
      out.merges.push_back(parts.first + " " + parts.second);
    }
  } else if (Status fine = fill_characters(json, folder, out); !fine) {
    return tl::unexpected<Error>(fine.error());
  }
  auto chat = chat_template_of(folder, files->chat);
  if (!chat) return tl::unexpected<Error>(chat.error());
  out.chat_template = std::move(*chat);
  return out;
}

}  // namespace precept
