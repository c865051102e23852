#pragma once
// The model contract: what every backend must do, whoever wrote it. A backend's test calls
// check_model_contract() once, inside a TEST; each part reports under its own name.

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "precept/model/model.h"

namespace precept::contract {

struct ModelContract {
  std::function<std::unique_ptr<Model>()> open;  // a fresh model, ready to use; called several times
  bool has_tokens = false;      // fills Generation::tokens, and logprobs when asked
  bool can_score = false;       // ModelInfo::can_score, and score works
  bool words_only = false;      // ModelInfo::words_only
  bool deterministic = true;    // same request and key, same answer, whatever else is in flight
  bool supports_raw = true;     // raw requests are answered (otherwise: with an Error)
  std::string prompt = "Tell me a story about a fox.";  // the answer should have at least 3 tokens
  int max_tokens = 24;          // of an ordinary answer
  int many = 200;               // requests submitted at once
  double score_tolerance = 1e-3;  // between a score alone and in company
  std::chrono::seconds patience{60};  // for each part
};

// Drives one model and checks the rules about completions while doing so.
class Driver {
 public:
  explicit Driver(const ModelContract& contract) : contract_(contract), model_(contract.open()) {}

  Model& model() { return *model_; }

  // Submits; the answer is at `slot` of answers() once run() has returned.
  std::size_t submit(GenerateRequest request) {
    const std::size_t slot = answers_.size();
    answers_.emplace_back();
    guarded([&] {
      model_->submit(std::move(request), [this, slot](Result<Generation> answer) {
        EXPECT_TRUE(advancing_) << "a completion ran outside advance()";
        EXPECT_FALSE(answers_[slot].has_value()) << "request " << slot << " was answered twice";
        answers_[slot].emplace(std::move(answer));
        if (then_) then_(slot);
      });
    });
    return slot;
  }
  std::size_t submit(ScoreRequest request) {
    const std::size_t slot = scores_.size();
    scores_.emplace_back();
    guarded([&] {
      model_->submit(std::move(request), [this, slot](Result<Scores> answer) {
        EXPECT_TRUE(advancing_) << "a completion ran outside advance()";
        EXPECT_FALSE(scores_[slot].has_value()) << "request " << slot << " was answered twice";
        scores_[slot].emplace(std::move(answer));
      });
    });
    return slot;
  }
  void then(std::function<void(std::size_t)> f) { then_ = std::move(f); }

  // Advances until nothing is in flight; every request must have been answered by then.
  void run() {
    const auto deadline = std::chrono::steady_clock::now() + contract_.patience;
    std::size_t in_flight = 1;
    while (in_flight > 0) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << in_flight << " requests hang";
      advancing_ = true;
      in_flight = model_->advance(std::chrono::milliseconds(50));
      advancing_ = false;
    }
    EXPECT_EQ(model_->advance(std::chrono::milliseconds(0)), 0U);
    for (std::size_t i = 0; i < answers_.size(); ++i) {
      EXPECT_TRUE(answers_[i].has_value()) << "request " << i << " was lost";
    }
    for (std::size_t i = 0; i < scores_.size(); ++i) {
      EXPECT_TRUE(scores_[i].has_value()) << "score request " << i << " was lost";
    }
  }

  std::vector<std::optional<Result<Generation>>>& answers() { return answers_; }
  std::vector<std::optional<Result<Scores>>>& scores() { return scores_; }

 private:
  // A submit from inside a completion is still inside advance(); one from outside is not.
  template <class F>
  void guarded(F f) {
    const bool before = advancing_;
    advancing_ = false;
    f();
    advancing_ = before;
  }

  const ModelContract& contract_;
  std::unique_ptr<Model> model_;
  bool advancing_ = false;
  std::function<void(std::size_t)> then_;
  std::vector<std::optional<Result<Generation>>> answers_;
  std::vector<std::optional<Result<Scores>>> scores_;
};

inline GenerateRequest request_of(const ModelContract& contract, std::uint64_t item,
                                  double temperature = 1.0) {
  GenerateRequest request;
  request.messages = {{"user", contract.prompt}};
  request.sampling.max_tokens = contract.max_tokens;
  request.sampling.temperature = temperature;
  request.key = {.seed = 7, .item = item, .step = 1, .round = 0};
  return request;
}

