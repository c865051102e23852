#pragma once
// Texts that are hard on tokenizers, and where the test data lies.

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "precept/core/rng.h"
#include "precept/text/unicode.h"

namespace precept::text_test {

inline std::string test_data() {
  const char* named = std::getenv("PRECEPT_TESTDATA");
  return named != nullptr ? named : "../shared/data";
}

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

// Parts that matter to some tokenizer or other.
inline const std::vector<std::string>& hard_parts() {
  static const std::vector<std::string> parts = {
      "the", " cat", "Hello", " world", "don't", "I'LL", "we've", "it'S", "'s", "'re", "'", "\xE2\x80\x99s", "12345", " 7", "٣", "½", "²", "Ⅷ",
      "你好", "世界，", "。", "日本語", "テスト", "한국어", "각", "مرحبا", " العالم", "שלום", "नमस्ते", "ไทย", "é", "e\xCC\x81", "Å", "ﬁ", "ß", "İ", "ſ", "'ſ",
      "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "😀", "\xE2\x80\x8D", "\xEF\xB8\x8F", "\xE2\x96\x81", "\xE2\x96\x81the", " ", "  ", "   ", "\n", "\n\n", "\r\n", "\t", "\xC2\xA0", "\xE3\x80\x80",
      "\xE2\x80\xA8", "\xC2\x85", "\xE2\x80\x8B", "\x01", "\x1b[0m", "\x7f", "<|end|>", "<|im_start|>", "<|end", "|>", "<s>", "</s>", "<unk>", "<0x0A>", "<0xE4>", "[PAD]",
      "!", "?!", "...", "—", "_", "$", "+", "=", "~", "^", "|", "`", "#", "@", "a_b", "x1y2", "camelCase", "ALLCAPS", "ü", "q\xCC\xA3\xCC\x87", "\xCC\x81", "ガ", "\xE1\x84\x80\xE1\x85\xA1", "％", "Ａ",
      "http://x.y/z?a=b&c", "\"quoted\"", "(a)", "word", "Word ", "Zebra", "zebra", " wörd", "naïve", "ﷺ", "Ω", "ẛ̣"};
  return parts;
}

inline std::string hard_text(Rng& rng, std::uint64_t most = 14) {
  std::string text;
  for (std::uint64_t n = rng.below(most + 1); n > 0; --n) {
    switch (rng.below(12)) {
      case 0: text += std::string(1 + rng.below(6), ' '); break;
      case 1: text += static_cast<char>(rng.below(128)); break;
      case 2: append_utf8(text, static_cast<std::uint32_t>(0xA1 + rng.below(0x500))); break;
      case 3: append_utf8(text, static_cast<std::uint32_t>(0x4E00 + rng.below(0x5000))); break;
      case 4: append_utf8(text, static_cast<std::uint32_t>(0x1F300 + rng.below(0x250))); break;
      default: text += rng.pick(hard_parts());
    }
  }
  return text;
}

// The same with bytes that are not UTF-8.
inline std::string broken_text(Rng& rng) {
  std::string text = hard_text(rng);
  for (std::uint64_t n = 1 + rng.below(4); n > 0; --n) {
    text.insert(static_cast<std::size_t>(rng.below(text.size() + 1)), 1, static_cast<char>(0x80 + rng.below(128)));
  }
  return text;
}

}  // namespace precept::text_test
