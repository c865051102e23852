// Filters of lists, dicts and numbers.

#include <algorithm>
#include <charconv>
#include <cmath>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_operators.h"
#include "precept/text/jinja_text_ops.h"

namespace precept::jinja {
namespace {

using Values = std::vector<Value>;

bool given(const Value& value) { return !value.undefined() && !value.is(Kind::kNone); }

Value generator(Runtime& run, Values items, const Value& source) {
  return run.list(std::move(items), ListKind::kGenerator, from_input(source));
}

Value default_value(Runtime& run, const Value& self, const Values& args) {
  if (!self.undefined() && !(truthy(args[1]) && !truthy(self))) return self;
  return args[0].undefined() ? run.text(Text()) : args[0];
}

Value list(Runtime& run, const Value& self, const Values&) {
  return run.list(iterate(run, self), ListKind::kList, from_input(self));
}

Value count(Runtime& run, const Value& self, const Values&) {
  if (self.is(Kind::kText) && !run.scan(self.text->bytes.size())) return {};
  const auto size = length(self);
  if (!size) return run.fail(std::string("a value of type ") + type_name(self) + " has no length", "append |list to what map, select and the like give");
  return Value::of_int(static_cast<std::int64_t>(*size), from_input(self));
}

Value first(Runtime& run, const Value& self, const Values&) {
  if (self.is(Kind::kList) && self.list->consumed < self.list->items.size()) {
    List& items = *self.list;
    const std::size_t at = items.kind == ListKind::kGenerator ? items.consumed++ : 0;
    return items.items[at];
  }
  const Values items = iterate(run, self);
  return items.empty() ? run.undefined("the first item") : items[0];
}

Value last(Runtime& run, const Value& self, const Values&) {
  if (self.is(Kind::kList) && self.list->kind == ListKind::kGenerator) {
    return run.fail("last: a generator has no last item", "put |list before it");
  }
  const Values items = iterate(run, self);
  return items.empty() ? run.undefined("the last item") : items.back();
}

Value join(Runtime& run, const Value& self, const Values& args) {
  Values items = iterate(run, self);
  if (given(args[1])) {
    for (Value& one : items) one = path(run, one, args[1]);
  }
  return run.text(joined(run, args[0].undefined() ? Text() : to_text(run, args[0]), items));
}

Value reverse(Runtime& run, const Value& self, const Values&) {
  if (self.is(Kind::kText)) return slice(run, self, {}, {}, Value::of_int(-1));
  Values items = iterate(run, self);
  std::reverse(items.begin(), items.end());
  return generator(run, std::move(items), self);
}

// What sort, unique, min and max look at.
Values keys_of(Runtime& run, const Values& items, const Value& case_sensitive, const Value& attribute) {
  Values keys;
  if (attribute.is(Kind::kText) && attribute.text->bytes.find(',') != std::string::npos) {
    run.fail("several attributes at once are not supported", "sort twice");
  }
  for (const Value& one : items) {
    Value key = given(attribute) ? path(run, one, attribute) : one;
    if (key.is(Kind::kText) && !truthy(case_sensitive)) key = run.text(with_case(run, *key.text, Case::kLower));
    if (run.failed()) return {};
    keys.push_back(key);
  }
  return keys;
}

Values sorted(Runtime& run, const Values& items, const Values& keys, bool backwards) {
  if (run.failed()) return {};
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return !run.failed() && (backwards ? compare(run, keys[b], keys[a]) : compare(run, keys[a], keys[b])) == -1;
  });
  Values out;
  for (const std::size_t i : order) out.push_back(items[i]);
  return out;
}

Value sort(Runtime& run, const Value& self, const Values& args) {
  const Values items = iterate(run, self);
  return run.list(sorted(run, items, keys_of(run, items, args[1], args[2]), truthy(args[0])), ListKind::kList, from_input(self));
}

