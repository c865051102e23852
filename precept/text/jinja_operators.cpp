#include "precept/text/jinja_operators.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"

namespace precept::jinja {
namespace {

const char* symbol(Op op) {
  static constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in"};
  return kSymbols[static_cast<std::size_t>(op)];
}

Value wrong_types(Runtime& run, Op op, const Value& a, const Value& b) {
  for (const Value* v : {&a, &b}) {
    if (v->undefined()) {
      return run.fail(v->text != nullptr ? in_quotes(v->text->bytes) + " is undefined" : std::string("a value is undefined"),
                      std::string("an operand of ") + symbol(op) + ": is the name right? ask with \"is defined\"");
    }
  }
  return run.fail(std::string("cannot compute ") + type_name(a) + " " + symbol(op) + " " + type_name(b),
                  "convert one of them, for example with |string or |int");
}

Value overflow(Runtime& run) { return run.fail("a number is out of range", "integers have 64 bits"); }
Value by_zero(Runtime& run) { return run.fail("division by zero", "ask before dividing"); }

Value int_power(Runtime& run, std::int64_t base, std::int64_t exponent, bool input) {
  if (exponent < 0) {
    if (base == 0) return by_zero(run);
    return Value::of_float(std::pow(static_cast<double>(base), static_cast<double>(exponent)), input);
  }
  std::int64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return overflow(run);
    if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return overflow(run);
  }
  return Value::of_int(result, input);
}

Value ints(Runtime& run, Op op, std::int64_t a, std::int64_t b, bool input) {
  std::int64_t out = 0;
  switch (op) {
    case Op::kAdd: return __builtin_add_overflow(a, b, &out) ? overflow(run) : Value::of_int(out, input);
    case Op::kSub: return __builtin_sub_overflow(a, b, &out) ? overflow(run) : Value::of_int(out, input);
    case Op::kMul: return __builtin_mul_overflow(a, b, &out) ? overflow(run) : Value::of_int(out, input);
    case Op::kDiv:
      if (b == 0) return by_zero(run);
      return Value::of_float(static_cast<double>(a) / static_cast<double>(b), input);
    case Op::kFloorDiv:
    case Op::kMod: {
      if (b == 0) return by_zero(run);
      if (b == -1) return op == Op::kMod ? Value::of_int(0, input) : ints(run, Op::kSub, 0, a, input);
      const std::int64_t rest = a % b;
      const bool down = rest != 0 && (rest < 0) != (b < 0);
      return Value::of_int(op == Op::kMod ? rest + (down ? b : 0) : a / b - (down ? 1 : 0), input);
    }
    default: return int_power(run, a, b, input);
  }
}

Value floats(Runtime& run, Op op, double a, double b, bool input) {
  switch (op) {
    case Op::kAdd: return Value::of_float(a + b, input);
    case Op::kSub: return Value::of_float(a - b, input);
    case Op::kMul: return Value::of_float(a * b, input);
    case Op::kDiv: return b == 0 ? by_zero(run) : Value::of_float(a / b, input);
    case Op::kFloorDiv:
    case Op::kMod: {
      if (b == 0) return by_zero(run);
      double rest = std::fmod(a, b);
      if (rest != 0 && (rest < 0) != (b < 0)) rest += b;
      if (op == Op::kMod) return Value::of_float(rest == 0 ? std::copysign(0.0, b) : rest, input);
      const double quotient = (a - rest) / b, floor = std::floor(quotient);
      return Value::of_float(quotient - floor > 0.5 ? floor + 1 : floor, input);
    }
    default: {
      const double power = std::pow(a, b);
      if (a == 0 && b < 0) return by_zero(run);
      if (!std::isfinite(power) && std::isfinite(a) && std::isfinite(b)) return overflow(run);
      return Value::of_float(power, input);
    }
  }
}

Value repeated(Runtime& run, const Value& value, std::int64_t times, bool input) {
  const std::size_t count = times < 0 ? 0 : static_cast<std::size_t>(times);
  const std::size_t size = value.is(Kind::kText) ? value.text->bytes.size() : value.list->items.size();
  if (size != 0 && count > run.limits.memory_bytes / size) {
    run.charge(run.limits.memory_bytes + 1);
    return {};
  }
  if (value.is(Kind::kText)) {
    Text out;
    for (std::size_t i = 0; i < count && size != 0 && run.step(); ++i) {
      if (!(input ? append(run, out, value.text->bytes, true) : append(run, out, *value.text))) return {};
    }
    return run.text(std::move(out));
  }
  std::vector<Value> items;
  for (std::size_t i = 0; i < count && size != 0 && run.step(size) && run.charge(size * sizeof(Value)); ++i) {
    items.insert(items.end(), value.list->items.begin(), value.list->items.end());
  }
  return run.list(std::move(items), value.list->kind, input || value.list->input);
}

bool is_sequence(const Value& value) {
  return value.is(Kind::kList) && (value.list->kind == ListKind::kList || value.list->kind == ListKind::kTuple);
}

}  // namespace

