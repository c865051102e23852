#include "precept/constitution/json_line.h"

#include <cstddef>
#include <set>

#include "precept/constitution/suggest.h"

namespace precept {
namespace {

using nlohmann::json;
// Builds nothing: only finds out where a text stops being JSON.
struct Locator : json::json_sax_t {
  std::size_t column = 0;
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t position, const std::string&, const json::exception&) override {
    column = position;
    return false;
  }
};

}  // namespace

Result<json> parse_json_line(std::string_view line, const std::string& file, int number) {
  if (nested_too_deeply(line)) {
    return bad_input("JSON nested deeper than " + std::to_string(kMaxJsonDepth), "expected one flat object a line", file,
                     number);
  }
  std::vector<std::set<std::string>> keys;
  std::string twice;
  const json::parser_callback_t watch = [&](int, json::parse_event_t event, json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end && !keys.empty()) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.empty()) {
      std::string key = value.get<std::string>();
      if (!keys.back().insert(key).second && twice.empty()) twice = key.empty() ? "(empty)" : key;
    }
    return true;
  };
  json object = json::parse(line.begin(), line.end(), watch, false);
  if (object.is_discarded()) {
    Locator locator;
    json::sax_parse(line.begin(), line.end(), &locator);
    return bad_input("not JSON (column " + std::to_string(locator.column) + ")", "expected one JSON object a line", file,
                     number);
  }
  if (!object.is_object()) {
    return bad_input(std::string("expected an object, found ") + object.type_name(),
                     R"(write {"prompt": "..."} or {"messages": [...]})", file, number);
  }
  if (!twice.empty()) return bad_input("key " + in_quotes(twice) + " appears twice", "keep one of them", file, number);
  return object;
}

Status check_keys(const json& object, const std::vector<std::string>& known, const std::string& file, int number) {
  for (auto it = object.begin(); it != object.end(); ++it) {
    bool found = false;
    for (const std::string& key : known) found = found || key == it.key();
    if (!found) return bad_input("unknown key " + in_quotes(it.key()), suggest(it.key(), known), file, number);
  }
  return {};
}

bool is_blank(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == ' ' || (c >= '\t' && c <= '\r')) ++i;
    else if (text.substr(i, 3) == "\xE3\x80\x80") i += 3;
    else return false;
  }
  return true;
}

}  // namespace precept