Value dictsort(Runtime& run, const Value& self, const Values& args) {
  const bool by_value = args[1].is(Kind::kText) && args[1].text->bytes == "value";
  if (!self.is(Kind::kDict)) return run.fail(std::string("dictsort: a value of type ") + type_name(self) + " is no dict", "sort lists with sort");
  if (!by_value && !args[1].undefined() && !(args[1].is(Kind::kText) && args[1].text->bytes == "key")) {
    return run.fail("dictsort: by is neither \"key\" nor \"value\"", "write by=\"key\"");
  }
  Values pairs, wanted;
  if (!run.step(self.dict->entries.size())) return {};
  for (const auto& entry : self.dict->entries) {
    pairs.push_back(run.list({entry.first, entry.second}, ListKind::kTuple, self.dict->input));
    wanted.push_back(by_value ? entry.second : entry.first);
  }
  return run.list(sorted(run, pairs, keys_of(run, wanted, args[0], {}), truthy(args[2])), ListKind::kList, self.dict->input);
}

Value unique(Runtime& run, const Value& self, const Values& args) {
  const Values items = iterate(run, self), keys = keys_of(run, items, args[0], args[1]);
  Values out, seen;
  for (std::size_t i = 0; i < keys.size() && !run.failed(); ++i) {
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& one) { return equal(run, one, keys[i]); })) continue;
    seen.push_back(keys[i]);
    out.push_back(items[i]);
  }
  return generator(run, std::move(out), self);
}

template <int kSign>
Value extreme(Runtime& run, const Value& self, const Values& args) {
  const Values items = iterate(run, self), keys = keys_of(run, items, args[0], args[1]);
  if (keys.empty()) return run.undefined("the item");
  std::size_t best = 0;
  for (std::size_t i = 1; i < keys.size() && !run.failed(); ++i) {
    if (compare(run, keys[i], keys[best]) == kSign) best = i;
  }
  return items[best];
}

Value sum(Runtime& run, const Value& self, const Values& args) {
  Value total = args[1].undefined() ? Value::of_int(0) : args[1];
  for (const Value& one : iterate(run, self)) {
    if (run.failed()) break;
    total = binary(run, Op::kAdd, total, given(args[0]) ? path(run, one, args[0]) : one);
  }
  return total;
}

Value items(Runtime& run, const Value& self, const Values&) {
  if (self.undefined()) return run.list({}, ListKind::kGenerator);
  if (!self.is(Kind::kDict)) return run.fail(std::string("items: a value of type ") + type_name(self) + " is no dict", "ask with \"is mapping\" first");
  const Value view = call_method(run, Method{self, "items"}, {});
  return run.failed() ? Value() : run.list(view.list->items, ListKind::kGenerator, self.dict->input);
}

Value batch(Runtime& run, const Value& self, const Values& args) {
  if (!args[0].integral() || args[0].as_int() < 1) return run.fail("batch: the size is no positive number", "write batch(2)");
  const auto size = static_cast<std::size_t>(args[0].as_int());
  const Values all = iterate(run, self);
  Values out;
  for (std::size_t at = 0; at < all.size() && !run.failed(); at += std::min(size, all.size())) {
    Values part(all.begin() + static_cast<std::ptrdiff_t>(at), all.begin() + static_cast<std::ptrdiff_t>(std::min(all.size(), at + std::min(size, all.size()))));
    while (given(args[1]) && part.size() < size && run.step() && run.charge(sizeof(Value))) part.push_back(args[1]);
    out.push_back(run.list(std::move(part), ListKind::kList, from_input(self)));
  }
  return generator(run, std::move(out), self);
}

