#include "worlds/pocket/tasks.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <optional>

#include "worlds/pocket/grammar.h"

namespace precept::pocket {
namespace {

using Ints = std::vector<int>;

enum class Takes { kOne, kTwo, kList, kSomeList };  // kSomeList: a list that is not empty

// What a right function returns.
struct Value {
  enum class Type { kInt, kBool, kList } type = Type::kInt;
  Ints ints;
};
Value number(int n) { return {Value::Type::kInt, {n}}; }
Value truth(bool b) { return {Value::Type::kBool, {b ? 1 : 0}}; }
template <class Keep>
Ints those(const Ints& all, const Keep& keep) {
  Ints some;
  std::copy_if(all.begin(), all.end(), std::back_inserter(some), keep);
  return some;
}
template <class Change>
Value changed(Ints all, const Change& change) {
  std::transform(all.begin(), all.end(), all.begin(), change);
  return {Value::Type::kList, std::move(all)};
}
int sum(const Ints& all) { return std::accumulate(all.begin(), all.end(), 0); }
int rest(int n, int by) { return (n % by + by) % by; }  // Python's %, for by > 0

// {A} and {B} are the kind's numbers, A < B; {x} and {y} the names of what the function takes. Lines of bodies are parted by "; ".
struct Kind {
  const char* name;
  Takes takes;
  bool two;             // is it about B as well?
  const char* wording;  // a pattern of grammar.h
  const char* right;
  std::vector<const char*> wrong;
  Value (*value)(const Ints& in, int a, int b);
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all = {
      {"plus", Takes::kOne, false, "(Return|Give) {x} plus {A}.", "return {x} + {A}",
       {"return {x} - {A}", "return {x} * {A}", "return {A}"},
       [](const Ints& in, int a, int) { return number(in[0] + a); }},
      {"minus", Takes::kOne, false, "(Return|Give) {x} minus {A}.", "return {x} - {A}",
       {"return {A} - {x}", "return {x} + {A}"},
       [](const Ints& in, int a, int) { return number(in[0] - a); }},
      {"scale", Takes::kOne, true, "(Return|Give) {x} times {A} plus {B}.", "return {x} * {A} + {B}",
       {"return {x} * {B} + {A}", "return {x} * ({A} + {B})", "return {x} + {A} * {B}"},
       [](const Ints& in, int a, int b) { return number(in[0] * a + b); }},
      {"at-most", Takes::kOne, false, "(Return|Give) {x}, but never more than {A}.", "return min({x}, {A})",
       {"return max({x}, {A})", "return min({x}, {A} - 1)"},
       [](const Ints& in, int a, int) { return number(std::min(in[0], a)); }},
      {"at-least", Takes::kOne, false, "(Return|Give) {x}, but never less than {A}.", "return max({x}, {A})",
       {"return min({x}, {A})", "return max({x}, {A} + 1)"},
       [](const Ints& in, int a, int) { return number(std::max(in[0], a)); }},
      {"within", Takes::kOne, true, "(Return|Give) {x}, kept between {A} and {B}.", "return max({A}, min({x}, {B}))",
       {"return min({A}, max({x}, {B}))", "return min({x}, {B})", "return max({A}, {x})"},
       [](const Ints& in, int a, int b) { return number(std::clamp(in[0], a, b)); }},
      {"rest", Takes::kOne, false, "(Return|Give) the rest of {x} divided by {A}.", "return {x} % {A}",
       {"return {x} // {A}", "return {x} / {A}", "return {A} % ({x} or 1)"},
       [](const Ints& in, int a, int) { return number(rest(in[0], a)); }},
      {"divides", Takes::kOne, false, "Is {x} a multiple of {A}? (Return|Give) True or False.", "return {x} % {A} == 0",
       {"return {x} % {A} == 1", "return {x} // {A} == 0", "return {x} % {A}"},
       [](const Ints& in, int a, int) { return truth(rest(in[0], a) == 0); }},
      {"apart", Takes::kOne, false, "(Return|Give) how far {x} is from {A}.", "return abs({x} - {A})",
       {"return {x} - {A}", "return abs({x} + {A})"},
       [](const Ints& in, int a, int) { return number(std::abs(in[0] - a)); }},
      {"above", Takes::kOne, false, "Is {x} greater than {A}? (Return|Give) True or False.", "return {x} > {A}",
       {"return {x} >= {A}", "return {x} < {A}"},
       [](const Ints& in, int a, int) { return truth(in[0] > a); }},
      {"between", Takes::kOne, true, "Is {x} from {A} to {B}, both included? (Return|Give) True or False.", "return {A} <= {x} <= {B}",
       {"return {A} < {x} < {B}", "return {A} <= {x} < {B}", "return {x} <= {B}"},
       [](const Ints& in, int a, int b) { return truth(a <= in[0] && in[0] <= b); }},
      {"choose", Takes::kOne, true, "(Return|Give) {A} if {x} is negative, else {B}.", "if {x} < 0:;     return {A}; return {B}",
       {"if {x} <= 0:;     return {A}; return {B}", "if {x} < 0:;     return {B}; return {A}"},
       [](const Ints& in, int a, int b) { return number(in[0] < 0 ? a : b); }},
      {"parity", Takes::kOne, true, "(Return|Give) {x} times {A} if {x} is even, else {x} plus {B}.",
       "if {x} % 2 == 0:;     return {x} * {A}; return {x} + {B}",
       {"if {x} % 2 == 1:;     return {x} * {A}; return {x} + {B}", "return {x} * {A}", "return {x} + {B}"},
       [](const Ints& in, int a, int b) { return number(in[0] % 2 == 0 ? in[0] * a : in[0] + b); }},
      {"mix", Takes::kTwo, true, "(Return|Give) {x} times {A} plus {y} times {B}.", "return {x} * {A} + {y} * {B}",
       {"return {x} * {B} + {y} * {A}", "return ({x} + {y}) * {A}"},
       [](const Ints& in, int a, int b) { return number(in[0] * a + in[1] * b); }},
      {"larger", Takes::kTwo, false, "(Return|Give) the larger of {x} and {y}, plus {A}.", "return max({x}, {y}) + {A}",
       {"return min({x}, {y}) + {A}", "return max({x}, {y} + {A})"},
       [](const Ints& in, int a, int) { return number(std::max(in[0], in[1]) + a); }},
      {"less-both", Takes::kTwo, false, "(Return|Give) {x} minus {y} minus {A}.", "return {x} - {y} - {A}",
       {"return {x} - {y} + {A}", "return {x} - ({y} - {A})"},
       [](const Ints& in, int a, int) { return number(in[0] - in[1] - a); }},
      {"both", Takes::kTwo, false, "Are both {x} and {y} greater than {A}? (Return|Give) True or False.", "return {x} > {A} and {y} > {A}",
       {"return {x} > {A} or {y} > {A}", "return {x} + {y} > {A}"},
       [](const Ints& in, int a, int) { return truth(in[0] > a && in[1] > a); }},
      {"total", Takes::kList, false, "(Return|Give) the sum of {x}, plus {A}.", "return sum({x}) + {A}",
       {"return sum({x}) - {A}", "return len({x}) + {A}"},
       [](const Ints& in, int a, int) { return number(sum(in) + a); }},
      {"count", Takes::kList, false, "(Return|Give) how often {A} is in {x}.", "return {x}.count({A})",
       {"return len({x})", "return {A} in {x}"},
       [](const Ints& in, int a, int) { return number(static_cast<int>(std::count(in.begin(), in.end(), a))); }},
      {"has", Takes::kList, false, "Is {A} in {x}? (Return|Give) True or False.", "return {A} in {x}",
       {"return {A} not in {x}", "return {x}.count({A})"},
       [](const Ints& in, int a, int) { return truth(std::count(in.begin(), in.end(), a) > 0); }},
      {"how-many", Takes::kList, false, "(Return|Give) how many of {x} are greater than {A}.", "return len([v for v in {x} if v > {A}])",
       {"return len([v for v in {x} if v >= {A}])", "return [v for v in {x} if v > {A}]"},
       [](const Ints& in, int a, int) { return number(static_cast<int>(std::count_if(in.begin(), in.end(), [a](int v) { return v > a; }))); }},
      {"keep", Takes::kList, false, "(Return|Give) those of {x} that are less than {A}.", "return [v for v in {x} if v < {A}]",
       {"return [v for v in {x} if v <= {A}]", "return [v for v in {x} if v > {A}]"},
       [](const Ints& in, int a, int) { return Value{Value::Type::kList, those(in, [a](int v) { return v < a; })}; }},
      {"each-times", Takes::kList, false, "(Return|Give) each of {x} times {A}.", "return [v * {A} for v in {x}]",
       {"return [v + {A} for v in {x}]", "return {x} * {A}"},
       [](const Ints& in, int a, int) { return changed(in, [a](int v) { return v * a; }); }},
      {"each-plus", Takes::kList, false, "(Return|Give) each of {x} plus {A}.", "return [v + {A} for v in {x}]",
       {"return [v * {A} for v in {x}]", "return {x} + [{A}]"},
       [](const Ints& in, int a, int) { return changed(in, [a](int v) { return v + a; }); }},
      {"largest", Takes::kSomeList, false, "(Return|Give) the largest of {x}, minus {A}.", "return max({x}) - {A}",
       {"return min({x}) - {A}", "return {A} - max({x})"},
       [](const Ints& in, int a, int) { return number(*std::max_element(in.begin(), in.end()) - a); }},
      {"multiples", Takes::kList, false, "(Return|Give) the sum of those of {x} that are multiples of {A}.",
       "return sum([v for v in {x} if v % {A} == 0])",
       {"return sum([v for v in {x} if v % {A} != 0])", "return sum({x})"},
       [](const Ints& in, int a, int) { return number(sum(those(in, [a](int v) { return rest(v, a) == 0; }))); }},
  };
  return all;
}

constexpr int kLeast = 2, kMost = 99;  // of A and B

bool held_out(const Kind& kind, int a, int b) {
  return hash64(std::string(kind.name) + " " + std::to_string(a) + (kind.two ? " " + std::to_string(b) : "")) % 5 == 0;
}

std::string filled(std::string text, const Slots& slots) {
  for (const auto& [slot, value] : slots) {
    const std::string name = "{" + slot + "}";
    for (std::size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size())) text.replace(at, name.size(), value);
  }
  return text;
}

std::string body_of(const char* lines, const Slots& slots) {
  std::string left = filled(lines, slots), body;
  for (std::size_t end = 0; end != std::string::npos;) {
    end = left.find("; ");
    body += "    " + left.substr(0, end) + "\n";
    if (end != std::string::npos) left.erase(0, end + 2);
  }
  return body;
}

std::string list_text(const Ints& all) {
  std::string text;
  for (const int v : all) text += (text.empty() ? "" : ", ") + std::to_string(v);
  return "[" + text + "]";
}

std::string literal(const Value& value) {
  if (value.type == Value::Type::kList) return list_text(value.ints);
  if (value.type == Value::Type::kBool) return value.ints[0] != 0 ? "True" : "False";
  return std::to_string(value.ints[0]);
}

// Inputs on both sides of every border, where what is nearly right goes wrong.
std::vector<Ints> inputs(const Kind& kind, int a, int b) {
  Ints around = {-2 * a - 3, -1, 0, 1, 2, 3, a - 1, a, a + 1, 2 * a, 3 * a + 1};
  if (kind.two) around.insert(around.end(), {b - 1, b, b + 1});
  std::vector<Ints> all;
  if (kind.takes == Takes::kOne) {
    std::sort(around.begin(), around.end());
    around.erase(std::unique(around.begin(), around.end()), around.end());
    for (const int n : around) all.push_back({n});
  } else if (kind.takes == Takes::kTwo) {
    const Ints some = {-3, 0, 1, a - 1, a, a + 1, 2 * a + 5};
    for (std::size_t apart : {std::size_t{0}, std::size_t{1}, std::size_t{3}}) {
      for (std::size_t i = 0; i < some.size(); ++i) all.push_back({some[i], some[(i + apart) % some.size()]});
    }
  } else {
    all = {{a}, {a, a}, {a - 1, a, a + 1}, {0, 1, -1}, {2 * a, 3, a, -a}, {5, 2 * a + 1, a - 1, 7}};
    if (kind.takes == Takes::kList) all.insert(all.begin(), Ints{});
  }
  return all;
}

// Types count: True is not 1, and 3.0 is not 3.
std::string test_of(const Kind& kind, int a, int b) {
  std::string text = "def check(candidate):\n    for given, wanted in [\n";
  for (const Ints& in : inputs(kind, a, b)) {
    const bool list = kind.takes == Takes::kList || kind.takes == Takes::kSomeList;
    std::string given = list_text(in);
    if (!list) given = "(" + given.substr(1, given.size() - 2) + (in.size() == 1 ? ",)" : ")");
    text += "        (" + (list ? "(" + given + ",)" : given) + ", " + literal(kind.value(in, a, b)) + "),\n";
  }
  return text + "    ]:\n        got = candidate(*given)\n        assert got == wanted and type(got) is type(wanted), (given, got, wanted)\n";
}

}  // namespace