// One request on a fresh model. A failure is reported and comes back as an empty Generation.
inline Generation ask(const ModelContract& contract, GenerateRequest request) {
  Driver driver(contract);
  driver.submit(std::move(request));
  driver.run();
  if (driver.answers().empty() || !driver.answers()[0]) return {};
  Result<Generation>& answer = *driver.answers()[0];
  EXPECT_TRUE(answer.has_value()) << (answer ? "" : answer.error().message());
  return answer ? std::move(*answer) : Generation{};
}

inline void expect_sane(const ModelContract& contract, const Generation& answer, int max_tokens) {
  EXPECT_GE(answer.usage.prompt_tokens, 0);
  EXPECT_GE(answer.usage.cached_tokens, 0);
  EXPECT_LE(answer.usage.cached_tokens, answer.usage.prompt_tokens);
  EXPECT_GE(answer.usage.output_tokens, 0);
  EXPECT_LE(answer.usage.output_tokens, max_tokens);
  EXPECT_LE(answer.tokens.size(), static_cast<std::size_t>(max_tokens));
  if (contract.has_tokens) {
    EXPECT_EQ(answer.usage.output_tokens, static_cast<std::int64_t>(answer.tokens.size()));
    EXPECT_GT(answer.usage.prompt_tokens, 0);
  }
}

inline void check_info(const ModelContract& contract) {
  SCOPED_TRACE("info");
  const auto first = contract.open();
  const auto second = contract.open();
  EXPECT_FALSE(first->info().uri.empty());
  EXPECT_FALSE(first->info().name.empty());
  EXPECT_FALSE(first->info().digest.empty());
  EXPECT_EQ(first->info().digest, second->info().digest) << "the digest is the cache key";
  EXPECT_EQ(first->info().can_score, contract.can_score);
  EXPECT_EQ(first->info().words_only, contract.words_only);
  EXPECT_GE(first->info().context_tokens, 0);
  EXPECT_GE(first->info().parameters, 0);
  EXPECT_EQ(first->advance(std::chrono::milliseconds(0)), 0U) << "nothing was submitted";
}

inline void check_many_in_flight(const ModelContract& contract) {
  SCOPED_TRACE("many in flight; completions submit more");
  Driver driver(contract);
  const auto many = static_cast<std::size_t>(contract.many);
  driver.then([&](std::size_t slot) {
    if (slot < many / 4) driver.submit(request_of(contract, 1000 + slot));
  });
  for (std::size_t i = 0; i < many; ++i) driver.submit(request_of(contract, i));
  driver.run();
  EXPECT_EQ(driver.answers().size(), many + many / 4);
  for (const auto& answer : driver.answers()) {
    if (!answer) continue;  // reported by run()
    ASSERT_TRUE(answer->has_value()) << answer->error().message();
    expect_sane(contract, **answer, contract.max_tokens);
  }
}

inline void check_determinism(const ModelContract& contract) {
  if (!contract.deterministic) return;
  SCOPED_TRACE("same request and key, same answer");
  Driver driver(contract);
  for (std::uint64_t i = 0; i < 16; ++i) driver.submit(request_of(contract, i));
  for (std::uint64_t i = 0; i < 16; ++i) driver.submit(request_of(contract, i));
  driver.run();
  auto& answers = driver.answers();
  for (std::size_t i = 0; i < 16; ++i) {
    if (!answers[i] || !answers[i + 16]) return;
    ASSERT_TRUE(answers[i]->has_value()) << answers[i]->error().message();
    ASSERT_TRUE(answers[i + 16]->has_value()) << answers[i + 16]->error().message();
    EXPECT_EQ((*answers[i])->text, (*answers[i + 16])->text);
    EXPECT_EQ((*answers[i])->tokens, (*answers[i + 16])->tokens);
  }
  EXPECT_EQ(ask(contract, request_of(contract, 3)).text, (*answers[3])->text)
      << "alone on a fresh model the answer differs";
}

inline void check_text_comes_in_parts(const ModelContract& contract) {
  SCOPED_TRACE("the parts of the text are the text");
  GenerateRequest request = request_of(contract, 5);
  std::string joined;
  request.on_text = [&](std::string_view part) {
    EXPECT_FALSE(part.empty());
    joined += part;
  };
  const Generation answer = ask(contract, std::move(request));
  EXPECT_EQ(joined, answer.text);
  EXPECT_FALSE(joined.empty());
}

