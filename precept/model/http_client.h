#pragma once
// Many HTTP calls on one thread: queue, connection reuse, timeouts, retries. Knows nothing of models.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "precept/core/rng.h"
#include "precept/model/http_model.h"
#include "precept/model/http_wire.h"

namespace precept {

class HttpClient {
 public:
  struct Call {
    std::string url;
    std::function<std::string()> body;  // empty: GET; otherwise POST of JSON, made anew per attempt
    RngKey key;                         // decides the jitter of the pauses
    int connect_retries = -1;           // when the server cannot be reached; -1: as for all else
    // Reads the body of a 200 reply; a transient problem leads to another attempt.
    std::function<std::optional<HttpProblem>(std::string_view body)> read;
    // Exactly once, inside advance(): nullopt after a `read` that succeeded, else the last problem.
    std::function<void(std::optional<HttpProblem>)> done;
  };

  // `direct`: no proxy, for addresses on this machine.
  HttpClient(const HttpOptions& options, bool direct);
  ~HttpClient();  // drops every call; no `done` runs
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void submit(Call call);
  // Waits at most `wait`, and not at all once something is finished. Returns calls not yet done.
  std::size_t advance(std::chrono::milliseconds wait);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
