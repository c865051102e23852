// Requests that are given up, or come too late, while others go on.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "precept/lm/nn/row_kernels.h"
#include "tests/lm/engine_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using Clock = std::chrono::steady_clock;

std::string words(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += i % 3 == 0 ? " the fox" : i % 3 == 1 ? " is kind" : " yes";
  return text;
}

GenerateRequest request(std::uint64_t item, int prompt_words, int tokens) {
  GenerateRequest r;
  r.messages = {{"user", words(prompt_words)}};
  r.sampling.max_tokens = tokens;
  r.key = {5, item, 0, 0};
  r.logprobs = true;
  return r;
}

void drain(Model& model) {
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
}

struct Results {
  std::vector<std::optional<Result<Generation>>> answers;
  explicit Results(std::size_t n) : answers(n) {}
  Model::GenerateDone done(std::size_t i) {
    return [this, i](Result<Generation> r) {
      EXPECT_FALSE(answers[i].has_value()) << "completed twice";
      answers[i] = std::move(r);
    };
  }
};

TEST(Patience, CancelledRequestsEndAndTheOthersAnswerAsEver) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  Results alone(1), together(4);
  const auto quiet = checkpoint.open();
  quiet->submit(request(0, 40, 30), alone.done(0));
  drain(*quiet);

  const auto model = checkpoint.open();
  int asked = 0;
  GenerateRequest given_up = request(1, 40, 200);
  given_up.patience.cancelled = [&asked] { return ++asked > 5; };
  GenerateRequest late = request(2, 40, 200), in_time = request(3, 5, 5);
  late.patience.deadline = Clock::now();
  in_time.patience.deadline = Clock::now() + std::chrono::hours(1);
  model->submit(std::move(given_up), together.done(1));
  model->submit(std::move(late), together.done(2));
  model->submit(request(0, 40, 30), together.done(0));
  model->submit(std::move(in_time), together.done(3));
  drain(*model);
  ASSERT_TRUE(together.answers[0] && together.answers[1] && together.answers[2] && together.answers[3]);
  ASSERT_TRUE(together.answers[0]->has_value() && together.answers[3]->has_value());
  EXPECT_EQ((*together.answers[0])->tokens, (*alone.answers[0])->tokens);
  EXPECT_EQ((*together.answers[0])->logprobs, (*alone.answers[0])->logprobs);
  ASSERT_FALSE(together.answers[1]->has_value());
  EXPECT_EQ(together.answers[1]->error().what, "the request was cancelled");
  EXPECT_EQ(together.answers[1]->error().kind, ErrorKind::kFailed);
  ASSERT_FALSE(together.answers[2]->has_value());
  EXPECT_EQ(together.answers[2]->error().what, "the request's deadline has passed");
}

// Others count on the blocks of a prompt that is in work: what is given up is computed as far as they need it.
TEST(Patience, WhatOthersShareIsStillComputed) {
  const Checkpoint checkpoint(engine_test::shape_of(72, 3, 6, 2, 10, 101, false, 2048));
  Results results(3);
  const auto model = checkpoint.open();
  GenerateRequest first = request(0, 500, 4);  // several steps long
  int asked = 0;
  first.patience.cancelled = [&asked] { return ++asked > 1; };
  model->submit(std::move(first), results.done(0));
  for (std::size_t i = 1; i < 3; ++i) model->submit(request(0, 500, 4), results.done(i));
  drain(*model);
  ASSERT_TRUE(results.answers[0] && results.answers[1] && results.answers[2]);
  EXPECT_FALSE(results.answers[0]->has_value());
  ASSERT_TRUE(results.answers[1]->has_value() && results.answers[2]->has_value());
  EXPECT_EQ((*results.answers[1])->logprobs, (*results.answers[2])->logprobs);
  EXPECT_GT((*results.answers[1])->usage.cached_tokens, 500);
}

TEST(Patience, CancelledWhileItWaits) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto model = checkpoint.open({.max_batch = 1});
  Results results(2);
  bool give_up = false;
  GenerateRequest waiting = request(1, 5, 50);
  waiting.patience.cancelled = [&give_up] { return give_up; };
  model->submit(request(0, 5, 400), results.done(0));
  model->submit(std::move(waiting), results.done(1));
  model->advance(std::chrono::milliseconds(0));
  give_up = true;
  const auto begin = Clock::now();
  while (!results.answers[1] && Clock::now() - begin < std::chrono::seconds(60)) model->advance(std::chrono::milliseconds(0));
  ASSERT_TRUE(results.answers[1].has_value());
  EXPECT_FALSE(results.answers[1]->has_value());
  drain(*model);
  EXPECT_TRUE(results.answers[0]->has_value());
}

