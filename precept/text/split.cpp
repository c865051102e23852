#include "precept/text/split.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "precept/core/io.h"
#include "precept/core/result.h"

namespace precept {
namespace {

// Contractions; then letters, digits or other signs with at most one space before them; then white
// space, of which the last is left to the word that follows.
constexpr std::string_view kPattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

struct MatchData {
  explicit MatchData(const pcre2_code* code) : data(pcre2_match_data_create_from_pattern(code, nullptr)) {
    PRECEPT_CHECK(data != nullptr);
  }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
  ~MatchData() { pcre2_match_data_free(data); }
  pcre2_match_data* data;
};

// `text` is valid UTF-8, so the engine need not check it again at every match.
void split_valid(const pcre2_code* code, pcre2_match_data* data, std::string_view text,
                 std::vector<std::string_view>& pieces) {
  std::size_t at = 0;
  while (at < text.size()) {
    constexpr std::uint32_t kOptions = PCRE2_NO_UTF_CHECK | PCRE2_ANCHORED;
    int found = pcre2_match(code, units(text), text.size(), at, kOptions, data, nullptr);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(code, units(text), text.size(), at, kOptions | PCRE2_NO_JIT, data, nullptr);
    }
    const std::size_t end = found > 0 ? pcre2_get_ovector_pointer(data)[1] : text.size();
    PRECEPT_CHECK(end > at && end <= text.size());
    pieces.push_back(text.substr(at, end - at));
    at = end;
  }
}

}  // namespace

struct Splitter::Pattern {
  pcre2_code* code = nullptr;

  Pattern() {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(units(kPattern), kPattern.size(), PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    PRECEPT_CHECK(code != nullptr);
    // Without JIT (a hardened kernel may forbid it) pcre2_match interprets: slower, same result.
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;
  ~Pattern() { pcre2_code_free(code); }
};

Splitter::Splitter() : pattern_(std::make_shared<Pattern>()) {}

std::vector<std::string_view> Splitter::split(std::string_view text) const {
  std::vector<std::string_view> pieces;
  pieces.reserve(text.size() / 4 + 1);
  const MatchData match(pattern_->code);
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    const std::size_t valid = find_invalid_utf8(rest).value_or(rest.size());
    split_valid(pattern_->code, match.data, rest.substr(0, valid), pieces);
    at += valid;
    std::size_t end = at;
    while (end < text.size() && find_invalid_utf8(text.substr(end, 4)) == std::size_t{0}) ++end;
    if (end > at) pieces.push_back(text.substr(at, end - at));
    at = end;
  }
  return pieces;
}

}  // namespace precept
