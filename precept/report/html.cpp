#include "precept/report/html.h"

#include <cmath>
#include <cstdint>

#include <fmt/format.h>

#include "precept/core/io.h"

namespace precept::html {
namespace {

constexpr const char* kDash = "\u2013";
constexpr const char* kMinus = "\u2212";

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;  // 0: the byte here begins no valid sequence
};

CodePoint decode(std::string_view text, std::size_t i) {
  const auto lead = static_cast<unsigned char>(text[i]);
  const std::size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (i + length > text.size() || find_invalid_utf8(text.substr(i, length))) return {0, 0};
  if (length == 1) return {lead, 1};
  std::uint32_t value = lead & (0xFFu >> (length + 1));
  for (std::size_t k = 1; k < length; ++k) value = (value << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3Fu);
  return {value, length};
}

bool reorders(std::uint32_t c) {
  return (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069) || c == 0x200E || c == 0x200F || c == 0x061C;
}

std::string signed_number(double value, int digits) {
  std::string text = fmt::format("{:.{}f}", std::abs(value), digits);
  const bool zero = text.find_first_not_of("0.") == std::string::npos;
  return (zero ? "" : value < 0 ? kMinus : "+") + text;
}

std::string without_sign(std::string text) {
  if (!text.empty() && text.back() == '%') text.pop_back();
  return text;
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint c = decode(text, i);
    if (c.length == 0) {
      out += "\uFFFD";
      ++i;
      continue;
    }
    switch (c.value) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      case '\n': case '\t': out += static_cast<char>(c.value); break;
      case '\r': break;
      default:
        if (c.value < 0x20) {
          out += fmt::format("&#x{:x};", 0x2400 + c.value);
        } else if (c.value == 0x7F) {
          out += "&#x2421;";
        } else if (reorders(c.value) || (c.value >= 0x80 && c.value < 0xA0)) {
          out += fmt::format("[U+{:04X}]", c.value);
        } else {
          out += text.substr(i, c.length);
        }
    }
    i += c.length;
  }
  return out;
}

std::string bounded(std::string_view text, std::size_t max_bytes) {
  if (text.size() <= max_bytes) return escape(text);
  return escape(utf8_prefix(text, max_bytes)) +
         fmt::format("<span class=\"cut\">\u2026 cut here; {} bytes in all</span>",
                     count(static_cast<std::int64_t>(text.size())));
}

std::string paragraph(std::string_view text, std::size_t max_bytes, const char* css) {
  if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
    return fmt::format("<p class=\"{} none\">(empty)</p>\n", css);
  }
  return fmt::format("<p class=\"{}\" dir=\"auto\">{}</p>\n", css, bounded(text, max_bytes));
}

std::string count(std::int64_t n) {
  std::string digits = std::to_string(n);
  const std::size_t first = n < 0 ? 1 : 0;
  for (std::size_t i = digits.size(); i > first + 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

std::string duration(double seconds) {
  if (!(seconds >= 0) || !std::isfinite(seconds) || seconds > 1e12) return kDash;
  if (seconds < 10) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::int64_t>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", count(whole / 3600), whole % 3600 / 60);
}

std::string p_value(std::optional<double> p) {
  if (!p) return "p undefined";
  if (*p < 0.001) return "p &lt; 0.001";
  return *p < 0.1 ? fmt::format("p = {:.3f}", *p) : fmt::format("p = {:.2f}", *p);
}

std::string points(const Estimate& d) {
  if (!d.value) return "undefined";
  std::string out = signed_number(*d.value * 100, 1) + " points";
  if (d.low && d.high) {
    out += fmt::format(" [{}, {}]", signed_number(*d.low * 100, 1), signed_number(*d.high * 100, 1));
  }
  return out;
}

std::string interval(const Estimate& e) {
  if (!e.value) return "no interval";
  const int level = static_cast<int>(std::lround(e.level * 100));
  if (e.one_sided && e.high && *e.value == 0) return fmt::format("at most {}% ({}%)", percent_digits(*e.high, 2), level);
  if (e.one_sided && e.low && *e.value == 1) return fmt::format("at least {}% ({}%)", percent_digits(*e.low, 2), level);
  if (!e.low || !e.high) return "no interval";
  return fmt::format("{}{}{}", without_sign(percent(e.low)), kDash, percent(e.high));
}

std::string counts(const Estimate& e) {
  std::string out = "n = " + count(e.n);
  if (e.unscored > 0) out += ", " + count(e.unscored) + " unscored";
  return out;
}

std::string decimal(std::optional<double> value, int digits) {
  if (!value || !std::isfinite(*value)) return kDash;
  const double unit = std::pow(10.0, -digits);
  // A share that is not quite nothing, or not quite all, is never shown as if it were.
  if (*value > 0 && *value < unit / 2) return fmt::format("&lt; {:.{}f}", unit, digits);
  if (*value < 1 && *value > 1 - unit / 2) return fmt::format("&gt; {:.{}f}", 1 - unit, digits);
  return fmt::format("{:.{}f}", *value, digits);
}

}  // namespace precept::html
