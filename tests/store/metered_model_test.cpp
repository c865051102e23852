#include "precept/store/metered_model.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <deque>
#include <filesystem>
#include <fstream>
#include <limits>

namespace precept {
namespace {

using std::chrono::milliseconds;

// An endpoint in memory: answers with what it was asked, counts, says who it is.
class FakeEndpoint final : public Model {
 public:
  struct Log {
    int generations = 0, questions = 0, in_flight = 0, most_in_flight = 0;
    std::string fingerprint;
    bool gives_usage = true, fails = false;
  };

  FakeEndpoint(std::string url, std::string serves, Log& log) : log_(log) {
    info_.uri = info_.name = url;
    info_.digest = "digest of " + url;
    info_.can_score = info_.words_only = true;
    info_.endpoints.push_back({std::move(url), std::move(serves), true, false, {}});
  }

  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override {
    ++log_.generations;
    start([this, request, done] {
      if (request.on_text) {  // in parts
        request.on_text("re: ");
        request.on_text(request.messages.back().content);
      }
      if (log_.fails) return done(failed("out of order"));
      Generation answer;
      answer.text = "re: " + request.messages.back().content;
      answer.logprobs = request.logprobs ? std::vector<float>{-0.5F, -std::numeric_limits<float>::infinity()} : std::vector<float>();
      if (log_.gives_usage) answer.usage = {1, 0, 5};
      answer.by = {info_.endpoints[0].url, log_.fingerprint};
      done(std::move(answer));
    });
  }
  void submit(ScoreRequest request, ScoreDone done) override {
    log_.questions += static_cast<int>(request.questions.size());
    start([this, request, done] {
      if (log_.fails) return done(failed("out of order"));
      Scores scores;
      for (const ScoreQuestion& question : request.questions) {
        scores.logprobs.push_back({-0.25 - static_cast<double>(question.tail.size()), -std::numeric_limits<double>::infinity()});
      }
      scores.usage = {20, 0, 1};
      scores.by = {info_.endpoints[0].url, log_.fingerprint};
      done(std::move(scores));
    });
  }
  std::size_t advance(milliseconds) override {
    if (!queue_.empty()) {
      auto next = std::move(queue_.front());
      queue_.pop_front();
      --log_.in_flight;
      next();
    }
    return queue_.size();
  }

 private:
  void start(std::function<void()> complete) {
    queue_.push_back(std::move(complete));
    log_.most_in_flight = std::max(log_.most_in_flight, ++log_.in_flight);
  }
  Log& log_;
  ModelInfo info_;
  std::deque<std::function<void()>> queue_;
};

class Metered : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "precept_metered_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // One session over the folder.
  struct Session {
    std::shared_ptr<Meter> meter;
    std::unique_ptr<Model> model;
  };
  Session open(const Ceiling& ceiling = {}, const std::string& url = "http://a/v1#m", const std::string& serves = "s1") {
    auto meter = Meter::open(folder_, ceiling, [this](const Event& event) { notes_.push_back(event.text); });
    EXPECT_TRUE(meter.has_value()) << (meter ? "" : meter.error().message());
    auto fake = std::make_unique<FakeEndpoint>(url, serves, log_);
    EXPECT_TRUE((*meter)->keep(fake->info()).has_value());
    return {*meter, metered(std::move(fake), *meter)};
  }
  static GenerateRequest request(int i, bool logprobs = false) {
    GenerateRequest out;
    out.messages = {{"user", "q" + std::to_string(i)}};
    out.key = {.seed = 3, .item = static_cast<std::uint64_t>(i)};
    out.sampling.max_tokens = 5;
    out.logprobs = logprobs;
    return out;
  }
  static std::vector<Result<Generation>> ask(Model& model, const std::vector<GenerateRequest>& requests) {
    std::vector<std::optional<Result<Generation>>> got(requests.size());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      model.submit(requests[i], [&got, i](Result<Generation> answer) {
        EXPECT_FALSE(got[i].has_value()) << "answered twice";
        got[i].emplace(std::move(answer));
      });
    }
    int steps = 0;
    while (model.advance(milliseconds(0)) > 0) EXPECT_LT(++steps, 100'000);
    std::vector<Result<Generation>> out;
    for (auto& each : got) out.push_back(each ? std::move(*each) : failed("lost"));
    return out;
  }
  static Result<Scores> score(Model& model, int questions) {
    std::optional<Result<Scores>> got;
    ScoreRequest request{{{"user", "q"}}, false, {}, {}};
    for (int i = 0; i < questions; ++i) request.questions.push_back({std::string(static_cast<std::size_t>(i), 'x'), {"yes", "no"}});
    model.submit(request, [&](Result<Scores> answer) { got.emplace(std::move(answer)); });
    while (model.advance(milliseconds(0)) > 0) {
    }
    return got ? std::move(*got) : failed("lost");
  }

