#include "precept/model/http_model.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <thread>

#include <nlohmann/json.hpp>

#include "tests/model/contract.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

using std::chrono::milliseconds;

HttpOptions quick() {
  HttpOptions options;
  options.backoff_first = milliseconds(2);
  options.backoff_max = milliseconds(20);
  options.retry_after_max = milliseconds(50);
  options.timeout = milliseconds(5000);
  return options;
}

std::unique_ptr<Model> open_or_die(const std::string& uri, const HttpOptions& options = quick()) {
  auto model = open_http_model(uri, options);
  EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message());
  return model ? std::move(*model) : nullptr;
}

GenerateRequest numbered(std::uint64_t i) {
  GenerateRequest request;
  request.messages = {{"user", "question " + std::to_string(i)}};
  request.key = {.seed = 1, .item = i};
  return request;
}

// Until nothing is in flight. False: `patience` steps in a row brought nothing, though something was.
bool advance_to_the_end(Model& model, int patience = 600) {
  std::size_t before = 0;
  for (int idle = 0; idle < patience;) {
    const std::size_t now = model.advance(milliseconds(100));
    if (now == 0) return true;
    idle = now == before ? idle + 1 : 0;
    before = now;
  }
  return false;
}

Result<Generation> ask_once(Model& model, GenerateRequest request, int patience = 600) {
  std::optional<Result<Generation>> answer;
  model.submit(std::move(request), [&](Result<Generation> got) { answer.emplace(std::move(got)); });
  EXPECT_TRUE(advance_to_the_end(model, patience)) << "it hangs";
  return answer ? std::move(*answer) : failed("no answer");
}

// A clock that stands still until it is moved.
struct HandClock {
  std::shared_ptr<std::chrono::steady_clock::time_point> now = std::make_shared<std::chrono::steady_clock::time_point>(std::chrono::hours(1));
  std::function<std::chrono::steady_clock::time_point()> reading() const {
    return [now = now] { return *now; };
  }
  void move(milliseconds by) { *now += by; }
};

void expect_one_line(const Error& error, ErrorKind kind = ErrorKind::kFailed) {
  EXPECT_EQ(error.kind, kind) << error.message();
  EXPECT_FALSE(error.what.empty());
  EXPECT_EQ(error.what.find('\n'), std::string::npos) << error.what;
  EXPECT_FALSE(error.hint.empty()) << error.what;
}

// A port on which nothing listens.
int dead_port() {
  const TestServer server;
  return server.port();
}

TEST(HttpModel, KeepsTheModelContract) {
  TestServer server;
  contract::ModelContract contract;
  contract.open = [&] { return open_or_die(server.base() + "#test"); };
  contract::check_model_contract(contract);
}

TEST(HttpModel, KeepsTheModelContractOnABadServer) {
  TestServer server({.share = {{Trouble::kTooMany, 0.1}, {Trouble::kInternal, 0.1},
                               {Trouble::kDrop, 0.1}, {Trouble::kGarbage, 0.1}},
                     .troubled_list = true});
  contract::ModelContract contract;
  contract.open = [&] {
    HttpOptions options = quick();
    options.retries = 30;
    return open_or_die(server.base() + "#test", options);
  };
  contract::check_model_contract(contract);
}

