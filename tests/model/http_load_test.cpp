// What endpoints do to a client that asks a lot of them: complaints, pauses, outages, floods, certificates, proxies.

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "precept/model/http_model.h"
#include "tests/model/contract.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

using std::chrono::milliseconds;

HttpOptions quick() {
  HttpOptions options;
  options.backoff_first = milliseconds(1);
  options.backoff_max = milliseconds(4);
  options.retry_after_max = milliseconds(5);
  options.timeout = milliseconds(5000);
  return options;
}

std::unique_ptr<Model> open_or_die(const std::string& uri, const HttpOptions& options = quick(), bool scores = false) {
  HttpOpen how;
  how.scores = scores;
  auto model = open_http_model(uri, options, how);
  EXPECT_TRUE(model.has_value()) << (model ? "" : model.error().message());
  return model ? std::move(*model) : nullptr;
}

GenerateRequest numbered(std::uint64_t i) {
  GenerateRequest request;
  request.messages = {{"user", "question " + std::to_string(i)}};
  request.key = {.seed = 1, .item = i};
  return request;
}

Result<std::string> echo(const nlohmann::json& request) {
  return "echo: " + request["messages"][0]["content"].get<std::string>();
}

// Submits `count` requests and counts what comes of each.
struct Tally {
  std::vector<int> answered;
  std::size_t good = 0;
  std::map<std::string, int> reasons;

  void submit(Model& model, std::size_t count) {
    const std::size_t from = answered.size();
    answered.resize(from + count, 0);
    for (std::size_t i = from; i < from + count; ++i) {
      model.submit(numbered(i), [this, i](Result<Generation> answer) {
        ++answered[i];
        if (answer) {
          ++good;
          EXPECT_EQ(answer->text, "echo: question " + std::to_string(i)) << "an answer to another request";
        } else {
          EXPECT_FALSE(answer.error().what.empty());
          EXPECT_EQ(answer.error().what.find('\n'), std::string::npos);
          ++reasons[answer.error().what.substr(answer.error().what.find(": "))];
        }
      });
    }
  }
  // Steps at most: a hang is reported as such, on a machine however slow.
  void run(Model& model) {
    int steps = 0;
    while (model.advance(milliseconds(100)) > 0) ASSERT_LT(++steps, 2'000'000) << "it hangs";
    for (std::size_t i = 0; i < answered.size(); ++i) ASSERT_EQ(answered[i], 1) << i;
  }
};

long peak_rss_kb() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

