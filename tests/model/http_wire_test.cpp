#include "precept/model/http_wire.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "precept/core/rng.h"

namespace precept {
namespace {

using nlohmann::json;

GenerateRequest chat() {
  GenerateRequest request;
  request.messages = {{"user", "Hello"}};
  return request;
}

TEST(HttpAddress, TakesWhatPeopleWrite) {
  const auto plain = parse_http_address("http://127.0.0.1:8000/v1#org/Model-8B:q4");
  ASSERT_TRUE(plain.has_value()) << plain.error().message();
  EXPECT_EQ(plain->base, "http://127.0.0.1:8000/v1");
  EXPECT_EQ(plain->name, "org/Model-8B:q4");
  EXPECT_TRUE(plain->loopback);
  const auto slash = parse_http_address("https://example.org/api/v1/");
  ASSERT_TRUE(slash.has_value());
  EXPECT_EQ(slash->base, "https://example.org/api/v1");
  EXPECT_EQ(slash->name, "");
  EXPECT_FALSE(slash->loopback);
  EXPECT_EQ(parse_http_address("http://[::1]:80/v1")->base, "http://[::1]:80/v1");
}

TEST(HttpAddress, RefusesTheRest) {
  for (const char* uri :
       {"", "http://", "http:///v1#x", "ftp://host/v1", "file:///etc/passwd", "http://host:99999/v1",
        "http://host:port/v1", "http://ho st/v1", "http://user:secret@host/v1", "http://host/v1?a=b",
        "http://host/v1#na\nme", "http://host/v1#caf\xe9", "http://[::1/v1"}) {
    const auto address = parse_http_address(uri);
    ASSERT_FALSE(address.has_value()) << uri;
    EXPECT_EQ(address.error().kind, ErrorKind::kBadInput);
    EXPECT_FALSE(address.error().hint.empty());
    EXPECT_EQ(address.error().what.find("secret"), std::string::npos);
  }
}

TEST(RequestBody, SaysWhatWasAsked) {
  GenerateRequest request = chat();
  request.sampling = {.max_tokens = 9, .temperature = 0.5, .top_p = 0.25, .stop = {"a", "b", "c", "d", "e"}};
  request.key = {.seed = 1, .item = 2};
  request.logprobs = true;
  const json body = json::parse(request_body(request, "m"));
  EXPECT_EQ(body["model"], "m");
  EXPECT_EQ(body["max_tokens"], 9);
  EXPECT_EQ(body["temperature"], 0.5);
  EXPECT_EQ(body["top_p"], 0.25);
  EXPECT_EQ(body["stop"].size(), 4U);
  EXPECT_EQ(body["logprobs"], true);
  EXPECT_EQ(body["messages"][0]["role"], "user");
  EXPECT_LT(body["seed"].get<std::int64_t>(), std::int64_t{1} << 31);
  request.key.round = 1;
  EXPECT_NE(json::parse(request_body(request, "m"))["seed"], body["seed"]);
  request.raw = true;
  const json raw = json::parse(request_body(request, "m"));
  EXPECT_EQ(raw["prompt"], "Hello");
  EXPECT_FALSE(raw.contains("messages"));
}

TEST(ParseAnswer, ReadsAllFields) {
  Generation answer;
  GenerateRequest request = chat();
  request.logprobs = true;
  request.sampling.stop = {"END"};
  const auto problem = parse_answer(
      R"({"choices":[{"message":{"content":"Hi there END of it"},"finish_reason":"length",
          "logprobs":{"content":[{"logprob":-0.25},{"logprob":-1}]}}],
          "usage":{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":3}}})",
      request, answer);
  ASSERT_FALSE(problem.has_value()) << problem->what;
  EXPECT_EQ(answer.text, "Hi there ");
  EXPECT_EQ(answer.finish, Finish::kStop);  // the stop string came first
  EXPECT_EQ(answer.logprobs, (std::vector<float>{-0.25F, -1.0F}));
  EXPECT_EQ(answer.usage.prompt_tokens, 7);
  EXPECT_EQ(answer.usage.cached_tokens, 3);
  EXPECT_EQ(answer.usage.output_tokens, 2);
}

TEST(ParseAnswer, RefusesWhatIsNoAnswer) {
  for (const std::string& body : {
           std::string(), std::string("<html>Sign in</html>"), std::string("{\"choices\":[{\"mess"),
           std::string("[]"), std::string("null"), std::string(100'000, '['),
           std::string(R"({"choices":[]})"), std::string(R"({"choices":{}})"),
           std::string(R"({"choices":["x"]})"), std::string(R"({"choices":[{"message":null}]})"),
           std::string(R"({"choices":[{"message":{"content":null}}]})"),
           std::string(R"({"choices":[{"message":{"content":5}}]})"),
           std::string(R"({"choices":[{"message":{"content":"x"},"finish_reason":{}}]})"),
           std::string(R"({"choices":[{"message":{"content":"x"}}],"usage":[]})"),
           std::string(R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":1e3}})"),
           std::string(R"({"choices":[{"message":{"content":"x"}}],"usage":{"completion_tokens":-1}})"),
           std::string(R"({"error":{"message":"no\nmemory"}})"),
           std::string("{\"choices\":[{\"message\":{\"content\":\"\xff\"}}]}")}) {
    Generation answer;
    const auto problem = parse_answer(body, chat(), answer);
    ASSERT_TRUE(problem.has_value()) << body.substr(0, 80);
    EXPECT_TRUE(problem->transient) << body.substr(0, 80);
    EXPECT_EQ(problem->what.find('\n'), std::string::npos);
    EXPECT_LT(problem->what.size(), 500U);
    EXPECT_FALSE(problem->hint.empty());
  }
}

TEST(ParseAnswer, SomeRefusalsAreFinal) {
  for (const char* body :
       {R"({"choices":[{"message":{"content":null},"finish_reason":"length"}]})",
        R"({"choices":[{"message":{"content":"x"},"finish_reason":"content_filter"}]})"}) {
    Generation answer;
    const auto problem = parse_answer(body, chat(), answer);
    ASSERT_TRUE(problem.has_value());
    EXPECT_FALSE(problem->transient);
  }
}

// Every prefix and many single-byte changes of a good body: an answer or a problem, never a crash.
TEST(ParseAnswer, SurvivesMutations) {
  const std::string good =
      R"({"choices":[{"message":{"content":"Hi"},"finish_reason":"stop","logprobs":{"content":)"
      R"([{"logprob":-0.25}]}}],"usage":{"prompt_tokens":7,"completion_tokens":2}})";
  GenerateRequest request = chat();
  request.logprobs = true;
  Generation answer;
  for (std::size_t n = 0; n < good.size(); ++n) {
    EXPECT_TRUE(parse_answer(good.substr(0, n), request, answer).has_value()) << n;
  }
  Rng rng(RngKey{.seed = 3});
  for (int i = 0; i < 5000; ++i) {
    std::string changed = good;
    changed[rng.below(changed.size())] = static_cast<char>(rng.below(256));
    changed[rng.below(changed.size())] = static_cast<char>(rng.below(256));
    std::vector<ServedModel> models;
    (void)parse_answer(changed, request, answer);
    (void)parse_model_list(changed, models);
    (void)server_words(changed);
  }
}

TEST(ParseModelList, LastingFieldsOnly) {
  std::vector<ServedModel> first;
  std::vector<ServedModel> second;
  ASSERT_FALSE(parse_model_list(
      R"({"data":[{"id":"m","created":1,"permission":[{"id":"a"}],"max_model_len":4096,"meta":{"n_params":5}}]})",
      first));
  ASSERT_FALSE(parse_model_list(
      R"({"data":[{"id":"m","created":2,"permission":[{"id":"b"}],"max_model_len":4096,"meta":{"n_params":5}}]})",
      second));
  ASSERT_EQ(first.size(), 1U);
  EXPECT_EQ(first[0].context_tokens, 4096);
  EXPECT_EQ(first[0].parameters, 5);
  EXPECT_EQ(first[0].lasting, second[0].lasting);
  EXPECT_TRUE(parse_model_list(R"({"data":[{"name":"m"}]})", first).has_value());
  EXPECT_TRUE(parse_model_list(R"({"models":[]})", first).has_value());
}

TEST(ServerWords, FindsTheReason) {
  EXPECT_EQ(server_words(R"({"error":{"message":"model 'x'\nnot found"}})"), "model 'x' not found");
  EXPECT_EQ(server_words(R"({"error":"plain"})"), "plain");
  EXPECT_EQ(server_words(R"({"object":"error","message":"old shape"})"), "old shape");
  EXPECT_EQ(server_words(R"({"detail":[{"msg":"field required"}]})"), "field required");
  EXPECT_EQ(server_words("<html><b>502</b> Bad   Gateway</html>"), "502 Bad Gateway");
  EXPECT_EQ(server_words("\x1b[31mred\x07\xff"), "[31mred ?");
  EXPECT_LE(server_words(std::string(100'000, 'y')).size(), 300U);
  EXPECT_EQ(server_words(""), "");
}

}  // namespace
}  // namespace precept
