#pragma once
// Values of a template while it is rendered. They point into the Runtime that made them (or into the parsed template),
// which frees all of them at once: no value owns another, so nesting and cycles cost nothing at the end.

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "precept/text/jinja_text.h"

namespace precept::jinja {

enum class Kind : std::uint8_t {
  kUndefined, kNone, kBool, kInt, kFloat, kText, kList, kDict, kNamespace, kMethod, kFunction, kMacro, kLoop
};

struct List;
struct Dict;
struct Method;
struct Macro;
struct Loop;
struct Builtin;

struct Value {
  Kind kind = Kind::kUndefined;
  bool input = false;  // of scalars: computed from input. Texts and containers hold their own marks
  union {
    const Text* text;  // of kUndefined: the name that was looked for, or null
    bool boolean;
    std::int64_t integer = 0;
    double number;
    List* list;
    Dict* dict;  // of namespaces too
    Method* method;
    const Builtin* function;
    Macro* macro;
    Loop* loop;
  };

  Value() : text(nullptr) {}
  static Value none() { return of(Kind::kNone, false); }
  static Value of_bool(bool b, bool from_input = false) {
    Value v = of(Kind::kBool, from_input);
    v.boolean = b;
    return v;
  }
  static Value of_int(std::int64_t i, bool from_input = false) {
    Value v = of(Kind::kInt, from_input);
    v.integer = i;
    return v;
  }
  static Value of_float(double d, bool from_input = false) {
    Value v = of(Kind::kFloat, from_input);
    v.number = d;
    return v;
  }
  static Value of(const Text* t) {
    Value v = of(Kind::kText, false);
    v.text = t;
    return v;
  }
  static Value of(List* l) {
    Value v = of(Kind::kList, false);
    v.list = l;
    return v;
  }
  static Value of(Dict* d, Kind kind = Kind::kDict) {
    Value v = of(kind, false);
    v.dict = d;
    return v;
  }
  static Value of(const Builtin* f) {
    Value v = of(Kind::kFunction, false);
    v.function = f;
    return v;
  }
  static Value of(Kind kind, bool from_input) {
    Value v;
    v.kind = kind;
    v.input = from_input;
    return v;
  }

  bool is(Kind k) const { return kind == k; }
  bool undefined() const { return kind == Kind::kUndefined; }
  bool numeric() const { return kind == Kind::kInt || kind == Kind::kFloat || kind == Kind::kBool; }
  bool integral() const { return kind == Kind::kInt || kind == Kind::kBool; }
  std::int64_t as_int() const { return kind == Kind::kBool ? (boolean ? 1 : 0) : integer; }
  double as_float() const { return kind == Kind::kFloat ? number : static_cast<double>(as_int()); }
};

// What Python keeps apart: a generator is always true, has no length, and gives its items once.
enum class ListKind : std::uint8_t { kList, kTuple, kRange, kKeys, kValues, kItems, kGenerator };

struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::kList;
  bool input = false;        // the list itself came from input: how many items, and the brackets of its JSON
  std::size_t consumed = 0;  // items that a generator has given
};

struct Dict {
  std::vector<std::pair<Value, Value>> entries;  // in the order of insertion; keys are unique
  bool input = false;
};

struct Method {
  Value self;
  std::string_view name;
};

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
  bool names_from_input = false;  // a ** argument brought names that came from input
};

}  // namespace precept::jinja
