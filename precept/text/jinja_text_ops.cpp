#include "precept/text/jinja_text_ops.h"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "precept/core/quote.h"
#include "precept/text/jinja_builtins.h"

namespace precept::jinja {
namespace {

bool append_points(Runtime& run, Text& out, const std::u32string& points, bool input) {
  std::string bytes;
  for (const char32_t point : points) append_point(bytes, point);
  return append(run, out, bytes, input);
}

}  // namespace

Text with_case(Runtime& run, const Text& text, Case to) {
  Text out;
  bool first = true, in_word = false;
  if (!run.scan(8 * text.bytes.size())) return out;
  for (Points point(text); point.next(); first = false) {
    const char32_t c = point.point;
    std::u32string mapped;
    switch (to) {
      case Case::kUpper: mapped = upper_point(c); break;
      case Case::kLower: mapped = lower_point(c); break;
      case Case::kTitle: mapped = in_word ? lower_point(c) : title_point(c); break;
      case Case::kCapitalize: mapped = first ? title_point(c) : lower_point(c); break;
      case Case::kSwap: mapped = is_upper(c) ? lower_point(c) : is_lower(c) ? upper_point(c) : std::u32string(1, c); break;
    }
    in_word = is_cased(c);
    if (!append_points(run, out, mapped, point.input)) break;
  }
  return out;
}

Text title_words(Runtime& run, const Text& text) {
  Text out;
  bool at_start = true;
  if (!run.scan(8 * text.bytes.size())) return out;
  for (Points point(text); point.next();) {
    const char32_t c = point.point;
    const bool between = is_space(c) || c == '-' || c == '(' || c == '{' || c == '[' || c == '<';
    if (!append_points(run, out, at_start ? upper_point(c) : lower_point(c), point.input)) break;
    at_start = between;
  }
  return out;
}

std::size_t find_text(Runtime& run, std::string_view hay, std::string_view needle, std::size_t from) {
  if (from > hay.size()) return std::string_view::npos;
  if (needle.empty()) return from;
  const char* begin = hay.data() + from;
  const void* at = ::memmem(begin, hay.size() - from, needle.data(), needle.size());  // in linear time
  const std::size_t found = at == nullptr ? std::string_view::npos : static_cast<std::size_t>(static_cast<const char*>(at) - hay.data());
  run.scan((at == nullptr ? hay.size() : found) - from + needle.size());
  return found;
}

std::size_t find_last_text(Runtime& run, std::string_view hay, std::string_view needle) {
  if (needle.empty()) return hay.size();
  std::size_t last = std::string_view::npos;
  for (std::size_t at = 0; !run.failed(); ++at) {
    at = find_text(run, hay, needle, at);
    if (at == std::string_view::npos) break;
    last = at;
  }
  return last;
}

Text replaced(Runtime& run, const Text& text, const std::string& old, const Text& with, std::int64_t count) {
  Text out;
  const auto put = [&](bool input) { return input ? append(run, out, with.bytes, true) : append(run, out, with); };
  if (old.empty()) {
    bool input = text.any_input();
    for (Points point(text); count != 0 && run.step(); --count) {
      if (!put(input)) return out;
      const bool more = point.next();
      if (!append(run, out, text, point.begin, point.end)) return out;
      if (!more) return out;
      if (count == 1) {
        append(run, out, text, point.end, text.bytes.size());
        return out;
      }
    }
    return count == 0 ? text : out;
  }
  std::size_t at = 0;
  while (count != 0 && !run.failed()) {
    const std::size_t found = find_text(run, text.bytes, old, at);
    if (found == std::string::npos) break;
    if (!append(run, out, text, at, found)) return out;
    const auto touched = std::partition_point(text.input.begin(), text.input.end(),
                                              [&](const TextSpan& span) { return span.end <= found; });
    if (!put(touched != text.input.end() && touched->begin < found + old.size())) return out;
    at = found + old.size();
    --count;
  }
  append(run, out, text, at, text.bytes.size());
  return out;
}

std::vector<Value> split(Runtime& run, const Text& text, const std::string* separator, std::int64_t most) {
  std::vector<Value> parts;
  const auto add = [&](std::size_t begin, std::size_t end) {
    run.step();
    parts.push_back(run.part(text, begin, end));
  };
  if (separator != nullptr) {
    if (separator->empty()) {
      run.fail("split: the separator is empty", "give one, or none for white space");
      return parts;
    }
    std::size_t at = 0;
    for (; most != 0 && !run.failed(); --most) {
      const std::size_t found = find_text(run, text.bytes, *separator, at);
      if (found == std::string::npos) break;
      add(at, found);
      at = found + separator->size();
    }
    add(at, text.bytes.size());
    return parts;
  }
  run.scan(4 * text.bytes.size());
  std::size_t begin = std::string::npos;  // of the word that is open
  for (Points point(text); !run.failed() && point.next();) {
    if (is_space(point.point)) {
      if (begin != std::string::npos) add(begin, point.begin);
      begin = std::string::npos;
    } else if (begin == std::string::npos) {
      begin = point.begin;
      if (most-- == 0) {
        add(begin, text.bytes.size());
        return parts;
      }
    }
  }
  if (begin != std::string::npos) add(begin, text.bytes.size());
  return parts;
}

std::vector<Value> split_from_right(Runtime& run, const Text& text, const std::string* separator, std::int64_t most) {
  if (most < 0) return split(run, text, separator, most);
  if (separator == nullptr) {
    run.fail("rsplit without a separator but with a limit is not supported", "give the separator");
    return {};
  }
  std::vector<Value> parts;
  if (separator->empty()) return split(run, text, separator, most);
  std::string_view rest = text.bytes;
  for (; most > 0 && !run.failed(); --most) {
    const std::size_t found = find_last_text(run, rest, *separator);
    if (found == std::string::npos) break;
    parts.push_back(run.part(text, found + separator->size(), rest.size()));
    rest = rest.substr(0, found);
  }
  parts.push_back(run.part(text, 0, rest.size()));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Value> split_lines(Runtime& run, const Text& text, bool keep_ends) {
  std::vector<Value> lines;
  run.scan(4 * text.bytes.size());
  std::size_t begin = 0;
  for (Points point(text); !run.failed() && point.next();) {
    const char32_t c = point.point;
    const bool ends = (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!ends) continue;
    const std::size_t line_end = point.begin;
    std::size_t next = point.end;
    if (c == '\r' && next < text.bytes.size() && text.bytes[next] == '\n') {
      point.next();
      next = point.end;
    }
    lines.push_back(run.part(text, begin, keep_ends ? next : line_end));
    begin = next;
  }
  if (begin < text.bytes.size()) lines.push_back(run.part(text, begin, text.bytes.size()));
  return lines;
}

Text joined(Runtime& run, const Text& separator, const std::vector<Value>& items) {
  Text out;
  for (std::size_t i = 0; i < items.size() && run.step(); ++i) {
    if (i > 0 && !append(run, out, separator)) break;
    if (!print(run, items[i], out)) break;
  }
  return out;
}

Text escaped(Runtime& run, const Text& text) {
  Text out;
  if (!run.scan(4 * text.bytes.size())) return out;
  for (Points point(text); point.next();) {
    std::string bytes;
    switch (point.point) {
      case '&': bytes = "&amp;"; break;
      case '<': bytes = "&lt;"; break;
      case '>': bytes = "&gt;"; break;
      case '\'': bytes = "&#39;"; break;
      case '"': bytes = "&#34;"; break;
      default: append_point(bytes, point.point);
    }
    if (!append(run, out, bytes, point.input)) break;
  }
  return out;
}

Text indented(Runtime& run, const Text& text, const Text& indent, bool first, bool blank) {
  Text out, whole;
  if (!append(run, whole, text) || !append(run, whole, "\n", false)) return out;
  const std::vector<Value> lines = split_lines(run, whole, false);
  for (std::size_t i = 0; i < lines.size() && !run.failed(); ++i) {
    // What is put in between counts as input where the line before ended in input.
    const bool input = i > 0 && lines[i - 1].text->any_input();
    if (i > 0) append(run, out, "\n", input);
    const bool wanted = i == 0 ? first : blank || !lines[i].text->bytes.empty();
    if (wanted) input ? append(run, out, indent.bytes, true) : append(run, out, indent);
    append(run, out, *lines[i].text);
  }
  return out;
}

Text padded(Runtime& run, const Text& text, std::int64_t width, const Text& fill, char side) {
  const auto size = static_cast<std::int64_t>(count_points(text.bytes));
  const std::int64_t room = std::max<std::int64_t>(0, width > size ? width - size : 0);
  // Python's center leans as it does.
  const std::int64_t left = side == 'l' ? 0 : side == 'r' ? room : room / 2 + (room & width & 1);
  Text out;
  for (std::int64_t i = 0; i < left && run.step(); ++i) append(run, out, fill);
  append(run, out, text);
  for (std::int64_t i = left; i < room && run.step(); ++i) append(run, out, fill);
  return out;
}

Text brace_format(Runtime& run, const Text& format, const Args& args) {
  Text out;
  const std::string& bytes = format.bytes;
  std::size_t automatic = 0;
  for (std::size_t at = 0; at < bytes.size() && run.step();) {
    const std::size_t brace = std::min(bytes.find_first_of("{}", at), bytes.size());
    if (!append(run, out, format, at, brace) || brace == bytes.size()) break;
    at = brace + 1;
    if (at < bytes.size() && bytes[at] == bytes[brace]) {
      append(run, out, format, brace, at++);
      continue;
    }
    const std::size_t close = bytes.find('}', at);
    if (bytes[brace] == '}' || close == std::string::npos) {
      run.fail("format: a brace stands alone", "write {{ or }} for the character itself");
      break;
    }
    const std::string_view field = std::string_view(bytes).substr(at, close - at);
    if (field.find_first_of(".:![{") != std::string_view::npos) {
      run.fail("format: the field " + in_quotes(field) + " is not supported", "fields are {}, {0} and {name}");
      break;
    }
    at = close + 1;
    std::size_t index = automatic;
    const auto read = std::from_chars(field.data(), field.data() + field.size(), index);
    const bool by_number = field.empty() || (read.ec == std::errc() && read.ptr == field.data() + field.size());
    if (field.empty()) ++automatic;
    const auto named = std::find_if(args.named.begin(), args.named.end(), [&](const auto& arg) { return arg.first == field; });
    if (by_number ? index >= args.positional.size() : named == args.named.end()) {
      run.fail("format: nothing is given for the field {" + std::string(field.substr(0, 40)) + "}", "pass one more argument");
      break;
    }
    const Text value = to_text(run, by_number ? args.positional[index] : named->second);
    if (!(format.is_input(brace) ? append(run, out, value.bytes, true) : append(run, out, value))) break;
  }
  return out;
}

Value percent_format(Runtime& run, const Text& format, const std::vector<Value>& items) {
  Text out;
  std::size_t next = 0;
  const std::string& bytes = format.bytes;
  for (std::size_t at = 0; at < bytes.size() && run.step();) {
    const std::size_t percent = std::min(bytes.find('%', at), bytes.size());
    if (!append(run, out, format, at, percent) || percent == bytes.size()) break;
    at = percent + 1;
    int decimals = 6;
    if (at + 1 < bytes.size() && bytes[at] == '.' && bytes[at + 1] >= '0' && bytes[at + 1] <= '9') {
      decimals = bytes[at + 1] - '0';
      at += 2;
    }
    const char kind = at < bytes.size() ? bytes[at++] : '\0';
    if (kind == '%') {
      append(run, out, "%", format.is_input(percent));
      continue;
    }
    if (kind != 's' && kind != 'd' && kind != 'i' && kind != 'f' && kind != 'r') {
      return run.fail("% format: only %s, %d, %i, %r, %f and %.2f are supported", "use ~ and |round");
    }
    if (next >= items.size()) return run.fail("% format: there are more fields than values", "pass one more");
    const Value& value = items[next++];
    Text shown;
    if (kind == 's') {
      shown = to_text(run, value);
    } else if (kind == 'r') {
      print_repr(run, value, shown);
    } else if (!value.numeric()) {
      return run.fail(std::string("% format: a value of type ") + type_name(value) + " is no number", "use %s");
    } else if (kind == 'f') {
      char number[400];
      const auto end = std::to_chars(number, number + sizeof number, value.as_float(), std::chars_format::fixed, decimals).ptr;
      shown = Text(std::string(number, end), value.input);
    } else {
      const double truncated = value.is(Kind::kFloat) ? value.number : 0;
      if (!(truncated > -9e18 && truncated < 9e18)) return run.fail("a number is out of range", "integers have 64 bits");
      const std::int64_t whole = value.integral() ? value.as_int() : static_cast<std::int64_t>(truncated);
      shown = Text(std::to_string(whole), value.input);
    }
    if (!(format.is_input(percent) ? append(run, out, shown.bytes, true) : append(run, out, shown))) break;
  }
  if (next < items.size()) return run.fail("% format: there are more values than fields", "write one more %s");
  return run.text(std::move(out));
}

}  // namespace precept::jinja
