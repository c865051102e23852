#pragma once
// A model behind an OpenAI-compatible server (vLLM, SGLang, llama-server, Ollama, hosted ones).
//
// URI: http(s)://host[:port][/path]#name, for example http://127.0.0.1:8000/v1#qwen. Requests go to
// PATH/chat/completions, raw ones to PATH/completions. Without a name the server's only model is used.
//
// One thread; many requests in flight; what exceeds `max_in_flight` waits in a queue. Trouble that may
// pass (no connection, 408, 425, 429, 5xx, a timeout, a cut, oversized or unreadable body) is retried
// with exponential backoff; 429 and 503 may set the pause by Retry-After. What will not pass (other
// 4xx, redirects, a certificate that cannot be verified) is reported at once with the server's words.
// Once a request has given up on connecting, others that cannot connect fail without retries until the
// server answers again. Redirects are never followed. Nothing is sent but to the host of the URI.
//
// What is not known of such a server: token ids (Generation::tokens stays empty), scores (can_score is
// false), and whether it honours `seed`. Log-probs are passed on where it gives them.
// Digest: SHA-256 of URL, name and the lasting fields of the server's entry in /models (id, root,
// parent, owner, context length, meta); a server without /models is known by URL and name alone.

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>

#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

struct HttpOptions {
  int max_in_flight = 64;                          // requests on the wire at once
  std::chrono::milliseconds timeout{120'000};      // of one attempt
  std::chrono::milliseconds connect_timeout{10'000};
  int retries = 5;                                 // after the first attempt
  std::chrono::milliseconds total_deadline{900'000};  // of one request with its retries and pauses
  std::chrono::milliseconds backoff_first{250};    // doubles with every retry, times 0.5 to 1 (jitter)
  std::chrono::milliseconds backoff_max{10'000};
  std::chrono::milliseconds retry_after_max{60'000};  // a longer Retry-After is cut to this
  std::size_t max_body_bytes = std::size_t{16} << 20;
  std::string api_key;                             // sent as a Bearer token; empty: none
};

// The defaults, changed by PRECEPT_API_KEY (else OPENAI_API_KEY), PRECEPT_HTTP_IN_FLIGHT (1..4096),
// PRECEPT_HTTP_TIMEOUT (seconds, 0.01..86400) and PRECEPT_HTTP_RETRIES (0..100).
Result<HttpOptions> http_options_from_environment();

// Asks the server for its models (blocking, with retries), so that a wrong address shows at once.
// kBadInput: a malformed URI, or no name where the server has several. kFailed: anything else.
Result<std::unique_ptr<Model>> open_http_model(const std::string& uri, const HttpOptions& options);

}  // namespace precept
