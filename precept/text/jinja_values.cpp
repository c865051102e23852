// How values behave in Python: truth, equality, order, iteration, printing.

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include <utf8proc.h>

#include "precept/core/quote.h"
#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

const char* type_name(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined: return "Undefined";
    case Kind::kNone: return "NoneType";
    case Kind::kBool: return "bool";
    case Kind::kInt: return "int";
    case Kind::kFloat: return "float";
    case Kind::kText: return "str";
    case Kind::kList:
      switch (value.list->kind) {
        case ListKind::kTuple: return "tuple";
        case ListKind::kRange: return "range";
        case ListKind::kGenerator: return "generator";
        case ListKind::kKeys: return "dict_keys";
        case ListKind::kValues: return "dict_values";
        case ListKind::kItems: return "dict_items";
        default: return "list";
      }
    case Kind::kDict: return "dict";
    case Kind::kNamespace: return "Namespace";
    case Kind::kMethod: return "method";
    case Kind::kFunction: return "function";
    case Kind::kMacro: return "Macro";
    case Kind::kLoop: return "LoopContext";
  }
  return "?";
}

bool truthy(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined:
    case Kind::kNone: return false;
    case Kind::kBool: return value.boolean;
    case Kind::kInt: return value.integer != 0;
    case Kind::kFloat: return value.number != 0;
    case Kind::kText: return !value.text->bytes.empty();
    case Kind::kList: return value.list->kind == ListKind::kGenerator || !value.list->items.empty();
    case Kind::kDict: return !value.dict->entries.empty();
    default: return true;
  }
}

bool from_input(const Value& value) {
  switch (value.kind) {
    case Kind::kText: return value.text->any_input();
    case Kind::kList: return value.list->input;
    case Kind::kDict:
    case Kind::kNamespace: return value.dict->input;
    default: return value.input;
  }
}

namespace {

bool too_deep(Runtime& run, std::size_t depth) {
  if (depth <= run.limits.nesting) return !run.step();
  run.fail("values are nested deeper than " + std::to_string(run.limits.nesting), "does a list hold itself?");
  return true;
}

bool same_lists(ListKind a, ListKind b) { return a == b && a != ListKind::kGenerator; }

}  // namespace

bool equal(Runtime& run, const Value& a, const Value& b, std::size_t depth) {
  if (too_deep(run, depth)) return false;
  if (a.numeric() && b.numeric()) {
    if (a.integral() && b.integral()) return a.as_int() == b.as_int();
    const auto wide = [](const Value& v) { return v.integral() ? static_cast<long double>(v.as_int()) : static_cast<long double>(v.number); };
    return wide(a) == wide(b);
  }
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case Kind::kUndefined:
    case Kind::kNone: return true;
    case Kind::kText: return run.scan(a.text->bytes.size()) && a.text->bytes == b.text->bytes;
    case Kind::kList: {
      if (a.list == b.list) return true;
      const auto& left = a.list->items;
      const auto& right = b.list->items;
      if (!same_lists(a.list->kind, b.list->kind) || left.size() != right.size()) return false;
      for (std::size_t i = 0; i < left.size(); ++i) {
        if (!equal(run, left[i], right[i], depth + 1)) return false;
      }
      return true;
    }
    case Kind::kDict: {
      if (a.dict->entries.size() != b.dict->entries.size()) return false;
      for (const auto& entry : a.dict->entries) {
        const Value* other = find(run, *b.dict, entry.first);
        if (other == nullptr || !equal(run, entry.second, *other, depth + 1)) return false;
      }
      return true;
    }
    case Kind::kNamespace: return a.dict == b.dict;
    case Kind::kFunction: return a.function == b.function;
    case Kind::kMacro: return a.macro == b.macro;
    case Kind::kLoop: return a.loop == b.loop;
    default: return false;
  }
}

