#include "precept/model/http_score.h"

#include <gtest/gtest.h>

#include <cmath>

#include <nlohmann/json.hpp>

#include "precept/model/http_options.h"

namespace precept {
namespace {

using nlohmann::json;

FirstToken candidates(std::vector<FirstToken::Candidate> list) {
  FirstToken first;
  first.candidates = std::move(list);
  return first;
}

TEST(ScoreBody, AsksForOneTokenAndItsCandidates) {
  const json body = json::parse(score_body({{"system", "s"}, {"user", "q"}}, " tail", "m"));
  EXPECT_EQ(body["max_tokens"], 1);
  EXPECT_EQ(body["logprobs"], true);
  EXPECT_EQ(body["top_logprobs"], 20);
  EXPECT_EQ(body["temperature"], 1.0);
  EXPECT_EQ(body["messages"][0]["content"], "s");
  EXPECT_EQ(body["messages"][1]["content"], "q tail");
  EXPECT_LT(body["seed"].get<std::int64_t>(), std::int64_t{1} << 31);
  EXPECT_EQ(score_body({{"user", "q"}}, " tail", "m"), score_body({{"user", "q"}}, " tail", "m"));
}

TEST(ParseFirstToken, ReadsCandidatesAndTheTokenWritten) {
  FirstToken first;
  const auto problem = parse_first_token(
      R"({"choices":[{"message":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-4,
          "top_logprobs":[{"token":"Yes","logprob":-0.1},{"token":" no","logprob":-3}]}]}}],
          "usage":{"prompt_tokens":9,"completion_tokens":1},"system_fingerprint":"fp\n1"})",
      first);
  ASSERT_FALSE(problem.has_value()) << problem->what;
  ASSERT_EQ(first.candidates.size(), 3U);
  EXPECT_EQ(first.candidates[2].token, "x");
  EXPECT_EQ(first.usage.prompt_tokens, 9);
  EXPECT_EQ(first.fingerprint, "fp 1");
}

TEST(ParseFirstToken, NoCandidatesIsNoProblem) {
  for (const char* choice : {R"({"message":{"content":"yes"}})", R"({"logprobs":null})", R"({"logprobs":{}})",
                             R"({"logprobs":{"content":[]}})", R"({"logprobs":{"content":null}})",
                             R"({"logprobs":{"content":[{"token":"yes","logprob":-1}]}})",
                             R"({"logprobs":{"content":[{"token":"yes","logprob":-1,"top_logprobs":[]}]}})",
                             R"({"logprobs":{"content":[{"top_logprobs":[{"token":"yes","logprob":-1}]}]}})"}) {
    FirstToken first;
    EXPECT_FALSE(parse_first_token(std::string(R"({"choices":[)") + choice + "]}", first)) << choice;
    EXPECT_TRUE(first.candidates.empty()) << choice;
  }
}

TEST(ParseFirstToken, RefusesWhatIsNoAnswer) {
  for (const char* body : {"", "[]", R"({"choices":[]})", R"({"choices":["x"]})", R"({"choices":[{"logprobs":3}]})",
                           R"({"choices":[{"logprobs":{"content":"x"}}]})", R"({"choices":[{"logprobs":{"content":["x"]}}]})",
                           R"({"choices":[{"logprobs":{"content":[{"top_logprobs":[1,2]}]}}]})",
                           R"({"choices":[{"logprobs":{"content":[{"top_logprobs":[{"token":1,"logprob":0},{"token":"a"}]}]}}]})",
                           R"({"choices":[{"logprobs":null}],"usage":{"prompt_tokens":9000000000000000000}})",
                           R"({"error":{"message":"no"}})"}) {
    FirstToken first;
    const auto problem = parse_first_token(body, first);
    ASSERT_TRUE(problem.has_value()) << body;
    EXPECT_TRUE(problem->transient);
  }
}

TEST(OptionLogprobs, SpellingsAreSummed) {
  const auto first = candidates({{"Yes", std::log(0.4)}, {" yes", std::log(0.1)}, {"\xC4\xA0YES", std::log(0.05)},
                                 {"\xE2\x96\x81yes\n", std::log(0.05)}, {"No", std::log(0.2)}, {"yesterday", std::log(0.1)},
                                 {"Yes,", std::log(0.05)}});
  const auto scores = option_logprobs(first, {"yes", "No"});
  EXPECT_NEAR(scores[0], std::log(0.6), 1e-12);
  EXPECT_NEAR(scores[1], std::log(0.2), 1e-12);
}

TEST(OptionLogprobs, WhatIsNotThereIsImpossibleAndNoAnswerIsUndefined) {
  const auto half = option_logprobs(candidates({{"Yes", -0.2}, {"Hm", -2}}), {"yes", "no"});
  EXPECT_NEAR(half[0], -0.2, 1e-12);
  EXPECT_EQ(half[1], -std::numeric_limits<double>::infinity());
  // A model that thinks first: "yes" is among the candidates, but it is not what comes.
  const auto thinking = option_logprobs(candidates({{"<think>", -0.0001}, {"Yes", -12}, {"no", -14}}), {"yes", "no"});
  EXPECT_TRUE(std::isinf(thinking[0]) && std::isinf(thinking[1]));
}