// The promise that matters: each of 2,000 requests is answered exactly once, with its own answer or
// with a reason, whatever the server does.
TEST(HttpModel, TwoThousandRequestsAgainstAMisbehavingServer) {
  TestServer server({.seed = 5,
                     .share = {{Trouble::kSlow, 0.05}, {Trouble::kTooMany, 0.1},
                               {Trouble::kInternal, 0.1}, {Trouble::kHtml, 0.05},
                               {Trouble::kHalfJson, 0.1}, {Trouble::kDrop, 0.1},
                               {Trouble::kFlood, 0.01}, {Trouble::kGarbage, 0.1}},
                     .slow = milliseconds(150),
                     .content = [](const nlohmann::json& request) -> Result<std::string> {
                       return "echo: " + request["messages"][0]["content"].get<std::string>();
                     }});
  HttpOptions options = quick();
  options.timeout = milliseconds(1000);
  options.retries = 3;
  options.max_body_bytes = 1 << 20;
  auto model = open_or_die(server.base() + "#test", options);
  constexpr std::size_t kCount = 2000;
  std::vector<int> answered(kCount, 0);
  std::size_t good = 0;
  std::map<std::string, int> reasons;
  for (std::size_t i = 0; i < kCount; ++i) {
    model->submit(numbered(i), [&, i](Result<Generation> answer) {
      ++answered[i];
      if (answer) {
        ++good;
        EXPECT_EQ(answer->text, "echo: question " + std::to_string(i));
      } else {
        expect_one_line(answer.error());
        ++reasons[answer.error().what];
      }
    });
  }
  ASSERT_TRUE(advance_to_the_end(*model, 3000)) << "requests hang";
  for (std::size_t i = 0; i < kCount; ++i) EXPECT_EQ(answered[i], 1) << i;
  // 0.56 of the attempts fail, so about 0.56^4 = 10% of the requests do.
  EXPECT_GT(good, kCount * 84 / 100);
  EXPECT_LT(good, kCount * 96 / 100);
  EXPECT_GT(reasons.size(), 4U) << "the reasons should tell the troubles apart";
  const TestServerStats stats = server.stats();
  EXPECT_LE(stats.most_at_once, 64);
  for (const Trouble trouble : {Trouble::kSlow, Trouble::kTooMany, Trouble::kInternal, Trouble::kHtml,
                                Trouble::kHalfJson, Trouble::kDrop, Trouble::kFlood, Trouble::kGarbage}) {
    EXPECT_GT(stats.troubles.count(trouble), 0U) << name_of(trouble);
  }
}

TEST(HttpModel, ManyInFlightOnReusedConnections) {
  TestServer server({.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(60)});
  HttpOptions options = quick();
  options.max_in_flight = 16;
  auto model = open_or_die(server.base() + "#test", options);
  int done = 0;
  for (std::uint64_t i = 0; i < 160; ++i) {
    model->submit(numbered(i), [&](const Result<Generation>& answer) { done += answer ? 1 : 0; });
  }
  while (model->advance(milliseconds(100)) > 0) {
  }
  EXPECT_EQ(done, 160);
  EXPECT_LE(server.stats().most_at_once, 16);
  EXPECT_GE(server.stats().most_at_once, 12);
  EXPECT_LE(server.stats().connections, 16);
}

TEST(HttpModel, NothingListens) {
  const std::string base = "http://127.0.0.1:" + std::to_string(dead_port()) + "/v1";
  const auto model = open_http_model(base + "#test", quick());
  ASSERT_FALSE(model.has_value());
  expect_one_line(model.error());
  EXPECT_NE(model.error().hint.find("is the server running"), std::string::npos);
}

TEST(HttpModel, ServerGoesAwayAndTheRestFailsSoon) {
  auto server = std::make_unique<TestServer>();
  HttpOptions options = quick();
  options.max_in_flight = 4;
  options.backoff_first = milliseconds(40);
  options.backoff_max = milliseconds(200);
  auto model = open_or_die(server->base() + "#test", options);
  ASSERT_TRUE(ask_once(*model, numbered(0)).has_value());
  server.reset();
  int errors = 0, attempts = 0;
  for (std::uint64_t i = 0; i < 500; ++i) {
    model->submit(numbered(i), [&](Result<Generation> answer) {
      ASSERT_FALSE(answer.has_value());
      ++errors;
      const std::string& what = answer.error().what;
      const std::size_t said = what.rfind(" (");
      attempts += what.find(" attempts)") == std::string::npos ? 1 : std::atoi(what.c_str() + said + 2);
    });
  }
  while (model->advance(milliseconds(100)) > 0) {
  }
  EXPECT_EQ(errors, 500);
  EXPECT_LT(attempts, 500 * 6) << "once it is known that nobody is there, nothing is tried again";
}

TEST(HttpModel, ConnectionsClosedAtOnce) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::listen(listener, 16), 0);
  socklen_t size = sizeof address;
  ::getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::thread closing([listener] {
    for (int fd = ::accept(listener, nullptr, nullptr); fd >= 0;
         fd = ::accept(listener, nullptr, nullptr)) {
      ::close(fd);
    }
  });
  const auto model = open_http_model(
      "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "/v1#m", quick());
  ::shutdown(listener, SHUT_RDWR);
  closing.join();
  ::close(listener);
  ASSERT_FALSE(model.has_value());
  expect_one_line(model.error());
}

TEST(HttpModel, SlowServerTimesOut) {
  TestServer server({.share = {{Trouble::kSlow, 1.0}}, .slow = std::chrono::hours(1)});
  HttpOptions options = quick();
  options.timeout = milliseconds(100);
  options.retries = 1;
  auto model = open_or_die(server.base() + "#test", options);
  const auto answer = ask_once(*model, numbered(1), 100);
  ASSERT_FALSE(answer.has_value());
  expect_one_line(answer.error());
  EXPECT_NE(answer.error().what.find("in time"), std::string::npos) << answer.error().what;
  EXPECT_EQ(server.stats().requests, 2);
}

