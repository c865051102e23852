// Beginnings that two requests share end where they do, not at the end of a block: the part of the last block that is shared is copied.
// The answer has the bits that it has in an engine that never saw the other request.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "precept/lm/nn/row_kernels.h"
#include "tests/lm/engine_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using nn::kBlockTokens;

constexpr int kShared = 3 * kBlockTokens + 7;

// So many tokens, begin token included, each but the first a word; other items' differ from the word `from` on.
std::string words(int tokens, int from, int item) {
  std::string text;
  for (int i = 1; i < tokens; ++i) {
    Rng rng({9, static_cast<std::uint64_t>(i < from ? 0 : item), static_cast<std::uint32_t>(i), 0});
    text += i == from ? std::vector<std::string>{" yes", " fox", " the"}[static_cast<std::size_t>(item)]
                      : std::vector<std::string>{" yes", " fox", " the", " is"}[rng.below(4)];
  }
  EXPECT_EQ(static_cast<int>(engine_test::small_tokenizer().encode(text).size()) + 1, tokens);
  return text;
}

GenerateRequest generate(const std::string& text, int tokens) {
  GenerateRequest request;
  request.raw = true;
  request.messages = {{"user", text}};
  request.sampling.max_tokens = tokens;
  request.key = {5, 1, 1, 2};
  request.logprobs = true;
  return request;
}

ScoreRequest score(const std::string& text) {
  ScoreRequest request;
  request.raw = true;
  request.messages = {{"user", text}};
  request.questions = {{"", {" yes", " fox is", " the fox"}}, {" kind", {" yes"}}};
  return request;
}

template <class Answer, class Request>
Answer ask(Model& model, Request request) {
  std::optional<Answer> got;
  model.submit(std::move(request), [&got](Result<Answer> answer) {
    ASSERT_TRUE(answer.has_value()) << answer.error().message();
    got = std::move(*answer);
  });
  while (model.advance(std::chrono::milliseconds(0)) > 0) {
  }
  EXPECT_TRUE(got.has_value());
  return got.value_or(Answer());
}
Generation answer(Model& model, const std::string& text, int tokens) { return ask<Generation>(model, generate(text, tokens)); }
Scores scores(Model& model, const std::string& text) { return ask<Scores>(model, score(text)); }

void expect_same(const Generation& a, const Generation& b) {
  EXPECT_FALSE(a.tokens.empty());
  EXPECT_EQ(a.tokens, b.tokens);
  EXPECT_EQ(a.logprobs, b.logprobs);
}

class SharedBlock : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Model> open() const { return checkpoint_.open({.threads = 2, .precision = GetParam()}); }

 private:
  Checkpoint checkpoint_{engine_test::odd_shape(), 11};
};

TEST_P(SharedBlock, PartOfAWholeBlockIsReused) {
  const std::string first = words(90, kShared, 0), second = words(120, kShared, 1);
  const auto model = open(), fresh = open();
  answer(*model, first, 9);
  const Generation reused = answer(*model, second, 20), alone = answer(*fresh, second, 20);
  EXPECT_EQ(alone.usage.cached_tokens, 0);
  EXPECT_EQ(reused.usage.cached_tokens, kShared);
  expect_same(reused, alone);
  // The block that was copied is as it was.
  const Generation again = answer(*model, first, 9);
  EXPECT_EQ(again.usage.cached_tokens, 89);
  expect_same(again, answer(*open(), first, 9));
}

// The last block of a request that is done is not full, but known.
TEST_P(SharedBlock, AllOfARequestThatEndsWithinABlockIsReused) {
  const std::string first = words(kShared, kShared, 0), second = words(120, kShared, 1);
  const auto model = open(), fresh = open();
  answer(*model, first, 1);
  const Generation reused = answer(*model, second, 20);
  EXPECT_EQ(reused.usage.cached_tokens, kShared);
  expect_same(reused, answer(*fresh, second, 20));
}

// The last token of a prompt is always computed, since its logits are wanted.
TEST_P(SharedBlock, TheSamePromptIsReusedButForItsLastToken) {
  const std::string text = words(kShared + 1, kShared, 0);
  const auto model = open();
  const Generation first = answer(*model, text, 20), again = answer(*model, text, 20);
  EXPECT_EQ(first.usage.cached_tokens, 0);
  EXPECT_EQ(again.usage.cached_tokens, kShared);
  expect_same(first, again);
}

TEST_P(SharedBlock, ScoresReuseAnswersAndAnswersScores) {
  const std::string first = words(90, kShared, 0), second = words(120, kShared, 1), third = words(100, kShared, 2);
  const auto model = open(), fresh = open();
  answer(*model, first, 9);
  const Scores reused = scores(*model, second), alone = scores(*fresh, second);
  // The second question finds the prompt of the first one in their tree.
  EXPECT_EQ(reused.usage.cached_tokens - alone.usage.cached_tokens, kShared);
  EXPECT_EQ(reused.logprobs, alone.logprobs);

  const auto other = open();
  scores(*other, second);
  const Generation after = answer(*other, third, 20);
  EXPECT_EQ(after.usage.cached_tokens, kShared);
  expect_same(after, answer(*open(), third, 20));
}

INSTANTIATE_TEST_SUITE_P(Precisions, SharedBlock, testing::Values("fp32", "bf16"), [](const auto& precision) { return precision.param; });

}  // namespace
}  // namespace precept
