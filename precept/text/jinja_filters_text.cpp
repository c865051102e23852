// Filters of text and JSON.

#include <algorithm>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"
#include "precept/text/jinja_json.h"
#include "precept/text/jinja_text_ops.h"

namespace precept::jinja {
namespace {

using Values = std::vector<Value>;

Value string(Runtime& run, const Value& self, const Values&) {
  return self.is(Kind::kText) ? self : run.text(to_text(run, self));
}

template <Case kCase>
Value change_case(Runtime& run, const Value& self, const Values&) {
  return run.text(with_case(run, to_text(run, self), kCase));
}
Value title(Runtime& run, const Value& self, const Values&) { return run.text(title_words(run, to_text(run, self))); }

Value trim(Runtime& run, const Value& self, const Values& args) {
  const Text text = to_text(run, self);
  const bool chars = args[0].is(Kind::kText);
  if (!run.scan(text.bytes.size() + (chars ? 8 * args[0].text->bytes.size() : 0))) return {};
  const TextSpan kept = stripped(text.bytes, chars ? &args[0].text->bytes : nullptr, true, true);
  return run.part(text, kept.begin, kept.end);
}

Value replace(Runtime& run, const Value& self, const Values& args) {
  const Text text = to_text(run, self), old = to_text(run, args[0]), with = to_text(run, args[1]);
  return run.text(replaced(run, text, old.bytes, with, args[2].integral() ? args[2].as_int() : -1));
}

Value indent(Runtime& run, const Value& self, const Values& args) {
  Text width("    ", false);
  if (args[0].is(Kind::kText)) width = *args[0].text;
  else if (args[0].integral()) width = padded(run, Text(), args[0].as_int(), Text(" ", false), 'l');
  return run.text(indented(run, to_text(run, self), width, truthy(args[1]), truthy(args[2])));
}

Value escape(Runtime& run, const Value& self, const Values&) { return run.text(escaped(run, to_text(run, self))); }

Value center(Runtime& run, const Value& self, const Values& args) {
  return run.text(padded(run, to_text(run, self), args[0].integral() ? args[0].as_int() : 80, Text(" ", false), 'c'));
}

Value word_count(Runtime& run, const Value& self, const Values&) {
  const Text text = to_text(run, self);
  std::int64_t count = 0;
  bool in_word = false;
  run.scan(4 * text.bytes.size());
  for (Points point(text); !run.failed() && point.next();) {
    const bool letter = is_alpha(point.point) || is_digit(point.point) || point.point == '_';
    count += letter && !in_word ? 1 : 0;
    in_word = letter;
  }
  return Value::of_int(count, text.any_input());
}

Value format(Runtime& run, const Value& self, const Args& args) {
  if (!args.named.empty()) return run.fail("format takes no named arguments", "write %s and give the values in order");
  return percent_format(run, to_text(run, self), args.positional);
}

Value to_json_filter(Runtime& run, const Value& self, const Values& args) {
  JsonStyle style;
  style.ensure_ascii = truthy(args[0]);
  style.sort_keys = truthy(args[3]);
  if (args[1].is(Kind::kText)) style.indent = *args[1].text;
  else if (args[1].integral()) style.indent = padded(run, Text(), args[1].as_int(), Text(" ", false), 'l');
  else if (!args[1].undefined() && !args[1].is(Kind::kNone)) return run.fail("tojson: indent is no number", "write indent=4");
  style.item_separator = Text(style.indent ? "," : ", ", false);
  style.key_separator = Text(": ", false);
  if (!args[2].undefined() && !args[2].is(Kind::kNone)) {
    const Values pair = iterate(run, args[2]);
    if (pair.size() != 2 || !pair[0].is(Kind::kText) || !pair[1].is(Kind::kText)) {
      return run.fail("tojson: separators are not two texts", "write separators=(\",\", \":\")");
    }
    style.item_separator = *pair[0].text;
    style.key_separator = *pair[1].text;
  }
  Text out;
  to_json(run, self, style, out);
  return run.text(std::move(out));
}

}  // namespace

const std::vector<Builtin>& text_filters() {
  static const std::vector<Builtin> kFilters = {
      {"capitalize", "", change_case<Case::kCapitalize>}, {"center", "width", center}, {"e", "", escape},
      {"escape", "", escape}, {"forceescape", "", escape}, {"format", "*", nullptr, format},
      {"indent", "width first blank", indent}, {"lower", "", change_case<Case::kLower>},
      {"replace", "old! new! count", replace}, {"safe", "", string}, {"string", "", string}, {"title", "", title},
      {"tojson", "ensure_ascii indent separators sort_keys", to_json_filter}, {"trim", "chars", trim},
      {"upper", "", change_case<Case::kUpper>}, {"wordcount", "", word_count}};
  return kFilters;
}

}  // namespace precept::jinja
