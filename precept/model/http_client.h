#pragma once
// Many HTTP calls on one thread, to one endpoint or several: queue, connection reuse, timeouts, retries, how many at once.
// Knows nothing of models.

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/rng.h"
#include "precept/model/http_options.h"
#include "precept/model/http_wire.h"

namespace precept {

class HttpClient {
 public:
  struct Call {
    std::string path;                   // below the endpoint's address: "/models"
    std::function<std::string()> body;  // empty: GET; otherwise POST of JSON, made anew per attempt
    RngKey key;                         // decides the jitter of the pauses
    int connect_retries = -1;           // when no server can be reached; -1: as for all else
    std::size_t max_bytes = 0;          // of the answer; 0: HttpOptions::max_body_bytes, which is the most
    // Reads the body of a 200 reply; a transient problem leads to another attempt.
    std::function<std::optional<HttpProblem>(std::string_view body)> read;
    // For bodies that are read as they come: parts of that of a 200 reply, inside advance(); `read` follows. And whether another
    // attempt may be made after one that failed.
    std::function<void(std::string_view bytes)> on_part;
    std::function<bool()> may_repeat;
    // Exactly once, inside advance(): nullopt after a `read` that succeeded, else the last problem. `endpoint` is the one
    // that was asked last.
    std::function<void(std::optional<HttpProblem>, std::size_t endpoint)> done;
  };

  // At least one endpoint. Those on this machine are reached without the environment's proxies.
  HttpClient(const HttpOptions& options, std::vector<HttpAddress> endpoints);
  ~HttpClient();  // drops every call; no `done` runs
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  void leave_out(std::size_t endpoint);  // known to be down: probed like any other that is out
  void submit(Call call);
  // Waits at most `wait`, and not at all once something is finished. Returns calls not yet done.
  std::size_t advance(std::chrono::milliseconds wait);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
