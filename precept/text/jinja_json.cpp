#include "precept/text/jinja_json.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include <nlohmann/json.hpp>

#include "precept/core/strict_json.h"

namespace precept::jinja {
namespace {

// Builds values as the parser goes; false ends it.
class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(Runtime& run) : run_(run) {}

  Value root;
  bool out_of_range = false;

  bool null() override { return add(Value::of(Kind::kNone, true)); }
  bool boolean(bool b) override { return add(Value::of_bool(b, true)); }
  bool number_integer(number_integer_t i) override { return add(Value::of_int(i, true)); }
  bool number_unsigned(number_unsigned_t u) override {
    out_of_range = u > static_cast<number_unsigned_t>(INT64_MAX);
    return !out_of_range && add(Value::of_int(static_cast<std::int64_t>(u), true));
  }
  bool number_float(number_float_t d, const string_t& digits) override {
    // What has no point and no exponent is an integer of more than 64 bits.
    out_of_range = digits.find_first_of(".eE") == std::string::npos;
    return !out_of_range && add(Value::of_float(d, true));
  }
  bool string(string_t& text) override { return add(run_.text(text, true)); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override {
    Dict* dict = run_.dict(true);
    return add(Value::of(dict)) && (open_.push_back({nullptr, dict, {}, 0}), true);
  }
  bool start_array(std::size_t) override {
    const Value list = run_.list({}, ListKind::kList, true);
    if (!list.is(Kind::kList) || !add(list)) return false;
    open_.push_back({list.list, nullptr, {}, 0});
    return true;
  }
  bool key(string_t& name) override {
    Open& open = open_.back();
    const auto [seen, fresh] = open.keys.emplace(name, open.dict->entries.size());
    open.at = seen->second;
    if (!fresh) return true;
    const Value key = run_.text(name, true);
    if (!run_.charge(sizeof(open.dict->entries[0]))) return false;
    open.dict->entries.emplace_back(key, Value::of(Kind::kNone, true));
    return true;
  }
  bool end_object() override { return open_.pop_back(), true; }
  bool end_array() override { return open_.pop_back(), true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    out_of_range = error.id == 406;
    return false;
  }

 private:
  struct Open {
    List* list;
    Dict* dict;
    std::unordered_map<std::string, std::size_t> keys;
    std::size_t at;  // the entry whose value comes next
  };

  bool add(const Value& value) {
    if (!run_.step()) return false;
    if (open_.empty()) {
      root = value;
    } else if (open_.back().list != nullptr) {
      if (!run_.charge(sizeof(Value))) return false;
      open_.back().list->items.push_back(value);
    } else {
      open_.back().dict->entries[open_.back().at].second = value;
    }
    return true;
  }

  Runtime& run_;
  std::vector<Open> open_;
};

bool string_to_json(Runtime& run, const Text& text, bool ensure_ascii, Text& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  const auto unit = [](char32_t value) {
    std::string escaped = "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) escaped += kHex[value >> shift & 15];
    return escaped;
  };
  if (!run.scan(8 * text.bytes.size()) || !append(run, out, "\"", text.any_input())) return false;
  for (Points point(text); point.next();) {
    const char32_t c = point.point;
    std::string escaped;
    static constexpr std::string_view kFrom = "\"\\\n\r\t\b\f", kTo = "\"\\nrtbf";
    const std::size_t at = c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
    if (at != std::string_view::npos) escaped = {'\\', kTo[at]};
    else if (c < 0x20 || (ensure_ascii && c >= 0x7F && c < 0x10000)) escaped = unit(c);
    else if (ensure_ascii && c >= 0x10000) escaped = unit(0xD7C0 + (c >> 10)) + unit(0xDC00 + (c & 0x3FF));
    else append_point(escaped, c);
    if (!append(run, out, escaped, point.input)) return false;
  }
  return append(run, out, "\"", text.any_input());
}

// A separator between the parts of what came from input counts as input.
bool append_between(Runtime& run, Text& out, const Text& separator, bool input) {
  return input ? append(run, out, separator.bytes, true) : append(run, out, separator);
}

bool new_line(Runtime& run, const JsonStyle& style, Text& out, std::size_t depth, bool input) {
  if (!style.indent) return true;
  if (!append(run, out, "\n", input)) return false;
  for (std::size_t i = 0; i < depth; ++i) {
    if (!append_between(run, out, *style.indent, input)) return false;
  }
  return true;
}

bool scalar_to_json(Runtime& run, const Value& value, bool ensure_ascii, Text& out) {
  switch (value.kind) {
    case Kind::kNone: return append(run, out, "null", value.input);
    case Kind::kBool: return append(run, out, value.boolean ? "true" : "false", value.input);
    case Kind::kInt: return append(run, out, std::to_string(value.integer), value.input);
    case Kind::kFloat:
      if (std::isnan(value.number)) return append(run, out, "NaN", value.input);
      if (std::isinf(value.number)) return append(run, out, value.number < 0 ? "-Infinity" : "Infinity", value.input);
      return append(run, out, float_repr(value.number), value.input);
    case Kind::kText: return string_to_json(run, *value.text, ensure_ascii, out);
    default:
      run.fail(std::string("tojson: JSON has nothing for a value of type ") + type_name(value),
               value.undefined() ? "is the name right? ask with \"is defined\"" : "append |list to a generator; call a macro");
      return false;
  }
}

bool key_to_json(Runtime& run, const Value& key, bool ensure_ascii, Text& out) {
  if (key.is(Kind::kText)) return string_to_json(run, *key.text, ensure_ascii, out);
  return append(run, out, "\"", key.input) && scalar_to_json(run, key, ensure_ascii, out) && append(run, out, "\"", key.input);
}

}  // namespace

Value from_json(Runtime& run, std::string_view json, const std::string& what) {
  if (nested_too_deeply(json)) {
    return run.fail(what + ": JSON nested deeper than " + std::to_string(kMaxJsonDepth), "flatten it");
  }
  Builder builder(run);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &builder)) {
    if (builder.out_of_range) return run.fail(what + ": a number in the JSON is out of range", "numbers have 64 bits");
    return run.fail(what + ": not valid JSON", "pass JSON text");
  }
  return builder.root;
}