TEST(IsWord, OneShortWord) {
  EXPECT_TRUE(is_word("yes"));
  EXPECT_TRUE(is_word("是"));
  for (const char* no : {"", "not sure", "yes\n", "abcdefghijklmnopq"}) EXPECT_FALSE(is_word(no)) << no;
}

TEST(RetryAfter, SecondsAndDates) {
  using std::chrono::milliseconds;
  const auto now = std::chrono::system_clock::from_time_t(784111777);  // Sun, 06 Nov 1994 08:49:37 GMT
  EXPECT_EQ(parse_retry_after(" 7\r\n", now), milliseconds(7000));
  EXPECT_EQ(parse_retry_after("0.25", now), milliseconds(250));
  EXPECT_EQ(parse_retry_after("99999999999999999999", now), milliseconds(86'400'000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:42 GMT", now), milliseconds(5000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:30 GMT", now), milliseconds(0)) << "a date that is gone";
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 2094 08:49:30 GMT", now), milliseconds(86'400'000));
  for (const char* wrong : {"", " ", "soon", "-1", "1.2.3", "1e9", "Someday, 99 Foo 1994"}) {
    EXPECT_EQ(parse_retry_after(wrong, now), std::nullopt) << wrong;
  }
}

TEST(Headers, VariablesAreTakenAndKeptSecret) {
  ::setenv("TEST_TOKEN", "abc-def-123", 1);
  HttpOptions options;
  ASSERT_TRUE(add_headers("X-Team: a$$b\nAuthorization: Token ${TEST_TOKEN}\nX-Two: $TEST_TOKEN.", "--header", options).has_value());
  EXPECT_EQ(options.headers, (std::vector<std::string>{"X-Team: a$b", "Authorization: Token abc-def-123", "X-Two: abc-def-123."}));
  EXPECT_EQ(without_secrets("key abc-def-123!", options), "key ***!");
  options.api_key = "short";
  EXPECT_EQ(without_secrets("short", options), "short") << "too short to be looked for in answers";
  ::unsetenv("TEST_TOKEN");
}

TEST(Headers, WhatIsWrongIsRefusedWithoutTheSecret) {
  for (const char* line : {"no colon", ": value", "a b: c", "X-A:", "X-A: $", "X-A: ${OPEN", "X-A: $NOT_SET_ANYWHERE", "X-A: a\tb",
                           "Host: x", "Content-Length: 3", "Authorization: Bearer secret-secret", "x-api-KEY: secret-secret"}) {
    HttpOptions options;
    const Status status = add_headers(line, "--header", options);
    ASSERT_FALSE(status.has_value()) << line;
    EXPECT_EQ(status.error().kind, ErrorKind::kBadInput);
    EXPECT_FALSE(status.error().hint.empty());
    EXPECT_EQ((status.error().what + status.error().hint).find("secret-secret"), std::string::npos);
    EXPECT_EQ(status.error().what.find('\n'), std::string::npos);
  }
}

TEST(Proxy, AddressesAndVariables) {
  HttpOptions options;
  EXPECT_TRUE(set_proxy("http://127.0.0.1:3128", "--proxy", options).has_value());
  ::setenv("TEST_PROXY", "socks5h://me:hunter22@proxy:1080", 1);
  EXPECT_TRUE(set_proxy("$TEST_PROXY", "--proxy", options).has_value());
  EXPECT_EQ(options.proxy, "socks5h://me:hunter22@proxy:1080");
  ::unsetenv("TEST_PROXY");
  for (const char* wrong : {"proxy:3128", "ftp://x", "http://me:hunter22@proxy", "http://a b", "$TEST_PROXY"}) {
    const Status status = set_proxy(wrong, "--proxy", options);
    ASSERT_FALSE(status.has_value()) << wrong;
    EXPECT_EQ((status.error().what + status.error().hint).find("hunter22"), std::string::npos);
  }
}

TEST(ApiKey, FromTheVariableThatIsNamed) {
  ::setenv("TEST_KEY", "k-123", 1);
  EXPECT_EQ(*api_key_from("TEST_KEY"), "k-123");
  ::setenv("TEST_KEY", "k 123", 1);
  EXPECT_FALSE(api_key_from("TEST_KEY").has_value());
  ::unsetenv("TEST_KEY");
  EXPECT_FALSE(api_key_from("TEST_KEY").has_value());
  const auto pasted = api_key_from("sk-live-0123456789");  // the key where its variable should be
  ASSERT_FALSE(pasted.has_value());
  EXPECT_EQ((pasted.error().what + pasted.error().hint).find("0123456789"), std::string::npos);
}

}  // namespace
}  // namespace precept
