#include "precept/report/diff.h"

#include <algorithm>
#include <cstdint>

namespace precept {
namespace {

using Kind = DiffPart::Kind;

bool is_space(unsigned char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_word(unsigned char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '\'' || c >= 0x80;
}
// First byte of a three-byte sequence in the range of ideographs and kana, or of a four-byte one.
bool stands_alone(unsigned char c) { return c >= 0xE3; }

std::size_t sequence_length(std::string_view text, std::size_t i) {
  const auto lead = static_cast<unsigned char>(text[i]);
  std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  std::size_t n = 1;
  while (n < length && i + n < text.size() && (static_cast<unsigned char>(text[i + n]) & 0xC0) == 0x80) ++n;
  return n;
}

bool is_crumb(std::string_view token) {
  return std::none_of(token.begin(), token.end(), [](char c) { return is_word(static_cast<unsigned char>(c)); });
}

struct Op {
  Kind kind;
  std::string_view token;
};

// Longest common subsequence by the classic table; sizes are bounded by the caller.
std::vector<Op> align(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b) {
  const std::size_t n = a.size(), m = b.size();
  std::vector<std::uint16_t> table((n + 1) * (m + 1), 0);
  const auto at = [&](std::size_t i, std::size_t j) -> std::uint16_t& { return table[i * (m + 1) + j]; };
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t j = m; j-- > 0;) {
      at(i, j) = a[i] == b[j] ? static_cast<std::uint16_t>(at(i + 1, j + 1) + 1)
                              : std::max(at(i + 1, j), at(i, j + 1));
    }
  }
  std::vector<Op> ops;
  std::size_t i = 0, j = 0;
  while (i < n || j < m) {
    if (i < n && j < m && a[i] == b[j]) {
      ops.push_back({Kind::kSame, a[i]});
      ++i;
      ++j;
    } else if (j == m || (i < n && at(i + 1, j) >= at(i, j + 1))) {
      ops.push_back({Kind::kRemoved, a[i++]});
    } else {
      ops.push_back({Kind::kAdded, b[j++]});
    }
  }
  return ops;
}

void append(std::vector<DiffPart>& parts, Kind kind, std::string_view text) {
  if (text.empty()) return;
  if (!parts.empty() && parts.back().kind == kind) parts.back().text += text;
  else parts.push_back({kind, std::string(text)});
}

}  // namespace

std::vector<std::string_view> diff_tokens(std::string_view text) {
  std::vector<std::string_view> tokens;
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    std::size_t end = i + 1;
    if (is_space(c)) {
      while (end < text.size() && is_space(static_cast<unsigned char>(text[end]))) ++end;
    } else if (stands_alone(c)) {
      end = i + sequence_length(text, i);
    } else if (is_word(c)) {
      while (end < text.size() && is_word(static_cast<unsigned char>(text[end])) &&
             !stands_alone(static_cast<unsigned char>(text[end]))) {
        ++end;
      }
    }
    tokens.push_back(text.substr(i, end - i));
    i = end;
  }
  return tokens;
}

std::vector<DiffPart> word_diff(std::string_view before, std::string_view after, std::size_t max_tokens) {
  std::vector<DiffPart> whole;
  if (before == after) {
    append(whole, Kind::kSame, before);
    return whole;
  }
  append(whole, Kind::kRemoved, before);
  append(whole, Kind::kAdded, after);
  // A token has at least one byte: long texts are refused before they are cut into pieces.
  if (before.size() > max_tokens * 64 || after.size() > max_tokens * 64) return whole;
  const auto a = diff_tokens(before), b = diff_tokens(after);
  if (a.empty() || b.empty() || a.size() > max_tokens || b.size() > max_tokens) return whole;
  std::vector<Op> ops = align(a, b);

  std::size_t same = 0, words = 0;
  for (const Op& op : ops) {
    if (is_crumb(op.token)) continue;
    ++words;
    same += op.kind == Kind::kSame ? 1 : 0;
  }
  if (same * 6 < words) return whole;  // confetti reads worse than two texts

  // A run of crumbs between two changes belongs to both: it is removed and added again.
  std::vector<DiffPart> parts;
  std::string removed, added;
  const auto flush = [&] {
    append(parts, Kind::kRemoved, removed);
    append(parts, Kind::kAdded, added);
    removed.clear();
    added.clear();
  };
  for (std::size_t i = 0; i < ops.size();) {
    if (ops[i].kind != Kind::kSame) {
      (ops[i].kind == Kind::kRemoved ? removed : added) += ops[i].token;
      ++i;
      continue;
    }
    std::size_t end = i;
    bool crumbs = true;
    while (end < ops.size() && ops[end].kind == Kind::kSame) crumbs = is_crumb(ops[end++].token) && crumbs;
    const bool between = crumbs && !removed.empty() && !added.empty() && end < ops.size();
    if (!between) flush();
    for (; i < end; ++i) {
      if (between) {
        removed += ops[i].token;
        added += ops[i].token;
      } else {
        append(parts, Kind::kSame, ops[i].token);
      }
    }
  }
  flush();
  return parts;
}

}  // namespace precept