bool to_json(Runtime& run, const Value& value, const JsonStyle& style, Text& out, std::size_t depth) {
  if (depth > run.limits.nesting) {
    run.fail("values are nested deeper than " + std::to_string(run.limits.nesting), "does a list hold itself?");
    return false;
  }
  if (!run.step()) return false;
  const bool is_list = value.is(Kind::kList) && (value.list->kind == ListKind::kList || value.list->kind == ListKind::kTuple);
  if (!is_list && !value.is(Kind::kDict)) return scalar_to_json(run, value, style.ensure_ascii, out);

  const bool input = from_input(value);
  const std::size_t count = is_list ? value.list->items.size() : value.dict->entries.size();
  if (count == 0) return append(run, out, is_list ? "[]" : "{}", input);
  std::vector<std::pair<Value, Value>> entries;
  if (!is_list) {
    if (!run.charge(count * sizeof(entries[0]))) return false;
    entries = value.dict->entries;
    if (style.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto& a, const auto& b) { return !run.failed() && compare(run, a.first, b.first) < 0; });
    }
  }
  if (!append(run, out, is_list ? "[" : "{", input)) return false;
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0 && !append_between(run, out, style.item_separator, input)) return false;
    if (!new_line(run, style, out, depth + 1, input)) return false;
    if (!is_list && (!key_to_json(run, entries[i].first, style.ensure_ascii, out) || !append_between(run, out, style.key_separator, input))) {
      return false;
    }
    if (!to_json(run, is_list ? value.list->items[i] : entries[i].second, style, out, depth + 1)) return false;
  }
  return new_line(run, style, out, depth, input) && append(run, out, is_list ? "]" : "}", input);
}

}  // namespace precept::jinja
