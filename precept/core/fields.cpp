#include "precept/core/fields.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "precept/core/io.h"

namespace precept {
namespace {

std::string number_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  // The shortest form that reads back as the same number.
  char text[40];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  std::string out = text;
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

// A basic string of TOML: on one line, whatever it holds.
std::string string_text(std::string text) {
  for (auto bad = find_invalid_utf8(text); bad; bad = find_invalid_utf8(text)) text.replace(*bad, 1, "\uFFFD");
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte == 0x7F) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04X", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

struct Shown {
  std::string operator()(bool value) const { return value ? "true" : "false"; }
  std::string operator()(int value) const { return std::to_string(value); }
  std::string operator()(std::uint64_t value) const { return std::to_string(value); }
  std::string operator()(double value) const { return number_text(value); }
  std::string operator()(const std::string& value) const { return string_text(value); }
};

// A bound as a person writes it: 1024, 0.5, 1e-09.
std::string bound_text(double bound) {
  if (bound == std::floor(bound) && std::fabs(bound) < 1e15) return std::to_string(static_cast<std::int64_t>(bound));
  return number_text(bound);
}

}  // namespace

std::string allowed(const FieldRule& rule) {
  if (!rule.choices.empty()) {
    std::string list;
    for (const std::string& choice : rule.choices) list += (list.empty() ? "" : " or ") + choice;
    return "use " + list;
  }
  if (rule.low > rule.high) return "use a finite number";
  if (rule.above_low) return "use more than " + bound_text(rule.low) + ", at most " + bound_text(rule.high);
  return "use " + bound_text(rule.low) + " to " + bound_text(rule.high);
}

bool in_range(const FieldRule& rule, double value) {
  if (!std::isfinite(value)) return false;
  if (rule.low > rule.high) return true;
  return value >= rule.low && value <= rule.high && !(rule.above_low && value == rule.low);
}

std::string flag_of(const std::string& name) {
  std::string flag = "--" + name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  return flag;
}

Status check_value(const Field& field, const FieldValue& value, const std::string& name) {
  bool fine = true;
  if (const auto* text = std::get_if<std::string>(&value)) {
    const auto& choices = field.rule.choices;
    fine = choices.empty() || std::find(choices.begin(), choices.end(), *text) != choices.end();
  } else if (const auto* whole = std::get_if<int>(&value)) {
    fine = in_range(field.rule, *whole);
  } else if (const auto* natural = std::get_if<std::uint64_t>(&value)) {
    fine = in_range(field.rule, static_cast<double>(*natural));
  } else if (const auto* real = std::get_if<double>(&value)) {
    fine = in_range(field.rule, *real);
  }
  if (fine) return {};
  return bad_input(name + " is " + toml_value(value), allowed(field.rule));
}

Status check_fields(const std::vector<Field>& fields, bool as_flags) {
  for (const Field& field : fields) {
    Status fine = check_value(field, field.value(), as_flags ? flag_of(field.name) : field.name);
    if (!fine) return fine;
  }
  return {};
}

std::string toml_value(const FieldValue& value) { return std::visit(Shown{}, value); }

std::string recipe_lines(const std::vector<Field>& fields) {
  std::string out;
  for (const Field& field : fields) {
    if (field.rule.in_recipe) out += field.name + " = " + toml_value(field.value()) + "  # " + field.help + "\n";
  }
  return out;
}

}  // namespace precept
