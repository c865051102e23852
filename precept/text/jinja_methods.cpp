// Methods of str, dict and list; how arguments find their parameters.

#include <algorithm>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_text_ops.h"

namespace precept::jinja {
namespace {

using Values = std::vector<Value>;

const Text& self_text(const Value& self) { return *self.text; }

bool want_text(Runtime& run, const Value& value, const char* what) {
  if (value.is(Kind::kText)) return true;
  run.fail(std::string(what) + " takes a text, not a value of type " + type_name(value), "convert it with |string");
  return false;
}

template <Case kCase>
Value change_case(Runtime& run, const Value& self, const Values&) {
  return run.text(with_case(run, self_text(self), kCase));
}

template <bool kLeft, bool kRight>
Value strip(Runtime& run, const Value& self, const Values& args) {
  const bool chars = args[0].is(Kind::kText);
  if (!chars && !args[0].undefined() && !args[0].is(Kind::kNone) && !want_text(run, args[0], "strip")) return {};
  const Text& text = self_text(self);
  if (!run.scan(text.bytes.size() + (chars ? 8 * args[0].text->bytes.size() : 0))) return {};
  const TextSpan kept = stripped(text.bytes, chars ? &args[0].text->bytes : nullptr, kLeft, kRight);
  return run.part(text, kept.begin, kept.end);
}

template <bool kFromRight>
Value split_method(Runtime& run, const Value& self, const Values& args) {
  const bool by_space = args[0].undefined() || args[0].is(Kind::kNone);
  if (!by_space && !want_text(run, args[0], "split")) return {};
  const std::string* separator = by_space ? nullptr : &args[0].text->bytes;
  const std::int64_t most = args[1].integral() ? args[1].as_int() : -1;
  return run.list(kFromRight ? split_from_right(run, self_text(self), separator, most) : split(run, self_text(self), separator, most));
}

Value splitlines(Runtime& run, const Value& self, const Values& args) {
  return run.list(split_lines(run, self_text(self), truthy(args[0])));
}

bool affix(std::string_view text, std::string_view end, bool at_end) {
  return text.size() >= end.size() && text.substr(at_end ? text.size() - end.size() : 0, end.size()) == end;
}

template <bool kAtEnd>
Value has_affix(Runtime& run, const Value& self, const Values& args) {
  const bool several = args[0].is(Kind::kList) && args[0].list->kind == ListKind::kTuple;
  bool found = false, input = from_input(self);
  for (const Value& one : several ? args[0].list->items : Values{args[0]}) {
    if (!want_text(run, one, kAtEnd ? "endswith" : "startswith") || !run.scan(one.text->bytes.size())) return {};
    found = found || affix(self_text(self).bytes, one.text->bytes, kAtEnd);
    input = input || from_input(one);
  }
  return Value::of_bool(found, input);
}

template <bool kAtEnd>
Value remove_affix(Runtime& run, const Value& self, const Values& args) {
  if (!want_text(run, args[0], kAtEnd ? "removesuffix" : "removeprefix")) return {};
  const std::size_t size = self_text(self).bytes.size(), cut = args[0].text->bytes.size();
  if (!affix(self_text(self).bytes, args[0].text->bytes, kAtEnd)) return self;
  return kAtEnd ? run.part(self_text(self), 0, size - cut) : run.part(self_text(self), cut, size);
}

Value replace_method(Runtime& run, const Value& self, const Values& args) {
  if (!want_text(run, args[0], "replace") || !want_text(run, args[1], "replace")) return {};
  return run.text(replaced(run, self_text(self), args[0].text->bytes, *args[1].text, args[2].integral() ? args[2].as_int() : -1));
}

template <bool kLast, bool kMust>
Value find_in_text(Runtime& run, const Value& self, const Values& args) {
  if (!want_text(run, args[0], "find")) return {};
  const std::string& hay = self_text(self).bytes;
  const std::size_t at = kLast ? find_last_text(run, hay, args[0].text->bytes) : find_text(run, hay, args[0].text->bytes);
  const bool input = from_input(self) || from_input(args[0]);
  if (at == std::string::npos) {
    if (kMust) return run.fail("index: the text is not in it", "ask with \"in\" first");
    return Value::of_int(-1, input);
  }
  return Value::of_int(static_cast<std::int64_t>(count_points(std::string_view(hay).substr(0, at))), input);
}

Value count_text(Runtime& run, const Value& self, const Values& args) {
  if (!want_text(run, args[0], "count")) return {};
  const std::string& hay = self_text(self).bytes;
  const std::string& needle = args[0].text->bytes;
  std::int64_t count = 0;
  if (needle.empty()) return Value::of_int(static_cast<std::int64_t>(count_points(hay)) + 1, from_input(self));
  for (std::size_t at = find_text(run, hay, needle); at != std::string::npos && !run.failed(); ++count) {
    at = find_text(run, hay, needle, at + needle.size());
  }
  return Value::of_int(count, from_input(self) || from_input(args[0]));
}

Value join_method(Runtime& run, const Value& self, const Values& args) {
  const Values items = iterate(run, args[0]);
  for (const Value& one : items) {
    if (!want_text(run, one, "join")) return {};
  }
  return run.text(joined(run, self_text(self), items));
}

template <bool (*kIs)(char32_t)>
Value every(Runtime& run, const Value& self, const Values&) {
  const Text& text = self_text(self);
  bool all = !text.bytes.empty() && run.scan(4 * text.bytes.size());
  for (Points point(text); all && point.next();) all = kIs(point.point);
  return Value::of_bool(all, text.any_input());
}

bool is_alnum(char32_t c) { return is_alpha(c) || is_digit(c); }
template <bool kUpper>
Value all_cased(Runtime& run, const Value& self, const Values&) {
  bool any = false, wrong = !run.scan(4 * self_text(self).bytes.size());
  for (Points point(self_text(self)); !wrong && point.next();) {
    any = any || is_cased(point.point);
    wrong = is_cased(point.point) && !(kUpper ? is_upper(point.point) : is_lower(point.point));
  }
  return Value::of_bool(any && !wrong, self_text(self).any_input());
}

template <bool kLast>
Value partition(Runtime& run, const Value& self, const Values& args) {
  if (!want_text(run, args[0], "partition")) return {};
  const Text& text = self_text(self);
  const std::string& separator = args[0].text->bytes;
  if (separator.empty()) return run.fail("partition: the separator is empty", "give one");
  const std::size_t at = kLast ? find_last_text(run, text.bytes, separator) : find_text(run, text.bytes, separator);
  const Value none = run.text(Text());
  if (at == std::string::npos) return run.list(kLast ? Values{none, none, self} : Values{self, none, none}, ListKind::kTuple);
  return run.list({run.part(text, 0, at), run.part(text, at, at + separator.size()),
                   run.part(text, at + separator.size(), text.bytes.size())}, ListKind::kTuple);
}

template <char kSide>
Value pad(Runtime& run, const Value& self, const Values& args) {
  if (!args[0].integral()) return run.fail("the width is no integer", "write a number");
  const bool given = args[1].is(Kind::kText) && count_points(args[1].text->bytes) == 1;
  if (!given && !args[1].undefined()) return run.fail("the fill is not one character", "write one");
  return run.text(padded(run, self_text(self), args[0].as_int(), given ? *args[1].text : Text(" ", false), kSide));
}

Value zfill(Runtime& run, const Value& self, const Values& args) {
  if (!args[0].integral()) return run.fail("zfill: the width is no integer", "write a number");
  const Text& text = self_text(self);
  const bool sign = !text.bytes.empty() && (text.bytes[0] == '-' || text.bytes[0] == '+');
  Text out = text.part(0, sign ? 1 : 0);
  const Text digits = padded(run, text.part(sign ? 1 : 0, text.bytes.size()), args[0].as_int() - (sign ? 1 : 0), Text("0", false), 'r');
  append(run, out, digits);
  return run.text(std::move(out));
}

Value format_method(Runtime& run, const Value& self, const Args& args) {
  return run.text(brace_format(run, self_text(self), args));
}

// dict and list.

Value view(Runtime& run, const Value& self, ListKind kind) {
  const Dict& dict = *self.dict;
  if (!run.step(dict.entries.size())) return {};
  std::vector<Value> items;
  for (const auto& entry : dict.entries) {
    if (kind == ListKind::kKeys) items.push_back(entry.first);
    if (kind == ListKind::kValues) items.push_back(entry.second);
    if (kind == ListKind::kItems) items.push_back(run.list({entry.first, entry.second}, ListKind::kTuple, dict.input));
    if (run.failed()) return {};
  }
  return run.list(std::move(items), kind, dict.input);
}
Value keys(Runtime& run, const Value& self, const Values&) { return view(run, self, ListKind::kKeys); }
Value values(Runtime& run, const Value& self, const Values&) { return view(run, self, ListKind::kValues); }
Value items(Runtime& run, const Value& self, const Values&) { return view(run, self, ListKind::kItems); }

Value get(Runtime& run, const Value& self, const Values& args) {
  const Value* found = find(run, *self.dict, args[0]);
  if (found != nullptr) return *found;
  return args[1].undefined() ? Value::none() : args[1];
}

Value copy_dict(Runtime& run, const Value& self, const Values&) {
  Dict* made = run.dict(self.dict->input);
  if (run.charge(self.dict->entries.size() * sizeof(self.dict->entries[0]))) made->entries = self.dict->entries;
  return Value::of(made);
}

Value append_item(Runtime& run, const Value& self, const Values& args) {
  if (run.charge(sizeof(Value))) self.list->items.push_back(args[0]);
  return Value::none();
}
Value copy_list(Runtime& run, const Value& self, const Values&) {
  return run.list(iterate(run, self), self.list->kind, self.list->input);
}
Value index_of(Runtime& run, const Value& self, const Values& args) {
  for (std::size_t i = 0; i < self.list->items.size(); ++i) {
    if (equal(run, self.list->items[i], args[0])) return Value::of_int(static_cast<std::int64_t>(i), self.list->input);
  }
  return run.fail("index: the value is not in the list", "ask with \"in\" first");
}
Value count_items(Runtime& run, const Value& self, const Values& args) {
  const auto& all = self.list->items;
  return Value::of_int(std::count_if(all.begin(), all.end(), [&](const Value& one) { return !run.failed() && equal(run, one, args[0]); }),
                       self.list->input);
}

const std::vector<Builtin>& text_methods() {
  static const std::vector<Builtin> kMethods = {
      {"upper", "", change_case<Case::kUpper>}, {"lower", "", change_case<Case::kLower>}, {"casefold", "", change_case<Case::kLower>},
      {"title", "", change_case<Case::kTitle>}, {"capitalize", "", change_case<Case::kCapitalize>},
      {"swapcase", "", change_case<Case::kSwap>}, {"strip", "chars", strip<true, true>}, {"lstrip", "chars", strip<true, false>},
      {"rstrip", "chars", strip<false, true>}, {"split", "sep maxsplit", split_method<false>},
      {"rsplit", "sep maxsplit", split_method<true>}, {"splitlines", "keepends", splitlines},
      {"startswith", "prefix!", has_affix<false>}, {"endswith", "suffix!", has_affix<true>},
      {"removeprefix", "prefix!", remove_affix<false>}, {"removesuffix", "suffix!", remove_affix<true>},
      {"replace", "old! new! count", replace_method}, {"find", "sub!", find_in_text<false, false>},
      {"rfind", "sub!", find_in_text<true, false>}, {"index", "sub!", find_in_text<false, true>},
      {"rindex", "sub!", find_in_text<true, true>}, {"count", "sub!", count_text}, {"join", "iterable!", join_method},
      {"format", "*", nullptr, format_method}, {"isspace", "", every<is_space>}, {"isalpha", "", every<is_alpha>},
      {"isdigit", "", every<is_digit>}, {"isnumeric", "", every<is_digit>}, {"isdecimal", "", every<is_digit>},
      {"isalnum", "", every<is_alnum>}, {"isupper", "", all_cased<true>}, {"islower", "", all_cased<false>},
      {"partition", "sep!", partition<false>}, {"rpartition", "sep!", partition<true>}, {"ljust", "width! fillchar", pad<'l'>},
      {"rjust", "width! fillchar", pad<'r'>}, {"center", "width! fillchar", pad<'c'>}, {"zfill", "width!", zfill}};
  return kMethods;
}
const std::vector<Builtin>& dict_methods() {
  static const std::vector<Builtin> kMethods = {{"get", "key! default", get}, {"keys", "", keys}, {"values", "", values},
                                                {"items", "", items}, {"copy", "", copy_dict}};
  return kMethods;
}
const std::vector<Builtin>& list_methods() {
  static const std::vector<Builtin> kMethods = {{"append", "object!", append_item}, {"copy", "", copy_list},
                                                {"index", "value!", index_of}, {"count", "value!", count_items}};
  return kMethods;
}
const std::vector<Builtin>& tuple_methods() {
  static const std::vector<Builtin> kMethods = {{"index", "value!", index_of}, {"count", "value!", count_items}};
  return kMethods;
}

const std::vector<Builtin>* methods_of(const Value& object) {
  if (object.is(Kind::kText)) return &text_methods();
  if (object.is(Kind::kDict)) return &dict_methods();
  if (object.is(Kind::kList) && object.list->kind == ListKind::kList) return &list_methods();
  if (object.is(Kind::kList) && object.list->kind == ListKind::kTuple) return &tuple_methods();
  return nullptr;
}

}  // namespace

const Builtin* find_method(const Value& object, std::string_view name) {
  const std::vector<Builtin>* methods = methods_of(object);
  if (methods == nullptr) return nullptr;
  const auto found = std::find_if(methods->begin(), methods->end(), [&](const Builtin& one) { return one.name == name; });
  return found == methods->end() ? nullptr : &*found;
}

Value call_method(Runtime& run, const Method& method, const Args& args) {
  return invoke(run, *find_method(method.self, method.name), method.self, args);
}

Value invoke(Runtime& run, const Builtin& builtin, const Value& self, const Args& args) {
  if (run.failed() || !run.step()) return {};
  if (builtin.raw != nullptr) return builtin.raw(run, self, args);
  const std::string name(builtin.name);
  Values bound;
  std::size_t used = 0;
  for (std::string_view rest = builtin.parameters; !rest.empty();) {
    const std::size_t end = std::min(rest.find(' '), rest.size());
    std::string_view parameter = rest.substr(0, end);
    rest = rest.substr(std::min(end + 1, rest.size()));
    const bool needed = parameter.back() == '!';
    if (needed) parameter.remove_suffix(1);
    const auto named = std::find_if(args.named.begin(), args.named.end(), [&](const auto& arg) { return arg.first == parameter; });
    if (bound.size() < args.positional.size()) {
      if (named != args.named.end()) return run.fail(name + ": the argument " + std::string(parameter) + " is given twice", "give it once");
      bound.push_back(args.positional[bound.size()]);
      ++used;
    } else if (named != args.named.end()) {
      bound.push_back(named->second);
      ++used;
    } else if (needed) {
      return run.fail(name + ": the argument " + std::string(parameter) + " is missing", "give it");
    } else {
      bound.emplace_back();
    }
  }
  if (args.positional.size() > bound.size()) {
    return run.fail(name + ": " + std::to_string(args.positional.size()) + " arguments given, at most " + std::to_string(bound.size()) + " taken",
                    "leave some out");
  }
  if (used < args.positional.size() + args.named.size()) {
    for (const auto& arg : args.named) {
      const std::string padded_names = " " + std::string(builtin.parameters) + " ";
      const std::string key(arg.first);
      if (padded_names.find(" " + key + " ") == std::string::npos && padded_names.find(" " + key + "! ") == std::string::npos) {
        return run.fail(name + ": no argument is called " + in_quotes(key), "it takes " + (builtin.parameters.empty() ? "none" : std::string(builtin.parameters)));
      }
    }
  }
  return builtin.call(run, self, bound);
}

}  // namespace precept::jinja
