#pragma once
// Small tokenizers as model families bring them, made here.

#include <cstdio>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/fast_split.h"
#include "precept/text/tokenizer.h"

namespace precept {

inline const std::vector<std::string>& family_words() {
  static const std::vector<std::string> words = {"the", "story", "tell", "fox", "about", "kind", "animal", "night", "rain", "because", "water", "12", "7", "你好", "él"};
  return words;
}

// Byte-level BPE of about 380 tokens. `split`: "gpt-2", "llama-bpe", "qwen2", "tekken" or "smollm", as llama.cpp calls them; with "llama-bpe"
// texts begin with a token of their own.
inline nlohmann::json byte_level_tokenizer(const std::string& split) {
  using Json = nlohmann::json;
  std::map<std::string, std::int64_t> counts;
  for (const std::string& word : family_words()) counts[" " + word] = counts[word] = 5;
  Json json = Json::parse(train_bpe(counts, {383, {"<|begin|>", "<|end|>"}})->to_json());
  const auto level = [](bool own) { return Json{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", own}}; };
  const auto regex = [](std::string_view pattern) {
    return Json{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  };
  const auto both = [](Json first, Json second) { return Json{{"type", "Sequence"}, {"pretokenizers", {std::move(first), std::move(second)}}}; };
  if (split == "qwen2") {
    json["normalizer"] = {{"type", "NFC"}};
    json["pre_tokenizer"] = both(regex(split_pattern(SplitFamily::kQwen2)), level(false));
  } else if (split == "smollm") {
    json["pre_tokenizer"] = both({{"type", "Digits"}, {"individual_digits", true}}, level(true));
  } else if (split == "tekken") {  // Mistral Nemo's
    json["pre_tokenizer"] = both(regex(R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
                                       R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
                                       R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)"), level(false));
    json["model"]["ignore_merges"] = true;
  } else if (split == "llama-bpe") {
    json["pre_tokenizer"] = both(regex(split_pattern(SplitFamily::kLlama3)), level(false));
    json["model"]["ignore_merges"] = true;
    json["post_processor"] = {{"type", "TemplateProcessing"},
                              {"single", {{{"SpecialToken", {{"id", "<|begin|>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                              {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
                              {"special_tokens", {{"<|begin|>", {{"id", "<|begin|>"}, {"ids", {0}}, {"tokens", {"<|begin|>"}}}}}}};
  }
  return json;
}

// Characters with byte fallback, as converted from a SentencePiece model: every two pieces that make a piece merge, pieces of
// one rank together. `metaspace`: the newer way to write it.
inline nlohmann::json sentencepiece_tokenizer(bool metaspace) {
  using Json = nlohmann::json;
  const std::string mark = "\xE2\x96\x81";
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", byte);
    tokens.push_back(name);
  }
  std::set<std::string> known(tokens.begin(), tokens.end()), ordinary;
  const auto add = [&](const std::string& piece) {
    if (known.insert(piece).second) tokens.push_back(piece);
    ordinary.insert(piece);
  };
  for (char c = 'a'; c <= 'z'; ++c) add(std::string(1, c));
  add(mark);
  Json merges = Json::array();
  std::set<std::string> merged;
  for (std::size_t length = 2; length < 8; ++length) {
    for (const std::string& word : family_words()) {
      if (static_cast<unsigned char>(word[0]) >= 0x80 || word[0] <= '9') continue;
      for (const std::string& text : {word, mark + word}) {
        const std::size_t bytes = length + (text == word ? 0 : mark.size() - 1);
        if (bytes > text.size()) continue;
        const std::string piece = text.substr(0, bytes);
        if (!merged.insert(piece).second) continue;
        std::vector<Json> ways;
        for (std::size_t at = 1; at < piece.size(); ++at) {
          const std::string left = piece.substr(0, at), right = piece.substr(at);
          if (ordinary.count(left) != 0 && ordinary.count(right) != 0) ways.push_back(left + " " + right);
        }
        if (ways.empty()) continue;
        add(piece);
        for (Json& way : ways) merges.push_back(std::move(way));
      }
    }
  }
  Json vocab = Json::object(), added = Json::array();
  for (std::size_t id = 0; id < tokens.size(); ++id) vocab[tokens[id]] = id;
  for (int id = 0; id < 3; ++id) {
    added.push_back({{"id", id}, {"content", tokens[static_cast<std::size_t>(id)]}, {"single_word", false}, {"lstrip", false}, {"rstrip", false}, {"normalized", false}, {"special", true}});
  }
  const auto replace = [](const std::string& what, const std::string& with) { return Json{{"type", "Replace"}, {"pattern", {{"String", what}}}, {"content", with}}; };
  Json json = {{"version", "1.0"}, {"truncation", nullptr}, {"padding", nullptr}, {"added_tokens", added}, {"normalizer", nullptr}, {"pre_tokenizer", nullptr}};
  if (metaspace) json["pre_tokenizer"] = {{"type", "Metaspace"}, {"replacement", mark}, {"prepend_scheme", "first"}, {"split", false}};
  else json["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Prepend"}, {"prepend", mark}}, replace(" ", mark)}}};
  json["post_processor"] = {{"type", "TemplateProcessing"},
                            {"single", {{{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
                            {"pair", {{{"Sequence", {{"id", "A"}, {"type_id", 0}}}}, {{"Sequence", {{"id", "B"}, {"type_id", 1}}}}}},
                            {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}};
  json["decoder"] = {{"type", "Sequence"}, {"decoders", {replace(mark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}}}};
  json["model"] = {{"type", "BPE"}, {"dropout", nullptr}, {"unk_token", "<unk>"}, {"continuing_subword_prefix", nullptr}, {"end_of_word_suffix", nullptr},
                   {"fuse_unk", true}, {"byte_fallback", true}, {"ignore_merges", false}, {"vocab", vocab}, {"merges", merges}};
  return json;
}

}  // namespace precept
