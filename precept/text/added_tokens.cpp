#include "precept/text/added_tokens.h"

#include <algorithm>

#include "precept/text/unicode.h"

namespace precept {

bool AddedToken::is_control() const {
  if (special) return true;
  return content.size() > 2 && ((content.front() == '<' && content.back() == '>') || (content.front() == '[' && content.back() == ']'));
}

AddedMatcher::AddedMatcher(std::vector<Entry> entries) : entries_(std::move(entries)) {
  std::stable_sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  const auto same = [](const Entry& a, const Entry& b) { return a.text == b.text; };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  has_words_ = std::any_of(entries_.begin(), entries_.end(), [](const Entry& entry) { return !entry.token.is_control(); });
  first_.assign(257, 0);
  for (const Entry& entry : entries_) ++first_[static_cast<unsigned char>(entry.text[0]) + 1U];
  for (std::size_t b = 0; b < 256; ++b) first_[b + 1] += first_[b];
}

const AddedToken* AddedMatcher::longest(std::string_view text, std::size_t at, std::size_t& end,
                                        const std::function<bool(const AddedToken&, std::size_t, std::size_t)>& allowed) const {
  const AddedToken* found = nullptr;
  const auto byte = static_cast<unsigned char>(text[at]);
  auto low = entries_.begin() + first_[byte], high = entries_.begin() + first_[byte + 1U];
  for (std::size_t length = 1; low != high; ++length) {
    if (low->text.size() == length) {
      if (allowed(low->token, at, at + length)) {
        found = &low->token;
        end = at + length;
      }
      ++low;
    }
    if (at + length >= text.size()) break;
    const auto next = static_cast<unsigned char>(text[at + length]);
    const auto key = [&](const Entry& entry) { return static_cast<unsigned char>(entry.text[length]); };
    low = std::partition_point(low, high, [&](const Entry& entry) { return key(entry) < next; });
    high = std::partition_point(low, high, [&](const Entry& entry) { return key(entry) <= next; });
  }
  return found;
}

std::vector<AddedMatcher::Part> AddedMatcher::split(
    std::string_view text, const std::function<bool(const AddedToken&, std::size_t, std::size_t)>& allowed) const {
  std::vector<Part> out;
  std::size_t done = 0;
  for (std::size_t at = 0; at < text.size() && !entries_.empty();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    std::size_t end = 0;
    const AddedToken* token = first_[byte] == first_[byte + 1U] ? nullptr : longest(text, at, end, allowed);
    if (token == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    at = end;
    if (token->single_word) {
      // The text may hold broken UTF-8: only characters that are whole can be part of a word.
      const std::size_t before = begin > 0 ? utf8_before(text, begin) : 0;
      const bool left = begin > 0 && before + utf8_length(text[before]) == begin && is_word(utf8_at(text, before));
      const bool right = end < text.size() && end + utf8_length(text[end]) <= text.size() && is_word(utf8_at(text, end));
      if (left || right) continue;
    }
    if (token->lstrip) {
      while (begin > done) {
        const std::size_t before = utf8_before(text, begin);
        if (before < done || before + utf8_length(text[before]) != begin || !is_white_space(utf8_at(text, before))) break;
        begin = before;
      }
    }
    if (token->rstrip) {
      while (end < text.size() && end + utf8_length(text[end]) <= text.size() && is_white_space(utf8_at(text, end))) end += utf8_length(text[end]);
    }
    begin = std::max(begin, done);  // what was before it may have taken white space at its beginning
    if (done < begin) out.push_back({done, begin, nullptr});
    out.push_back({begin, std::max(end, begin), token});
    done = std::max(end, begin);
  }
  if (done < text.size()) out.push_back({done, text.size(), nullptr});
  return out;
}

}  // namespace precept
