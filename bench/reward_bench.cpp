// bench_reward PAIRS [CHECKPOINT] [EPOCHS] [MAX_TOKENS]: k-fold accuracy of a reward model on pairs that people labelled, beside a
// logistic regression on bags of words that is trained and measured on the same folds. Figures: docs/experiments.md.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "cli/pair_set.h"
#include "precept/core/estimate.h"
#include "precept/core/rng.h"
#include "precept/lm/train/trainer.h"
#include "precept/revise/templates.h"

namespace precept {
namespace {

constexpr int kFolds = 5;

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text + " ") {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '\'';
    if (letter) {
      word += static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    } else if (!word.empty()) {
      words.push_back(std::move(word));
      word.clear();
    }
  }
  return words;
}

// Weights of words; the score of an answer is the sum over its words, so that a pair is a difference of counts.
class BagOfWords {
 public:
  void train(const std::vector<AnswerPair>& pairs) {
    for (int epoch = 0; epoch < 20; ++epoch) {
      const double rate = 0.1 / (1 + epoch);
      for (const AnswerPair& pair : pairs) {
        const auto difference = counts(pair);
        double margin = 0;
        for (const auto& [word, n] : difference) margin += weights_[word] * n;
        const double pull = 1 / (1 + std::exp(margin));  // 1 - s(margin)
        for (const auto& [word, n] : difference) weights_[word] += rate * (pull * n - 1e-3 * weights_[word]);
      }
    }
  }
  double margin(const AnswerPair& pair) const {
    double sum = 0;
    for (const auto& [word, n] : counts(pair)) {
      const auto found = weights_.find(word);
      if (found != weights_.end()) sum += found->second * n;
    }
    return sum;
  }

 private:
  static std::map<std::string, double> counts(const AnswerPair& pair) {
    std::map<std::string, double> out;
    for (const std::string& word : words_of(pair.chosen)) out[word] += 1;
    for (const std::string& word : words_of(pair.rejected)) out[word] -= 1;
    return out;
  }
  std::map<std::string, double> weights_;
};

int run(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_reward PAIRS [CHECKPOINT] [EPOCHS] [MAX_TOKENS]\n");
    return 2;
  }
  const std::string checkpoint = argc > 2 ? argv[2] : "models/pocket";
  const auto pairs = load_pairs(argv[1]);
  const auto files = load_tokenizer_files(checkpoint);
  if (!pairs || !files) {
    std::fprintf(stderr, "%s\n", (pairs ? files.error() : pairs.error()).message().c_str());
    return 2;
  }
  std::int64_t right = 0, n = 0, bag_right = 0, bag_n = 0, longer = 0;
  const std::string out = (std::filesystem::temp_directory_path() / "precept-bench-reward").string();
  for (int fold = 0; fold < kFolds; ++fold) {
    std::vector<AnswerPair> trained, held_out;
    for (const AnswerPair& pair : *pairs) {
      const bool held = hash64(render_conversation(pair.messages)) % kFolds == static_cast<std::uint64_t>(fold);
      (held ? held_out : trained).push_back(pair);
    }
    BagOfWords bag;
    bag.train(trained);
    for (const AnswerPair& pair : held_out) {
      const double margin = bag.margin(pair);
      bag_right += margin > 0;
      bag_n += margin != 0;
      longer += pair.chosen.size() > pair.rejected.size();
    }
    const auto set = pair_set(trained, *files), rest = pair_set(held_out, *files);
    if (!set || !rest) return 3;
    TrainOptions options;
    options.from = checkpoint;
    options.out = out;
    options.epochs = argc > 3 ? std::atoi(argv[3]) : 1;
    options.max_tokens = argc > 4 ? std::atoi(argv[4]) : 256;
    options.lr = 3e-4;
    options.guard.on = false;
    const auto summary = train_reward(options, {}, *set, *rest, {});
    if (!summary) {
      std::fprintf(stderr, "%s\n", summary.error().message().c_str());
      return 3;
    }
    const Estimate& accuracy = summary->measures[0].second;
    right += std::llround(accuracy.value.value_or(0) * static_cast<double>(accuracy.n));
    n += accuracy.n;
    std::printf("fold %d: reward model %s, calibration error %.3f, %.0f tokens/s\n", fold + 1, percent_text(accuracy).c_str(),
                summary->measures[1].second.value.value_or(0), summary->tokens_per_s);
    std::fflush(stdout);
  }
  std::filesystem::remove_all(out);
  std::printf("reward model   %s\n", percent_text(proportion(right, n)).c_str());
  std::printf("bag of words   %s\n", percent_text(proportion(bag_right, bag_n)).c_str());
  std::printf("the longer one %s\n", percent_text(proportion(longer, static_cast<std::int64_t>(pairs->size()))).c_str());
  return 0;
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) { return precept::run(argc, argv); }
