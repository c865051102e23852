#pragma once
// What rendering one template needs: the memory of all values, the limits, and the first error. After an error every
// function goes on with undefined values until its callers notice; nothing throws.

#include <cstddef>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/text/chat_template.h"
#include "precept/text/jinja_value.h"

namespace precept::jinja {

class Runtime {
 public:
  Runtime(const TemplateLimits& its_limits, std::string file) : limits(its_limits), file_(std::move(file)) {}

  bool failed() const { return error_.has_value(); }
  const Error& error() const { return *error_; }
  // The first failure stays. Returns undefined.
  Value fail(std::string what, std::string hint = {});

  // False once a limit is passed; then failed().
  bool step(std::size_t n = 1);
  bool charge(std::size_t bytes);       // before memory is taken
  bool scan(std::size_t bytes) { return step(bytes / 32 + 1); }

  // Makers; undefined where the memory limit is passed.
  Value text(Text text);
  Value text(std::string_view bytes, bool input) { return charge(bytes.size()) ? text(Text(std::string(bytes), input)) : Value(); }
  Value part(const Text& text, std::size_t begin, std::size_t end);
  Value list(std::vector<Value> items, ListKind kind = ListKind::kList, bool input = false);
  Dict* dict(bool input = false);
  Value method(const Value& self, std::string_view name);
  Value undefined(std::string_view name);

  const TemplateLimits limits;
  int line = 0;  // of what is evaluated, for errors; 0: the input is read
  std::optional<std::tm> now, unasked_now;

 private:
  std::string file_;
  std::size_t steps_ = 0, bytes_ = 0;
  std::deque<Text> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Method> methods_;
  std::optional<Error> error_;
};

// How values behave in Python.

const char* type_name(const Value& value);  // "str", "list"
bool truthy(const Value& value);
bool from_input(const Value& value);  // any of it; of containers: the container itself

bool equal(Runtime& run, const Value& a, const Value& b, std::size_t depth = 0);
// -1, 0, 1, or 2 beside a NaN; fails where Python cannot order the two.
int compare(Runtime& run, const Value& a, const Value& b, std::size_t depth = 0);
bool contains(Runtime& run, const Value& container, const Value& item);

// str(): what {{ }} prints. repr(): what a list prints of its items.
bool print(Runtime& run, const Value& value, Text& out);
bool print_repr(Runtime& run, const Value& value, Text& out, std::size_t depth = 0);
Text to_text(Runtime& run, const Value& value);
std::string float_repr(double number);

// Appends within the limits.
bool append(Runtime& run, Text& out, std::string_view bytes, bool input);
bool append(Runtime& run, Text& out, const Text& more, std::size_t begin, std::size_t end);
inline bool append(Runtime& run, Text& out, const Text& more) { return append(run, out, more, 0, more.bytes.size()); }

// The items that a for loop sees; a generator gives the rest of its own and is then empty. Fails on what Python
// cannot iterate over.
std::vector<Value> iterate(Runtime& run, const Value& value);
std::optional<std::size_t> length(const Value& value);  // nullopt: has none

const Value* find(Runtime& run, const Dict& dict, const Value& key);
const Value* find(const Dict& dict, std::string_view key);
void put(Runtime& run, Dict& dict, const Value& key, const Value& value);

}  // namespace precept::jinja
