#include "precept/text/pattern.h"

#include <algorithm>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "precept/core/strict_json.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

constexpr std::size_t kMaxPattern = 8192;
constexpr std::uint32_t kMatchLimit = 1'000'000;  // steps of backtracking a match; the known patterns need some hundred
constexpr std::uint32_t kHeapLimit = 64 * 1024;   // KiB

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

}  // namespace

struct Pattern::Regex {
  pcre2_code* code = nullptr;

  Regex() = default;
  Regex(const Regex&) = delete;
  Regex& operator=(const Regex&) = delete;
  ~Regex() { pcre2_code_free(code); }
};

Result<Pattern> Pattern::regex(std::string_view oniguruma, const std::string& file) {
  if (oniguruma.size() > kMaxPattern) {
    return bad_input("a regular expression of more than " + std::to_string(kMaxPattern) + " bytes", "is this the right file?", file);
  }
  const auto translated = oniguruma_to_pcre2(oniguruma, file);
  if (!translated) return tl::unexpected<Error>(translated.error());
  auto regex = std::make_shared<Regex>();
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_compile_context* context = pcre2_compile_context_create(nullptr);
  PRECEPT_CHECK(context != nullptr);
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  pcre2_set_parens_nest_limit(context, 50);
  regex->code = pcre2_compile(units(*translated), translated->size(), PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, &error, &offset, context);
  pcre2_compile_context_free(context);
  if (regex->code == nullptr) {
    PCRE2_UCHAR message[128];
    pcre2_get_error_message(error, message, sizeof message);
    return bad_input("regular expression " + in_quotes(oniguruma) + ": " + reinterpret_cast<const char*>(message),
                     "mend the pattern", file);
  }
  // Without JIT (a hardened kernel may forbid it) pcre2_match interprets: slower, same result.
  pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE);
  Pattern pattern;
  pattern.regex_ = std::move(regex);
  return pattern;
}

Pattern Pattern::string(std::string text) {
  Pattern pattern;
  pattern.string_ = std::move(text);
  return pattern;
}

Pattern Pattern::characters(bool (*is)(std::uint32_t)) {
  Pattern pattern;
  pattern.is_ = is;
  return pattern;
}

// As Oniguruma's iterator: an empty match right after a match does not count, and moves on by one character.
void Pattern::find_regex(std::string_view text, std::vector<Match>& out) const {
  struct Matching {
    explicit Matching(const pcre2_code* code)
        : data(pcre2_match_data_create_from_pattern(code, nullptr)), context(pcre2_match_context_create(nullptr)) {
      PRECEPT_CHECK(data != nullptr && context != nullptr);
      pcre2_set_match_limit(context, kMatchLimit);
      pcre2_set_heap_limit(context, kHeapLimit);
    }
    Matching(const Matching&) = delete;
    Matching& operator=(const Matching&) = delete;
    ~Matching() {
      pcre2_match_context_free(context);
      pcre2_match_data_free(data);
    }
    pcre2_match_data* data;
    pcre2_match_context* context;
  } matching(regex_->code);

  std::size_t at = 0, done = 0;
  bool any = false;
  while (at <= text.size()) {
    int found = pcre2_match(regex_->code, units(text), text.size(), at, PCRE2_NO_UTF_CHECK, matching.data, matching.context);
    if (found == PCRE2_ERROR_JIT_STACKLIMIT) {
      found = pcre2_match(regex_->code, units(text), text.size(), at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, matching.data,
                          matching.context);
    }
    if (found <= 0) break;
    const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(matching.data);
    const std::size_t begin = bounds[0], end = bounds[1];
    if (end < begin || begin < done) break;  // \K in a look-ahead could, and is refused
    if (begin == end && any && done == end) {
      if (end >= text.size()) break;
      at = end + utf8_length(text[end]);
      continue;
    }
    if (done < begin) out.push_back({done, begin, false});
    out.push_back({begin, end, true});
    at = done = end;
    any = true;
  }
  if (done < text.size()) out.push_back({done, text.size(), false});
}

std::size_t Pattern::growth(std::size_t replacement) const {
  if (regex_ != nullptr) return replacement + 1;  // a match may be empty
  if (is_ == nullptr && string_.empty()) return 1;
  const std::size_t shortest = is_ != nullptr ? 1 : string_.size();
  return std::max<std::size_t>(1, (replacement + shortest - 1) / shortest);
}

std::vector<Match> Pattern::find_all(std::string_view text) const {
  std::vector<Match> out;
  if (text.empty()) return {{0, 0, false}};
  if (regex_ != nullptr) {
    find_regex(text, out);
    return out;
  }
  std::size_t done = 0;
  const auto found = [&](std::size_t begin, std::size_t end) {
    if (done < begin) out.push_back({done, begin, false});
    out.push_back({begin, end, true});
    done = end;
  };
  if (is_ != nullptr) {
    for (std::size_t i = 0; i < text.size();) {
      const std::size_t end = i + utf8_length(text[i]);
      if (is_(utf8_at(text, i))) found(i, end);
      i = end;
    }
  } else if (!string_.empty()) {
    for (std::size_t i = text.find(string_); i != std::string_view::npos; i = text.find(string_, done)) found(i, i + string_.size());
  }
  if (done < text.size()) out.push_back({done, text.size(), false});
  return out;
}

}  // namespace precept
