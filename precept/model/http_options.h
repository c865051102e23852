#pragma once
// How requests go to an endpoint: limits, patience, credentials. Nothing here changes an answer.

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/events.h"
#include "precept/core/result.h"

namespace precept {

struct HttpOptions {
  int max_in_flight = 64;                          // requests on the wire at once, at each endpoint
  std::chrono::milliseconds timeout{120'000};      // of one attempt
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds stall_timeout{30'000};  // between two parts of an answer that has begun
  int retries = 5;                                 // after the first attempt
  std::chrono::milliseconds total_deadline{900'000};  // of one request with its retries and pauses
  std::chrono::milliseconds backoff_first{250};    // doubles with every retry, times 0.5 to 1 (jitter)
  std::chrono::milliseconds backoff_max{10'000};
  std::chrono::milliseconds retry_after_max{60'000};  // a longer Retry-After is cut to this
  std::size_t max_body_bytes = std::size_t{16} << 20;
  std::string api_key;                             // sent as a Bearer token; empty: none
  std::vector<std::string> headers;                // "Name: value", sent with every request
  std::vector<std::string> secrets;                // besides the key: never shown, never in an answer
  std::string proxy;    // address; empty: as the environment says (http_proxy...), none for this machine
  std::string ca_file;  // certificates of authorities; empty: the system's
  EventSink events;     // warnings about endpoints that are left out
  // For tests: the time of pauses, and the time of day by which a Retry-After date is read.
  std::function<std::chrono::steady_clock::time_point()> now = std::chrono::steady_clock::now;
  std::function<std::chrono::system_clock::time_point()> wall = std::chrono::system_clock::now;
};

// The defaults, changed by PRECEPT_API_KEY (else OPENAI_API_KEY), PRECEPT_HTTP_IN_FLIGHT (1..4096),
// PRECEPT_HTTP_TIMEOUT (seconds, 0.01..86400) and PRECEPT_HTTP_RETRIES (0..100).
Result<HttpOptions> http_options_from_environment();

// The key in the variable `name`; with an empty name in PRECEPT_API_KEY, else OPENAI_API_KEY, else none. kBadInput for a
// named variable that is not set, and for characters that no key has; the message does not hold the key.
Result<std::string> api_key_from(const std::string& name);

// Lines "Name: value" as headers, with $VAR and ${VAR} from the environment ($$ is a dollar); their values join
// `options.secrets`. kBadInput for what is no header, for a variable that is not set, for headers that belong to the
// protocol, and for credentials (Authorization and the like) that are written out: `how_given` names the option in messages.
Status add_headers(std::string_view lines, const std::string& how_given, HttpOptions& options);

// The address of a proxy with variables likewise; one with a password must come from a variable.
Status set_proxy(const std::string& text, const std::string& how_given, HttpOptions& options);

// The key and `secrets`, those of eight bytes or more.
std::vector<std::string> long_secrets(const HttpOptions& options);

// Each of them in `text` becomes "***".
std::string without(std::string text, const std::vector<std::string>& secrets);
std::string without_secrets(std::string text, const HttpOptions& options);

}  // namespace precept
