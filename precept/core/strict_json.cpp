#include "precept/core/strict_json.h"

#include <optional>
#include <set>
#include <vector>

#include "precept/core/io.h"

namespace precept {
std::optional<std::size_t> nested_too_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      else if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxJsonDepth) return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return std::nullopt;
}

Result<nlohmann::json> parse_json_object(std::string_view text, const std::string& file, int line_base) {
  const auto line_at = [&](std::size_t offset) { return line_base == 0 ? 0 : line_base - 1 + line_of(text, offset); };
  if (const auto at = nested_too_deeply(text)) {
    return bad_input("JSON nested deeper than " + std::to_string(kMaxJsonDepth), "is this the right file?", file, line_at(*at));
  }
  std::vector<std::set<std::string>> open;
  std::optional<std::string> twice;
  const auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    using Kind = nlohmann::json::parse_event_t;
    if (event == Kind::object_start) open.emplace_back();
    if (event == Kind::object_end) open.pop_back();
    if (event == Kind::key && !open.back().insert(value.get<std::string>()).second && !twice) {
      twice = value.get<std::string>();
    }
    return true;
  };
  try {
    auto json = nlohmann::json::parse(text.begin(), text.end(), watch);
    if (!json.is_object()) return bad_input("not a JSON object", "is this the right file?", file, line_at(0));
    if (twice) return bad_input("key " + in_quotes(*twice) + " stands twice", "list every key once", file);
    return json;
  } catch (const nlohmann::json::parse_error& error) {
    return bad_input("not valid JSON", "the file is damaged or cut short: get it again", file,
                     line_at(error.byte == 0 ? 0 : error.byte - 1));
  } catch (const nlohmann::json::exception&) {
    return bad_input("a number in the JSON is out of range", "is this the right file?", file);
  }
}

std::string in_quotes(std::string_view text) {
  const std::string_view head = utf8_prefix(text, 60);
  std::string out = "\"";
  for (const char ch : head) out += static_cast<unsigned char>(ch) < 0x20 || ch == 0x7F ? ' ' : ch;
  if (head.size() < text.size()) out += "...";
  return out + "\"";
}

}  // namespace precept
