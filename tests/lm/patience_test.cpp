// Requests that are given up, or come too late, while others go on; and memory that is bounded.
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

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

TEST(Memory, ABudgetBoundsTheCacheOrSaysWhatIsMissing) {
  const Checkpoint checkpoint(engine_test::pocket_shape());
  const Result<std::unique_ptr<Model>> tiny = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.memory_bytes = 1 << 20});
  ASSERT_FALSE(tiny.has_value());
  EXPECT_EQ(tiny.error().kind, ErrorKind::kBadInput);
  EXPECT_NE(tiny.error().what.find("weights and activations take"), std::string::npos) << tiny.error().what;
  EXPECT_NE(tiny.error().hint.find("give it at least"), std::string::npos);
  const auto model = checkpoint.open({.threads = 1, .memory_bytes = 64 << 20});
  ASSERT_NE(model, nullptr);
  Results results(40);  // more than fit at once: they wait, and all are answered
  for (std::size_t i = 0; i < 40; ++i) model->submit(request(i, 100, 40), results.done(i));
  drain(*model);
  for (const auto& answer : results.answers) EXPECT_TRUE(answer && answer->has_value());
}

TEST(Precision, IsNamedWhenItIsNone) {
  const Checkpoint checkpoint(engine_test::odd_shape());
  const auto opened = precept_lm_api()->open_checkpoint(checkpoint.folder.path(), {.precision = "fp8"});
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().kind, ErrorKind::kBadInput);
}

}  // namespace
}  // namespace precept