int compare(Runtime& run, const Value& a, const Value& b, std::size_t depth) {
  if (too_deep(run, depth)) return 0;
  if (a.numeric() && b.numeric()) {
    const auto wide = [](const Value& v) { return v.integral() ? static_cast<long double>(v.as_int()) : static_cast<long double>(v.number); };
    const long double x = wide(a), y = wide(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
  }
  if (a.is(Kind::kText) && b.is(Kind::kText)) {
    run.scan(std::min(a.text->bytes.size(), b.text->bytes.size()));
    const int order = a.text->bytes.compare(b.text->bytes);  // UTF-8: the order of code points
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is(Kind::kList) && b.is(Kind::kList) && same_lists(a.list->kind, b.list->kind) &&
      (a.list->kind == ListKind::kList || a.list->kind == ListKind::kTuple)) {
    const auto& left = a.list->items;
    const auto& right = b.list->items;
    for (std::size_t i = 0; i < std::min(left.size(), right.size()); ++i) {
      if (!equal(run, left[i], right[i], depth + 1)) return compare(run, left[i], right[i], depth + 1);
    }
    return left.size() < right.size() ? -1 : left.size() > right.size() ? 1 : 0;
  }
  run.fail(std::string("cannot order a value of type ") + type_name(a) + " and one of type " + type_name(b),
           "compare numbers with numbers and texts with texts");
  return 0;
}

bool contains(Runtime& run, const Value& container, const Value& item) {
  if (container.is(Kind::kText)) {
    if (!item.is(Kind::kText)) {
      run.fail(std::string("\"in\" looks for a value of type ") + type_name(item) + " in a text", "look for a text");
      return false;
    }
    const std::string& hay = container.text->bytes;
    const std::string& needle = item.text->bytes;
    return run.scan(hay.size() + needle.size()) && ::memmem(hay.data(), hay.size(), needle.data(), needle.size()) != nullptr;
  }
  if (container.is(Kind::kDict)) return find(run, *container.dict, item) != nullptr;
  if (container.is(Kind::kList) && container.list->kind != ListKind::kGenerator) {
    return std::any_of(container.list->items.begin(), container.list->items.end(),
                       [&](const Value& one) { return !run.failed() && equal(run, one, item); });
  }
  for (const Value& one : iterate(run, container)) {
    if (equal(run, one, item)) return true;
  }
  return false;
}

std::vector<Value> iterate(Runtime& run, const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined: return {};
    case Kind::kText: {
      std::vector<Value> points;
      for (Points point(*value.text); !run.failed() && point.next();) {
        run.step();
        points.push_back(run.part(*value.text, point.begin, point.end));
      }
      return points;
    }
    case Kind::kList: {
      List& list = *value.list;
      if (!run.step(list.items.size()) || !run.charge(list.items.size() * sizeof(Value))) return {};
      if (list.kind != ListKind::kGenerator) return list.items;
      std::vector<Value> rest(list.items.begin() + static_cast<std::ptrdiff_t>(list.consumed), list.items.end());
      list.consumed = list.items.size();
      return rest;
    }
    case Kind::kDict: {
      if (!run.step(value.dict->entries.size()) || !run.charge(value.dict->entries.size() * sizeof(Value))) return {};
      std::vector<Value> keys;
      for (const auto& entry : value.dict->entries) keys.push_back(entry.first);
      return keys;
    }
    default:
      run.fail(std::string("a value of type ") + type_name(value) + " has no items", "loop over a list, a dict or a text");
      return {};
  }
}

std::optional<std::size_t> length(const Value& value) {
  switch (value.kind) {
    case Kind::kUndefined: return 0;
    case Kind::kText: return count_points(value.text->bytes);
    case Kind::kDict: return value.dict->entries.size();
    case Kind::kList:
      if (value.list->kind == ListKind::kGenerator) return std::nullopt;
      return value.list->items.size();
    default: return std::nullopt;
  }
}

const Value* find(const Dict& dict, std::string_view key) {
  for (const auto& entry : dict.entries) {
    if (entry.first.is(Kind::kText) && entry.first.text->bytes == key) return &entry.second;
  }
  return nullptr;
}

const Value* find(Runtime& run, const Dict& dict, const Value& key) {
  if (!run.step(1 + dict.entries.size() / 8)) return nullptr;
  if (key.is(Kind::kText)) return find(dict, key.text->bytes);
  for (const auto& entry : dict.entries) {
    if (!entry.first.is(Kind::kText) && equal(run, entry.first, key)) return &entry.second;
  }
  return nullptr;
}

void put(Runtime& run, Dict& dict, const Value& key, const Value& value) {
  const bool can_be_key = key.is(Kind::kText) || key.numeric() || key.is(Kind::kNone) ||
                          (key.is(Kind::kList) && key.list->kind == ListKind::kTuple);
  if (!can_be_key) {
    run.fail(std::string("a value of type ") + type_name(key) + " cannot be a key", "take a text or a number");
    return;
  }
  if (const Value* old = find(run, dict, key)) {
    const_cast<Value&>(*old) = value;
  } else if (run.charge(sizeof(dict.entries[0]))) {
    dict.entries.emplace_back(key, value);
  }
}

std::string float_repr(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char buffer[64];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, number, std::chars_format::scientific).ptr;
  std::string digits;
  const char* at = buffer;
  const bool negative = *at == '-';
  if (negative) ++at;
  for (; at != end && *at != 'e'; ++at) {
    if (*at != '.') digits += *at;
  }
  int exponent = 0;
  const char* first = at + 1 + (at[1] == '+' ? 1 : 0);
  std::from_chars(first, end, exponent);
  std::string out;
  if (exponent < -4 || exponent >= 16) {
    out = digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "") + (exponent < 0 ? "e-" : "e+");
    const std::string power = std::to_string(std::abs(exponent));
    out += (power.size() < 2 ? "0" : "") + power;
  } else if (exponent < 0) {
    out = "0." + std::string(static_cast<std::size_t>(-exponent - 1), '0') + digits;
  } else {
    const std::size_t whole = static_cast<std::size_t>(exponent) + 1;
    if (digits.size() <= whole) out = digits + std::string(whole - digits.size(), '0') + ".0";
    else out = digits.substr(0, whole) + "." + digits.substr(whole);
  }
  return negative ? "-" + out : out;
}

