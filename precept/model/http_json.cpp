#include "precept/model/http_json.h"

#include <algorithm>
#include <limits>

#include "precept/core/strict_json.h"

namespace precept::http_json {

// Discarded when it is not JSON or nested too deeply.
json parse_bounded(std::string_view text) {
  if (nested_too_deeply(text)) return json(json::value_t::discarded);
  return json::parse(text, nullptr, false);
}

HttpProblem unreadable(const std::string& what) {
  HttpProblem problem;
  problem.what = "the server's answer " + what;
  problem.hint = "is this the address of an OpenAI-compatible server? Most end in /v1";
  problem.transient = true;
  return problem;
}

const json* find(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

// Parses a 200 body into `root`; an error object in it is a problem as well.
std::optional<HttpProblem> parse_body(std::string_view body, json& root) {
  root = parse_bounded(body);
  if (root.is_discarded()) {
    const std::string words = server_words(body, 80);
    return unreadable("is not JSON" + (words.empty() ? " (it is empty)" : ": \"" + words + "\""));
  }
  if (!root.is_object()) return unreadable("is not a JSON object");
  if (find(root, "error") != nullptr) {
    const std::string words = server_words(body);
    return unreadable("is an error" + (words.empty() ? "" : ": " + words));
  }
  return std::nullopt;
}

bool read_count(const json& object, const char* key, std::int64_t& value) {
  const json* field = find(object, key);
  if (field == nullptr) return true;
  if (!field->is_number_integer()) return false;
  if (field->is_number_unsigned() &&
      field->get<std::uint64_t>() >
          static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return false;
  }
  value = field->get<std::int64_t>();
  return value >= 0;
}

bool read_usage(const json& root, Usage& usage) {
  const json* object = find(root, "usage");
  if (object == nullptr) return true;
  if (!object->is_object()) return false;
  if (!read_count(*object, "prompt_tokens", usage.prompt_tokens)) return false;
  if (!read_count(*object, "completion_tokens", usage.output_tokens)) return false;
  if (const json* details = find(*object, "prompt_tokens_details")) {
    if (!read_count(*details, "cached_tokens", usage.cached_tokens)) return false;
  }
  usage.cached_tokens = std::min(usage.cached_tokens, usage.prompt_tokens);
  constexpr std::int64_t kMost = 1'000'000'000'000;  // sums over many answers must not overflow
  return usage.prompt_tokens <= kMost && usage.output_tokens <= kMost;
}

std::optional<HttpProblem> read_finish(const json& choice, const GenerateRequest& request, Generation& answer) {
  const json* reason = find(choice, "finish_reason");
  if (reason == nullptr) {  // some servers leave it out
    answer.finish = answer.usage.output_tokens >= request.sampling.max_tokens ? Finish::kLength
                                                                              : Finish::kStop;
    return std::nullopt;
  }
  if (!reason->is_string()) return unreadable("has a finish_reason that is not a string");
  const std::string& word = reason->get_ref<const std::string&>();
  if (word == "content_filter" || word == "tool_calls" || word == "function_call") {
    HttpProblem problem;
    problem.what = "the server withheld the answer (finish_reason " + word + ")";
    problem.hint = "this is the server's own rule; use a server without such a filter";
    return problem;
  }
  answer.finish = word == "length" || word == "max_tokens" ? Finish::kLength : Finish::kStop;
  return std::nullopt;
}

std::string read_fingerprint(const json& root) {
  const json* field = find(root, "system_fingerprint");
  return field != nullptr && field->is_string() ? one_line(field->get_ref<const std::string&>(), 200) : std::string();
}

}  // namespace precept::http_json
