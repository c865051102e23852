// Nobody waits for ever: every request is answered within a number of steps that follows from those before it, whatever comes after it.
// What computes is a stand-in that answers at once, so that only the scheduler is seen, with the same steps on every machine.
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "precept/lm/infer/engine.h"
#include "tests/lm/engine_support.h"

namespace precept {
namespace {

constexpr int kRows = 512;  // of a step
constexpr std::chrono::milliseconds kNow{0};

// Says the same token for ever.
class OneToken : public infer::Backend {
 public:
  OneToken(std::int64_t blocks, std::int32_t token) : blocks_(blocks), token_(token) {}
  std::vector<infer::Outcome> run(const std::vector<infer::Segment>& segments, const std::vector<infer::Wanted>& wanted) override {
    int rows = 0;
    for (const infer::Segment& segment : segments) rows += segment.rows;
    EXPECT_LE(rows, kRows);
    std::vector<infer::Outcome> outcomes;
    for (const infer::Wanted& one : wanted) {
      outcomes.push_back({true, token_, -1.0F, std::vector<double>(static_cast<std::size_t>(one.count), -1.0)});
    }
    return outcomes;
  }
  int max_rows() const override { return kRows; }
  void copy_block(std::uint32_t, std::uint32_t) override {}
  std::int64_t blocks() const override { return blocks_; }

 private:
  std::int64_t blocks_;
  std::int32_t token_;
};

std::unique_ptr<infer::Engine> engine(std::int64_t blocks, int max_batch = 64) {
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  infer::EngineParts parts{{}, {tokenizer, ChatCodec(ChatFormat::pocket(tokenizer))}, {}, "", {}, nullptr};
  parts.info.context_tokens = 4096;
  EngineOptions options;
  options.max_batch = max_batch;
  return std::make_unique<infer::Engine>(std::move(parts), std::make_unique<OneToken>(blocks, tokenizer.encode(" yes")[0]), options);
}

// A prompt of so many tokens that shares nothing to speak of with those of other items.
std::string text_of(int item, int tokens) {
  static const Tokenizer tokenizer = engine_test::small_tokenizer();
  std::string text = std::to_string(item) + ".";
  const int begin = 1 + static_cast<int>(tokenizer.encode(text).size());
  for (int i = begin; i < tokens; ++i) text += " yes";
  EXPECT_EQ(1 + static_cast<int>(tokenizer.encode(text).size()), tokens);
  return text;
}

GenerateRequest generate(int item, int prompt_tokens, int answer_tokens) {
  GenerateRequest request;
  request.raw = true;
  request.messages = {{"user", text_of(item, prompt_tokens)}};
  request.sampling.max_tokens = answer_tokens;
  return request;
}

ScoreRequest score(int item, int prompt_tokens) {
  ScoreRequest request;
  request.raw = true;
  request.messages = {{"user", text_of(item, prompt_tokens)}};
  request.questions = {{"", {" yes", " fox"}}};
  return request;
}

// So many requests in flight, for ever: each completion submits the next one.
template <class Request>
class Stream {
 public:
  Stream(infer::Engine& model, int together, std::function<Request(int)> make) : model_(model), make_(std::move(make)) {
    for (int i = 0; i < together; ++i) submit();
  }
  int answered = 0;

