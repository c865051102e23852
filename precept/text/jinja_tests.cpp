// The tests behind "is", and how filters and tests are found.

#include <algorithm>

#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_operators.h"

namespace precept::jinja {
namespace {

using Values = std::vector<Value>;

template <bool (*kHolds)(const Value&)>
Value plain(Runtime&, const Value& self, const Values&) { return Value::of_bool(kHolds(self), from_input(self)); }

template <Op kOp>
Value comparing(Runtime& run, const Value& self, const Values& args) {
  return Value::of_bool(compared(run, kOp, self, args[0]), from_input(self) || from_input(args[0]));
}

template <Kind kKind>
bool is_kind(const Value& v) { return v.is(kKind); }
template <bool kWanted>
bool is_bool(const Value& v) { return v.is(Kind::kBool) && v.boolean == kWanted; }
bool is_defined(const Value& v) { return !v.undefined(); }
bool is_number(const Value& v) { return v.numeric(); }
bool is_sequence(const Value& v) {
  return v.is(Kind::kText) || v.is(Kind::kDict) || v.undefined() ||
         (v.is(Kind::kList) && v.list->kind <= ListKind::kRange);
}
bool is_iterable(const Value& v) { return v.is(Kind::kText) || v.is(Kind::kDict) || v.is(Kind::kList) || v.undefined(); }
bool is_callable(const Value& v) {
  return v.undefined() || v.is(Kind::kFunction) || v.is(Kind::kMacro) || v.is(Kind::kMethod);
}

Value rest_is(Runtime& run, const Value& self, const Value& divisor, std::int64_t wanted) {
  const Value rest = binary(run, Op::kMod, self, divisor);
  return Value::of_bool(rest.numeric() && rest.as_float() == static_cast<double>(wanted), rest.input);
}
Value odd(Runtime& run, const Value& self, const Values&) { return rest_is(run, self, Value::of_int(2), 1); }
Value even(Runtime& run, const Value& self, const Values&) { return rest_is(run, self, Value::of_int(2), 0); }
Value divisible(Runtime& run, const Value& self, const Values& args) { return rest_is(run, self, args[0], 0); }

template <bool kUpper>
Value cased(Runtime& run, const Value& self, const Values&) {
  const Value text = run.text(to_text(run, self));
  return run.failed() ? Value() : call_method(run, Method{text, kUpper ? "isupper" : "islower"}, {});
}

Value same(Runtime& run, const Value& self, const Values& args) {
  if (self.kind != args[0].kind) return Value::of_bool(false);
  const bool scalar = self.kind <= Kind::kFloat;
  return Value::of_bool(scalar ? equal(run, self, args[0]) : self.text == args[0].text);
}
Value filter_exists(Runtime&, const Value& self, const Values&) {
  return Value::of_bool(self.is(Kind::kText) && find_filter(self.text->bytes) != nullptr, from_input(self));
}
Value test_exists(Runtime&, const Value& self, const Values&) {
  return Value::of_bool(self.is(Kind::kText) && find_test(self.text->bytes) != nullptr, from_input(self));
}

const std::vector<Builtin>& tests() {
  static const std::vector<Builtin> kTests = {
      {"!=", "other!", comparing<Op::kNe>}, {"<", "other!", comparing<Op::kLt>}, {"<=", "other!", comparing<Op::kLe>},
      {"==", "other!", comparing<Op::kEq>}, {">", "other!", comparing<Op::kGt>}, {">=", "other!", comparing<Op::kGe>},
      {"boolean", "", plain<is_kind<Kind::kBool>>},
      {"callable", "", plain<is_callable>},
      {"defined", "", plain<is_defined>},
      {"divisibleby", "num!", divisible}, {"eq", "other!", comparing<Op::kEq>}, {"equalto", "other!", comparing<Op::kEq>},
      {"even", "", even},
      {"false", "", plain<is_bool<false>>},
      {"filter", "", filter_exists},
      {"float", "", plain<is_kind<Kind::kFloat>>},
      {"ge", "other!", comparing<Op::kGe>}, {"greaterthan", "other!", comparing<Op::kGt>}, {"gt", "other!", comparing<Op::kGt>},
      {"in", "seq!", comparing<Op::kIn>},
      {"integer", "", plain<is_kind<Kind::kInt>>},
      {"iterable", "", plain<is_iterable>}, {"le", "other!", comparing<Op::kLe>}, {"lessthan", "other!", comparing<Op::kLt>},
      {"lower", "", cased<false>}, {"lt", "other!", comparing<Op::kLt>},
      {"mapping", "", plain<is_kind<Kind::kDict>>},
      {"ne", "other!", comparing<Op::kNe>},
      {"none", "", plain<is_kind<Kind::kNone>>},
      {"number", "", plain<is_number>},
      {"odd", "", odd}, {"sameas", "other!", same}, {"sequence", "", plain<is_sequence>},
      {"string", "", plain<is_kind<Kind::kText>>},
      {"test", "", test_exists},
      {"true", "", plain<is_bool<true>>},
      {"undefined", "", plain<is_kind<Kind::kUndefined>>},
      {"upper", "", cased<true>}};
  return kTests;
}

const Builtin* find_in(const std::vector<Builtin>& table, std::string_view name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const Builtin& one) { return one.name == name; });
  return found == table.end() ? nullptr : &*found;
}

std::string names_of(std::initializer_list<const std::vector<Builtin>*> tables) {
  std::vector<std::string_view> names;
  for (const auto* table : tables) {
    for (const Builtin& one : *table) names.push_back(one.name);
  }
  std::sort(names.begin(), names.end());
  std::string all;
  for (const std::string_view name : names) all += (all.empty() ? "" : ", ") + std::string(name);
  return all;
}

}  // namespace

const Builtin* find_filter(std::string_view name) {
  const Builtin* found = find_in(text_filters(), name);
  return found != nullptr ? found : find_in(list_filters(), name);
}
const Builtin* find_test(std::string_view name) { return find_in(tests(), name); }
std::string filter_names() { return names_of({&text_filters(), &list_filters()}); }
std::string test_names() { return names_of({&tests()}); }

}  // namespace precept::jinja
