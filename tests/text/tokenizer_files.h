#pragma once
// tokenizer.json files as model families have them, around small vocabularies that are trained here.

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/fast_split.h"
#include "precept/text/stream.h"
#include "precept/text/tokenizer.h"
#include "text_support.h"

namespace precept::text_test {

using Json = nlohmann::json;

inline Json byte_level(bool use_regex, bool prefix = false) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix}, {"trim_offsets", true}, {"use_regex", use_regex}};
}
inline Json split(const std::string& regex, const char* behavior = "Isolated", bool invert = false) {
  return {{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}, {"invert", invert}};
}
inline Json in_sequence(const char* key, std::vector<Json> parts) { return {{"type", "Sequence"}, {key, std::move(parts)}}; }
inline Json replace(const char* kind, const std::string& what, const std::string& with) {
  return {{"type", "Replace"}, {"pattern", {{kind, what}}}, {"content", with}};
}
inline Json added(int id, const std::string& content, bool special, std::map<std::string, bool> flags = {}) {
  Json token = {{"id", id}, {"content", content}, {"special", special}, {"normalized", false}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}};
  for (const auto& flag : flags) token[flag.first] = flag.second;
  return token;
}

// Byte-level, trained on the hard parts.
inline const Tokenizer& trained_bytes() {
  static const Tokenizer tokenizer = [] {
    std::map<std::string, std::int64_t> texts;
    Rng rng({21, 0, 0, 0});
    for (int i = 0; i < 400; ++i) texts[replace_invalid_utf8(hard_text(rng, 30))] = 3;
    return *train_bpe(texts, {1400, {"<|pad|>", "<|im_start|>", "<|end|>"}});
  }();
  return tokenizer;
}
inline Json trained_json() { return Json::parse(trained_bytes().to_json()); }

// Characters, their merges in order, byte tokens, <unk>, <s>, </s>; a space is U+2581.
inline Json character_json(bool byte_fallback) {
  Json vocab = Json::object(), merges = Json::array();
  int next = 0;
  for (const char* name : {"<unk>", "<s>", "</s>"}) vocab[name] = next++;
  for (int byte = 0; byte < 256 && byte_fallback; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    vocab[name] = next++;
  }
  const auto add = [&](const std::string& token) {
    if (!vocab.contains(token)) vocab[token] = next++;
  };
  const std::string mark = "\xE2\x96\x81";
  for (char c = '!'; c <= '~'; ++c) add(std::string(1, c));
  for (const char* c : {"\xE2\x96\x81", "你", "好", "世", "界", "é", "ü", "に", "а", "\xCC\x81"}) add(c);
  // Words are merged from left to right; shared beginnings share their merges.
  const std::vector<std::string> words = {mark + "the", mark + "cat", mark + "world", mark + "Hello", mark + "word", mark + "你", mark + mark, mark + mark + mark + mark,
                                          "the", "Hello", "ing", "word", "你好", "世界", "don", "123", "ll", "..."};
  for (const std::string& word : words) {
    std::string left;
    for (std::size_t i = 0; i < word.size();) {
      const std::size_t length = utf8_length(word[i]);
      const std::string part = word.substr(i, length);
      if (!left.empty()) {
        const Json merge = {left, part};
        if (std::find(merges.begin(), merges.end(), merge) == merges.end()) merges.push_back(merge);
        add(left + part);
      }
      left += part;
      i += length;
    }
  }
  Json model = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", "<unk>"}, {"continuing_subword_prefix", nullptr}, {"end_of_word_suffix", nullptr},
                {"fuse_unk", true}, {"byte_fallback", byte_fallback}, {"ignore_merges", false}, {"vocab", vocab}, {"merges", merges}};
  return {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr},
          {"added_tokens", {added(0, "<unk>", true), added(1, "<s>", true), added(2, "</s>", true)}},
          {"normalizer", nullptr}, {"pre_tokenizer", nullptr}, {"post_processor", nullptr}, {"decoder", nullptr}, {"model", model}};
}

