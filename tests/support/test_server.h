#pragma once
// An OpenAI-compatible server that misbehaves on purpose, for tests. Which request meets which trouble
// is a pure function of (seed, body, how often this body was seen), not of threads or timing.

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "precept/core/result.h"

namespace precept {

enum class Trouble {
  kNone,      // a proper answer
  kSlow,      // a proper answer, late
  kTooMany,   // 429 with Retry-After
  kInternal,  // 500
  kHtml,      // 200 with a web page
  kHalfJson,  // 200 with the first half of the answer
  kDrop,      // the connection ends in the middle of the answer
  kFlood,     // a body that does not end before 64 MB
  kGarbage,   // 200 with random bytes, or JSON whose fields are missing or of the wrong type
  kTooManyBare,  // 429 without Retry-After
  kUnavailable,  // 503
  kStall,     // half of the answer, and then nothing
};
inline constexpr Trouble kLastTrouble = Trouble::kStall;

// "none", "slow", "too_many", "internal", "html", "half_json", "drop", "flood", "garbage", "too_many_bare",
// "unavailable", "stall".
const char* name_of(Trouble trouble);

struct TestServerOptions {
  int port = 0;                       // 0: any free one
  std::uint64_t seed = 1;
  std::map<Trouble, double> share{};    // of the requests; the rest is answered properly
  bool troubled_list = false;         // /models misbehaves as well
  std::chrono::milliseconds slow{300};
  int retry_after = 0;                // seconds, sent with 429
  std::string retry_after_text{};     // sent instead, if it is not empty
  int capacity = 0;                   // more POSTs at once get 429; 0: any number
  std::string fingerprint{};          // system_fingerprint; empty: none
  bool top_logprobs = true;           // candidates of the first token, where they are asked for
  // The candidates: tokens with log-probs. Unset: "Yes" and "no" in several spellings, from a hash of the request.
  std::function<std::vector<std::pair<std::string, double>>(const nlohmann::json& request)> first_tokens{};
  std::string certificate{}, private_key{};  // files in PEM: then it speaks TLS
  std::chrono::milliseconds between_parts{0};  // of an answer that is asked for in parts
  std::function<void()> before_the_end{};      // called before the last of these parts is written
  bool whole_always = false;          // such a request gets a whole answer
  int threads = 96;                   // connections served at once
  std::vector<std::string> models = {"test"};
  int always_status = 0;              // every POST gets this status and body instead
  std::string always_body{};
  // The answer to a request body; an Error becomes HTTP 400. Unset: words that follow from a hash of
  // the request (and, unless the temperature is 0, its seed).
  std::function<Result<std::string>(const nlohmann::json& request)> content{};
};

struct TestServerStats {
  std::int64_t requests = 0;                // POSTs
  std::int64_t connections = 0;             // distinct ones that carried a POST
  std::int64_t most_at_once = 0;            // POSTs being answered at the same time
  std::map<Trouble, std::int64_t> troubles;
  std::vector<std::string> authorizations;  // distinct Authorization headers
  std::vector<std::string> headers;         // distinct "name: value" of all requests
  std::int64_t gets = 0;                    // GETs
  std::int64_t repeated = 0;                // POSTs whose body was answered properly before
  std::int64_t proxied = 0;                 // requests that came as to a proxy
  std::string last_body;
};

class TestServer {
 public:
  explicit TestServer(TestServerOptions options = {});  // listens on 127.0.0.1 when it returns
  ~TestServer();
  bool listening() const;       // false when the port was taken
  int port() const;
  std::string base() const;     // http://127.0.0.1:PORT/v1
  TestServerStats stats() const;
  void set_fingerprint(const std::string& fingerprint);
  void set_share(const std::map<Trouble, double>& share);
  void forget_most_at_once();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
