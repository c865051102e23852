// Answers that come in parts: read by the byte, and over the wire.

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include <nlohmann/json.hpp>

#include "precept/model/http_model.h"
#include "precept/model/http_stream.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;

struct Parts {
  GenerateRequest request;
  std::vector<std::string> given;

  Parts() {
    request.messages = {{"user", "q"}};
    request.on_text = [this](std::string_view part) { given.emplace_back(part); };
  }
  std::string joined() const {
    std::string all;
    for (const std::string& part : given) all += part;
    return all;
  }
  // Feeds `body` in pieces of `step` bytes.
  std::optional<HttpProblem> read(const std::string& body, Generation& answer, std::size_t step = 1, const std::vector<std::string>& secrets = {}) {
    given.clear();
    AnswerStream stream(request, secrets);
    for (std::size_t at = 0; at < body.size(); at += step) stream.feed(std::string_view(body).substr(at, step));
    return stream.finish(body, answer);
  }
};

std::string chunk(const std::string& text, const char* finish = nullptr) {
  json choice = {{"index", 0}, {"delta", {{"content", text}}}, {"finish_reason", nullptr}};
  if (finish != nullptr) choice["finish_reason"] = finish;
  return "data: " + json{{"choices", json::array({choice})}, {"system_fingerprint", "fp"}}.dump() + "\n\n";
}

TEST(AnswerStream, ReadsEventsHoweverTheyAreCut) {
  const std::string usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n";
  const std::string body = ": hello\n\ndata: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\nevent: x\nid: 7\n" + chunk("你好") + chunk("") + chunk(", wor") + chunk("ld", "length") + usage + "data: [DONE]\n\n";
  for (const std::size_t step : {1U, 2U, 3U, 7U, 50U, 10'000U}) {
    Parts parts;
    Generation answer;
    const auto problem = parts.read(body, answer, step);
    ASSERT_FALSE(problem) << problem->what;
    EXPECT_EQ(answer.text, "你好, world");
    EXPECT_EQ(parts.given, (std::vector<std::string>{"你好", ", wor", "ld"}));
    EXPECT_EQ(answer.finish, Finish::kLength);
    EXPECT_EQ(answer.usage.prompt_tokens, 3);
    EXPECT_EQ(answer.usage.output_tokens, 4);
    EXPECT_EQ(answer.by.fingerprint, "fp");
  }
  std::string carriage = body;  // CRLF, and CR alone
  for (std::size_t at = 0; (at = carriage.find('\n', at)) != std::string::npos; at += 2) carriage.replace(at, 1, "\r\n");
  Parts parts;
  Generation answer;
  EXPECT_FALSE(parts.read(carriage, answer));
  EXPECT_EQ(answer.text, "你好, world");
}

TEST(AnswerStream, NothingOfAStopStringOrASecretGetsOut) {
  Parts parts;
  parts.request.sampling.stop = {"STOP", "\n\n"};
  Generation answer;
  const std::string body = chunk("a S") + chunk("TO") + chunk("x ST") + chunk("O") + chunk("P and more") + chunk("b", "stop");
  EXPECT_FALSE(parts.read(body, answer));
  EXPECT_EQ(answer.text, "a STOx ");
  EXPECT_EQ(parts.joined(), answer.text);
  EXPECT_EQ(parts.given.front(), "a ");
  EXPECT_EQ(answer.finish, Finish::kStop);
  parts.request.sampling.stop.clear();
  EXPECT_FALSE(parts.read(chunk("key sk-ver") + chunk("y-secret") + chunk("-1!") + chunk(" sk-very", "stop"), answer, 5, {"sk-very-secret-1"}));
  EXPECT_EQ(answer.text, "key ***! sk-very") << "what only began like one is given at the end";
  EXPECT_EQ(parts.joined(), answer.text);
}

TEST(AnswerStream, WhatIsNoStreamIsReadWhole) {
  Parts parts;
  Generation answer;
  EXPECT_FALSE(parts.read(R"( {"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]})", answer));
  EXPECT_EQ(answer.text, "whole");
  EXPECT_EQ(parts.given, std::vector<std::string>{"whole"});
  for (const char* body : {"", "\n", "<html>data: x</html>", "oops", "42", "[DONE]"}) {
    const auto problem = parts.read(body, answer);
    ASSERT_TRUE(problem) << body;
    EXPECT_TRUE(problem->transient);
    EXPECT_TRUE(parts.given.empty());
  }
}

TEST(AnswerStream, TellsWhatIsWrong) {
  Parts parts;
  Generation answer;
  const std::pair<std::string, const char*> kBad[] = {
      {chunk("some"), "ends in the middle"},
      {chunk("some") + "data: {\"choi", "not JSON"},
      {chunk("some") + "data: {\"error\":{\"message\":\"out of memory\"}}\n\n", "out of memory"},
      {"data: {\"choices\":[{\"delta\":{\"content\":7}}]}\n\n", "not a string"},
      {"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"content_filter\"}]}\n\n", "content_filter"},
      {"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":-1}}\n\n", "not counts"}};
  for (const auto& [body, what] : kBad) {
    const auto problem = parts.read(body, answer);
    ASSERT_TRUE(problem) << body;
    EXPECT_NE(problem->what.find(what), std::string::npos) << problem->what;
    EXPECT_FALSE(problem->hint.empty());
  }
}