inline void check_greedy(const ModelContract& contract) {
  if (!contract.deterministic) return;
  SCOPED_TRACE("temperature 0 does not depend on the key");
  EXPECT_EQ(ask(contract, request_of(contract, 1, 0.0)).text,
            ask(contract, request_of(contract, 2, 0.0)).text);
}

inline void check_limits(const ModelContract& contract) {
  SCOPED_TRACE("max_tokens and stop strings");
  const Generation whole = ask(contract, request_of(contract, 1, 0.0));
  ASSERT_GE(whole.usage.output_tokens, 3) << "the contract needs a prompt with a longer answer";
  ASSERT_GE(whole.text.size(), 3U);

  GenerateRequest shorter = request_of(contract, 1, 0.0);
  shorter.sampling.max_tokens = 2;
  const Generation cut = ask(contract, shorter);
  EXPECT_EQ(cut.finish, Finish::kLength);
  EXPECT_LT(cut.text.size(), whole.text.size());
  expect_sane(contract, cut, 2);

  // Two characters from the middle, on ASCII boundaries so that the stop string is UTF-8.
  std::string stop;
  for (std::size_t i = whole.text.size() / 2; i + 1 < whole.text.size() && stop.empty(); ++i) {
    const auto a = static_cast<unsigned char>(whole.text[i]);
    const auto b = static_cast<unsigned char>(whole.text[i + 1]);
    if (a < 0x80 && b < 0x80) stop = whole.text.substr(i, 2);
  }
  ASSERT_FALSE(stop.empty()) << "the contract needs a prompt with an ASCII answer";
  GenerateRequest stopping = request_of(contract, 1, 0.0);
  stopping.sampling.stop = {"\x01 never \x01", stop};
  const Generation stopped = ask(contract, stopping);
  EXPECT_EQ(stopped.text.find(stop), std::string::npos);
  EXPECT_EQ(stopped.finish, Finish::kStop);
  if (contract.deterministic) {
    EXPECT_EQ(stopped.text, whole.text.substr(0, whole.text.find(stop)));
  }
}

inline void check_logprobs(const ModelContract& contract) {
  if (!contract.has_tokens) return;
  SCOPED_TRACE("log-probs");
  GenerateRequest request = request_of(contract, 5);
  request.logprobs = true;
  const Generation answer = ask(contract, request);
  ASSERT_FALSE(answer.tokens.empty());
  ASSERT_EQ(answer.logprobs.size(), answer.tokens.size());
  for (const float logprob : answer.logprobs) {
    EXPECT_TRUE(std::isfinite(logprob));
    EXPECT_LE(logprob, 1e-4F);
  }
}

inline void check_raw(const ModelContract& contract) {
  SCOPED_TRACE("raw");
  GenerateRequest request = request_of(contract, 6);
  request.raw = true;
  Driver driver(contract);
  driver.submit(request);
  driver.run();
  ASSERT_TRUE(driver.answers()[0].has_value());
  EXPECT_EQ(driver.answers()[0]->has_value(), contract.supports_raw);
}

inline ScoreRequest score_request_of(const ModelContract& contract) {
  ScoreRequest request;
  request.messages = {{"user", contract.prompt}};
  request.questions = {{" Is it kind?", {"Yes", "No", contract.words_only ? "Perhaps" : "Perhaps not"}},
                       {" Is it about an animal?", {"No", "Yes"}}};
  return request;
}