std::vector<std::string> task_kinds() {
  std::vector<std::string> names;
  for (const Kind& kind : kinds()) names.emplace_back(kind.name);
  return names;
}

TinyTask make_task(Split split, std::uint64_t seed, std::uint64_t index) {
  static const std::vector<std::string> functions = {"f", "g", "answer", "result", "compute", "work", "task", "value"};
  static const std::vector<std::string> integers = {"n", "x", "k", "number"}, lists = {"xs", "numbers", "items", "values"};
  static const std::vector<std::pair<std::string, std::string>> pairs = {{"a", "b"}, {"x", "y"}, {"m", "n"}, {"p", "q"}};
  Rng rng({seed, index, split == Split::kTrain ? 401U : 402U, 0});
  const Kind& kind = rng.pick(kinds());
  int a = 0, b = 0;
  do {
    a = kLeast + static_cast<int>(rng.below(kMost - kLeast));
    b = a + 1 + static_cast<int>(rng.below(static_cast<std::uint64_t>(kMost - a)));
  } while (held_out(kind, a, b) != (split == Split::kHeldOut));
  Slots slots = {{"A", std::to_string(a)}, {"B", std::to_string(b)}};
  std::string takes;
  if (kind.takes == Takes::kTwo) {
    const auto& [x, y] = rng.pick(pairs);
    slots["x"] = x;
    slots["y"] = y;
    takes = x + ", " + y;
  } else {
    takes = slots["x"] = rng.pick(kind.takes == Takes::kOne ? integers : lists);
  }
  TinyTask task;
  task.kind = kind.name;
  task.id = std::string(split == Split::kTrain ? "train/" : "held-out/") + std::to_string(index) + "/" + task.kind;
  task.entry_point = rng.pick(functions);
  task.prompt = "def " + task.entry_point + "(" + takes + "):\n    \"\"\"" + expand(kind.wording, slots, rng) + "\"\"\"\n";
  task.solution = body_of(kind.right, slots);
  for (const char* wrong : kind.wrong) task.wrong.push_back(body_of(wrong, slots));
  task.test = test_of(kind, a, b);
  return task;
}

std::string function_of(const TinyTask& task, const std::string& body) { return task.prompt.substr(0, task.prompt.find('\n') + 1) + body; }

}  // namespace precept::pocket
