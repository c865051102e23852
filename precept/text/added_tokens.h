#pragma once
// Tokens that are found in a text before it is split: special ones, and others that were added to a vocabulary. Internal to
// text/.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/text/text_span.h"

namespace precept {

struct AddedToken {
  std::int32_t id = 0;
  std::string content;
  bool special = false;
  bool normalized = false;   // found in the normalized text, in its own normalized form
  bool single_word = false;  // only where no word character touches it
  bool lstrip = false, rstrip = false;  // white space to its left, right belongs to it

  // Special, or looks like markup (<think>, [TOOL]): text that nobody vouches for must not become it.
  bool is_control() const;
};

// Immutable; const use from several threads is safe.
class AddedMatcher {
 public:
  AddedMatcher() = default;
  struct Entry {
    std::string text;
    AddedToken token;
  };
  explicit AddedMatcher(std::vector<Entry> entries);

  struct Part {
    std::size_t begin = 0, end = 0;
    const AddedToken* token = nullptr;  // null: text
  };
  bool empty() const { return entries_.empty(); }
  bool has_words() const { return has_words_; }  // some that are no control tokens
  // The text from left to right: at each place the longest token that `allowed(token, begin, end)` lets through. As the
  // reference, a longer one that is not a single word hides shorter ones within it.
  std::vector<Part> split(std::string_view text,
                          const std::function<bool(const AddedToken&, std::size_t, std::size_t)>& allowed) const;

 private:
  const AddedToken* longest(std::string_view text, std::size_t at, std::size_t& end,
                            const std::function<bool(const AddedToken&, std::size_t, std::size_t)>& allowed) const;
  std::vector<Entry> entries_;  // sorted by text
  std::vector<std::uint32_t> first_;
  bool has_words_ = false;
};

}  // namespace precept
