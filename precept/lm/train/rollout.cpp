#include "precept/lm/train/rollout.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>

#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"
#include "precept/lm/infer/engine.h"
#include "precept/lm/train/lora.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class ReopenedEngine : public RolloutSource {
 public:
  ReopenedEngine(const LessonStart& start, std::string folder) : options_(start.options), subject_(start.subject), folder_(std::move(folder)) {}
  ~ReopenedEngine() override {
    engine_.reset();
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  Status take(const std::vector<float>& weights) override {
    engine_.reset();
    const Status written = subject_.lora ? write_adapter(weights)
                                         : write_checkpoint(folder_, subject_.layout, weights, tokenizer_folder(options_), options_.shard_bytes);
    if (!written) return written;
    EngineOptions engine;
    engine.threads = options_.threads;
    auto opened = infer::open_engine(folder_, engine);
    if (!opened) return tl::unexpected(opened.error());
    engine_ = std::move(*opened);
    return {};
  }

  Result<std::vector<Generation>> sample(std::vector<GenerateRequest> requests) override {
    PRECEPT_CHECK(engine_ != nullptr);
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

  static std::string tokenizer_folder(const TrainOptions& options) {
    return options.tokenizer_folder.empty() ? options.from : options.tokenizer_folder;
  }

 private:
  Status write_adapter(const std::vector<float>& flat) const {
    return save_peft(folder_, adapter_of(*subject_.config, *subject_.lora, flat), subject_.layout.config);
  }

  const TrainOptions& options_;
  const Subject& subject_;
  std::string folder_;
  std::unique_ptr<Model> engine_;
};

}  // namespace

Result<std::unique_ptr<RolloutSource>> reopened_engine(const LessonStart& start, const std::string& name) {
  const int rank = start.options.world.rank;
  std::string folder = start.options.state + "/" + name + (rank > 0 ? "-" + std::to_string(rank) : "");
  if (start.options.state.empty()) {
    static std::atomic<int> count{0};
    std::error_code error;
    const fs::path temporary = fs::temp_directory_path(error);
    if (error) return failed("there is no folder for temporary files", "set TMPDIR");
    folder = (temporary / ("precept-policy-" + std::to_string(::getpid()) + "-" + std::to_string(count++))).string();
  }
  if (Status made = make_folder(folder); !made) return tl::unexpected(made.error());
  return std::make_unique<ReopenedEngine>(start, folder);
}

Result<TokenizerFiles> policy_files(const TrainOptions& options) { return load_tokenizer_files(ReopenedEngine::tokenizer_folder(options)); }

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