bool append(Runtime& run, Text& out, std::string_view bytes, bool input) {
  if (!run.charge(bytes.size())) return false;
  out.append(bytes, input);
  return true;
}

bool append(Runtime& run, Text& out, const Text& more, std::size_t begin, std::size_t end) {
  if (begin >= end) return true;
  // Marks are charged by their number in all of `more`, which is at least as many.
  if (!run.charge(end - begin + std::min(more.input.size(), end - begin) * sizeof(TextSpan))) return false;
  out.append(more, begin, end);
  return true;
}

namespace {

bool printable(char32_t point) {
  if (point == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(point))) {
    case UTF8PROC_CATEGORY_CC: case UTF8PROC_CATEGORY_CF: case UTF8PROC_CATEGORY_CS: case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN: case UTF8PROC_CATEGORY_ZL: case UTF8PROC_CATEGORY_ZP: case UTF8PROC_CATEGORY_ZS: return false;
    default: return true;
  }
}

std::string hex(char32_t value, int digits) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) out += kDigits[value >> shift & 15];
  return out;
}

bool quote(Runtime& run, const Text& text, Text& out) {
  const bool has_single = text.bytes.find('\'') != std::string::npos, has_double = text.bytes.find('"') != std::string::npos;
  const char mark = has_single && !has_double ? '"' : '\'';
  if (!run.scan(8 * text.bytes.size()) || !append(run, out, std::string_view(&mark, 1), text.any_input())) return false;
  for (Points point(text); point.next();) {
    const char32_t c = point.point;
    std::string escaped;
    if (c == '\\' || c == static_cast<char32_t>(mark)) escaped = {'\\', static_cast<char>(c)};
    else if (c == '\n') escaped = "\\n";
    else if (c == '\r') escaped = "\\r";
    else if (c == '\t') escaped = "\\t";
    else if (!printable(c)) escaped = c < 0x100 ? "\\x" + hex(c, 2) : c < 0x10000 ? "\\u" + hex(c, 4) : "\\U" + hex(c, 8);
    else append_point(escaped, c);
    if (!append(run, out, escaped, point.input)) return false;
  }
  return append(run, out, std::string_view(&mark, 1), text.any_input());
}

bool print_list(Runtime& run, const Value& value, Text& out, std::size_t depth) {
  const List& list = *value.list;
  static constexpr std::pair<const char*, const char*> kBrackets[] = {
      {"[", "]"}, {"(", ")"}, {"", ""}, {"dict_keys([", "])"}, {"dict_values([", "])"}, {"dict_items([", "])"}, {"", ""}};
  if (list.kind == ListKind::kGenerator) {
    run.fail("a generator is printed", "append |list or |join to what map, select and the like give");
    return false;
  }
  if (list.kind == ListKind::kRange) {
    run.fail("a range is printed", "append |list");
    return false;
  }
  const auto& brackets = kBrackets[static_cast<std::size_t>(list.kind)];
  if (!append(run, out, brackets.first, list.input)) return false;
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0 && !append(run, out, ", ", list.input)) return false;
    if (!print_repr(run, list.items[i], out, depth + 1)) return false;
  }
  if (list.kind == ListKind::kTuple && list.items.size() == 1 && !append(run, out, ",", list.input)) return false;
  return append(run, out, brackets.second, list.input);
}

}  // namespace

bool print_repr(Runtime& run, const Value& value, Text& out, std::size_t depth) {
  if (too_deep(run, depth)) return false;
  switch (value.kind) {
    case Kind::kUndefined: return append(run, out, "Undefined", value.input);
    case Kind::kNone: return append(run, out, "None", value.input);
    case Kind::kBool: return append(run, out, value.boolean ? "True" : "False", value.input);
    case Kind::kInt: return append(run, out, std::to_string(value.integer), value.input);
    case Kind::kFloat: return append(run, out, float_repr(value.number), value.input);
    case Kind::kText: return quote(run, *value.text, out);
    case Kind::kList: return print_list(run, value, out, depth);
    case Kind::kDict: {
      const Dict& dict = *value.dict;
      if (!append(run, out, "{", dict.input)) return false;
      for (std::size_t i = 0; i < dict.entries.size(); ++i) {
        if (i > 0 && !append(run, out, ", ", dict.input)) return false;
        if (!print_repr(run, dict.entries[i].first, out, depth + 1) || !append(run, out, ": ", dict.input) ||
            !print_repr(run, dict.entries[i].second, out, depth + 1)) {
          return false;
        }
      }
      return append(run, out, "}", dict.input);
    }
    default:
      run.fail(std::string("a value of type ") + type_name(value) + " is printed", "call it, or print one of its attributes");
      return false;
  }
}

bool print(Runtime& run, const Value& value, Text& out) {
  if (value.undefined()) return !run.failed();
  if (value.is(Kind::kText)) return append(run, out, *value.text);
  return print_repr(run, value, out);
}

Text to_text(Runtime& run, const Value& value) {
  Text out;
  print(run, value, out);
  return out;
}

}  // namespace precept::jinja
