#pragma once
// One attempt on the wire: a curl handle with what it sends and what came back. Inside model/ only.

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>

#include <curl/curl.h>

#include "precept/model/http_options.h"
#include "precept/model/http_wire.h"

namespace precept {

// Lives at a fixed address while curl knows it.
class HttpTransfer {
 public:
  using Clock = std::chrono::steady_clock;

  // Sets the handle up. An empty `body` asks with GET. `headers` and `options` outlive the transfer. `on_part`, where it is
  // set, gets the body of a 200 reply as it comes, with secrets in it.
  void configure(CURL* easy, const HttpOptions& options, curl_slist* headers, const std::string& url, bool direct,
                 std::string body, std::chrono::milliseconds timeout, std::size_t max_bytes,
                 std::function<void(std::string_view)> on_part);
  CURL* easy() const { return easy_; }

  // An answer that began, and of which nothing more came for options.stall_timeout.
  bool stalled(Clock::time_point now, std::chrono::milliseconds stall_timeout) const;

  struct Outcome {
    int status = 0;                         // 0: none was received
    std::string body;                       // without secrets
    std::optional<HttpProblem> problem;     // unless the status is 200
    std::chrono::milliseconds retry_after{0};  // 0: not asked for
    bool lost = false;                      // the connection is gone
  };
  // What came of it, once curl (or stalled()) ended it.
  Outcome outcome(CURLcode code, bool stalled, const HttpOptions& options);

 private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  HttpProblem network_problem(CURLcode code, const HttpOptions& options) const;

  CURL* easy_ = nullptr;
  std::function<void(std::string_view)> on_part_;
  std::string sent_, received_, retry_after_;
  std::size_t header_bytes_ = 0, limit_ = 0;
  bool too_big_ = false, began_ = false;
  Clock::time_point last_{};
  char detail_[CURL_ERROR_SIZE] = {};
};

// What a status other than 200 means.
HttpProblem status_problem(int status, std::string_view body);

}  // namespace precept
