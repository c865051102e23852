#include "precept/model/http_options.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>

#include "precept/model/http_wire.h"

namespace precept {
namespace {

constexpr std::size_t kShortestSecret = 8;

// A number in [low, high] from the environment; `value` stays where the variable is not set.
Status read_number(const char* variable, double low, double high, double& value) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return {};
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  if (*end != '\0' || !(number >= low && number <= high)) {
    return bad_input(std::string(variable) + " is not a number in range: " + one_line(text, 60),
                     "use a value from " + one_line(std::to_string(low), 20) + " to " +
                         one_line(std::to_string(high), 20));
  }
  value = number;
  return {};
}

bool is_name_byte(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Text with $VAR, ${VAR} and $$ replaced; the values of variables join `values`.
Result<std::string> expanded(std::string_view text, const std::string& how_given, std::vector<std::string>& values) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$') {
      out += text[i];
      continue;
    }
    if (i + 1 < text.size() && text[i + 1] == '$') {
      out += text[++i];
      continue;
    }
    const bool braces = i + 1 < text.size() && text[i + 1] == '{';
    std::size_t begin = i + (braces ? 2 : 1), end = begin;
    while (end < text.size() && is_name_byte(text[end])) ++end;
    const std::string name(text.substr(begin, end - begin));
    if (name.empty() || (braces && (end == text.size() || text[end] != '}'))) {
      return bad_input(how_given + " has a $ without the name of a variable", "write $$ for a dollar");
    }
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') {
      return bad_input(how_given + " names the environment variable " + one_line(name, 80) + ", which is not set",
                       "set it, or mend the name");
    }
    out += value;
    values.emplace_back(value);
    i = braces ? end : end - 1;
  }
  return out;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

template <std::size_t N>
bool is_one_of(const std::string& text, const std::array<const char*, N>& list) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

constexpr std::array kCredentials = {"authorization", "proxy-authorization", "x-api-key", "api-key", "cookie",
                                     "x-goog-api-key", "x-auth-token"};
constexpr std::array kProtocol = {"content-length", "transfer-encoding", "host", "connection", "content-type", "expect"};

Status add_header(std::string_view line, const std::string& how_given, HttpOptions& options) {
  const std::string example = "write it like " + how_given + " 'Name: value', with $VAR for what is secret";
  const std::size_t colon = line.find(':');
  const std::string name = lower(line.substr(0, colon));
  const bool token = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return is_name_byte(c) || c == '-' || c == '.';
  });
  if (colon == std::string_view::npos || !token) return bad_input(how_given + " is not a header", example);
  if (is_one_of(name, kProtocol)) return bad_input(how_given + " may not set " + name, "leave it out: it belongs to the protocol");
  std::string_view value = line.substr(colon + 1);
  while (!value.empty() && value.front() == ' ') value.remove_prefix(1);
  std::vector<std::string> variables;
  const auto text = expanded(value, how_given, variables);
  if (!text) return tl::unexpected<Error>(text.error());
  if (variables.empty() && is_one_of(name, kCredentials)) {
    return bad_input(how_given + " writes out the secret of " + name,
                     "put it into an environment variable and write '" + name + ": $VAR'");
  }
  if (text->empty() || std::any_of(text->begin(), text->end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; })) {
    return bad_input(how_given + ": the value of " + name + " is empty or has control characters", example);
  }
  options.headers.push_back(std::string(line.substr(0, colon)) + ": " + *text);
  options.secrets.insert(options.secrets.end(), variables.begin(), variables.end());
  if (!variables.empty()) options.secrets.push_back(*text);
  return {};
}

}  // namespace

Result<std::string> api_key_from(const std::string& name) {
  std::vector<std::string> variables = {"PRECEPT_API_KEY", "OPENAI_API_KEY"};
  if (!name.empty()) variables = {name};
  for (const std::string& variable : variables) {
    const char* key = std::getenv(variable.c_str());
    if (key == nullptr || *key == '\0') continue;
    for (const char* c = key; *c != '\0'; ++c) {
      if (static_cast<unsigned char>(*c) <= 0x20 || static_cast<unsigned char>(*c) >= 0x7f) {
        return bad_input(variable + " holds a character that no key has", "check it for spaces and line ends");
      }
    }
    return std::string(key);
  }
  if (name.empty()) return std::string();
  const bool plain = std::all_of(name.begin(), name.end(), is_name_byte);
  // What is no name of a variable may be the key itself: it is not repeated.
  return bad_input("the environment variable for the API key is not set" + (plain && name.size() <= 40 ? ": " + name : ""),
                   "give the name of a variable that holds the key, not the key");
}

Result<HttpOptions> http_options_from_environment() {
  HttpOptions options;
  auto key = api_key_from("");
  if (!key) return tl::unexpected<Error>(key.error());
  options.api_key = std::move(*key);
  double in_flight = options.max_in_flight;
  double retries = options.retries;
  double seconds = static_cast<double>(options.timeout.count()) / 1000;
  Status status = read_number("PRECEPT_HTTP_IN_FLIGHT", 1, 4096, in_flight);
  if (status) status = read_number("PRECEPT_HTTP_RETRIES", 0, 100, retries);
  if (status) status = read_number("PRECEPT_HTTP_TIMEOUT", 0.01, 86400, seconds);
  if (!status) return tl::unexpected<Error>(status.error());
  options.max_in_flight = static_cast<int>(in_flight);
  options.retries = static_cast<int>(retries);
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  return options;
}

Status add_headers(std::string_view lines, const std::string& how_given, HttpOptions& options) {
  while (!lines.empty()) {
    const std::size_t end = std::min(lines.find('\n'), lines.size());
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(end + 1, lines.size()));
    if (line.empty()) continue;
    if (Status status = add_header(line, how_given, options); !status) return status;
  }
  return {};
}

Status set_proxy(const std::string& text, const std::string& how_given, HttpOptions& options) {
  std::vector<std::string> variables;
  const auto address = expanded(text, how_given, variables);
  if (!address) return tl::unexpected<Error>(address.error());
  const std::string example = "write it like " + how_given + " http://127.0.0.1:3128, or '$VAR' for one with a password";
  if (variables.empty() && address->find('@') != std::string::npos) {
    return bad_input(how_given + " writes out a user or password", example);
  }
  const std::string scheme = lower(address->substr(0, address->find("://")));
  static constexpr std::array kSchemes = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"};
  const bool odd = std::any_of(address->begin(), address->end(), [](unsigned char c) { return c <= 0x20 || c >= 0x7f; });
  if (odd || !is_one_of(scheme, kSchemes)) return bad_input(how_given + " is not the address of a proxy", example);
  options.proxy = *address;
  options.secrets.insert(options.secrets.end(), variables.begin(), variables.end());
  return {};
}

std::vector<std::string> long_secrets(const HttpOptions& options) {
  std::vector<std::string> all = {options.api_key};
  all.insert(all.end(), options.secrets.begin(), options.secrets.end());
  all.erase(std::remove_if(all.begin(), all.end(), [](const std::string& each) { return each.size() < kShortestSecret; }), all.end());
  return all;
}

std::string without(std::string text, const std::vector<std::string>& secrets) {
  for (const std::string& secret : secrets) {
    for (std::size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3)) {
      text.replace(at, secret.size(), "***");
    }
  }
  return text;
}

std::string without_secrets(std::string text, const HttpOptions& options) { return without(std::move(text), long_secrets(options)); }

}  // namespace precept
