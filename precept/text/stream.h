#pragma once
// Text from tokens as they come: only whole UTF-8 sequences, and never a part of a stop string.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "precept/text/tokenizer.h"

namespace precept {

// Tokens as they come: the text that decode() gives, with an unfinished UTF-8 sequence kept back until it is whole. Bytes
// that can never become valid come out as U+FFFD, so the output is always valid UTF-8. Copies go on from where they were made.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool with_specials = false);
  StreamDecoder(const StreamDecoder& other);
  StreamDecoder(StreamDecoder&& other) noexcept;
  StreamDecoder& operator=(StreamDecoder other);
  ~StreamDecoder();

  std::string feed(std::int32_t id);  // what became complete; may be empty
  std::string feed_bytes(std::string_view bytes);  // text from elsewhere, after what was fed before
  std::string finish();               // what is left: U+FFFD for an unfinished sequence

 private:
  struct Chain;
  Tokenizer tokenizer_;
  bool with_specials_;
  std::unique_ptr<Chain> chain_;  // null: tokens are bytes
  std::string pending_;
};

// Finds the first of several stop strings in a text that arrives in parts: the one that is complete
// first, the longest of those that end together. So the result does not depend on how the text is
// cut. Text that may be the beginning of a stop string is held back. Empty stop strings are ignored.
class StopMatcher {
 public:
  explicit StopMatcher(const std::vector<std::string>& stops);

  // Text that is safe to show now. After a match: what came before it, and nothing ever again.
  std::string feed(std::string_view text);
  // The text held back, once the end has come.
  std::string finish();
  bool matched() const { return matched_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool matched_ = false;
};

// Replaces every byte that is not part of valid UTF-8 by U+FFFD.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace precept
