#include "precept/model/http_wire.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <memory>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/model/http_json.h"

namespace precept {
namespace {

using nlohmann::json;
using namespace http_json;

bool push_logprob(const json& value, std::vector<float>& logprobs) {
  if (!value.is_number()) return false;
  logprobs.push_back(static_cast<float>(value.get<double>()));
  return true;
}

// Chat: {"content":[{"logprob":x}...]}; completions: {"token_logprobs":[x...]}.
bool read_logprobs(const json& choice, std::vector<float>& logprobs) {
  const json* object = find(choice, "logprobs");
  if (object == nullptr) return true;
  if (const json* content = find(*object, "content")) {
    if (!content->is_array()) return false;
    for (const json& token : *content) {
      const json* logprob = find(token, "logprob");
      if (logprob == nullptr || !push_logprob(*logprob, logprobs)) return false;
    }
    return true;
  }
  if (const json* values = find(*object, "token_logprobs")) {
    if (!values->is_array()) return false;
    for (const json& value : *values) {
      if (!push_logprob(value, logprobs)) return false;
    }
  }
  return object->is_object();
}

void cut_at_stop(const GenerateRequest& request, Generation& answer) {
  std::size_t end = std::string::npos;
  for (const std::string& stop : request.sampling.stop) {
    end = std::min(end, answer.text.find(stop));
  }
  if (end == std::string::npos) return;
  answer.text.resize(end);
  answer.finish = Finish::kStop;
}

// The string under any of the keys in which servers put their reasons.
const std::string* words_in(const json& root) {
  if (root.is_string()) return &root.get_ref<const std::string&>();
  for (const char* key : {"error", "message", "detail", "msg"}) {
    const json* field = find(root, key);
    if (field == nullptr) continue;
    if (field->is_string()) return &field->get_ref<const std::string&>();
    if (field->is_array() && !field->empty()) field = &field->front();
    if (const std::string* words = field->is_object() ? words_in(*field) : nullptr) return words;
  }
  return nullptr;
}

std::string without_tags(std::string_view text) {
  std::string out;
  bool in_tag = false;
  for (const char c : text.substr(0, 4096)) {
    if (c == '<') {
      in_tag = true;
      out += ' ';
    } else if (c == '>' && in_tag) {
      in_tag = false;
    } else if (!in_tag) {
      out += c;
    }
  }
  return out;
}

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

std::string url_part(CURLU* url, CURLUPart part) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, 0) != CURLUE_OK || text == nullptr) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

}  // namespace

Result<HttpAddress> parse_http_address(const std::string& uri) {
  const std::string shown = one_line(uri, 200);
  const std::string example = "write it like http://127.0.0.1:8000/v1#name";
  const std::size_t hash = uri.find('#');
  const std::string front = uri.substr(0, hash);
  HttpAddress address;
  if (hash != std::string::npos) address.name = uri.substr(hash + 1);
  if (find_invalid_utf8(address.name) || one_line(address.name, address.name.size()) != address.name) {
    return bad_input("the model's name in the address is not plain UTF-8 text", example);
  }
  // curl would mend a missing or doubled slash; a mistake should show instead.
  const std::size_t slashes = front.find("://");
  const std::unique_ptr<CURLU, UrlDeleter> url(curl_url());
  if (!url || slashes == std::string::npos || front.compare(slashes + 3, 1, "/") == 0 || front.size() > 4096 ||
      curl_url_set(url.get(), CURLUPART_URL, front.c_str(), 0) != CURLUE_OK) {
    return bad_input("not a model address: " + shown, example);
  }
  const std::string scheme = url_part(url.get(), CURLUPART_SCHEME);
  const std::string host = url_part(url.get(), CURLUPART_HOST);
  if ((scheme != "http" && scheme != "https") || host.empty()) {
    return bad_input("not a model address: " + shown, example);
  }
  if (!url_part(url.get(), CURLUPART_USER).empty() ||
      !url_part(url.get(), CURLUPART_PASSWORD).empty()) {
    return bad_input("a model address must not contain a user or password",
                     "put the key into the environment variable PRECEPT_API_KEY");
  }
  if (!url_part(url.get(), CURLUPART_QUERY).empty()) {
    return bad_input("a model address must not contain a query: " + shown, example);
  }
  const std::string port = url_part(url.get(), CURLUPART_PORT);
  address.base = scheme + "://" + host + (port.empty() ? "" : ":" + port);
  std::string path = url_part(url.get(), CURLUPART_PATH);
  while (!path.empty() && path.back() == '/') path.pop_back();
  address.base += path;
  address.loopback = host == "localhost" || host == "[::1]" || host.rfind("127.", 0) == 0;
  return address;
}

bool wants_parts(const GenerateRequest& request) { return request.on_text && !request.logprobs; }

