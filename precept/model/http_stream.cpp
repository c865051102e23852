#include "precept/model/http_stream.h"

#include <algorithm>
#include <utility>

#include "precept/model/http_json.h"
#include "precept/model/http_options.h"

namespace precept {
namespace {

using namespace http_json;

// Length of the longest end of `text` that is the beginning of `what`, but not all of it.
std::size_t begins_at_end(std::string_view text, std::string_view what) {
  if (what.empty()) return 0;
  for (std::size_t length = std::min(text.size(), what.size() - 1); length > 0; --length) {
    if (text.substr(text.size() - length) == what.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

AnswerStream::AnswerStream(const GenerateRequest& request, std::vector<std::string> secrets)
    : request_(request), secrets_(std::move(secrets)) {
  secrets_.erase(std::remove(secrets_.begin(), secrets_.end(), std::string()), secrets_.end());
}

void AnswerStream::feed(std::string_view bytes) {
  if (!seen_) {
    // An object, or a page of the web, is no stream of events; those begin with the name of a field or a comment.
    const std::size_t first = bytes.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
    if (first == std::string_view::npos) return;
    seen_ = true;
    whole_ = bytes[first] == '{' || bytes[first] == '[' || bytes[first] == '<';
    bytes.remove_prefix(first);
  }
  if (whole_) return;
  for (const char c : bytes) {
    const bool second = c == '\n' && carriage_;  // of a line end of two
    carriage_ = c == '\r';
    if (second) continue;
    if (c != '\n' && c != '\r') {
      line_ += c;
      continue;
    }
    line(line_);
    line_.clear();
  }
}

void AnswerStream::line(std::string_view text) {
  if (text.empty()) return event();
  constexpr std::string_view kData = "data:";
  if (text.substr(0, kData.size()) != kData) return;  // comments that keep the line open, names and numbers of events
  text.remove_prefix(kData.size());
  if (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  if (!data_.empty()) data_ += '\n';
  data_ += text;
}

void AnswerStream::event() {
  const std::string data = std::exchange(data_, {});
  if (data.empty() || problem_ || done_) return;
  any_event_ = true;
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  json root;
  problem_ = parse_body(data, root);
  if (problem_) return;
  if (!read_usage(root, answer_.usage)) problem_ = unreadable("has a usage that is not counts");
  if (std::string fingerprint = read_fingerprint(root); !fingerprint.empty()) answer_.by.fingerprint = std::move(fingerprint);
  const json* choices = find(root, "choices");
  if (problem_ || choices == nullptr || !choices->is_array() || choices->empty()) return;  // one with the usage has none
  const json& choice = choices->front();
  if (find(choice, "finish_reason") != nullptr) {
    ended_ = true;
    problem_ = read_finish(choice, request_, answer_);
  }
  const json* holder = request_.raw ? &choice : find(choice, "delta");
  const json* text = holder == nullptr ? nullptr : find(*holder, request_.raw ? "text" : "content");
  if (problem_ || text == nullptr) return;
  if (!text->is_string()) {
    problem_ = unreadable("has a text that is not a string");
    return;
  }
  add(text->get_ref<const std::string&>());
}

void AnswerStream::add(const std::string& text) {
  if (stopped_) return;
  pending_ += text;
  std::size_t end = std::string::npos;
  for (const std::string& stop : request_.sampling.stop) end = std::min(end, pending_.find(stop));
  stopped_ = end != std::string::npos;
  if (stopped_) pending_.resize(end);
  give(stopped_ ? end : pending_.size() - held());
}

std::size_t AnswerStream::held() const {
  std::size_t most = 0;
  for (const auto* list : {&request_.sampling.stop, &secrets_}) {
    for (const std::string& what : *list) most = std::max(most, begins_at_end(pending_, what));
  }
  return most;
}

void AnswerStream::give(std::size_t end) {
  const std::string part = without(pending_.substr(0, end), secrets_);
  pending_.erase(0, end);
  if (part.empty()) return;
  out_ += part;
  request_.on_text(part);
}

std::optional<HttpProblem> AnswerStream::finish(std::string_view body, Generation& answer) {
  line(std::exchange(line_, {}));
  event();
  if (!any_event_) {
    auto problem = parse_answer(body, request_, answer);
    if (problem) return problem;
    pending_ = std::move(answer.text);
    give(pending_.size());
    answer.text = out_;
    return std::nullopt;
  }
  if (problem_) return problem_;
  if (!done_ && !ended_ && !stopped_) {
    HttpProblem problem = unreadable("ends in the middle");
    problem.hint = "the server ended the connection: look at its log";
    return problem;
  }
  if (!ended_) answer_.finish = answer_.usage.output_tokens >= request_.sampling.max_tokens ? Finish::kLength : Finish::kStop;
  if (stopped_) answer_.finish = Finish::kStop;
  give(pending_.size());
  answer = std::move(answer_);
  answer.text = out_;
  return std::nullopt;
}

}  // namespace precept