Value binary(Runtime& run, Op op, const Value& a, const Value& b) {
  const bool input = from_input(a) || from_input(b);
  if (a.numeric() && b.numeric()) {
    if (a.integral() && b.integral()) return ints(run, op, a.as_int(), b.as_int(), input);
    return floats(run, op, a.as_float(), b.as_float(), input);
  }
  if (op == Op::kAdd && a.is(Kind::kText) && b.is(Kind::kText)) {
    Text out;
    if (!append(run, out, *a.text) || !append(run, out, *b.text)) return {};
    return run.text(std::move(out));
  }
  if (op == Op::kAdd && is_sequence(a) && is_sequence(b) && a.list->kind == b.list->kind) {
    const std::size_t count = a.list->items.size() + b.list->items.size();
    if (!run.step(count) || !run.charge(count * sizeof(Value))) return {};
    std::vector<Value> items = a.list->items;
    items.insert(items.end(), b.list->items.begin(), b.list->items.end());
    return run.list(std::move(items), a.list->kind, input);
  }
  if (op == Op::kMul && (a.is(Kind::kText) || is_sequence(a)) && b.integral()) return repeated(run, a, b.as_int(), b.input);
  if (op == Op::kMul && (b.is(Kind::kText) || is_sequence(b)) && a.integral()) return repeated(run, b, a.as_int(), a.input);
  if (op == Op::kMod && a.is(Kind::kText)) {
    const bool several = b.is(Kind::kList) && b.list->kind == ListKind::kTuple;
    return percent_format(run, *a.text, several ? b.list->items : std::vector<Value>{b});
  }
  return wrong_types(run, op, a, b);
}

bool compared(Runtime& run, Op op, const Value& a, const Value& b) {
  switch (op) {
    case Op::kEq: return equal(run, a, b);
    case Op::kNe: return !equal(run, a, b);
    case Op::kIn: return contains(run, b, a);
    case Op::kNotIn: return !contains(run, b, a);
    default: break;
  }
  if (a.undefined() || b.undefined()) {
    wrong_types(run, op, a, b);
    return false;
  }
  const int order = compare(run, a, b);
  switch (op) {
    case Op::kLt: return order == -1;
    case Op::kLe: return order == -1 || order == 0;
    case Op::kGt: return order == 1;
    default: return order == 1 || order == 0;
  }
}

Value negative(Runtime& run, const Value& a) {
  if (a.integral()) return ints(run, Op::kSub, 0, a.as_int(), a.input);
  if (a.is(Kind::kFloat)) return Value::of_float(-a.number, a.input);
  return wrong_types(run, Op::kSub, Value::of_int(0), a);
}

Value attribute(Runtime& run, const Value& object, std::string_view name) {
  if (object.undefined()) {
    return run.fail(object.text != nullptr ? in_quotes(object.text->bytes) + " is undefined" : std::string("a value is undefined"),
                    "its attribute " + in_quotes(name) + " is asked for: is the name right? ask with \"is defined\"");
  }
  if (find_method(object, name) != nullptr) return run.method(object, name);
  if (object.is(Kind::kDict) || object.is(Kind::kNamespace)) {
    if (!run.step(1 + object.dict->entries.size() / 8)) return {};
    if (const Value* found = find(*object.dict, name)) return *found;
  }
  return run.undefined(name);
}

Value item(Runtime& run, const Value& object, const Value& key) {
  if (object.undefined()) {
    return run.fail(object.text != nullptr ? in_quotes(object.text->bytes) + " is undefined" : std::string("a value is undefined"),
                    "one of its items is asked for: is the name right? ask with \"is defined\"");
  }
  if (object.is(Kind::kDict)) {
    if (const Value* found = find(run, *object.dict, key)) return *found;
  } else if (object.is(Kind::kList) && object.list->kind <= ListKind::kRange && key.integral()) {
    const auto size = static_cast<std::int64_t>(object.list->items.size());
    const std::int64_t index = key.as_int() < 0 ? key.as_int() + size : key.as_int();
    if (index >= 0 && index < size) return object.list->items[static_cast<std::size_t>(index)];
  } else if (object.is(Kind::kText) && key.integral()) {
    const std::string& bytes = object.text->bytes;
    if (!run.scan(2 * bytes.size())) return {};
    std::int64_t index = key.as_int();
    if (index < 0) index += static_cast<std::int64_t>(count_points(bytes));
    if (index >= 0 && index < static_cast<std::int64_t>(bytes.size())) {
      const std::size_t begin = offset_of_point(bytes, static_cast<std::size_t>(index));
      std::size_t length = 0;
      if (begin < bytes.size()) {
        decode_point(bytes, begin, &length);
        return run.part(*object.text, begin, begin + length);
      }
    }
  }
  if (key.is(Kind::kText) && (find_method(object, key.text->bytes) != nullptr || object.is(Kind::kNamespace))) {
    return attribute(run, object, key.text->bytes);
  }
  return run.undefined(key.is(Kind::kText) ? std::string_view(key.text->bytes) : std::string_view("the item"));
}