// Every one of 10,000 requests ends once, with its own answer or with a reason, whatever the server does.
TEST(HttpLoad, TenThousandRequestsAgainstAMisbehavingServer) {
  TestServer server({.seed = 9,
                     .share = {{Trouble::kSlow, 0.02}, {Trouble::kTooMany, 0.03}, {Trouble::kTooManyBare, 0.03},
                               {Trouble::kInternal, 0.05}, {Trouble::kUnavailable, 0.03}, {Trouble::kHtml, 0.03},
                               {Trouble::kHalfJson, 0.05}, {Trouble::kDrop, 0.03}, {Trouble::kStall, 0.002},
                               {Trouble::kFlood, 0.002}, {Trouble::kGarbage, 0.05}},
                     .slow = milliseconds(2),
                     .retry_after = 1,
                     .content = echo});
  HttpOptions options = quick();
  options.retries = 2;
  options.stall_timeout = milliseconds(100);
  options.max_body_bytes = 1 << 20;
  auto model = open_or_die(server.base() + "#test", options);
  const long before = peak_rss_kb();
  Tally tally;
  tally.submit(*model, 10'000);
  tally.run(*model);
  // About a third of the attempts fail, so about 0.33^3 = 4% of the requests do.
  EXPECT_GT(tally.good, 9'200U);
  EXPECT_LT(tally.good, 9'950U);
  EXPECT_GT(tally.reasons.size(), 5U) << "the reasons should tell the troubles apart";
  const TestServerStats stats = server.stats();
  for (int i = 1; i <= static_cast<int>(kLastTrouble); ++i) {
    EXPECT_GT(stats.troubles.count(static_cast<Trouble>(i)), 0U) << name_of(static_cast<Trouble>(i));
  }
#if !defined(__SANITIZE_ADDRESS__)
  EXPECT_LT(peak_rss_kb() - before, 400 * 1024) << "both sides together";
#else
  (void)before;
#endif
}

// Floods of 64 MB each, all requests at once: what is held is bounded by the cap of a body, not by what comes.
TEST(HttpLoad, FloodsAreCutOff) {
  TestServer server({.share = {{Trouble::kFlood, 1.0}}, .content = echo});
  HttpOptions options = quick();
  options.retries = 0;
  auto model = open_or_die(server.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 64);
  tally.run(*model);
  EXPECT_EQ(tally.good, 0U);
  ASSERT_EQ(tally.reasons.size(), 1U);
  EXPECT_NE(tally.reasons.begin()->first.find("larger than 1310720 bytes"), std::string::npos)
      << "1 MiB, and 1 KiB for each of its 256 tokens: " << tally.reasons.begin()->first;
}

TEST(HttpLoad, FewerAtOnceWhereTheServerComplains) {
  TestServer server({.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(5), .capacity = 4, .content = echo});
  HttpOptions options = quick();
  options.max_in_flight = 64;
  options.retries = 60;
  auto model = open_or_die(server.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 400);
  tally.run(*model);
  EXPECT_EQ(tally.good, 400U);
  const TestServerStats stats = server.stats();
  EXPECT_GT(stats.troubles.at(Trouble::kTooManyBare), 0);
  EXPECT_LT(stats.troubles.at(Trouble::kTooManyBare), 400) << "a client that does not adapt is refused several times a request";
}

TEST(HttpLoad, AfterComplaintsOneAtATimeAndThenMoreAgain) {
  TestServer server({.share = {{Trouble::kTooManyBare, 1.0}}, .slow = milliseconds(10), .content = echo});
  HttpOptions options = quick();
  options.max_in_flight = 32;
  options.retries = 8;
  auto model = open_or_die(server.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 40);
  tally.run(*model);
  EXPECT_EQ(tally.good, 0U);
  // By now at most a few at once; with answers that come it grows again.
  server.set_share({{Trouble::kSlow, 1.0}});
  server.forget_most_at_once();
  tally.submit(*model, 12);
  tally.run(*model);
  EXPECT_LE(server.stats().most_at_once, 5);
  tally.submit(*model, 300);
  tally.run(*model);
  EXPECT_GT(server.stats().most_at_once, 8);
  EXPECT_EQ(tally.good, 312U);
}

// Time stands still until the test moves it: nothing is asked again before Retry-After is over.
TEST(HttpLoad, RetryAfterIsHonouredInSecondsAndAsADate) {
  const auto day = std::chrono::system_clock::from_time_t(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
  for (const std::string asked : {"20", "Sun, 06 Nov 1994 08:49:57 GMT"}) {
    SCOPED_TRACE(asked);
    TestServer server({.share = {{Trouble::kTooMany, 1.0}}, .retry_after_text = asked, .content = echo});
    auto now = std::make_shared<std::chrono::steady_clock::time_point>(std::chrono::steady_clock::now());
    HttpOptions options = quick();
    options.retry_after_max = milliseconds(60'000);
    options.now = [now] { return *now; };
    auto heard = std::make_shared<bool>(false);  // the complaint has arrived
    options.wall = [day, heard] {
      *heard = true;
      return day;
    };
    auto model = open_or_die(server.base() + "#test", options);
    Tally tally;
    tally.submit(*model, 1);
    while (!*heard) model->advance(milliseconds(5));
    server.set_share({});
    *now += milliseconds(19'900);
    tally.submit(*model, 1);  // a new request is held back as well
    for (int i = 0; i < 20; ++i) model->advance(milliseconds(2));
    EXPECT_EQ(server.stats().requests, 1) << "asked again too early";
    *now += milliseconds(101);
    tally.run(*model);
    EXPECT_EQ(tally.good, 2U);
    EXPECT_EQ(server.stats().requests, 3);
  }
}

TEST(HttpLoad, AnAnswerThatStopsInTheMiddleIsAskedForAgain) {
  TestServer server({.share = {{Trouble::kStall, 1.0}}, .content = echo});
  HttpOptions options = quick();
  options.stall_timeout = milliseconds(500);  // also of opening, on a machine that is busy
  options.retries = 1;
  auto model = open_or_die(server.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 3);
  tally.run(*model);
  ASSERT_EQ(tally.reasons.size(), 1U);
  EXPECT_NE(tally.reasons.begin()->first.find("stopped in the middle of its answer (2 attempts)"), std::string::npos);
  EXPECT_EQ(server.stats().requests, 6);
}

TEST(HttpLoad, TwoEndpointsShareTheLoadAndAnswerAlike) {
  const auto run = [](const std::string& uri) {
    auto model = open_or_die(uri);
    std::vector<std::string> texts(120);
    for (std::uint64_t i = 0; i < texts.size(); ++i) {
      model->submit(numbered(i), [&texts, i](Result<Generation> answer) { texts[i] = answer ? answer->text : "failed"; });
    }
    while (model->advance(milliseconds(100)) > 0) {
    }
    return texts;
  };
  TestServer one({.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(3)}), two({.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(3)});
  const auto both = run(one.base() + "#test," + two.base() + "#test");
  EXPECT_GE(one.stats().requests, 40);
  EXPECT_GE(two.stats().requests, 40);
  EXPECT_EQ(one.stats().requests + two.stats().requests, 120);
  EXPECT_EQ(both, run(two.base() + "#test"));
  const auto first = open_or_die(one.base() + "#test," + two.base() + "#test");
  EXPECT_EQ(first->info().digest, open_or_die(two.base() + "#test," + one.base() + "#test")->info().digest);
  EXPECT_NE(first->info().digest, open_or_die(one.base() + "#test")->info().digest);
}

TEST(HttpLoad, OneOfTwoEndpointsDiesAndNothingIsLost) {
  TestServer stays({.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(2), .content = echo});
  auto dies = std::make_unique<TestServer>(TestServerOptions{.share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(2), .content = echo});
  HttpOptions options = quick();
  options.max_in_flight = 16;
  std::vector<std::string> warnings;
  options.events = [&](const Event& event) { warnings.push_back(event.text); };
  auto model = open_or_die(dies->base() + "#test," + stays.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 600);
  while (tally.good < 100) ASSERT_GT(model->advance(milliseconds(50)), 0U);
  const int port = dies->port();
  const std::int64_t served = dies->stats().requests;
  EXPECT_GT(served, 20);
  dies.reset();
  tally.run(*model);
  EXPECT_EQ(tally.good, 600U) << (tally.reasons.empty() ? "" : tally.reasons.begin()->first);
  ASSERT_FALSE(warnings.empty());
  EXPECT_NE(warnings[0].find("left out for now"), std::string::npos) << warnings[0];
  // It comes back, is probed, and takes its share again.
  TestServer back({.port = port, .share = {{Trouble::kSlow, 1.0}}, .slow = milliseconds(2), .content = echo});
  if (!back.listening()) GTEST_SKIP() << "the port was taken meanwhile";
  for (int round = 0; round < 2000 && back.stats().requests == 0; ++round) {
    tally.submit(*model, 20);
    tally.run(*model);
  }
  EXPECT_GT(back.stats().requests, 0);
  EXPECT_EQ(tally.good, tally.answered.size());
}

TEST(HttpLoad, OneThatIsDownFromTheStartIsLeftOutAndNotTheOther) {
  int port = 0;
  {
    const TestServer gone;
    port = gone.port();
  }
  TestServer server({.content = echo});
  const std::string dead = "http://127.0.0.1:" + std::to_string(port) + "/v1#test";
  auto model = open_or_die(dead + "," + server.base() + "#test");
  Tally tally;
  tally.submit(*model, 50);
  tally.run(*model);
  EXPECT_EQ(tally.good, 50U);
  EXPECT_FALSE(open_http_model(dead, quick()).has_value());
}

TEST(HttpLoad, EndpointsMustBeOfOneModel) {
  TestServer server;
  for (const std::string& uri :
       {server.base() + "#a," + server.base() + "x#b", server.base() + "#a," + server.base() + "#a", server.base() + "#test,",
        server.base() + "#test,localhost:1", server.base() + "," + server.base() + "x"}) {
    const auto model = open_http_model(uri, quick());
    ASSERT_FALSE(model.has_value()) << uri;
    EXPECT_EQ(model.error().kind, ErrorKind::kBadInput) << uri;
    EXPECT_FALSE(model.error().hint.empty());
  }
  EXPECT_EQ(server.stats().requests, 0);
}

TEST(HttpScores, KeepTheModelContract) {
  TestServer server({.first_tokens = [](const nlohmann::json&) {
    return std::vector<std::pair<std::string, double>>{{"Yes", -0.7}, {" no", -1.5}, {"perhaps", -3.0}};
  }});
  contract::ModelContract contract;
  contract.open = [&] { return open_or_die(server.base() + "#test", quick(), true); };
  contract.can_score = true;
  contract.words_only = true;
  contract::check_model_contract(contract);
}

TEST(HttpScores, ProbabilitiesComeFromTheCandidatesOneRequestAQuestion) {
  TestServer server({.fingerprint = "fp-1", .first_tokens = [](const nlohmann::json& request) {
    const bool first = request["messages"][0]["content"].get<std::string>().find("first") != std::string::npos;
    return std::vector<std::pair<std::string, double>>{{"Yes", std::log(first ? 0.6 : 0.1)}, {" yes", std::log(0.1)}, {"no", std::log(0.2)}};
  }});
  auto model = open_or_die(server.base() + "#test", quick(), true);
  ASSERT_TRUE(model->info().can_score);
  EXPECT_TRUE(model->info().words_only);
  EXPECT_TRUE(model->info().endpoints[0].asked);
  EXPECT_EQ(server.stats().requests, 1) << "one request finds out";
  std::optional<Result<Scores>> scores;
  model->submit(ScoreRequest{{{"user", "Say: "}}, false, {{"first", {"yes", "no"}}, {"second", {"yes", "no"}}}, {}},
                [&](Result<Scores> got) { scores.emplace(std::move(got)); });
  while (model->advance(milliseconds(100)) > 0) {
  }
  ASSERT_TRUE(scores && scores->has_value());
  EXPECT_NEAR((*scores)->logprobs[0][0], std::log(0.7), 1e-9);
  EXPECT_NEAR((*scores)->logprobs[1][0], std::log(0.2), 1e-9);
  EXPECT_NEAR((*scores)->logprobs[1][1], std::log(0.2), 1e-9);
  EXPECT_EQ((*scores)->by.fingerprint, "fp-1");
  EXPECT_EQ(server.stats().requests, 3);
  const auto sent = nlohmann::json::parse(server.stats().last_body);
  EXPECT_EQ(sent["max_tokens"], 1);
  EXPECT_EQ(sent["top_logprobs"], 20);
}

TEST(HttpScores, AServerWithoutLogprobsCannotScoreAndKnownOnesAreNotAsked) {
  TestServer without({.top_logprobs = false}), refuses({.always_status = 400, .always_body = R"({"error":{"message":"logprobs?"}})"});
  EXPECT_FALSE(open_or_die(without.base() + "#test", quick(), true)->info().can_score);
  EXPECT_FALSE(open_or_die(refuses.base() + "#test", quick(), true)->info().can_score);
  EXPECT_EQ(refuses.stats().requests, 1);
  TestServer known;
  HttpOpen how;
  how.scores = true;
  how.known = [](const EndpointInfo& endpoint) -> std::optional<bool> { return !endpoint.serves.empty(); };
  const auto model = open_http_model(known.base() + "#test", quick(), how);
  ASSERT_TRUE(model.has_value());
  EXPECT_TRUE((*model)->info().can_score);
  EXPECT_EQ(known.stats().requests, 0);
  TestServer closed({.always_status = 401, .always_body = R"({"error":{"message":"no key"}})"});
  const auto refused = open_http_model(closed.base() + "#test", quick(), how = HttpOpen{true, {}});
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().what.find("401"), std::string::npos);
}

TEST(HttpSecrets, AServerThatRepeatsTheKeyDoesNotSpreadIt) {
  TestServer server({.always_status = 401, .always_body = R"({"error":{"message":"wrong key sk-very-secret-1 given"}})"});
  TestServer chatty({.content = [](const nlohmann::json&) -> Result<std::string> { return "your key is sk-very-secret-1"; }});
  HttpOptions options = quick();
  options.api_key = "sk-very-secret-1";
  std::string what, text;
  open_or_die(server.base() + "#test", options);
  auto model = open_or_die(server.base() + "#test", options);
  model->submit(numbered(1), [&](Result<Generation> answer) { what = answer ? "" : answer.error().what; });
  while (model->advance(milliseconds(100)) > 0) {
  }
  EXPECT_NE(what.find("wrong key *** given"), std::string::npos) << what;
  auto other = open_or_die(chatty.base() + "#test", options);
  other->submit(numbered(1), [&](Result<Generation> answer) { text = answer ? answer->text : ""; });
  while (other->advance(milliseconds(100)) > 0) {
  }
  EXPECT_EQ(text, "your key is ***");
}

// A certificate for 127.0.0.1, signed by itself.
struct Certificate {
  std::filesystem::path folder;
  std::string file, key;

  Certificate() {
    std::string pattern = (std::filesystem::temp_directory_path() / "precept_tls_XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    file = (folder / "certificate.pem").string();
    key = (folder / "key.pem").string();
    EVP_PKEY* pair = EVP_RSA_gen(2048U);
    X509* x509 = X509_new();
    X509_set_version(x509, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    X509_set_pubkey(x509, pair);
    X509_NAME* name = X509_get_subject_name(x509);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
    X509_set_issuer_name(x509, name);
    X509_EXTENSION* alternative = X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(x509, alternative, -1);
    X509_EXTENSION_free(alternative);
    X509_sign(x509, pair, EVP_sha256());
    FILE* out = std::fopen(file.c_str(), "w");
    PEM_write_X509(out, x509);
    std::fclose(out);
    out = std::fopen(key.c_str(), "w");
    PEM_write_PrivateKey(out, pair, nullptr, nullptr, 0, nullptr, nullptr);
    std::fclose(out);
    X509_free(x509);
    EVP_PKEY_free(pair);
  }
  ~Certificate() { std::filesystem::remove_all(folder); }
};

TEST(HttpTls, CertificatesAreVerifiedAndCaFileIsTrusted) {
  const Certificate certificate;
  TestServer server({.certificate = certificate.file, .private_key = certificate.key, .content = echo});
  ASSERT_TRUE(server.listening());
  const auto distrusted = open_http_model(server.base() + "#test", quick());
  ASSERT_FALSE(distrusted.has_value());
  EXPECT_NE(distrusted.error().what.find("certificate cannot be verified"), std::string::npos) << distrusted.error().what;
  EXPECT_EQ(distrusted.error().what.find('\n'), std::string::npos);
  EXPECT_EQ(distrusted.error().what.find("attempts"), std::string::npos) << "it is not tried again";
  EXPECT_NE(distrusted.error().hint.find("--ca-file"), std::string::npos);
  HttpOptions options = quick();
  options.ca_file = certificate.file;
  auto model = open_or_die(server.base() + "#test", options);
  Tally tally;
  tally.submit(*model, 5);
  tally.run(*model);
  EXPECT_EQ(tally.good, 5U);
}

TEST(HttpProxy, FromTheEnvironmentAndFromTheOption) {
  TestServer proxy;
  const std::string address = "http://127.0.0.1:" + std::to_string(proxy.port());
  HttpOptions options = quick();
  options.retries = 0;
  ::setenv("http_proxy", address.c_str(), 1);
  EXPECT_TRUE(open_http_model("http://model.invalid/v1#test", options).has_value());
  EXPECT_EQ(proxy.stats().proxied, 1);
  TestServer here({.content = echo});
  EXPECT_TRUE(open_http_model(here.base() + "#test", options).has_value());
  EXPECT_EQ(proxy.stats().proxied, 1) << "addresses of this machine go without the environment's proxy";
  ::unsetenv("http_proxy");
  EXPECT_FALSE(open_http_model("http://model.invalid/v1#test", options).has_value());
  options.proxy = address;
  EXPECT_TRUE(open_http_model("http://model.invalid/v1#test", options).has_value());
  EXPECT_TRUE(open_http_model(here.base() + "#test", options).has_value());
  EXPECT_EQ(proxy.stats().proxied, 3) << "the option is meant for all";
}

}  // namespace
}  // namespace precept
