#include "cli/gguf_export.h"

#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/matching_tokenizer.h"
#include "precept/checkpoint/gguf_config.h"
#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/lm/gguf_tokenizer.h"
#include "precept/text/chat_codec.h"

namespace precept {
namespace {

using Json = nlohmann::json;

// llama.cpp's name of how a byte-level tokenizer splits text; nullopt: it has none that we know.
std::optional<std::string> pre_name(const Json& pre_tokenizer) {
  const std::string text = pre_tokenizer.dump();
  const auto has = [&](const char* part) { return text.find(part) != std::string::npos; };
  if (!has("ByteLevel")) return std::nullopt;
  if (has("p{N}{1,3}")) return "llama-bpe";
  if (has("Split") && has("p{N}|")) return "qwen2";
  if (has("Digits")) return "smollm";
  if (!has("Split")) return "gpt-2";
  return std::nullopt;
}

Result<std::optional<std::string>> chat_template_of(const std::string& folder, const ChatCodec& chat) {
  if (chat.format() != nullptr) return std::optional(chat.format()->jinja());
  std::error_code error;
  if (std::filesystem::exists(folder + "/chat_template.jinja", error)) {
    auto text = read_text(folder + "/chat_template.jinja", std::size_t{1} << 20);
    if (!text) return tl::unexpected<Error>(text.error());
    return std::optional(std::move(*text));
  }
  if (!chat.has_chat()) return std::optional<std::string>();
  const auto text = read_text(folder + "/tokenizer_config.json", std::size_t{16} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  const Json config = Json::parse(*text, nullptr, false);
  const Json& given = config.is_object() && config.contains("chat_template") ? config["chat_template"] : Json();
  if (given.is_string()) return std::optional(given.get<std::string>());
  for (const Json& one : given) {
    if (one.is_object() && one.value("name", "") == "default" && one.contains("template")) return std::optional(one["template"].get<std::string>());
  }
  return std::optional<std::string>();
}

Result<GgufVocabulary> vocabulary_of(const std::string& folder, const LlamaConfig& config) {
  const auto files = load_tokenizer_files(folder);
  if (!files) return tl::unexpected<Error>(files.error());
  const Tokenizer& tokenizer = files->tokenizer;
  if (const Status fits = check_tokenizer_fits(tokenizer, config, folder); !fits) return tl::unexpected<Error>(fits.error());
  const Json json = Json::parse(tokenizer.to_json());
  const auto pre = json["model"]["type"] == "BPE" ? pre_name(json["pre_tokenizer"]) : std::nullopt;
  if (!pre) {
    return bad_input("this tokenizer cannot be written as GGUF", "byte-level BPE that splits as GPT-2, Llama 3, Qwen 2 or SmolLM can", folder);
  }
  GgufVocabulary out;
  out.model = "gpt2";
  out.pre = *pre;
  std::map<std::int32_t, bool> added;  // id -> special
  for (const Json& one : json["added_tokens"]) added[one["id"].get<std::int32_t>()] = one["special"].get<bool>();
  for (std::int32_t id = 0; id < config.vocab_size; ++id) {
    const auto found = added.find(id);
    // Models have more rows than their tokenizer has tokens; llama.cpp wants a name for each.
    out.tokens.push_back(id < tokenizer.size() ? tokenizer.token(id) : "[PAD" + std::to_string(id) + "]");
    out.types.push_back(id >= tokenizer.size()  ? GgufTokenType::kUnused
                        : found == added.end() ? GgufTokenType::kNormal
                        : found->second        ? GgufTokenType::kControl
                                               : GgufTokenType::kUserDefined);
  }
  for (const Json& merge : json["model"]["merges"]) {
    out.merges.push_back(merge.is_string() ? merge.get<std::string>() : merge[0].get<std::string>() + " " + merge[1].get<std::string>());
  }
  out.bos = tokenizer.bos_id();
  out.eos = tokenizer.eos_id();
  if (!out.bos && config.bos_token_id >= 0) out.bos = config.bos_token_id;
  if (!files->chat.stop_ids().empty()) out.eos = files->chat.stop_ids()[0];
  if (!out.eos && config.eos_token_id >= 0) out.eos = config.eos_token_id;
  out.pad = tokenizer.pad_id();
  const std::vector<std::int32_t> begun = files->chat.raw(tokenizer, "");
  out.add_bos = !begun.empty() && out.bos == begun[0];
  auto chat = chat_template_of(folder, files->chat);
  if (!chat) return tl::unexpected<Error>(chat.error());
  out.chat_template = std::move(*chat);
  return out;
}

GgmlType type_named(const std::string& type) {
  return type == "f32" ? GgmlType::kF32 : type == "f16" ? GgmlType::kF16 : type == "q8_0" ? GgmlType::kQ8_0 : GgmlType::kBF16;
}

}  // namespace

Status folder_to_gguf(const std::string& folder, const std::string& path, const std::string& type) {
  const auto config = load_llama_config(folder);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto shape = gguf_shape_of(*config);
  if (!shape) return tl::unexpected<Error>(shape.error());
  const auto tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  const auto vocabulary = vocabulary_of(folder, *config);
  if (!vocabulary) return tl::unexpected<Error>(vocabulary.error());
  GgufMetadata metadata;
  metadata.values["general.name"] = std::filesystem::path(folder).lexically_normal().filename().string();
  metadata.values["general.type"] = std::string("model");
  write_gguf_vocabulary(*vocabulary, metadata);
  return write_gguf_llama(path, std::move(metadata), *shape, tensors->tensors, type_named(type), gguf_rope_factors(*config));
}

Status gguf_to_folder(const std::string& path, const std::string& folder) {
  const auto file = Gguf::open(path);
  if (!file) return tl::unexpected<Error>(file.error());
  const auto shape = read_gguf_shape(file->metadata());
  if (!shape) return tl::unexpected<Error>(shape.error());
  auto config = config_of_gguf(*file, *shape);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto vocabulary = read_gguf_vocabulary(file->metadata());
  if (!vocabulary) return tl::unexpected<Error>(vocabulary.error());
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary_spec(*vocabulary), path);
  if (!tokenizer) return tl::unexpected<Error>(tokenizer.error());
  const auto tensors = hf_tensors(*file, *shape);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  if (vocabulary->bos) config->bos_token_id = *vocabulary->bos;
  if (vocabulary->eos) config->eos_token_id = *vocabulary->eos;

