#pragma once
// The words of the OpenAI-compatible protocol: bodies out, bodies in. No network here; every reader
// takes hostile bytes. Format: https://platform.openai.com/docs/api-reference/chat

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

struct HttpProblem {
  std::string what;        // one line
  std::string hint;
  bool transient = false;  // another attempt may help
  int status = 0;          // HTTP status; 0: none was received
  bool connect = false;    // the server could not be reached at all
  bool timeout = false;    // it did not answer in time, or stopped in the middle
};

struct HttpAddress {
  std::string base;  // scheme://host[:port][/path], without a slash at the end
  std::string name;  // after '#'; may be empty
  bool loopback = false;
};

// kBadInput for what is not an http(s) address, and for one with user, password or query.
Result<HttpAddress> parse_http_address(const std::string& uri);

// Is the answer asked for in parts (http_stream.h)? Where somebody wants its text as it comes; not with log-probs.
bool wants_parts(const GenerateRequest& request);

// The request must have passed check_request(). At most four stop strings are sent (what servers
// take); parse_answer cuts at all of them.
std::string request_body(const GenerateRequest& request, const std::string& name);

// Fills `answer` from the body of a 200 reply, or says why it cannot.
std::optional<HttpProblem> parse_answer(std::string_view body, const GenerateRequest& request,
                                        Generation& answer);

struct ServedModel {
  std::string id;
  std::string lasting;  // the fields that do not change while the model stays the same, as JSON
  std::string alike;    // those of them that are the same on every machine that serves it
  int context_tokens = 0;
  std::int64_t parameters = 0;
};
std::optional<HttpProblem> parse_model_list(std::string_view body, std::vector<ServedModel>& models);

// How long Retry-After asks to wait: seconds, or an HTTP date as seen at `now`; at most a day, never negative. nullopt for
// anything else.
std::optional<std::chrono::milliseconds> parse_retry_after(std::string_view value,
                                                           std::chrono::system_clock::time_point now);

// The server's own words in an error body (OpenAI's and FastAPI's shapes, else the text itself without
// tags), as one line of at most `max_bytes`; empty when there are none.
std::string server_words(std::string_view body, std::size_t max_bytes = 300);

// Control characters and runs of spaces become one space; bytes that are not UTF-8 become '?'.
std::string one_line(std::string_view text, std::size_t max_bytes);

}  // namespace precept
