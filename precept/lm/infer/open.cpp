#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/lm/gguf_tokenizer.h"
#include "precept/lm/infer/engine.h"

namespace precept::infer {

namespace {

// Tokenizer and chat template inside a GGUF file.
Result<TokenizerFiles> tokenizer_files_of(const Gguf& file) {
  const GgufMetadata& metadata = file.metadata();
  Result<GgufVocabulary> found = read_gguf_vocabulary(metadata);
  if (!found) return tl::unexpected(found.error());
  Result<Tokenizer> tokenizer = Tokenizer::from_vocabulary(vocabulary_spec(*found), metadata.file);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  if (!found->chat_template) return TokenizerFiles{std::move(*tokenizer), ChatCodec()};
  std::vector<std::int32_t> ends;
  for (const auto& end : {found->eos, found->eot, found->eom}) {
    if (end) ends.push_back(*end);
  }
  Result<ChatTemplate> chat = ChatTemplate::parse(*found->chat_template, metadata.file);
  if (!chat) return tl::unexpected(chat.error());
  std::map<std::string, std::string> specials;
  if (found->bos) specials["bos_token"] = tokenizer->token(*found->bos);
  if (found->eos) specials["eos_token"] = tokenizer->token(*found->eos);
  return TokenizerFiles{std::move(*tokenizer), ChatCodec(std::move(*chat), std::move(ends), std::move(specials))};
}

}  // namespace

Result<std::unique_ptr<Model>> open_engine(const std::string& folder, const EngineOptions& options) {
  Result<Weights> weights = load_weights(folder, nn::kernels(), options.pack_bytes);
  if (!weights) return tl::unexpected(weights.error());
  const bool gguf = weights->gguf.has_value();
  Result<TokenizerFiles> files = gguf ? tokenizer_files_of(*weights->gguf) : load_tokenizer_files(folder);
  if (!files) return tl::unexpected(files.error());
  const LlamaConfig& config = weights->config;
  // Models have spare rows of embeddings, but few.
  if (const int tokens = files->tokenizer.size(); tokens > config.vocab_size || tokens < config.vocab_size / 2) {
    return bad_input(fmt::format("the tokenizer has {} tokens, the model {}", tokens, config.vocab_size),
                     "the tokenizer belongs to another model", gguf ? folder : folder + "/tokenizer.json");
  }
  Result<std::string> digest = gguf ? file_digest(folder) : checkpoint_digest(folder);
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