 private:
  void submit() {
    model_.submit(make_(++item_), [this](const auto& answer) {
      ASSERT_TRUE(answer.has_value()) << answer.error().message();
      ++answered;
      submit();
    });
  }
  infer::Engine& model_;
  std::function<Request(int)> make_;
  int item_ = 1000;
};

void advance(infer::Engine& model, int steps) {
  for (int i = 0; i < steps; ++i) model.advance(kNow);
}

// Submits a request and returns how many steps it takes, or `most` + 1 where it is more.
template <class Request>
int steps_of(infer::Engine& model, Request request, int most) {
  bool done = false;
  model.submit(std::move(request), [&done](const auto& answer) {
    EXPECT_TRUE(answer.has_value()) << answer.error().message();
    done = true;
  });
  for (int steps = 1; steps <= most; ++steps) {
    model.advance(kNow);
    if (done) return steps;
  }
  return most + 1;
}

// 60 blocks: fifteen of the short requests, or the long one and two of them.
constexpr int kSmall = 60, kShort = 30, kShortPrompt = 40, kShortAnswer = 24, kWave = kShortAnswer + 1;
GenerateRequest short_answer(int item) { return generate(item, kShortPrompt, kShortAnswer); }

TEST(Fairness, AnAnswerThatNeedsMostOfTheCacheIsNotPassedByShortOnes) {
  const auto model = engine(kSmall);
  Stream<GenerateRequest> shorts(*model, kShort, short_answer);
  advance(*model, 10);
  // Two waves of short ones are before it. It shares the cache with none that came later.
  EXPECT_LE(steps_of(*model, generate(1, 500, 300), 1000), 2 * kWave + 300);
  const int answered = shorts.answered;
  EXPECT_GE(answered, kShort);
  advance(*model, 3 * kWave);
  EXPECT_GE(shorts.answered, answered + kShort) << "the stream goes on";
}

TEST(Fairness, AScoreThatNeedsMostOfTheCacheIsNotPassedByShortAnswers) {
  const auto model = engine(kSmall);
  Stream<GenerateRequest> shorts(*model, kShort, short_answer);
  advance(*model, 10);
  EXPECT_LE(steps_of(*model, score(1, 700), 1000), 2 * kWave + 2);
}

TEST(Fairness, AnAnswerThatNeedsMostOfTheCacheIsNotPassedByScores) {
  const auto model = engine(kSmall);
  Stream<ScoreRequest> scores(*model, kShort, [](int item) { return score(item, 100); });
  advance(*model, 3);
  EXPECT_LE(steps_of(*model, generate(1, 500, 300), 1000), 10 + 300);
  EXPECT_GE(scores.answered, kShort);
}

// Scores pass answers that wait for a place in the batch, but take no memory for ever: where one is free, the answer is next.
TEST(Fairness, ScoresPassAFullBatchOnly) {
  const auto model = engine(kSmall, 2);
  for (int i = 0; i < 2; ++i) {
    model->submit(generate(i, 20, 40 + 40 * i), [](const Result<Generation>& answer) { EXPECT_TRUE(answer.has_value()); });
  }
  model->advance(kNow);
  int waited = 0;
  bool done = false;
  model->submit(generate(2, 500, 100), [&done](const Result<Generation>& answer) { done = answer.has_value(); });
  Stream<ScoreRequest> scores(*model, kShort, [](int item) { return score(item, 100); });
  advance(*model, 10);
  EXPECT_GE(scores.answered, 10) << "the batch is full of answers, so scores go on";
  for (waited = 10; !done && waited < 1000; ++waited) model->advance(kNow);
  EXPECT_LE(waited, 40 + 5 + 100);
}

// Every step is full of what scores have yet to compute.
TEST(Fairness, ScoresThatFillEveryStepLetAnAnswerIn) {
  const auto model = engine(1000);
  Stream<ScoreRequest> scores(*model, 12, [](int item) { return score(item, 600); });
  advance(*model, 5);
  const int before = 12 * 600 / kRows + 1;
  EXPECT_LE(steps_of(*model, generate(1, 20, 10), 1000), before + 10);
}

TEST(Fairness, AFullBatchOfAnswersLetsAScoreIn) {
  const auto model = engine(1000, 4);
  Stream<GenerateRequest> answers(*model, 8, [](int item) { return generate(item, 40, 200); });
  advance(*model, 5);
  EXPECT_LE(steps_of(*model, score(1, 600), 1000), 2);
  EXPECT_EQ(answers.answered, 0) << "it did not wait for the end of one";
}

// At every step there come as many short ones as fill it.
TEST(Fairness, ALongPromptIsReadBeforeWhatCameLater) {
  const auto model = engine(1000);
  bool read = false;
  model->submit(generate(1, 2000, 1), [&read](const Result<Generation>& answer) { read = answer.has_value(); });
  int steps = 0, item = 1000;
  while (!read && steps < 50) {
    for (int i = 0; i < 6; ++i) model->submit(score(++item, 100), [](const Result<Scores>& answer) { EXPECT_TRUE(answer.has_value()); });
    model->advance(kNow);
    ++steps;
  }
  EXPECT_EQ(steps, (2000 + kRows - 1) / kRows);
}

TEST(Fairness, EachAnswerGetsATokenAtEveryStepBesideALongPrompt) {
  const auto model = engine(1000);
  std::vector<int> told(3, 0);
  for (std::size_t i = 0; i < told.size(); ++i) {
    GenerateRequest request = generate(static_cast<int>(i), 40, 100);
    request.on_text = [&told, i](std::string_view text) {
      EXPECT_EQ(text, " yes");
      ++told[i];
    };
    model->submit(std::move(request), [](const Result<Generation>& answer) { EXPECT_TRUE(answer.has_value()); });
  }
  advance(*model, 5);
  ASSERT_EQ(told, std::vector<int>(3, 5));
  bool read = false;
  model->submit(generate(9, 2000, 1), [&read](const Result<Generation>& answer) { read = answer.has_value(); });
  int steps = 0;
  while (!read && steps < 50) {
    model->advance(kNow);
    ++steps;
    EXPECT_EQ(told, std::vector<int>(3, 5 + steps));
  }
  EXPECT_EQ(steps, 4) << "the prompt gets what the three answers leave of 512 rows a step";
}

// What is shared of a block is copied out of a block that is held meanwhile: one more than the request is said to need.
TEST(Fairness, AnAnswerThatNeedsAllOfTheCacheDoesNotWaitForTheBlockThatItWouldCopy) {
  const auto model = engine(kSmall);
  ASSERT_EQ(steps_of(*model, generate(1, kShortPrompt, kShortAnswer), 100), kShortAnswer);
  ASSERT_EQ((kShortPrompt + kShortAnswer - 1) % infer::kBlockTokens, 15) << "the last block is shared in part";
  EXPECT_LE(steps_of(*model, generate(1, 500, kSmall * infer::kBlockTokens - 500), 1000), kSmall * infer::kBlockTokens);
}

TEST(Fairness, ScoresThatNeedAllOfTheCacheDoNotWaitForTheBlockThatTheyWouldCopy) {
  // Questions in one part or in several: of these lengths some need all blocks.
  for (int tokens = 150; tokens < 250; ++tokens) {
    const auto model = engine(20);
    ASSERT_EQ(steps_of(*model, score(1, 9), 100), 1);
    ScoreRequest request = score(1, tokens);
    request.questions.clear();
    for (const char* tail : {" fox", " the", " is", " it", " me"}) request.questions.push_back({tail, {" yes"}});
    EXPECT_LE(steps_of(*model, std::move(request), 100), 10) << tokens;
  }
}

}  // namespace
}  // namespace precept
