#include <filesystem>
#include <map>

#include <fmt/format.h>

#include "precept/checkpoint/safetensors.h"
#include "precept/core/digest.h"
#include "precept/lm/gguf_tokenizer.h"
#include "precept/lm/infer/cpu_backend.h"
#include "precept/lm/infer/device.h"
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

// Models have spare rows of embeddings, but few.
Status check_vocabulary(const TokenizerFiles& files, const LlamaConfig& config, const std::string& file) {
  const int tokens = files.tokenizer.size();
  if (tokens <= config.vocab_size && tokens >= config.vocab_size / 2) return {};
  return bad_input(fmt::format("the tokenizer has {} tokens, the model {}", tokens, config.vocab_size), "the tokenizer belongs to another model", file);
}

Status check_precision(const std::string& precision) {
  if (precision == "auto" || precision == "bf16" || precision == "fp32") return {};
  return bad_input("the precision must be auto, bf16 or fp32, not \"" + precision + "\"");
}

Status check_weights(const std::string& weights) {
  if (weights == "auto" || weights == "int8") return {};
  return bad_input("the weights must be auto or int8, not \"" + weights + "\"");
}

// The folder of the base, and of the adapter on it where `opened` is one.
struct Opened {
  std::string base, adapter;
};
Result<Opened> folders_of(const std::string& opened) {
  if (!is_peft_folder(opened)) return Opened{opened, ""};
  const Result<LoraConfig> lora = load_lora_config(opened);
  if (!lora) return tl::unexpected(lora.error());
  const Result<std::string> base = peft_base_folder(opened, *lora);
  if (!base) return tl::unexpected(base.error());
  return Opened{*base, opened};
}

}  // namespace

Result<std::unique_ptr<Model>> open_engine(const std::string& opened, const EngineOptions& options) {
  if (Status fine = check_names(options.adapters); !fine) return tl::unexpected(fine.error());
  if (Status fine = check_precision(options.precision); !fine) return tl::unexpected(fine.error());
  if (Status fine = check_weights(options.weights); !fine) return tl::unexpected(fine.error());
  if (Status fine = check_device(options.device); !fine) return tl::unexpected(fine.error());
  const bool eight = options.weights == "int8";
  if (eight && on_torch(options)) return bad_input("the device " + options.device + " has no 8-bit weights", "leave out --weights int8, or use --device cpu");
  const Result<Opened> folders = folders_of(opened);
  if (!folders) return tl::unexpected(folders.error());
  const std::string& folder = folders->base;
  Result<Weights> weights = load_weights(folder, options.precision, on_torch(options) ? 0 : options.pack_bytes, eight ? Eight::kYes : Eight::kNo);
  if (!weights) return tl::unexpected(weights.error());
  const bool gguf = weights->gguf.has_value();
  Result<TokenizerFiles> files = gguf ? tokenizer_files_of(*weights->gguf) : load_tokenizer_files(folder);
  if (!files) return tl::unexpected(files.error());
  const LlamaConfig& config = weights->config;
  if (Status fits = check_vocabulary(*files, config, gguf ? folder : folder + "/tokenizer.json"); !fits) return tl::unexpected(fits.error());
  Result<std::string> digest = gguf ? file_digest(folder) : checkpoint_digest(folder, weights->folder);
  if (!digest) return tl::unexpected(digest.error());
  if (eight) *digest = sha256("int8:" + *digest);  // another base, and so others with its adapters
  const nn::Kernels& low_rank = low_rank_kernels(weights->precision);
  const int choices = std::min(files->tokenizer.size(), config.vocab_size);
  EngineParts parts{{}, std::move(*files), config.more_eos_token_ids, *digest, {}, nullptr};
  ModelInfo& info = parts.info;
  info.uri = opened;
  info.name = last_part(opened);
  info.digest = *digest;
  info.can_score = true;
  info.context_tokens = config.max_position_embeddings;
  info.parameters = config.parameters();
  if (!folders->adapter.empty()) {
    auto loaded = load_adapter(info.name, opened, config, *digest, low_rank);
    if (!loaded) return tl::unexpected(loaded.error());
    parts.chosen = std::move(*loaded);
    info.digest = parts.chosen->digest;
    info.parameters += static_cast<std::int64_t>(parts.chosen->layout.size);
  }
  for (const AdapterSource& source : options.adapters) {
    auto loaded = load_adapter(source.name, source.folder, config, *digest, low_rank);
    if (!loaded) return tl::unexpected(loaded.error());
    parts.adapters.push_back(std::move(*loaded));
  }
  parts.end_tokens.push_back(config.eos_token_id);
  std::size_t adapters = parts.chosen ? parts.chosen->weights.bytes() : 0;
  for (const auto& adapter : parts.adapters) adapters += adapter->weights.bytes();
  auto backend = open_backend(std::move(*weights), options, choices, static_cast<std::int64_t>(adapters));
  if (!backend) return tl::unexpected(backend.error());
  return std::make_unique<Engine>(std::move(parts), std::move(*backend), options);
}

Result<std::unique_ptr<Engine>> open_trained(const TrainedModel& model, TokenizerFiles files, EngineOptions options) {
  const LlamaConfig& config = model.config;
  if (Status fits = check_vocabulary(files, config, model.tokenizer_folder + "/tokenizer.json"); !fits) return tl::unexpected(fits.error());
  const int choices = std::min(files.tokenizer.size(), config.vocab_size);
  EngineParts parts{{}, std::move(files), config.more_eos_token_ids, "", {}, nullptr};
  parts.info.name = "policy";
  parts.info.can_score = true;
  parts.info.context_tokens = config.max_position_embeddings;
  parts.info.parameters = config.parameters();
  parts.end_tokens.push_back(config.eos_token_id);
  if (model.adapter != nullptr) parts.chosen = std::make_unique<Adapter>("policy", *model.adapter);
  auto backend = model.backend(choices);
  if (!backend) return tl::unexpected(backend.error());
  return std::make_unique<Engine>(std::move(parts), std::move(*backend), options);
}

}  // namespace precept::infer
