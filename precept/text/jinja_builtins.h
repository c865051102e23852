#pragma once
// Filters, tests, methods and global functions, in tables by name.

#include <string>
#include <string_view>
#include <vector>

#include "precept/text/jinja_runtime.h"

namespace precept::jinja {

struct Builtin {
  std::string_view name;
  // Names of the parameters, separated by spaces, '!' after those that must be given: "old! new! count". They arrive
  // in this order; undefined: not given. "*": takes any, and `raw` is called.
  std::string_view parameters;
  Value (*call)(Runtime&, const Value& self, const std::vector<Value>& args) = nullptr;
  Value (*raw)(Runtime&, const Value& self, const Args&) = nullptr;
};

// Null: there is none.
const Builtin* find_filter(std::string_view name);
const Builtin* find_test(std::string_view name);  // gives a bool
const Builtin* find_method(const Value& object, std::string_view name);
const std::vector<Builtin>& global_functions();
const Builtin& time_function();  // strftime_now, the last of them
std::string filter_names();
std::string test_names();

Value invoke(Runtime& run, const Builtin& builtin, const Value& self, const Args& args);
Value call_method(Runtime& run, const Method& method, const Args& args);

// "%s and %d" % items.
Value percent_format(Runtime& run, const Text& format, const std::vector<Value>& items);

// Tables of the single files.
const std::vector<Builtin>& text_filters();
const std::vector<Builtin>& list_filters();

}  // namespace precept::jinja