// A cache of 96 blocks. What is given up gives its blocks back: a request that needs all of them is answered then.
class SmallCache : public testing::Test {
 protected:
  static constexpr int kBlocks = 96;
  std::unique_ptr<Model> open() const {
    const LlamaConfig& config = checkpoint_.config;
    const nn::KvShape shape(nn::Precision::kFp32, config.num_hidden_layers, config.num_key_value_heads, config.head_dim);
    const auto block = static_cast<std::int64_t>(shape.block_lanes() * sizeof(nn::Lane));
    return checkpoint_.open({.threads = 2, .cache_bytes = kBlocks * block, .precision = "fp32"});
  }
  // It begins as the second of the questions below, for longer than two steps.
  GenerateRequest that_needs_all() const {
    GenerateRequest all = request(9, 0, 0);
    all.messages = {{"user", words(20) + "2" + words(790)}};
    const std::size_t prompt = ChatFormat::pocket(tokenizer_).render(tokenizer_, all.messages, true)->size();
    all.sampling.max_tokens = kBlocks * nn::kBlockTokens - static_cast<int>(prompt);
    return all;
  }
  void expect_all_given_back(Model& model) {
    EXPECT_EQ(model.advance(std::chrono::milliseconds(0)), 0U);
    Results all(2);
    GenerateRequest more = that_needs_all();
    ++more.sampling.max_tokens;
    model.submit(std::move(more), all.done(1));
    model.submit(that_needs_all(), all.done(0));
    // It would wait for ever.
    for (int steps = 0; steps <= kBlocks * nn::kBlockTokens && !all.answers[0]; ++steps) model.advance(std::chrono::milliseconds(0));
    ASSERT_TRUE(all.answers[0].has_value());
    ASSERT_TRUE(all.answers[0]->has_value());
    if (!all_) all_ = alone<Generation>(that_needs_all());
    EXPECT_EQ((*all.answers[0])->tokens, all_->tokens);
    EXPECT_EQ((*all.answers[0])->logprobs, all_->logprobs) << "nothing half computed is used";
    EXPECT_TRUE(all.answers[1] && !all.answers[1]->has_value()) << "one token more does not fit: it was all of the cache";
  }
  // Questions for three parts, each of several steps, of which the second one takes most of the cache.
  static ScoreRequest questions() {
    ScoreRequest r;
    r.messages = {{"user", words(20)}};
    int number = 0;
    for (const int count : {400, 800, 250, 225}) r.questions.push_back({std::to_string(++number) + words(count) + "?", {" yes", " no fox"}});
    return r;
  }
  // What `r` gets in an engine of its own.
  template <class Answer, class Request>
  Answer alone(const Request& r) const {
    const auto model = open();
    std::optional<Answer> got;
    model->submit(r, [&got](Result<Answer> answer) {
      ASSERT_TRUE(answer.has_value()) << answer.error().message();
      got = std::move(*answer);
    });
    drain(*model);
    EXPECT_TRUE(got.has_value());
    return got.value_or(Answer());
  }
  // The first request whose answer is as long as it may be.
  GenerateRequest of_full_length(int prompt_words, int tokens) const {
    for (std::uint64_t item = 0; item < 100; ++item) {
      if (alone<Generation>(request(item, prompt_words, tokens)).finish == Finish::kLength) return request(item, prompt_words, tokens);
    }
    ADD_FAILURE() << "every answer is short";
    return request(0, prompt_words, tokens);
  }

  const Checkpoint checkpoint_{engine_test::shape_of(72, 3, 6, 2, 10, 101, false, 2048)};
  const Tokenizer tokenizer_ = engine_test::small_tokenizer();
  std::optional<Generation> all_;  // what needs all gets
};