Value map(Runtime& run, const Value& self, const Args& args) {
  Values out;
  const Values source = iterate(run, self);
  if (args.positional.empty()) {
    Value attribute, missing;
    for (const auto& arg : args.named) {
      if (arg.first == "attribute") attribute = arg.second;
      else if (arg.first == "default") missing = arg.second;
      else return run.fail("map: no argument is called " + in_quotes(arg.first), "it takes attribute and default, or a filter");
    }
    if (attribute.undefined()) return run.fail("map: nothing to do", "name a filter or an attribute");
    for (const Value& one : source) {
      if (run.failed()) break;
      out.push_back(path(run, one, attribute, missing.is(Kind::kNone) ? Value() : missing));
    }
    return generator(run, std::move(out), self);
  }
  const Value& name = args.positional[0];
  const Builtin* filter = name.is(Kind::kText) ? find_filter(name.text->bytes) : nullptr;
  if (filter == nullptr) return run.fail("map: unknown filter " + (name.is(Kind::kText) ? in_quotes(name.text->bytes) : type_name(name)), "known: " + filter_names());
  const Args rest = {Values(args.positional.begin() + 1, args.positional.end()), args.named, args.names_from_input};
  for (const Value& one : source) {
    if (run.failed()) break;
    out.push_back(invoke(run, *filter, one, rest));
  }
  return generator(run, std::move(out), self);
}

template <bool kSelect, bool kAttribute>
Value select(Runtime& run, const Value& self, const Args& args) {
  constexpr std::size_t kFirst = kAttribute ? 1 : 0;
  if (args.positional.size() < kFirst) return run.fail("selectattr and rejectattr need an attribute", "name it first");
  const Builtin* test = nullptr;
  Args rest;
  if (args.positional.size() > kFirst) {
    const Value& name = args.positional[kFirst];
    test = name.is(Kind::kText) ? find_test(name.text->bytes) : nullptr;
    if (test == nullptr) return run.fail("unknown test " + (name.is(Kind::kText) ? in_quotes(name.text->bytes) : type_name(name)), "known: " + test_names());
    rest = {Values(args.positional.begin() + kFirst + 1, args.positional.end()), args.named, args.names_from_input};
  }
  Values out;
  for (const Value& one : iterate(run, self)) {
    if (!run.step()) break;
    const Value looked_at = kAttribute ? path(run, one, args.positional[0]) : one;
    const bool holds = truthy(test == nullptr ? looked_at : invoke(run, *test, looked_at, rest));
    if (holds == kSelect) out.push_back(one);
  }
  return generator(run, std::move(out), self);
}

// Numbers.

std::string_view without_space(const Text& text) {
  const TextSpan kept = stripped(text.bytes, nullptr, true, true);
  std::string_view bytes = std::string_view(text.bytes).substr(kept.begin, kept.end - kept.begin);
  if (bytes.size() > 1 && bytes[0] == '+' && bytes[1] != '-') bytes.remove_prefix(1);
  return bytes;
}

std::optional<double> read_float(const Text& text) {
  const std::string_view bytes = without_space(text);
  double number = 0;
  const auto read = std::from_chars(bytes.data(), bytes.data() + bytes.size(), number);
  if (bytes.empty() || read.ptr != bytes.data() + bytes.size() || read.ec != std::errc()) return std::nullopt;
  return number;
}

Value to_int(Runtime& run, const Value& self, const Values& args) {
  const bool input = from_input(self);
  const Value otherwise = args[0].undefined() ? Value::of_int(0, input) : args[0];
  std::optional<double> number;
  if (self.undefined()) return run.fail("a value that is undefined is no number", "put |default(0) before |int");
  if (self.integral()) return Value::of_int(self.as_int(), input);
  if (self.is(Kind::kFloat)) number = self.number;
  if (self.is(Kind::kText) && run.scan(self.text->bytes.size())) {
    std::string_view bytes = without_space(*self.text);
    const std::int64_t base = args[1].integral() ? args[1].as_int() : 10;
    if (base < 2 || base > 36) return run.fail("int: the base is not between 2 and 36", "leave it out");
    if (bytes.size() > 2 && bytes[0] == '0' && base == (bytes[1] == 'x' ? 16 : bytes[1] == 'o' ? 8 : bytes[1] == 'b' ? 2 : 0)) bytes.remove_prefix(2);
    std::int64_t value = 0;
    const auto read = std::from_chars(bytes.data(), bytes.data() + bytes.size(), value, static_cast<int>(base));
    if (!bytes.empty() && read.ptr == bytes.data() + bytes.size() && read.ec == std::errc()) return Value::of_int(value, input);
    number = read_float(*self.text);
  }
  if (!number || !(*number > -9.2e18 && *number < 9.2e18)) return otherwise;
  return Value::of_int(static_cast<std::int64_t>(*number), input);
}