std::string request_body(const GenerateRequest& request, const std::string& name) {
  const bool parts = wants_parts(request);
  json body = {{"model", name},
               {"max_tokens", request.sampling.max_tokens},
               {"temperature", request.sampling.temperature},
               {"top_p", request.sampling.top_p},
               {"stream", parts},
               // 31 bits: the widest seed that every server takes.
               {"seed", static_cast<std::int64_t>(Rng(request.key).next() >> 33)}};
  if (parts) body["stream_options"] = {{"include_usage", true}};
  const auto& stop = request.sampling.stop;
  if (!stop.empty()) {
    body["stop"] = std::vector<std::string>(
        stop.begin(), stop.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(stop.size(), 4)));
  }
  if (request.raw) {
    body["prompt"] = request.messages.front().content;
    if (request.logprobs) body["logprobs"] = 1;
  } else {
    json messages = json::array();
    for (const Message& message : request.messages) {
      messages.push_back({{"role", message.role}, {"content", message.content}});
    }
    body["messages"] = std::move(messages);
    if (request.logprobs) body["logprobs"] = true;
  }
  return body.dump();
}

std::optional<HttpProblem> parse_answer(std::string_view body, const GenerateRequest& request,
                                        Generation& answer) {
  answer = Generation{};
  json root;
  if (auto problem = parse_body(body, root)) return problem;
  const json* choices = find(root, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty()) {
    return unreadable("has no choices");
  }
  const json& choice = choices->front();
  if (!read_usage(root, answer.usage)) return unreadable("has a usage that is not counts");
  if (auto problem = read_finish(choice, request, answer)) return problem;
  const json* holder = request.raw ? &choice : find(choice, "message");
  const json* text = holder == nullptr ? nullptr : find(*holder, request.raw ? "text" : "content");
  if (text == nullptr) {
    HttpProblem problem = unreadable("has no text");
    if (answer.finish == Finish::kLength) {
      problem.hint = "the model used up its tokens before it answered: allow more (max tokens)";
      problem.transient = false;
    }
    return problem;
  }
  if (!text->is_string()) return unreadable("has a text that is not a string");
  if (request.logprobs && !read_logprobs(choice, answer.logprobs)) {
    return unreadable("has log-probs of a wrong type");
  }
  answer.text = text->get<std::string>();
  answer.by.fingerprint = read_fingerprint(root);
  cut_at_stop(request, answer);
  return std::nullopt;
}

std::optional<HttpProblem> parse_model_list(std::string_view body,
                                            std::vector<ServedModel>& models) {
  models.clear();
  json root;
  if (auto problem = parse_body(body, root)) return problem;
  const json* data = find(root, "data");
  if (data == nullptr || !data->is_array()) return unreadable("has no list of models");
  for (const json& entry : *data) {
    const json* id = find(entry, "id");
    if (id == nullptr || !id->is_string()) return unreadable("lists a model without an id");
    ServedModel model;
    model.id = id->get<std::string>();
    json lasting = json::object();  // "created" and "permission" change with every request to some
    for (const char* key : {"id", "root", "parent", "owned_by", "max_model_len", "meta"}) {
      if (const json* field = find(entry, key)) lasting[key] = *field;
    }
    model.lasting = lasting.dump();
    for (const char* key : {"root", "parent", "owned_by"}) lasting.erase(key);
    model.alike = lasting.dump();
    std::int64_t context = 0;
    if (read_count(entry, "max_model_len", context) && context <= 1'000'000'000) {
      model.context_tokens = static_cast<int>(context);
    }
    if (const json* meta = find(entry, "meta")) {
      if (!read_count(*meta, "n_params", model.parameters)) model.parameters = 0;
    }
    models.push_back(std::move(model));
  }
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value,
                                                           std::chrono::system_clock::time_point now) {
  using std::chrono::milliseconds;
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t' || value.back() == '\r' || value.back() == '\n')) {
    value.remove_suffix(1);
  }
  if (value.empty() || value.size() > 60) return std::nullopt;
  const milliseconds most = std::chrono::hours(24);
  const std::string text(value);
  if (text.find_first_not_of("0123456789.") == std::string::npos) {
    char* end = nullptr;
    const double seconds = std::strtod(text.c_str(), &end);
    if (*end != '\0' || !(seconds >= 0)) return std::nullopt;
    return seconds >= 86400 ? most : milliseconds(static_cast<std::int64_t>(std::ceil(seconds * 1000)));
  }
  const std::time_t date = curl_getdate(text.c_str(), nullptr);
  if (date < 0) return std::nullopt;
  const std::time_t today = std::chrono::system_clock::to_time_t(now);
  if (date <= today) return milliseconds(0);
  if (date - today >= 86400) return most;
  return std::chrono::ceil<milliseconds>(std::chrono::system_clock::from_time_t(date) - now);
}

std::string server_words(std::string_view body, std::size_t max_bytes) {
  const json root = parse_bounded(body.substr(0, std::size_t{64} << 10));
  if (!root.is_discarded()) {
    const std::string* words = words_in(root);
    if (words != nullptr) return one_line(*words, max_bytes);
  }
  return one_line(without_tags(body), max_bytes);
}

std::string one_line(std::string_view text, std::size_t max_bytes) {
  std::string out;
  const std::string_view bounded = text.substr(0, 4 * max_bytes);
  for (const char c : bounded) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte == 0x7f) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c;
    }
  }
  out.resize(utf8_prefix(out, max_bytes).size());
  while (!out.empty() && out.back() == ' ') out.pop_back();
  while (const auto bad = find_invalid_utf8(out)) out[*bad] = '?';
  return out;
}

}  // namespace precept