TEST(HttpModel, HonoursRetryAfterWithinBounds) {
  TestServer server({.share = {{Trouble::kTooMany, 1.0}}, .retry_after = 3600});
  HandClock clock;
  auto heard = std::make_shared<int>(0);  // complaints that have arrived
  HttpOptions options = quick();
  options.retries = 2;
  options.retry_after_max = milliseconds(15'000);
  options.now = clock.reading();
  options.wall = [heard] {
    ++*heard;
    return std::chrono::system_clock::time_point();
  };
  auto model = open_or_die(server.base() + "#test", options);
  std::optional<Result<Generation>> answer;
  model->submit(numbered(1), [&](Result<Generation> got) { answer.emplace(std::move(got)); });
  for (int attempt = 1; attempt <= 3; ++attempt) {
    for (int i = 0; *heard < attempt && i < 1000; ++i) model->advance(milliseconds(20));
    ASSERT_EQ(*heard, attempt);
    EXPECT_EQ(server.stats().requests, attempt);
    if (attempt == 3) break;
    clock.move(milliseconds(14'999));
    for (int i = 0; i < 10; ++i) model->advance(milliseconds(2));
    EXPECT_EQ(server.stats().requests, attempt) << "asked again before what it asked for is over";
    clock.move(milliseconds(2));
  }
  EXPECT_TRUE(advance_to_the_end(*model));
  ASSERT_TRUE(answer && !answer->has_value());
  EXPECT_NE(answer->error().what.find("429"), std::string::npos);
  EXPECT_EQ(server.stats().requests, 3);
}

TEST(HttpModel, TotalDeadlineEndsRetries) {
  TestServer server({.share = {{Trouble::kTooMany, 1.0}}, .retry_after = 1});
  HandClock clock;
  const auto begin = *clock.now;
  HttpOptions options = quick();
  options.retries = 1000;
  options.total_deadline = milliseconds(6000);  // not below `timeout`
  options.now = clock.reading();
  // Complaints that have arrived: only then the clock moves, never while one is on its way.
  auto heard = std::make_shared<int>(0);
  options.wall = [heard] {
    ++*heard;
    return std::chrono::system_clock::time_point();
  };
  auto model = open_or_die(server.base() + "#test", options);
  std::optional<Result<Generation>> answer;
  model->submit(numbered(1), [&](Result<Generation> got) { answer.emplace(std::move(got)); });
  while (!answer && *clock.now - begin < milliseconds(60'000)) {
    const int before = *heard;
    for (int i = 0; !answer && *heard == before && i < 1000; ++i) model->advance(milliseconds(5));
    clock.move(milliseconds(500));
  }
  ASSERT_TRUE(answer.has_value());
  EXPECT_FALSE(answer->has_value());
  EXPECT_LE(*clock.now - begin, milliseconds(6500));
  EXPECT_GE(server.stats().requests, 3);
  EXPECT_LE(server.stats().requests, 14) << "once for each half second";
}

TEST(HttpModel, EachTroubleHasItsWords) {
  const std::vector<std::pair<Trouble, std::string>> cases = {
      {Trouble::kInternal, "HTTP 500: internal server error"}, {Trouble::kHtml, "not JSON"},
      {Trouble::kHalfJson, "not JSON"}, {Trouble::kDrop, "ransfer"}, {Trouble::kFlood, "larger than"}};
  for (const auto& [trouble, words] : cases) {
    SCOPED_TRACE(name_of(trouble));
    TestServer server({.share = {{trouble, 1.0}}});
    HttpOptions options = quick();
    options.retries = 1;
    options.max_body_bytes = 1 << 20;
    auto model = open_or_die(server.base() + "#test", options);
    const auto answer = ask_once(*model, numbered(1));
    ASSERT_FALSE(answer.has_value());
    expect_one_line(answer.error());
    EXPECT_NE(answer.error().what.find(words), std::string::npos) << answer.error().what;
    EXPECT_NE(answer.error().what.find("(2 attempts)"), std::string::npos) << answer.error().what;
    EXPECT_EQ(server.stats().requests, 2);
  }
}

TEST(HttpModel, PermanentErrorsAreNotRetried) {
  for (const int status : {400, 401, 403, 404, 301}) {
    TestServer server({.always_status = status,
                       .always_body = R"({"error":{"message":"not\nlike this"}})"});
    auto model = open_or_die(server.base() + "#test");
    const auto answer = ask_once(*model, numbered(1));
    ASSERT_FALSE(answer.has_value());
    expect_one_line(answer.error());
    EXPECT_NE(answer.error().what.find("HTTP " + std::to_string(status)), std::string::npos);
    if (status >= 400) {
      EXPECT_NE(answer.error().what.find("not like this"), std::string::npos);
    }
    EXPECT_EQ(server.stats().requests, 1) << status;
  }
}

TEST(HttpModel, NamesAndDigests) {
  TestServer one;
  TestServer two({.models = {"a", "b"}});
  TestServer none({.models = {}});
  auto model = open_or_die(one.base());
  EXPECT_EQ(model->info().name, "test");
  EXPECT_EQ(model->info().uri, one.base() + "#test");
  EXPECT_EQ(model->info().digest, open_or_die(one.base() + "#test")->info().digest);
  EXPECT_NE(model->info().digest, open_or_die(one.base() + "#other")->info().digest);
  const auto several = open_http_model(two.base(), quick());
  ASSERT_FALSE(several.has_value());
  expect_one_line(several.error(), ErrorKind::kBadInput);
  EXPECT_NE(several.error().what.find("a, b"), std::string::npos);
  const auto nobody = open_http_model(none.base(), quick());
  ASSERT_FALSE(nobody.has_value());
  expect_one_line(nobody.error(), ErrorKind::kBadInput);
  // No /models under this path: a name is enough, no name is not.
  const std::string elsewhere = "http://127.0.0.1:" + std::to_string(one.port()) + "/elsewhere";
  EXPECT_NE(open_or_die(elsewhere + "#test"), nullptr);
  const auto nameless = open_http_model(elsewhere, quick());
  ASSERT_FALSE(nameless.has_value());
  expect_one_line(nameless.error(), ErrorKind::kBadInput);
}

TEST(HttpModel, SendsKeyLogprobsAndRaw) {
  TestServer server;
  HttpOptions options = quick();
  options.api_key = "secret-key";
  auto model = open_or_die(server.base() + "#test", options);
  GenerateRequest request = numbered(1);
  request.logprobs = true;
  const auto answer = ask_once(*model, request);
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->logprobs.size(), static_cast<std::size_t>(answer->usage.output_tokens));
  EXPECT_EQ(server.stats().authorizations, std::vector<std::string>{"Bearer secret-key"});
  request.raw = true;
  request.logprobs = false;
  const auto raw = ask_once(*model, request);
  ASSERT_TRUE(raw.has_value()) << raw.error().message();
  EXPECT_EQ(nlohmann::json::parse(server.stats().last_body)["prompt"], "question 1");
}

TEST(HttpOptions, FromTheEnvironment) {
  ::unsetenv("PRECEPT_API_KEY");
  ::setenv("OPENAI_API_KEY", "from-openai", 1);
  ::setenv("PRECEPT_HTTP_TIMEOUT", "1.5", 1);
  ::setenv("PRECEPT_HTTP_RETRIES", "2", 1);
  ::setenv("PRECEPT_HTTP_IN_FLIGHT", "8", 1);
  const auto options = http_options_from_environment();
  ASSERT_TRUE(options.has_value());
  EXPECT_EQ(options->api_key, "from-openai");
  EXPECT_EQ(options->timeout, milliseconds(1500));
  EXPECT_EQ(options->retries, 2);
  EXPECT_EQ(options->max_in_flight, 8);
  ::setenv("PRECEPT_API_KEY", "own", 1);
  EXPECT_EQ(http_options_from_environment()->api_key, "own");
  for (const char* wrong : {"x", "-1", "1e9", "nan", "3 "}) {
    ::setenv("PRECEPT_HTTP_TIMEOUT", wrong, 1);
    EXPECT_FALSE(http_options_from_environment().has_value()) << wrong;
  }
  ::unsetenv("PRECEPT_HTTP_TIMEOUT");
  ::setenv("PRECEPT_API_KEY", "line\nbreak", 1);
  EXPECT_FALSE(http_options_from_environment().has_value());
  for (const char* name : {"PRECEPT_API_KEY", "OPENAI_API_KEY", "PRECEPT_HTTP_RETRIES",
                           "PRECEPT_HTTP_IN_FLIGHT"}) {
    ::unsetenv(name);
  }
}

}  // namespace
}  // namespace precept