// Texts that the JavaScript port reads as the Rust library does. Everywhere its white space lacks U+0085, and its (?i:s) the
// long s.
inline bool js_reads(const std::string& text) { return text.find("\xC2\x85") == std::string::npos && text.find("\xC5\xBF") == std::string::npos; }
inline bool js_reads_nothing(const std::string&) { return false; }
// Its Digits are ASCII's.
inline bool js_reads_digits(const std::string& text) {
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    if (utf8_at(text, i) >= 0x80 && is_number(utf8_at(text, i))) return false;
  }
  return js_reads(text);
}
// Its Metaspace does not split, which shows only where spaces stand together.
inline bool js_reads_metaspace(const std::string& text) {
  std::string spaces;
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const std::uint32_t point = utf8_at(text, i);
    spaces += point == ' ' || point == 0x2581 ? ' ' : 'x';
  }
  return spaces.find("  ") == std::string::npos && js_reads(text);
}
// Its Punctuation splits runs of it into fewer pieces.
inline bool js_reads_words(const std::string& text) { return text.find("..") == std::string::npos && js_reads(text); }

// Mistral's newer models; GPT-4o.
inline constexpr const char* kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
inline constexpr const char* kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Its word boundaries are ASCII's, and a sigma at the end of a word has a lower case of its own.
inline bool js_reads_flags(const std::string& text) {
  return text.find("ord") == std::string::npos && text.find("\xCE\xA3") == std::string::npos && js_reads(text);
}

struct Family {
  std::string name;
  Json json;
  bool (*js)(const std::string&) = js_reads;
  bool js_decodes = true;
  bool offsets = true;
};