Value slice(Runtime& run, const Value& object, const Value& start, const Value& stop, const Value& step) {
  const bool is_list = object.is(Kind::kList) && object.list->kind <= ListKind::kRange;
  if (!is_list && !object.is(Kind::kText)) {
    if (object.undefined()) return item(run, object, start);
    return run.fail(std::string("a value of type ") + type_name(object) + " has no slices", "take a slice of a list or a text");
  }
  for (const Value* bound : {&start, &stop, &step}) {
    if (!bound->integral() && !bound->is(Kind::kNone) && !bound->undefined()) {
      return run.fail(std::string("a bound of a slice has type ") + type_name(*bound), "bounds are integers");
    }
  }
  const std::int64_t stride = step.integral() ? step.as_int() : 1;
  if (stride == 0) return run.fail("the step of a slice is 0", "leave it out");
  std::vector<Value> points;
  if (!is_list && stride != 1) points = iterate(run, object);
  if (!is_list && !run.scan(3 * object.text->bytes.size())) return {};
  const auto size = static_cast<std::int64_t>(is_list ? object.list->items.size() : count_points(object.text->bytes));
  const std::int64_t low = stride > 0 ? 0 : -1, high = stride > 0 ? size : size - 1;
  const auto bound = [&](const Value& value, std::int64_t missing) {
    if (!value.integral()) return missing;
    const std::int64_t index = value.as_int() < 0 ? value.as_int() + size : value.as_int();
    return std::clamp(index, low, high);
  };
  const std::int64_t from = bound(start, stride > 0 ? low : high), to = bound(stop, stride > 0 ? high : low);
  if (!is_list && stride == 1) {
    const std::string& bytes = object.text->bytes;
    const std::size_t begin = offset_of_point(bytes, static_cast<std::size_t>(from));
    return run.part(*object.text, begin, std::max(begin, offset_of_point(bytes, static_cast<std::size_t>(to))));
  }
  std::vector<Value> items;
  const std::vector<Value>& source = is_list ? object.list->items : points;
  for (std::int64_t i = from; stride > 0 ? i < to : i > to;) {
    if (!run.step() || !run.charge(sizeof(Value)) || static_cast<std::size_t>(i) >= source.size()) return {};
    items.push_back(source[static_cast<std::size_t>(i)]);
    if (__builtin_add_overflow(i, stride, &i)) break;
  }
  if (is_list) {
    const ListKind kind = object.list->kind == ListKind::kRange ? ListKind::kList : object.list->kind;
    return run.list(std::move(items), kind, object.list->input);
  }
  Text out;
  for (const Value& point : items) {
    if (!append(run, out, *point.text)) return {};
  }
  return run.text(std::move(out));
}

Value path(Runtime& run, const Value& object, const Value& attribute, const Value& missing) {
  const auto or_missing = [&](const Value& value) { return value.undefined() && !missing.undefined() ? missing : value; };
  if (attribute.integral()) return or_missing(item(run, object, attribute));
  if (!attribute.is(Kind::kText)) return run.fail("an attribute's name is a text or a number", "quote it");
  const std::string& all = attribute.text->bytes;
  Value value = object;
  for (std::size_t begin = 0; begin <= all.size() && !run.failed();) {
    const std::size_t end = std::min(all.find('.', begin), all.size());
    const std::string_view name = std::string_view(all).substr(begin, end - begin);
    std::int64_t index = 0;
    const auto read = std::from_chars(name.data(), name.data() + name.size(), index);
    if (!name.empty() && read.ec == std::errc() && read.ptr == name.data() + name.size() && index >= 0) {
      value = or_missing(item(run, value, Value::of_int(index)));
    } else {
      const Value key = run.text(name, false);
      if (run.failed()) return {};
      value = or_missing(item(run, value, key));
    }
    begin = end + 1;
  }
  return value;
}

}  // namespace precept::jinja
