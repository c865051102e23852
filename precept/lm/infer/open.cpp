#include <filesystem>

#include <fmt/format.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/lm/infer/engine.h"

namespace precept::infer {

Result<std::unique_ptr<Model>> open_engine(const std::string& folder, const EngineOptions& options) {
  Result<Weights> weights = load_weights(folder, nn::kernels(), options.pack_bytes);
  if (!weights) return tl::unexpected(weights.error());
  Result<TokenizerFiles> files = load_tokenizer_files(folder);
  if (!files) return tl::unexpected(files.error());
  const LlamaConfig& config = weights->config;
  // Models have spare rows of embeddings, but few.
  if (const int tokens = files->tokenizer.size(); tokens > config.vocab_size || tokens < config.vocab_size / 2) {
    return bad_input(fmt::format("the tokenizer has {} tokens, the model {}", tokens, config.vocab_size),
                     "the tokenizer belongs to another model", folder + "/tokenizer.json");
  }
  Result<std::string> digest = checkpoint_digest(folder);
  if (!digest) return tl::unexpected(digest.error());
  ModelInfo info;
  info.uri = folder;
  const std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  info.name = (path.has_filename() ? path : path.parent_path()).filename().string();
  if (info.name.empty()) info.name = folder;
  info.digest = *digest;
  info.can_score = true;
  info.context_tokens = config.max_position_embeddings;
  info.parameters = config.parameters();
  return std::make_unique<Engine>(std::move(info), std::move(*weights), std::move(*files), options);
}

}  // namespace precept::infer
