#include "precept/model/request_check.h"

#include <cmath>
#include <string>

#include "precept/core/io.h"

namespace precept {
namespace {

Status check_messages(const Conversation& messages, bool raw) {
  if (messages.empty()) return bad_input("a request has no messages", "give at least one message");
  if (raw && messages.size() != 1) {
    return bad_input("a raw request has " + std::to_string(messages.size()) + " messages",
                     "raw text is continued as it stands: give it as the only message");
  }
  for (const Message& message : messages) {
    if (message.role != "system" && message.role != "user" && message.role != "assistant") {
      const std::string shown =
          find_invalid_utf8(message.role) ? "?" : std::string(utf8_prefix(message.role, 40));
      return bad_input("unknown role \"" + shown + "\"", "use system, user or assistant");
    }
    if (find_invalid_utf8(message.content)) {
      return bad_input("a message is not UTF-8", "convert the text to UTF-8");
    }
  }
  return {};
}

Status check_adapter(const std::string& name, const std::vector<AdapterInfo>& adapters) {
  if (name.empty()) return {};
  std::string known;
  for (const AdapterInfo& adapter : adapters) {
    if (adapter.name == name) return {};
    known += (known.empty() ? "" : ", ") + adapter.name;
  }
  const std::string shown = find_invalid_utf8(name) ? "?" : std::string(utf8_prefix(name, 40));
  return bad_input("the model has no adapter \"" + shown + "\"", adapters.empty() ? "it has none" : "it has " + known);
}

}  // namespace

Status check_request(const GenerateRequest& request, const std::vector<AdapterInfo>& adapters) {
  if (Status status = check_messages(request.messages, request.raw); !status) return status;
  if (Status status = check_adapter(request.adapter, adapters); !status) return status;
  const Sampling& sampling = request.sampling;
  if (sampling.max_tokens < 1) {
    return bad_input("max_tokens is " + std::to_string(sampling.max_tokens), "use 1 or more");
  }
  if (!std::isfinite(sampling.temperature) || sampling.temperature < 0) {
    return bad_input("temperature is " + std::to_string(sampling.temperature),
                     "use 0 (greedy) or more");
  }
  if (!(sampling.top_p > 0 && sampling.top_p <= 1)) {
    return bad_input("top_p is " + std::to_string(sampling.top_p), "use a value in (0, 1]");
  }
  for (const std::string& stop : sampling.stop) {
    if (stop.empty()) return bad_input("a stop string is empty", "leave it out");
    if (find_invalid_utf8(stop)) {
      return bad_input("a stop string is not UTF-8", "convert it to UTF-8");
    }
  }
  return {};
}

Status check_request(const ScoreRequest& request, const std::vector<AdapterInfo>& adapters) {
  if (Status status = check_messages(request.messages, request.raw); !status) return status;
  if (Status status = check_adapter(request.adapter, adapters); !status) return status;
  if (request.questions.empty()) return bad_input("a score request has no questions");
  for (const ScoreQuestion& question : request.questions) {
    if (question.options.empty()) {
      return bad_input("a question has no options", "give the answers to score");
    }
    if (find_invalid_utf8(question.tail)) return bad_input("a question is not UTF-8");
    for (const std::string& option : question.options) {
      if (find_invalid_utf8(option)) return bad_input("an option is not UTF-8");
    }
  }
  return {};
}

}  // namespace precept
