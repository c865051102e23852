#pragma once
// One list of its fields for every struct of options: flags, --help, checks, recipes in and recipes out come from it.
//
// The list is a function template beside the struct,
//   template <class Visit> void for_each_field(Options& o, Visit visit) {
//     visit("max_rounds", o.max_rounds, "critiques and revisions of one item at most", between(0, 100));
//   }
// where the rule may be left out. Values are bool, int, std::uint64_t, double or std::string; names are keys of a
// recipe, and flags with "-" for "_".

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "precept/core/result.h"

namespace precept {

// What a field may hold. Numbers without a rule: whatever their type holds; never infinite or not a number.
struct FieldRule {
  double low = 0, high = 0;                  // of numbers, both included; low > high: not bounded
  bool above_low = false;                    // low itself is not included
  std::vector<std::string> choices;          // of strings; empty: any
  bool in_recipe = true;                     // false: where a run lies or how fast it goes, not what it is
};
inline FieldRule any() { return {1, 0, false, {}, true}; }
inline FieldRule between(double low, double high) { return {low, high, false, {}, true}; }
inline FieldRule above(double low, double high) { return {low, high, true, {}, true}; }
inline FieldRule one_of(std::vector<std::string> choices) { return {1, 0, false, std::move(choices), true}; }
// The same rule for a field that changes no result: read from recipes, but not written into them.
inline FieldRule beside(FieldRule rule = any()) {
  rule.in_recipe = false;
  return rule;
}
// Seeds: what fits into an integer of TOML.
inline FieldRule any_seed() { return between(0, 9.2e18); }

using FieldValue = std::variant<bool, int, std::uint64_t, double, std::string>;

// One field of one struct. The struct outlives it.
struct Field {
  std::string name, help;
  FieldRule rule;
  std::variant<bool*, int*, std::uint64_t*, double*, std::string*> place;

  FieldValue value() const {
    return std::visit([](const auto* at) { return FieldValue(*at); }, place);
  }
};

// A field with its rule; whole numbers without bounds get those of their type.
template <class Value>
Field make_field(const char* name, Value& value, const char* help, FieldRule rule) {
  if (rule.low > rule.high && std::is_same_v<Value, int>) {
    rule.low = std::numeric_limits<int>::min();
    rule.high = std::numeric_limits<int>::max();
  }
  if (rule.low > rule.high && std::is_same_v<Value, std::uint64_t>) {
    rule.low = any_seed().low;
    rule.high = any_seed().high;
  }
  return {name, help, std::move(rule), &value};
}

template <class Options>
std::vector<Field> fields_of(Options& options) {
  std::vector<Field> fields;
  for_each_field(options, [&](const char* name, auto& value, const char* help, FieldRule rule = any()) {
    fields.push_back(make_field(name, value, help, std::move(rule)));
  });
  return fields;
}

// "--max-rounds" of "max_rounds".
std::string flag_of(const std::string& name);

// Is a number one that the rule lets pass? And what it lets pass, for hints: "use 1 to 4096".
bool in_range(const FieldRule& rule, double value);
std::string allowed(const FieldRule& rule);

// Refuses a value that breaks the field's rule: `what` says "NAME is VALUE", `hint` what is allowed.
Status check_value(const Field& field, const FieldValue& value, const std::string& name);

// check_value of every field, each named as a flag when `as_flags`.
Status check_fields(const std::vector<Field>& fields, bool as_flags = false);

// A value as TOML that reads back as the same value. Bytes of a string that are not UTF-8 become U+FFFD.
std::string toml_value(const FieldValue& value);

// Lines "NAME = VALUE  # HELP" of the fields that belong in a recipe.
std::string recipe_lines(const std::vector<Field>& fields);

}  // namespace precept