  if (const Status made = make_folder(folder); !made) return made;
  std::vector<std::string> bytes;
  bytes.reserve(tensors->size());
  std::vector<TensorView> views;
  for (const HfTensor& tensor : *tensors) {
    std::vector<std::uint16_t> values(static_cast<std::size_t>(tensor.tensor->rows() * tensor.tensor->row()));
    tensor.read_bf16(0, values);
    bytes.emplace_back(reinterpret_cast<const char*>(values.data()), values.size() * 2);
    views.push_back({tensor.name, Dtype::kBF16, tensor.tensor->shape, bytes.back()});
  }
  nlohmann::ordered_json tokenizer_config = {{"tokenizer_class", "PreTrainedTokenizerFast"}};
  const auto name = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) tokenizer_config[key] = tokenizer->token(*id);
  };
  name("bos_token", vocabulary->bos);
  name("eos_token", vocabulary->eos);
  name("unk_token", vocabulary->unk);
  name("pad_token", vocabulary->pad);
  if (vocabulary->chat_template) tokenizer_config["chat_template"] = *vocabulary->chat_template;
  Status written = write_file(folder + "/tokenizer.json", tokenizer->to_json());
  if (written) written = write_file(folder + "/tokenizer_config.json", tokenizer_config.dump(1) + "\n");
  if (written) written = write_file(folder + "/config.json", llama_config_json(*config));
  if (written) written = write_safetensors(folder + "/model.safetensors", std::move(views), {{"format", "pt"}});
  return written;
}

}  // namespace precept
