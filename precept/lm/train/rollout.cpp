#include "precept/lm/train/rollout.h"

#include <chrono>

namespace precept {
namespace {

const std::string& tokenizer_folder(const TrainOptions& options) {
  return options.tokenizer_folder.empty() ? options.from : options.tokenizer_folder;
}

}  // namespace

Result<std::unique_ptr<PolicyEngine>> PolicyEngine::open(const LessonStart& start) {
  auto files = policy_files(start.options);
  if (!files) return tl::unexpected(files.error());
  EngineOptions options;
  options.threads = start.options.threads;
  auto engine = start.trainer.open_engine(std::move(*files), tokenizer_folder(start.options), options);
  if (!engine) return tl::unexpected(engine.error());
  std::unique_ptr<PolicyEngine> policy(new PolicyEngine(start.trainer));
  policy->engine_ = std::move(*engine);
  return policy;
}

Result<std::vector<Generation>> PolicyEngine::sample(std::vector<GenerateRequest> requests) {
  if (version_ != trainer_.version()) engine_->forget();
  version_ = trainer_.version();
  std::vector<Generation> out(requests.size());
  std::optional<Error> first;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    engine_->submit(std::move(requests[i]), [&out, &first, i](Result<Generation> answer) {
      if (answer) {
        out[i] = std::move(*answer);
      } else if (!first) {
        first = answer.error();
      }
    });
  }
  while (engine_->advance(std::chrono::milliseconds(100)) > 0) {
  }
  if (first) return tl::unexpected(*first);
  return out;
}

Result<TokenizerFiles> policy_files(const TrainOptions& options) { return load_tokenizer_files(tokenizer_folder(options)); }

Result<TrainExample> rollout_example(const TokenizerFiles& files, const Conversation& prompt, const Generation& answer) {
  auto tokens = files.chat.render(files.tokenizer, prompt, true);
  if (!tokens) return tl::unexpected(tokens.error());
  TrainExample example{std::move(*tokens), {}};
  example.weights.assign(example.tokens.size(), 0.0F);
  example.tokens.insert(example.tokens.end(), answer.tokens.begin(), answer.tokens.end());
  example.weights.resize(example.tokens.size(), 1.0F);
  return example;
}

Rollout rollout_of(RolloutPrompt prompt, int sample, const Generation& answer) {
  return {std::move(prompt), sample, answer.text, static_cast<std::int64_t>(answer.tokens.size()), answer.finish == Finish::kLength};
}

}  // namespace precept
