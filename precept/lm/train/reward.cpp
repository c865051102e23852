// The reward model: a value head on the network, trained on pairs (Bradley-Terry), and read back as a scorer of conversations.

#include <cmath>

#include <nlohmann/json.hpp>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/lm/train/objective.h"
#include "precept/lm/train/rollout.h"
#include "precept/lm/train/trainer.h"

namespace precept {
namespace {

constexpr std::size_t kTogether = 256;  // conversations whose values are computed together

// A sequence as the value head reads it: what is too long loses its beginning, since what is judged stands at the end; and one
// token more, for the last one is never an input.
TrainExample valued(TrainExample example, int limit) {
  const auto most = static_cast<std::size_t>(limit - 1);
  if (example.tokens.size() > most) example.tokens.erase(example.tokens.begin(), example.tokens.end() - static_cast<std::ptrdiff_t>(most));
  example.tokens.push_back(0);
  example.weights.assign(example.tokens.size(), 0.0F);
  return example;
}

TrainSet valued(const TrainSet& pairs, int limit) {
  TrainSet out = pairs;
  out.example = [example = pairs.example, limit](std::uint64_t i) { return valued(example(i), limit); };
  return out;
}

double label_of(const TrainSet& pairs, std::uint64_t item) { return pairs.label ? pairs.label(item) : 1.0; }

class Rewards : public Lesson {
 public:
  Rewards(const LessonStart& start, const RewardOptions& reward, const TrainSet& pairs, const TrainSet& held_out, int limit)
      : reward_(reward), pairs_(valued(pairs, limit)), held_out_(held_out.count > 0 ? valued(held_out, limit) : held_out),
        batches_(pairs_, start.options, limit, start.subject.layout.config.vocab_size, start.position) {}

  bool done() const override { return batches_.done(); }

  Result<Taught> teach(BatchTrainer& trainer) override {
    Result<Batch> batch = batches_.next();
    if (!batch) return tl::unexpected(batch.error());
    Taught taught = taught_from(*batch);
    if (batch->examples.empty()) return taught;
    const std::vector<double> values = trainer.values(batch->examples);
    const auto n = static_cast<double>(batch->items.size());
    std::vector<double> derivatives(values.size());
    double right = 0;
    for (std::size_t i = 0; i < batch->items.size(); ++i) {
      const double label = label_of(pairs_, batch->items[i]), first = values[2 * i], second = values[2 * i + 1];
      const RewardLoss loss = reward_loss(first, second, label, reward_.center);
      taught.loss += loss.loss / n;
      derivatives[2 * i] = loss.d_first / n;
      derivatives[2 * i + 1] = loss.d_second / n;
      right += (((first > second) == (label > 0.5)) ? 1 : 0) / n;
    }
    trainer.value_gradient(batch->examples, derivatives);
    taught.weight = n;
    taught.trained_tokens = static_cast<std::int64_t>(values.size());
    taught.metrics = {{"accuracy", right}};
    return taught;
  }

  // The truth of a reward model is what it says of pairs that it never saw.
  Result<std::optional<Reading>> look(BatchTrainer& trainer, std::int64_t step) override {
    if (held_out_.count == 0) return std::optional<Reading>();
    Reading reading;
    reading.step = step;
    const Confusion c = confusion(predictions(trainer));
    reading.truth_n = c.true_positive + c.false_positive + c.true_negative + c.false_negative;
    if (reading.truth_n > 0) reading.truth = double(c.true_positive + c.true_negative) / double(reading.truth_n);
    return std::optional<Reading>(reading);
  }

  Result<std::vector<std::pair<std::string, Estimate>>> measures(BatchTrainer& trainer) override {
    std::vector<std::pair<std::string, Estimate>> out;
    if (held_out_.count == 0) return out;
    const std::vector<Prediction> all = predictions(trainer);
    const auto ties = static_cast<std::int64_t>(held_out_.count) - static_cast<std::int64_t>(all.size());
    out.emplace_back("held_out_accuracy", accuracy(confusion(all), ties));
    const auto number = [&](const char* name, std::optional<double> value) {
      Estimate estimate;
      estimate.value = value;
      estimate.n = static_cast<std::int64_t>(all.size());
      out.emplace_back(name, estimate);
    };
    number("held_out_calibration_error", calibration_error(all));
    number("held_out_brier", brier(all));
    return out;
  }

