// NFC, NFD, NFKC and NFKD (Unicode Standard Annex 15), keeping track of where each character came from.

#include <algorithm>
#include <array>
#include <optional>

#include <utf8proc.h>

#include "precept/text/normalize.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

int combining_class(std::uint32_t point) { return utf8proc_get_property(static_cast<utf8proc_int32_t>(point))->combining_class; }

constexpr std::uint32_t kS = 0xAC00, kL = 0x1100, kV = 0x1161, kT = 0x11A7;
constexpr std::uint32_t kVCount = 21, kTCount = 28, kSCount = 11172;

// The primary composite of two characters. utf8proc composes a short text; that its result is one character says that they do.
std::optional<std::uint32_t> compose(std::uint32_t first, std::uint32_t second) {
  if (first >= kL && first < kL + 19) {
    if (second < kV || second >= kV + kVCount) return std::nullopt;
    return kS + ((first - kL) * kVCount + (second - kV)) * kTCount;
  }
  if (first >= kS && first < kS + kSCount) {
    if ((first - kS) % kTCount != 0 || second <= kT || second >= kT + kTCount) return std::nullopt;
    return first + (second - kT);
  }
  if (second < 0x300) return std::nullopt;
  const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(first));
  if (property->comb_index == UINT16_MAX) return std::nullopt;
  std::array<utf8proc_int32_t, 3> pair = {static_cast<utf8proc_int32_t>(first), static_cast<utf8proc_int32_t>(second), 0};
  const auto length = utf8proc_normalize_utf32(pair.data(), 2, static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  if (length != 1) return std::nullopt;
  return static_cast<std::uint32_t>(pair[0]);
}

struct Decomposed {
  Change change;
  int order;
};

std::vector<Decomposed> decompose(const std::string& text, bool compatible) {
  std::vector<Decomposed> out;
  out.reserve(text.size());
  std::size_t pending = 0;  // where the characters begin whose order is still open
  const auto sort_pending = [&] {
    if (out.size() - pending > 1) {
      std::stable_sort(out.begin() + static_cast<std::ptrdiff_t>(pending), out.end(),
                       [](const Decomposed& a, const Decomposed& b) { return a.order < b.order; });
    }
    pending = out.size();
  };
  std::array<utf8proc_int32_t, 32> parts{};
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const std::uint32_t point = utf8_at(text, i);
    utf8proc_ssize_t count = 1;
    parts[0] = static_cast<utf8proc_int32_t>(point);
    if (point >= 0x80) {
      int boundary = 0;
      const auto options = static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0) |
                                                          (compatible ? 0 : UTF8PROC_STABLE));
      count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(point), parts.data(), parts.size(), options, &boundary);
      if (count < 1 || count > static_cast<utf8proc_ssize_t>(parts.size())) {
        count = 1;
        parts[0] = static_cast<utf8proc_int32_t>(point);
      }
    }
    for (utf8proc_ssize_t k = 0; k < count; ++k) {
      const auto part = static_cast<std::uint32_t>(parts[static_cast<std::size_t>(k)]);
      const int order = part < 0x300 ? 0 : combining_class(part);
      if (order == 0) sort_pending();
      out.push_back({{part, k > 0 ? 1 : 0}, order});
    }
  }
  sort_pending();
  return out;
}

std::vector<Change> composed(const std::vector<Decomposed>& in) {
  std::vector<Change> out;
  out.reserve(in.size());
  std::optional<std::size_t> starter;  // in `out`: what the next characters may join
  int last = 0;                        // the combining class of what stands after the starter; 0: nothing
  for (const Decomposed& next : in) {
    if (starter && (last == 0 || last < next.order)) {
      if (const auto whole = compose(out[*starter].point, next.change.point)) {
        out[*starter].point = *whole;
        out[*starter].change += next.change.change - 1;
        continue;
      }
    }
    if (next.order == 0) {
      starter = out.size();
      last = 0;
    } else {
      last = next.order;
    }
    out.push_back(next.change);
  }
  return out;
}

}  // namespace

void to_unicode_form(Aligned& text, bool compatible, bool compose) {
  if (!compatible && compose && is_surely_nfc(text.text)) return;
  const std::vector<Decomposed> parts = decompose(text.text, compatible);
  if (compose) {
    apply_changes(text, composed(parts));
    return;
  }
  std::vector<Change> changes;
  changes.reserve(parts.size());
  for (const Decomposed& part : parts) changes.push_back(part.change);
  apply_changes(text, changes);
}

bool is_surely_nfc(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0xCC) {  // below U+0300 every character stays, whatever stands next to it
      ++i;
      continue;
    }
    const std::uint32_t point = utf8_at(text, i);
    const bool plain = (point >= 0x3040 && point < 0x3099) || (point >= 0x3400 && point < 0xA000) || (point >= 0x2010 && point < 0x2070) ||
                       (point >= 0x3001 && point < 0x3020) || (point >= 0xFF01 && point < 0xFF60) || (point >= 0x410 && point < 0x418) ||
                       (point >= 0x41A && point < 0x438) || (point >= 0x43A && point < 0x450) || (point >= 0xAC00 && point < 0xAC01);
    if (!plain) return false;
    i += utf8_length(text[i]);
  }
  return true;
}

}  // namespace precept
