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

std::string last_part(const std::string& folder) {
  const std::filesystem::path path = std::filesystem::path(folder).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return name.empty() ? folder : name;
}

Status check_names(const std::vector<AdapterSource>& adapters) {
  for (std::size_t i = 0; i < adapters.size(); ++i) {
    const std::string& name = adapters[i].name;
    if (name.empty() || name == kBaseName) return bad_input("an adapter cannot be called \"" + name + "\"", "choose another name", adapters[i].folder);
    for (std::size_t j = 0; j < i; ++j) {
      if (adapters[j].name == name) return bad_input("two adapters are called \"" + name + "\"", "give each its own name", adapters[i].folder);
    }
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<Model>> open_engine(const std::string& opened, const EngineOptions& options) {
  if (Status fine = check_names(options.adapters); !fine) return tl::unexpected(fine.error());
  std::string folder = opened;
  const bool adapted = is_peft_folder(opened);
  if (adapted) {
    const Result<LoraConfig> lora = load_lora_config(opened);
    if (!lora) return tl::unexpected(lora.error());
    const Result<std::string> base = peft_base_folder(opened, *lora);
    if (!base) return tl::unexpected(base.error());
    folder = *base;
  }
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
  const Result<std::string> digest = gguf ? file_digest(folder) : checkpoint_digest(folder, weights->folder);
  if (!digest) return tl::unexpected(digest.error());
  ModelInfo info;
  info.uri = opened;
  info.name = last_part(opened);
  info.digest = *digest;
  info.can_score = true;
  info.context_tokens = config.max_position_embeddings;
  info.parameters = config.parameters();
  std::unique_ptr<Adapter> chosen;
  if (adapted) {
    auto loaded = load_adapter(info.name, opened, config, *digest, nn::kernels());
    if (!loaded) return tl::unexpected(loaded.error());
    chosen = std::move(*loaded);
    info.digest = chosen->digest;
    info.parameters += static_cast<std::int64_t>(chosen->layout.size);
  }
  std::vector<std::unique_ptr<Adapter>> adapters;
  for (const AdapterSource& source : options.adapters) {
    auto loaded = load_adapter(source.name, source.folder, config, *digest, nn::kernels());
    if (!loaded) return tl::unexpected(loaded.error());
    adapters.push_back(std::move(*loaded));
  }
  return std::make_unique<Engine>(std::move(info), std::move(*weights), std::move(*files), options, *digest, std::move(adapters),
                                  std::move(chosen));
}

}  // namespace precept::infer