 private:
  // Of every held-out pair with a label: the probability of its first answer. Every other pair is turned round, so that both
  // outcomes occur.
  std::vector<Prediction> predictions(BatchTrainer& trainer) const {
    std::vector<Prediction> out;
    for (std::uint64_t begin = 0; begin < held_out_.count; begin += kTogether) {
      const std::uint64_t end = std::min<std::uint64_t>(held_out_.count, begin + kTogether);
      std::vector<TrainExample> examples;
      for (std::uint64_t i = 2 * begin; i < 2 * end; ++i) examples.push_back(held_out_.example(i));
      const std::vector<double> values = trainer.values(examples);
      for (std::uint64_t i = begin; i < end; ++i) {
        const double label = label_of(held_out_, i);
        if (label == 0.5) continue;
        const double difference = values[2 * (i - begin)] - values[2 * (i - begin) + 1];
        const bool turned = i % 2 == 1;
        out.push_back({1 / (1 + std::exp(turned ? difference : -difference)), (label > 0.5) != turned});
      }
    }
    return out;
  }

  const RewardOptions& reward_;
  TrainSet pairs_, held_out_;
  Batches batches_;
};

class OpenedReward : public RewardModel {
 public:
  OpenedReward(std::unique_ptr<nn::Layout> layout, TokenizerFiles files, const std::vector<float>& flat, int threads, std::string digest)
      : layout_(std::move(layout)), files_(std::move(files)), model_(*layout_, nn::kernels(), flat, threads), digest_(std::move(digest)) {}

  const std::string& digest() const override { return digest_; }

  Result<std::vector<std::optional<double>>> score(const std::vector<Conversation>& conversations) override {
    std::vector<std::optional<double>> out(conversations.size());
    const int context = layout_->config.max_position_embeddings;
    std::vector<TrainExample> examples;
    std::vector<std::size_t> places;
    const auto flush = [&] {
      const std::vector<double> values = model_.values(examples);
      for (std::size_t i = 0; i < places.size(); ++i) out[places[i]] = values[i];
      examples.clear();
      places.clear();
    };
    for (std::size_t i = 0; i < conversations.size(); ++i) {
      auto tokens = files_.chat.tokenize(files_.tokenizer, conversations[i]);
      if (!tokens || tokens->tokens.empty()) continue;
      if (context > 0 && static_cast<int>(tokens->tokens.size()) >= context) continue;
      examples.push_back(valued({std::move(tokens->tokens), {}}, static_cast<int>(tokens->tokens.size()) + 2));
      places.push_back(i);
      if (examples.size() == kTogether) flush();
    }
    flush();
    return out;
  }

 private:
  std::unique_ptr<nn::Layout> layout_;
  TokenizerFiles files_;
  FrozenModel model_;
  std::string digest_;
};

}  // namespace

Result<TrainSummary> train_reward(const TrainOptions& options, const RewardOptions& reward, const TrainSet& pairs, const TrainSet& held_out,
                                  const EventSink& sink) {
  if (pairs.group != 2 || (held_out.count > 0 && held_out.group != 2)) return bad_input("a reward model is learnt from pairs");
  if (!(reward.center >= 0)) return bad_input("center must not be negative");
  if (options.from.empty()) return bad_input("a reward model needs a model to start from");
  Course course{"reward", nlohmann::json{{"center", reward.center}, {"held_out", held_out.digest}}.dump(), pairs.digest, pairs.count, true,
                [&](const LessonStart& start) -> Result<std::unique_ptr<Lesson>> {
                  const int limit = longest_sequence(start.options, start.subject.layout.config);
                  if (Status fits = rehearse(start, longest_of(pairs, limit)); !fits) return tl::unexpected(fits.error());
                  return std::make_unique<Rewards>(start, reward, pairs, held_out, limit);
                }};
  return run_course(options, course, sink);
}

Result<std::unique_ptr<RewardModel>> open_reward(const std::string& folder, int threads) {
  if (is_peft_folder(folder)) {
    return bad_input("is the adapter of a reward model; it is read merged", "train it with --merge, and give OUT-merged", folder);
  }
  const Result<LlamaConfig> config = load_llama_config(folder);
  if (!config) return tl::unexpected(config.error());
  auto layout = std::make_unique<nn::Layout>(*config);
  auto flat = load_weights(folder, *layout);
  if (!flat) return tl::unexpected(flat.error());
  const auto head = load_value_head(folder, layout->config.hidden_size);
  if (!head) return tl::unexpected(head.error());
  flat->insert(flat->end(), head->begin(), head->end());
  auto files = load_tokenizer_files(folder);
  if (!files) return tl::unexpected(files.error());
  const auto weights = checkpoint_digest(folder);
  if (!weights) return tl::unexpected(weights.error());
  const std::string_view bytes(reinterpret_cast<const char*>(head->data()), head->size() * sizeof(float));
  const int all = std::max(1, int(std::thread::hardware_concurrency()));
  return std::make_unique<OpenedReward>(std::move(layout), std::move(*files), *flat, threads > 0 ? threads : all, sha256(*weights + sha256(bytes)));
}

}  // namespace precept