TEST_F(SmallCache, ADeadlinePassesInTheMiddleOfAnAnswer) {
  const GenerateRequest late = of_full_length(40, 200), other = request(200, 30, 60);
  const Generation beside = alone<Generation>(other), whole = alone<Generation>(late);
  // The third part of its text comes, if there is time for three, and lasts until the deadline has passed.
  for (int ms = 50;; ms *= 2) {
    ASSERT_LT(ms, 100000);
    const auto model = open();
    Results results(2);
    int parts = 0;
    std::string text;
    GenerateRequest r = late;
    const Clock::time_point deadline = Clock::now() + std::chrono::milliseconds(ms);
    r.patience.deadline = deadline;
    r.on_text = [&](std::string_view part) {
      text += part;
      while (++parts == 3 && Clock::now() <= deadline) parts = 2;
    };
    model->submit(std::move(r), results.done(0));
    model->submit(other, results.done(1));
    drain(*model);
    ASSERT_TRUE(results.answers[0] && results.answers[1] && results.answers[1]->has_value());
    ASSERT_FALSE(results.answers[0]->has_value());
    EXPECT_EQ(results.answers[0]->error().what, "the request's deadline has passed");
    EXPECT_EQ((*results.answers[1])->tokens, beside.tokens);
    EXPECT_EQ((*results.answers[1])->logprobs, beside.logprobs);
    expect_all_given_back(*model);
    if (parts < 3) continue;
    EXPECT_EQ(parts, 3) << "nothing more was said";
    EXPECT_EQ(whole.text.substr(0, text.size()), text);
    EXPECT_LT(text.size(), whole.text.size());
    break;
  }
}

// At each moment at which it is asked: before anything of it is computed, in the middle of a part, between parts.
TEST_F(SmallCache, ScoresThatAreGivenUpAtAnyMomentLeaveNothingBehind) {
  const GenerateRequest other = request(200, 30, 60);
  const Generation beside = alone<Generation>(other);
  const Scores whole = alone<Scores>(questions());
  int given_up = 0;
  for (int moment = 1;; ++moment) {
    SCOPED_TRACE(moment);
    ASSERT_LT(moment, 1000);
    const auto model = open();
    int asked = 0;
    ScoreRequest r = questions();
    r.patience.cancelled = [&asked, moment] { return ++asked >= moment; };
    std::optional<Result<Scores>> scores;
    Results results(1);
    model->submit(std::move(r), [&scores](Result<Scores> answer) {
      EXPECT_FALSE(scores.has_value()) << "completed twice";
      scores = std::move(answer);
    });
    model->submit(other, results.done(0));
    drain(*model);
    ASSERT_TRUE(scores && results.answers[0] && results.answers[0]->has_value());
    EXPECT_EQ((*results.answers[0])->tokens, beside.tokens);
    EXPECT_EQ((*results.answers[0])->logprobs, beside.logprobs);
    expect_all_given_back(*model);
    if (scores->has_value()) {
      EXPECT_EQ((*scores)->logprobs, whole.logprobs);
      break;
    }
    EXPECT_EQ(scores->error().what, "the request was cancelled");
    ++given_up;
  }
  EXPECT_GE(given_up, 5) << "before its first step, and between the steps of its parts";
}

// An answer that came later has taken what its next part needs, so it waits although it has begun.
TEST_F(SmallCache, ScoresThatWaitBetweenTheirPartsCanBeGivenUp) {
  const GenerateRequest other = of_full_length(30, 300);
  const Generation beside = alone<Generation>(other);
  const auto model = open();
  bool give_up = false, before_the_end = false;
  std::optional<Result<Scores>> scores;
  Results results(1);
  int parts = 0;
  ScoreRequest r = questions();
  r.patience.cancelled = [&give_up] { return give_up; };
  model->submit(std::move(r), [&](Result<Scores> answer) {
    scores = std::move(answer);
    before_the_end = !results.answers[0].has_value();
  });
  GenerateRequest slow = other;
  slow.on_text = [&](std::string_view) {
    give_up = ++parts >= 3;
    // Waiting requests are looked at now and then: a step takes long enough for that to be before the answer's end.
    for (const auto begin = Clock::now(); give_up && !scores && Clock::now() - begin < std::chrono::milliseconds(20);) {
    }
  };
  model->submit(std::move(slow), results.done(0));
  drain(*model);
  ASSERT_TRUE(scores && results.answers[0] && results.answers[0]->has_value());
  ASSERT_FALSE(scores->has_value());
  EXPECT_EQ(scores->error().what, "the request was cancelled");
  EXPECT_TRUE(before_the_end);
  EXPECT_EQ((*results.answers[0])->tokens, beside.tokens);
  EXPECT_EQ((*results.answers[0])->logprobs, beside.logprobs);
  expect_all_given_back(*model);
}

TEST(Precision, IsNamedWhenItIsNone) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto opened = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.precision = "fp8"});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace precept
