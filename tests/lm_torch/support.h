#pragma once
// Engines on libtorch beside the CPU's own, on the same checkpoints.

#include <optional>
#include <string>
#include <vector>

#include "tests/lm/engine_support.h"

namespace precept::torch_test {

using engine_test::Checkpoint;

// torch-cpu, and cuda where there is one: all that is said of the first is said of the second.
inline const std::vector<std::string>& devices() {
  static const std::vector<std::string> found = [] {
    std::vector<std::string> all = {"torch-cpu"};
    const Checkpoint tiny(engine_test::shape_of(16, 1, 1, 1, 16, 16, true));
    if (precept_lm_api()->open_checkpoint(tiny.folder.path(), {.device = "cuda"})) all.emplace_back("cuda");
    return all;
  }();
  return found;
}

inline std::string words(std::uint64_t item, int count) {
  Rng rng({9, item, 0, 0});
  std::string text;
  for (int i = 0; i < count; ++i) text += std::vector<std::string>{" the", " fox", " story", "zq", " is", "?", " yes"}[rng.below(7)];
  return text;
}

// Two of three share a beginning that is longer than several blocks.
inline GenerateRequest generate_request(std::uint64_t item) {
  GenerateRequest request;
  request.messages = {{"system", (item % 3 == 0 ? "" : words(77, 60)) + "."}, {"user", words(item, 3 + static_cast<int>(item * 37 % 150))}};
  request.sampling.max_tokens = 5 + static_cast<int>(item % 20);
  request.sampling.temperature = item % 3 == 0 ? 0.0 : 0.8;
  request.sampling.top_p = item % 2 == 0 ? 1.0 : 0.9;
  request.key = {5, item, 1, 2};
  request.logprobs = true;
  return request;
}

inline ScoreRequest score_request(std::uint64_t item) {
  ScoreRequest request;
  request.messages = {{"user", words(77, 60) + words(item, 10 + static_cast<int>(item))}};
  for (std::uint64_t q = 0; q < 5; ++q) {
    request.questions.push_back({words(100 + q, 2 + static_cast<int>(q * 9)), {" yes", "n", words(q, 4), words(q, 6)}});
  }
  return request;
}

struct Answers {
  std::vector<Generation> generations;
  std::vector<Scores> scores;
  std::int64_t cached = 0;
};

// Generate requests 0 .. g-1 and score requests 0 .. s-1, all at once or one after the other; request i asks adapters[i % n].
inline Answers run(Model& model, std::size_t g, std::size_t s, bool at_once = true, const std::vector<std::string>& adapters = {""}) {
  Answers answers;
  answers.generations.resize(g);
  answers.scores.resize(s);
  const auto drain = [&] {
    while (model.advance(std::chrono::milliseconds(0)) > 0) {
    }
  };
  for (std::size_t i = 0; i < std::max(g, s); ++i) {
    if (i < s) {
      ScoreRequest request = score_request(i);
      request.adapter = adapters[i % adapters.size()];
      model.submit(std::move(request), [&answers, i](Result<Scores> r) {
        ASSERT_TRUE(r.has_value()) << r.error().message();
        answers.scores[i] = std::move(*r);
      });
    }
    if (i < g) {
      GenerateRequest request = generate_request(i);
      request.adapter = adapters[i % adapters.size()];
      model.submit(std::move(request), [&answers, i](Result<Generation> r) {
        ASSERT_TRUE(r.has_value()) << r.error().message();
        answers.cached += r->usage.cached_tokens;
        answers.generations[i] = std::move(*r);
      });
    }
    if (!at_once) drain();
  }
  drain();
  return answers;
}

// Log-probs of scores within `tolerance`, and of answers as long as their tokens agree. Greedy tokens, and draws from the same
// random numbers, agree unless two tokens' probabilities lie within the tolerance of a border: `same_tokens` says that they must.
inline void expect_close(const Answers& a, const Answers& b, double tolerance, bool same_tokens, const std::string& how) {
  SCOPED_TRACE(how);
  for (std::size_t i = 0; i < a.generations.size(); ++i) {
    const Generation &x = a.generations[i], &y = b.generations[i];
    if (same_tokens) {
      EXPECT_EQ(x.tokens, y.tokens) << "request " << i;
    }
    ASSERT_FALSE(x.tokens.empty());
    for (std::size_t t = 0; t < std::min(x.tokens.size(), y.tokens.size()) && x.tokens[t] == y.tokens[t]; ++t) {
      EXPECT_NEAR(x.logprobs[t], y.logprobs[t], tolerance) << "request " << i << ", token " << t;
    }
  }
  for (std::size_t i = 0; i < a.scores.size(); ++i) {
    ASSERT_EQ(a.scores[i].logprobs.size(), b.scores[i].logprobs.size());
    for (std::size_t q = 0; q < a.scores[i].logprobs.size(); ++q) {
      for (std::size_t o = 0; o < a.scores[i].logprobs[q].size(); ++o) {
        EXPECT_NEAR(a.scores[i].logprobs[q][o], b.scores[i].logprobs[q][o], tolerance) << "score request " << i << ": " << q << ", " << o;
      }
    }
  }
}

// fp32: the same sums in another order, some tens of products deep; scores add up to 6 log-probs. Seen on torch-cpu: 9e-6.
constexpr double kTolerance = 1e-4;
// bf16: factors are rounded to 8 bits on both sides, and here the results of products too. Seen on torch-cpu: 0.08 of a token,
// 0.2 of a score.
constexpr double kBf16Tolerance = 0.4;

}  // namespace precept::torch_test