inline void check_score(const ModelContract& contract) {
  SCOPED_TRACE("score");
  Driver driver(contract);
  const ScoreRequest whole = score_request_of(contract);
  driver.submit(whole);
  for (const ScoreQuestion& question : whole.questions) {
    for (const std::string& option : question.options) {
      ScoreRequest alone = whole;
      alone.questions = {{question.tail, {option}}};
      driver.submit(std::move(alone));
    }
  }
  driver.run();
  auto& scores = driver.scores();
  for (const auto& answer : scores) {
    ASSERT_TRUE(answer.has_value());
    ASSERT_EQ(answer->has_value(), contract.can_score) << (*answer ? "" : answer->error().message());
  }
  if (!contract.can_score) {
    EXPECT_FALSE(scores[0]->error().what.empty());
    return;
  }
  const Scores& together = **scores[0];
  ASSERT_EQ(together.logprobs.size(), whole.questions.size());
  std::size_t slot = 1;
  for (std::size_t q = 0; q < whole.questions.size(); ++q) {
    ASSERT_EQ(together.logprobs[q].size(), whole.questions[q].options.size());
    for (const double logprob : together.logprobs[q]) {
      EXPECT_TRUE(std::isfinite(logprob) ||
                  logprob == -std::numeric_limits<double>::infinity());
      EXPECT_LE(logprob, contract.score_tolerance);
      const Scores& alone = **scores[slot++];
      ASSERT_EQ(alone.logprobs.size(), 1U);
      ASSERT_EQ(alone.logprobs[0].size(), 1U);
      if (std::isfinite(logprob)) {
        EXPECT_NEAR(alone.logprobs[0][0], logprob, contract.score_tolerance);
      } else {
        EXPECT_EQ(alone.logprobs[0][0], logprob);
      }
    }
  }
  EXPECT_GE(together.usage.prompt_tokens, 0);
  EXPECT_GE(together.usage.output_tokens, 0);
}

inline void check_bad_requests(const ModelContract& contract) {
  SCOPED_TRACE("bad requests are answered with an error");
  const GenerateRequest good = request_of(contract, 1);
  std::vector<GenerateRequest> bad(11, good);
  bad[0].messages.clear();
  bad[1].messages[0].role = "wizard";
  bad[2].sampling.temperature = -0.5;
  bad[3].sampling.temperature = std::nan("");
  bad[4].sampling.top_p = 0;
  bad[5].sampling.top_p = 1.5;
  bad[6].sampling.max_tokens = 0;
  bad[7].messages[0].content = "caf\xe9";
  bad[8].raw = true;
  bad[8].messages.push_back({"user", "two"});
  bad[9].sampling.stop = {""};
  bad[10].adapter = "of-nobody";
  Driver driver(contract);
  for (const GenerateRequest& request : bad) driver.submit(request);
  driver.submit(good);
  ScoreRequest nobody = score_request_of(contract);
  nobody.messages.clear();
  driver.submit(std::move(nobody));
  ScoreRequest stranger = score_request_of(contract);
  stranger.adapter = "of-nobody";
  driver.submit(std::move(stranger));
  driver.run();
  for (std::size_t i = 0; i < bad.size(); ++i) {
    SCOPED_TRACE("bad request " + std::to_string(i));
    ASSERT_TRUE(driver.answers()[i].has_value());
    ASSERT_FALSE(driver.answers()[i]->has_value());
    const Error& error = driver.answers()[i]->error();
    EXPECT_EQ(error.kind, ErrorKind::kBadInput);
    EXPECT_FALSE(error.what.empty());
    EXPECT_EQ(error.what.find('\n'), std::string::npos);
  }
  ASSERT_TRUE(driver.answers()[bad.size()].has_value());
  EXPECT_TRUE(driver.answers()[bad.size()]->has_value()) << "a good request suffers from bad ones";
  for (const std::size_t i : {0U, 1U}) {
    ASSERT_TRUE(driver.scores()[i].has_value());
    EXPECT_FALSE(driver.scores()[i]->has_value());
  }
}

inline void check_destruction(const ModelContract& contract) {
  SCOPED_TRACE("destroying a model drops what is in flight");
  bool gone = false;
  {
    auto model = contract.open();
    for (std::uint64_t i = 0; i < 20; ++i) {
      model->submit(request_of(contract, i), [&gone](Result<Generation>) {
        EXPECT_FALSE(gone) << "a completion ran during or after destruction";
      });
    }
    model->advance(std::chrono::milliseconds(0));
    gone = true;
  }
}

inline void check_model_contract(const ModelContract& contract) {
  check_info(contract);
  check_many_in_flight(contract);
  check_determinism(contract);
  check_text_comes_in_parts(contract);
  check_greedy(contract);
  check_limits(contract);
  check_logprobs(contract);
  check_raw(contract);
  check_score(contract);
  check_bad_requests(contract);
  check_destruction(contract);
}

}  // namespace precept::contract