GenerateRequest asked(std::string& text, std::atomic<int>& parts) {
  GenerateRequest request;
  request.messages = {{"user", "Tell me something."}};
  request.on_text = [&](std::string_view part) {
    text += part;
    ++parts;
  };
  return request;
}

HttpOptions quick() {
  HttpOptions options;
  options.backoff_first = milliseconds(1);
  options.backoff_max = milliseconds(4);
  return options;
}

Result<Generation> ask(Model& model, GenerateRequest request) {
  std::optional<Result<Generation>> got;
  model.submit(std::move(request), [&](Result<Generation> answer) { got.emplace(std::move(answer)); });
  while (model.advance(milliseconds(50)) > 0) {
  }
  return std::move(*got);
}

TEST(HttpStream, TextComesWhileTheServerStillWrites) {
  const auto content = [](const json&) -> Result<std::string> { return "one two three four five"; };
  std::atomic<int> parts = 0, before_the_end = 0;
  const auto wait_for_the_reader = [&] {
    for (int i = 0; i < 1000 && parts < 5; ++i) std::this_thread::sleep_for(milliseconds(5));
    before_the_end = parts.load();
  };
  TestServer server({.before_the_end = wait_for_the_reader, .content = content});
  auto model = open_http_model(server.base() + "#test", quick(), {});
  ASSERT_TRUE(model.has_value());
  std::string text;
  const auto answer = ask(**model, asked(text, parts));
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(answer->text, "one two three four five");
  EXPECT_EQ(text, answer->text);
  EXPECT_EQ(answer->usage.output_tokens, 5);
  EXPECT_EQ(parts, 5);
  EXPECT_EQ(before_the_end, 5) << "text waited for the end of the answer";
  EXPECT_EQ(json::parse(server.stats().last_body)["stream"], true);
  // Without anybody who wants it in parts it is asked for whole, and is the same.
  GenerateRequest plain;
  plain.messages = {{"user", "Tell me something."}};
  EXPECT_EQ(ask(**model, plain)->text, text);
  EXPECT_EQ(json::parse(server.stats().last_body)["stream"], false);
}

TEST(HttpStream, AServerThatAnswersWholeIsFine) {
  TestServer server({.whole_always = true});
  auto model = open_http_model(server.base() + "#test", quick(), {});
  ASSERT_TRUE(model.has_value());
  std::string text;
  std::atomic<int> parts = 0;
  const auto answer = ask(**model, asked(text, parts));
  ASSERT_TRUE(answer.has_value()) << answer.error().message();
  EXPECT_EQ(text, answer->text);
  EXPECT_EQ(parts, 1);
}

// Trouble before the first part leads to another attempt; after it the answer has failed, for nothing may be said twice.
TEST(HttpStream, TroubleNeverRepeatsText) {
  TestServer server({.seed = 3,
                     .share = {{Trouble::kTooMany, 0.1}, {Trouble::kInternal, 0.1}, {Trouble::kHtml, 0.1}, {Trouble::kHalfJson, 0.15},
                               {Trouble::kDrop, 0.15}, {Trouble::kGarbage, 0.1}, {Trouble::kStall, 0.02}}});
  HttpOptions options = quick();
  options.stall_timeout = milliseconds(200);
  options.retries = 6;
  TestServer good;
  auto model = open_http_model(server.base() + "#test", options, {});
  auto other = open_http_model(good.base() + "#test", options, {});
  ASSERT_TRUE(model.has_value() && other.has_value());
  constexpr std::size_t kCount = 400;
  std::vector<std::string> texts(kCount), whole(kCount);
  std::size_t failed = 0, answered = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    GenerateRequest request;
    request.messages = {{"user", "question " + std::to_string(i)}};
    request.key = {.seed = 2, .item = i};
    (*other)->submit(request, [&whole, i](Result<Generation> answer) { whole[i] = answer.value().text; });
    request.on_text = [&texts, i](std::string_view part) { texts[i] += part; };
    (*model)->submit(request, [&, i](Result<Generation> answer) {
      ++(answer ? answered : failed);
      if (answer) {
        EXPECT_EQ(answer->text, texts[i]);
      }
    });
  }
  while ((*other)->advance(milliseconds(50)) > 0) {
  }
  while ((*model)->advance(milliseconds(50)) > 0) {
  }
  EXPECT_EQ(answered + failed, kCount);
  EXPECT_GT(failed, kCount / 20) << "half of an answer was out";
  EXPECT_GT(answered, kCount / 2);
  std::size_t partly = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    EXPECT_EQ(whole[i].substr(0, texts[i].size()), texts[i]) << i;
    partly += !texts[i].empty() && texts[i].size() < whole[i].size() ? 1 : 0;
  }
  EXPECT_GT(partly, kCount / 20);
}

}  // namespace
}  // namespace precept