Value to_float(Runtime& run, const Value& self, const Values& args) {
  const bool input = from_input(self);
  if (self.undefined()) return run.fail("a value that is undefined is no number", "put |default(0) before |float");
  if (self.numeric()) return Value::of_float(self.as_float(), input);
  const auto number = self.is(Kind::kText) && run.scan(self.text->bytes.size()) ? read_float(*self.text) : std::nullopt;
  if (number) return Value::of_float(*number, input);
  return args[0].undefined() ? Value::of_float(0, input) : args[0];
}

Value absolute(Runtime& run, const Value& self, const Values&) {
  if (!self.numeric()) return run.fail(std::string("abs: a value of type ") + type_name(self) + " is no number", "convert it with |int or |float");
  if (self.is(Kind::kFloat)) return Value::of_float(std::fabs(self.number), self.input);
  return self.as_int() < 0 ? negative(run, self) : Value::of_int(self.as_int(), self.input);
}

Value round(Runtime& run, const Value& self, const Values& args) {
  if (!self.numeric()) return run.fail(std::string("round: a value of type ") + type_name(self) + " is no number", "convert it with |float");
  const std::int64_t precision = args[0].integral() ? args[0].as_int() : 0;
  if (precision < 0 || precision > 20) return run.fail("round: the precision is not between 0 and 20", "write round(2)");
  const std::string method = args[1].is(Kind::kText) ? args[1].text->bytes : "common";
  if (method == "common") {
    if (self.integral()) return Value::of_int(self.as_int(), self.input);
    if (!std::isfinite(self.number)) return self;
    char digits[400];
    const auto end = std::to_chars(digits, digits + sizeof digits, self.number, std::chars_format::fixed, static_cast<int>(precision)).ptr;
    double rounded = 0;
    std::from_chars(digits, end, rounded);
    return Value::of_float(rounded, self.input);
  }
  if (method != "ceil" && method != "floor") return run.fail("round: the method is not common, ceil or floor", "leave it out");
  const double scale = std::pow(10.0, static_cast<double>(precision)), moved = self.as_float() * scale;
  return Value::of_float((method == "ceil" ? std::ceil(moved) : std::floor(moved)) / scale, self.input);
}

}  // namespace

const std::vector<Builtin>& list_filters() {
  static const std::vector<Builtin> kFilters = {
      {"abs", "", absolute}, {"batch", "linecount! fill_with", batch}, {"count", "", count},
      {"d", "default_value boolean", default_value}, {"default", "default_value boolean", default_value},
      {"dictsort", "case_sensitive by reverse", dictsort}, {"first", "", first}, {"float", "default", to_float},
      {"int", "default base", to_int}, {"items", "", items}, {"join", "d attribute", join}, {"last", "", last},
      {"length", "", count}, {"list", "", list}, {"map", "*", nullptr, map}, {"max", "case_sensitive attribute", extreme<1>},
      {"min", "case_sensitive attribute", extreme<-1>}, {"reject", "*", nullptr, select<false, false>},
      {"rejectattr", "*", nullptr, select<false, true>}, {"reverse", "", reverse}, {"round", "precision method", round},
      {"select", "*", nullptr, select<true, false>}, {"selectattr", "*", nullptr, select<true, true>},
      {"sort", "reverse case_sensitive attribute", sort}, {"sum", "attribute start", sum},
      {"unique", "case_sensitive attribute", unique}};
  return kFilters;
}

}  // namespace precept::jinja
