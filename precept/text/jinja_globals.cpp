// Functions that every template can call.

#include <algorithm>
#include <array>
#include <cstdio>

#include "precept/core/io.h"
#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_json.h"

namespace precept::jinja {
namespace {

using Values = std::vector<Value>;

Value range(Runtime& run, const Value&, const Values& args) {
  bool input = false;
  for (const Value& one : args) {
    if (!one.integral() && !one.undefined()) return run.fail(std::string("range: a bound has type ") + type_name(one), "bounds are integers");
    input = input || one.input;
  }
  const bool only_stop = args[1].undefined();
  const std::int64_t start = only_stop ? 0 : args[0].as_int(), stop = only_stop ? args[0].as_int() : args[1].as_int();
  const std::int64_t step = args[2].undefined() ? 1 : args[2].as_int();
  if (step == 0) return run.fail("range: the step is 0", "leave it out");
  Values numbers;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (numbers.size() >= run.limits.range) {
      return run.fail("range: more than " + std::to_string(run.limits.range) + " numbers", "loop over a list instead");
    }
    numbers.push_back(Value::of_int(i, input));
    if (!run.step() || __builtin_add_overflow(i, step, &i)) break;
  }
  return run.list(std::move(numbers), ListKind::kRange, input);
}

// dict(...) and namespace(...): entries of one dict (or pairs), then the named ones.
Dict* entries(Runtime& run, const Args& args, const char* name) {
  Dict* made = run.dict();
  if (args.positional.size() > 1) run.fail(std::string(name) + ": more than one argument without a name", "name them");
  if (!args.positional.empty() && args.positional[0].is(Kind::kDict)) {
    const Dict& from = *args.positional[0].dict;
    if (run.step(from.entries.size()) && run.charge(from.entries.size() * sizeof(from.entries[0]))) made->entries = from.entries;
    made->input = from.input;
  } else if (!args.positional.empty()) {
    for (const Value& pair : iterate(run, args.positional[0])) {
      const Values two = iterate(run, pair);
      if (two.size() != 2) run.fail(std::string(name) + ": an item is no pair of key and value", "pass a dict");
      if (run.failed()) return made;
      put(run, *made, two[0], two[1]);
    }
  }
  for (const auto& arg : args.named) {
    const Value key = run.text(arg.first, args.names_from_input);
    if (!run.failed()) put(run, *made, key, arg.second);
  }
  return made;
}

Value make_dict(Runtime& run, const Value&, const Args& args) { return Value::of(entries(run, args, "dict")); }
Value make_namespace(Runtime& run, const Value&, const Args& args) {
  return Value::of(entries(run, args, "namespace"), Kind::kNamespace);
}

Value raise(Runtime& run, const Value&, const Values& args) {
  const Text message = to_text(run, args[0]);
  std::string line;
  for (const char c : utf8_prefix(message.bytes, 300)) line += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
  return run.fail("the template refuses the conversation: " + line, "change the conversation: the template itself says so");
}

std::string two_digits(int number, char fill = '0') {
  std::string digits = std::to_string(number);
  return digits.size() < 2 ? fill + digits : digits;
}

// One directive in English, whatever the locale; empty: not supported.
std::string directive(const std::tm& now, char kind, bool unpadded) {
  static constexpr std::array<const char*, 7> kDays = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
  static constexpr std::array<const char*, 12> kMonths = {"January", "February", "March", "April", "May", "June", "July",
                                                          "August", "September", "October", "November", "December"};
  std::string day = kDays[static_cast<std::size_t>(std::clamp(now.tm_wday, 0, 6))];
  std::string month = kMonths[static_cast<std::size_t>(std::clamp(now.tm_mon, 0, 11))];
  const auto number = [&](int n) { return unpadded ? std::to_string(n) : two_digits(n); };
  const int hour = now.tm_hour % 12 == 0 ? 12 : now.tm_hour % 12;
  const auto all = [&](std::string_view format) {
    std::string out;
    for (const char c : format) out += c >= 'A' && c != '/' && c != ':' ? directive(now, c, false) : std::string(1, c);
    return out;
  };
  switch (kind) {
    case 'd': return number(now.tm_mday);
    case 'e': return two_digits(now.tm_mday, ' ');
    case 'm': return number(now.tm_mon + 1);
    case 'b':
    case 'h': return month.substr(0, 3);
    case 'B': return month;
    case 'Y': return std::to_string(now.tm_year + 1900);
    case 'y': return number(now.tm_year % 100);
    case 'H': return number(now.tm_hour);
    case 'I': return number(hour);
    case 'M': return number(now.tm_min);
    case 'S': return number(now.tm_sec);
    case 'p': return now.tm_hour < 12 ? "AM" : "PM";
    case 'a': return day.substr(0, 3);
    case 'A': return day;
    case 'j': {
      const std::string digits = std::to_string(now.tm_yday + 1);
      return unpadded ? digits : std::string(3 - std::min<std::size_t>(3, digits.size()), '0') + digits;
    }
    case 'F': return all("Y-m-d");
    case 'T': return all("H:M:S");
    case 'R': return all("H:M");
    case 'D': return all("m/d/y");
    case '%': return "%";
    default: return {};
  }
}

Value strftime_now(Runtime& run, const Value&, const Values& args) {
  if (!args[0].is(Kind::kText)) return run.fail("strftime_now: the format is no text", "write strftime_now(\"%d %b %Y\")");
  const Text& format = *args[0].text;
  Text out;
  for (std::size_t at = 0; at < format.bytes.size() && run.step();) {
    const std::size_t percent = std::min(format.bytes.find('%', at), format.bytes.size());
    append(run, out, format, at, percent);
    at = percent;
    if (at >= format.bytes.size()) break;
    const bool unpadded = at + 1 < format.bytes.size() && format.bytes[at + 1] == '-';
    at += unpadded ? 2 : 1;
    const std::string shown = at < format.bytes.size() ? directive(run.now ? *run.now : *run.unasked_now, format.bytes[at], unpadded) : std::string();
    if (shown.empty()) {
      return run.fail("strftime_now: unknown directive in " + in_quotes(format.bytes), "known: %d %e %m %b %B %Y %y %H %I %M %S %p %a %A %j %F %T %R %D %%");
    }
    append(run, out, shown, format.is_input(percent));
    ++at;
  }
  return run.text(std::move(out));
}

}  // namespace

const std::vector<Builtin>& global_functions() {
  static const std::vector<Builtin> kFunctions = {
      {"range", "start! stop step", range}, {"dict", "*", nullptr, make_dict}, {"namespace", "*", nullptr, make_namespace},
      {"raise_exception", "message!", raise}, {"strftime_now", "format!", strftime_now}};
  return kFunctions;
}

const Builtin& time_function() { return global_functions().back(); }

}  // namespace precept::jinja