inline std::vector<Family> families() {
  const std::string mark = "\xE2\x96\x81";
  const auto with = [](Json json, Json normalizer, Json pre, Json decoder) {
    json["normalizer"] = std::move(normalizer);
    json["pre_tokenizer"] = std::move(pre);
    json["decoder"] = std::move(decoder);
    return json;
  };
  const Json llama_decoder = in_sequence("decoders", {replace("String", mark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}},
                                                      {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}});
  const std::string deepseek =
      R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  std::vector<Family> all;
  all.push_back({"gpt2", trained_json()});
  all.push_back({"gpt2-prefix", with(trained_json(), nullptr, byte_level(true, true), byte_level(true, true))});
  Json llama3 = with(trained_json(), nullptr, in_sequence("pretokenizers", {split(std::string(split_pattern(SplitFamily::kLlama3))), byte_level(false)}), byte_level(true));
  llama3["model"]["ignore_merges"] = true;
  all.push_back({"llama3", llama3});
  all.push_back({"qwen2", with(trained_json(), {{"type", "NFC"}}, in_sequence("pretokenizers", {split(std::string(split_pattern(SplitFamily::kQwen2))), byte_level(false)}), byte_level(true))});
  all.push_back({"deepseek", with(trained_json(), in_sequence("normalizers", {}),
                                  in_sequence("pretokenizers", {split("\\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(deepseek), byte_level(false)}), byte_level(true))});
  all.push_back({"smollm2", with(trained_json(), nullptr, in_sequence("pretokenizers", {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)}), byte_level(true)), js_reads_digits});
  all.push_back({"tekken", with(trained_json(), nullptr, in_sequence("pretokenizers", {split(kTekken), byte_level(false)}), byte_level(true))});
  all.push_back({"gpt-4o", with(trained_json(), nullptr, in_sequence("pretokenizers", {split(kGpt4o), byte_level(false)}), byte_level(true))});
  all.push_back({"llama-old", with(character_json(true), in_sequence("normalizers", {{{"type", "Prepend"}, {"prepend", mark}}, replace("String", " ", mark)}), nullptr, llama_decoder)});
  all.push_back({"gemma", with(character_json(true), replace("String", " ", mark), {{"type", "Split"}, {"pattern", {{"String", " "}}}, {"behavior", "MergedWithPrevious"}, {"invert", false}},
                               in_sequence("decoders", {replace("String", mark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}}))});
  all.push_back({"metaspace-first", with(character_json(true), nullptr, {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "first"}, {"split", false}}, llama_decoder)});
  all.push_back({"metaspace-always", with(character_json(false), nullptr, {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "always"}, {"split", true}},
                                          {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "always"}, {"split", true}}), js_reads_metaspace});
  Json words = with(character_json(false), in_sequence("normalizers", {{{"type", "NFD"}}, {{"type", "Lowercase"}}, {{"type", "StripAccents"}}, {{"type", "Strip"}, {"strip_left", true}, {"strip_right", true}}}),
                    in_sequence("pretokenizers", {{{"type", "Whitespace"}}, {{"type", "Digits"}, {"individual_digits", true}}, {{"type", "Punctuation"}, {"behavior", "Isolated"}}}), nullptr);
  words["model"]["fuse_unk"] = false;
  all.push_back({"words", words, js_reads_words, false, false});
  Json kd = with(character_json(true), in_sequence("normalizers", {{{"type", "NFKC"}}, replace("Regex", " {2,}", " "), replace("String", " ", mark)}),
                 in_sequence("pretokenizers", {split(mark, "MergedWithNext"), split("\\d+", "MergedWithPrevious"), split("[!?]", "Contiguous")}), llama_decoder);
  all.push_back({"behaviors", kd, js_reads_nothing, false});
  all.push_back({"removed", with(character_json(true), {{"type", "NFKD"}}, in_sequence("pretokenizers", {{{"type", "WhitespaceSplit"}}, split("[a-z]+", "Isolated", true), split("\\W", "Removed")}),
                                 in_sequence("decoders", {{{"type", "ByteFallback"}}, {{"type", "Fuse"}}})), js_reads_nothing, false, false});
  Json flagged = with(trained_json(), {{"type", "Lowercase"}}, byte_level(true), byte_level(true));
  int size = trained_bytes().size();
  const auto add = [&](const char* content, bool special, std::map<std::string, bool> flags) {
    const Json& vocab = flagged["model"]["vocab"];  // words may be there already
    const int id = vocab.contains(content) ? vocab[content].get<int>() : size++;
    flagged["added_tokens"].push_back(added(id, content, special, std::move(flags)));
  };
  add("word", false, {{"single_word", true}});
  add("[PAD]", true, {{"lstrip", true}});
  add("</s>", true, {{"rstrip", true}});
  add("Zebra", false, {{"normalized", true}});
  add("<s>", true, {{"lstrip", true}, {"rstrip", true}});
  all.push_back({"flags", flagged, js_reads_flags, false});
  Json uni = character_json(true);
  Json vocab = Json::array();
  std::vector<std::string> by_id(uni["model"]["vocab"].size());
  for (auto entry = uni["model"]["vocab"].begin(); entry != uni["model"]["vocab"].end(); ++entry) by_id[entry.value().get<std::size_t>()] = entry.key();
  // Scores that are exact in binary: the Rust library reads others up to one bit off, which decides where two ways are equal.
  for (std::size_t id = 0; id < by_id.size(); ++id) vocab.push_back({by_id[id], id < 3 ? 0.0 : -3.0 - static_cast<double>((id * 7919) % 600) / 64});
  uni["model"] = {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocab}, {"byte_fallback", false}};
  all.push_back({"unigram", with(uni, nullptr, {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "always"}, {"split", true}},
                                 {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "always"}, {"split", true}}), js_reads_metaspace});
  uni["model"]["byte_fallback"] = true;
  all.push_back({"unigram-bytes", with(uni, in_sequence("normalizers", {{{"type", "Prepend"}, {"prepend", mark}}, replace("String", " ", mark)}), nullptr, llama_decoder), js_reads_nothing, false, false});
  return all;
}

}  // namespace precept::text_test