  std::string folder_;
  FakeEndpoint::Log log_;
  std::vector<std::string> notes_;
};

// Who sent the request sees the answer grow; who only waits for it, or asks again later, gets it whole.
TEST_F(Metered, PartsOfAnAnswerPassThrough) {
  const Session session = open();
  std::vector<std::vector<std::string>> parts(3);
  std::vector<GenerateRequest> requests(2, request(1));
  for (std::size_t i = 0; i < 2; ++i) requests[i].on_text = [&parts, i](std::string_view part) { parts[i].emplace_back(part); };
  const auto answers = ask(*session.model, requests);
  ASSERT_TRUE(answers[0].has_value() && answers[1].has_value());
  requests.resize(1);
  requests[0].on_text = [&parts](std::string_view part) { parts[2].emplace_back(part); };
  ASSERT_TRUE(ask(*session.model, requests)[0].has_value());
  EXPECT_EQ(log_.generations, 1);
  EXPECT_EQ(parts[0], (std::vector<std::string>{"re: ", "q1"}));
  EXPECT_EQ(parts[1], std::vector<std::string>{"re: q1"});
  EXPECT_EQ(parts[2], parts[1]);
}

TEST_F(Metered, WhatIsAnsweredIsNotAskedAgainInAnySession) {
  {
    Session first = open();
    const auto answers = ask(*first.model, {request(1), request(2), request(1)});
    for (const auto& answer : answers) ASSERT_TRUE(answer.has_value()) << answer.error().message();
    EXPECT_EQ(answers[2]->text, "re: q1");
    EXPECT_EQ(log_.generations, 2) << "equal requests in flight are one";
    ASSERT_EQ(ask(*first.model, {request(2)})[0]->text, "re: q2");
    EXPECT_EQ(log_.generations, 2);
  }
  Session second = open();
  const auto again = ask(*second.model, {request(2), request(3)});
  EXPECT_EQ(again[0]->text, "re: q2");
  EXPECT_EQ(again[0]->usage.cached_tokens, again[0]->usage.prompt_tokens);
  EXPECT_EQ(again[1]->text, "re: q3");
  EXPECT_EQ(log_.generations, 3);
  EXPECT_EQ(second.meter->spent().prompt_tokens, 3) << "both sessions, and nothing for what was known";
  EXPECT_EQ(second.meter->spent().output_tokens, 15);
}

TEST_F(Metered, LogprobsArePartOfTheRequestAndSurvive) {
  Session session = open();
  ask(*session.model, {request(1)});
  const auto with = ask(*session.model, {request(1, true)});
  EXPECT_EQ(log_.generations, 2);
  session = open();
  const auto again = ask(*session.model, {request(1, true)});
  EXPECT_EQ(log_.generations, 2);
  ASSERT_EQ(again[0]->logprobs.size(), 2U);
  EXPECT_EQ(again[0]->logprobs, with[0]->logprobs);
}

TEST_F(Metered, ScoresAreRememberedQuestionByQuestion) {
  Session session = open();
  ASSERT_TRUE(score(*session.model, 2).has_value());
  EXPECT_EQ(log_.questions, 2);
  const auto more = score(*session.model, 3);
  EXPECT_EQ(log_.questions, 3) << "only the new question is sent";
  ASSERT_TRUE(more.has_value());
  ASSERT_EQ(more->logprobs.size(), 3U);
  EXPECT_EQ(more->logprobs[1][0], -1.25);
  EXPECT_TRUE(std::isinf(more->logprobs[1][1]));
  EXPECT_FALSE(score(*session.model, 0).has_value() && log_.questions != 3);
}

TEST_F(Metered, FailuresAreNotRemembered) {
  Session session = open();
  log_.fails = true;
  EXPECT_FALSE(ask(*session.model, {request(1)})[0].has_value());
  EXPECT_FALSE(score(*session.model, 2).has_value());
  log_.fails = false;
  EXPECT_TRUE(ask(*session.model, {request(1)})[0].has_value());
  EXPECT_TRUE(score(*session.model, 2).has_value());
}

TEST_F(Metered, AnotherModelOrFingerprintGetsItsOwnAnswers) {
  log_.fingerprint = "fp-a";
  Session session = open();
  ask(*session.model, {request(1)});
  EXPECT_EQ(log_.generations, 1);
  session = open({}, "http://a/v1#m", "s2");  // the server says that it serves something else now
  ask(*session.model, {request(1)});
  EXPECT_EQ(log_.generations, 2);
  session = open({}, "http://b/v1#m", "s1");  // another address
  ask(*session.model, {request(1)});
  EXPECT_EQ(log_.generations, 3);

  session = open({}, "http://a/v1#m", "s3");
  ask(*session.model, {request(1)});
  log_.fingerprint = "fp-b";
  ask(*session.model, {request(2)});  // tells the new fingerprint
  ASSERT_FALSE(notes_.empty());
  EXPECT_NE(notes_.back().find("from fp-a to fp-b"), std::string::npos) << notes_.back();
  const int before = log_.generations;
  ask(*session.model, {request(1)});
  EXPECT_EQ(log_.generations, before + 1) << "what fp-a answered is not given for fp-b";
  session = open({}, "http://a/v1#m", "s3");
  ask(*session.model, {request(1), request(2)});
  EXPECT_EQ(log_.generations, before + 1);
}

TEST_F(Metered, AtTheCeilingNothingIsSentAndAHigherOneGoesOn) {
  std::vector<GenerateRequest> many;
  for (int i = 0; i < 50; ++i) many.push_back(request(i));
  Session session = open({.tokens = 60});
  const auto some = ask(*session.model, many);
  int good = 0;
  for (const auto& answer : some) {
    good += answer ? 1 : 0;
    if (answer) continue;
    EXPECT_EQ(answer.error().kind, ErrorKind::kLimit);
    EXPECT_NE(answer.error().what.find("ceiling of 60 tokens is reached"), std::string::npos);
    EXPECT_NE(answer.error().hint.find("--max-total-tokens"), std::string::npos);
  }
  EXPECT_EQ(good, log_.generations);
  EXPECT_GE(good, 10);
  EXPECT_LE(good, 12) << "6 tokens each";
  const int sent = log_.generations;
  session = open({.tokens = 60});
  EXPECT_TRUE(ask(*session.model, many)[0].has_value()) << "what is known is given at any ceiling";
  EXPECT_EQ(log_.generations, sent) << "earlier sessions count";
  session = open({.tokens = 10'000});
  for (const auto& answer : ask(*session.model, many)) EXPECT_TRUE(answer.has_value());
  EXPECT_EQ(log_.generations, 50);
}

TEST_F(Metered, ACostIsACeilingToo) {
  Session session = open({.tokens = 0, .spend = 0.001, .price_input = 10, .price_output = 20});  // 0.00011 an answer
  std::vector<GenerateRequest> many;
  for (int i = 0; i < 20; ++i) many.push_back(request(i));
  int good = 0;
  for (const auto& answer : ask(*session.model, many)) good += answer ? 1 : 0;
  EXPECT_GE(good, 10);
  EXPECT_LE(good, 12);
  EXPECT_GE(session.meter->cost(session.meter->spent()), 0.001);
}

TEST_F(Metered, WithoutUsageFourBytesAreAToken) {
  log_.gives_usage = false;
  Session session = open();
  ask(*session.model, {request(1)});
  EXPECT_EQ(session.meter->spent().prompt_tokens, 1);
  EXPECT_EQ(session.meter->spent().output_tokens, 2);
}

TEST_F(Metered, WhatIsKnownOfEndpointsIsRecorded) {
  Session session = open();
  const EndpointInfo same{"http://a/v1#m", "s1", std::nullopt, false, {}}, changed{"http://a/v1#m", "s9", std::nullopt, false, {}};
  EXPECT_EQ(session.meter->known_scores(same), true);
  EXPECT_EQ(session.meter->known_scores(changed), std::nullopt);
  ModelInfo asked;
  asked.endpoints.push_back({"http://c/v1#m", "s1", false, true, {30, 0, 1}});
  ASSERT_TRUE(session.meter->keep(asked).has_value());
  EXPECT_EQ(session.meter->spent().prompt_tokens, 30);
  session = open();
  EXPECT_EQ(session.meter->known_scores(asked.endpoints[0]), false);
  EXPECT_EQ(session.meter->spent().prompt_tokens, 30) << "finding out costs, once";
}

TEST_F(Metered, ADamagedFileIsAnErrorOfInput) {
  { Session session = open(); }
  { std::ofstream(folder_ + "/answers.db", std::ios::binary) << "this is no database, but it is long enough to look at"; }
  const auto meter = Meter::open(folder_, {});
  ASSERT_FALSE(meter.has_value());
  EXPECT_EQ(meter.error().kind, ErrorKind::kBadInput);
  EXPECT_FALSE(meter.error().hint.empty());
}

}  // namespace
}  // namespace precept
