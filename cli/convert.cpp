#include "cli/convert.h"

#include <filesystem>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/gguf_vocabulary.h"
#include "cli/model_card.h"
#include "precept/checkpoint/gguf_config.h"
#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"
#include "precept/lm/gguf_tokenizer.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

std::optional<Dtype> dtype_named(const std::string& type) {
  if (type == "f32") return Dtype::kF32;
  if (type == "f16") return Dtype::kF16;
  if (type == "bf16") return Dtype::kBF16;
  return std::nullopt;
}

GgmlType ggml_type_named(const std::string& type) {
  return type == "f32" ? GgmlType::kF32 : type == "f16" ? GgmlType::kF16 : type == "q8_0" ? GgmlType::kQ8_0 : GgmlType::kBF16;
}

// llama.cpp attends to everything before a token in these architectures, whatever attention.sliding_window says.
void warn_of_windows(const LlamaConfig& config, const EventSink& events) {
  if (!events || config.sliding_window == 0 || config.sliding_window >= config.max_position_embeddings) return;
  Event event;
  event.kind = Event::Kind::kWarning;
  event.stage = "convert";
  event.text = "llama.cpp knows no sliding window in this architecture: beyond " + std::to_string(config.sliding_window) +
               " tokens it answers otherwise than this model";
  events(event);
}

Status folder_to_gguf(const std::string& folder, const std::string& path, const std::string& type, const EventSink& events) {
  const auto config = load_llama_config(folder);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto shape = gguf_shape_of(*config);
  if (!shape) return tl::unexpected<Error>(shape.error());
  const auto tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  if (Status fine = check_llama_checkpoint(*config, *tensors, folder); !fine) return fine;
  const auto vocabulary = gguf_vocabulary_of(folder, *config);
  if (!vocabulary) return tl::unexpected<Error>(vocabulary.error());
  warn_of_windows(*config, events);
  GgufMetadata metadata;
  metadata.values["general.name"] = fs::path(folder).lexically_normal().filename().string();
  metadata.values["general.type"] = std::string("model");
  write_gguf_vocabulary(*vocabulary, metadata);
  std::vector<TensorView> views;  // without what is derived or stands twice
  for (const TensorShape& tensor : llama_tensors(*config)) views.push_back(*tensors->find(tensor.name));
  return write_gguf_llama(path, std::move(metadata), *shape, views, ggml_type_named(type), gguf_rope_factors(*config));
}

// What a GGUF file says of its tokenizer, as the files of a folder.
Status write_tokenizer(const GgufVocabulary& vocabulary, const std::string& path, const std::string& folder) {
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary_spec(vocabulary), path);
  if (!tokenizer) return tl::unexpected<Error>(tokenizer.error());
  nlohmann::ordered_json config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  const auto name = [&](const char* key, const std::optional<std::int32_t>& id) {
    if (id) config[key] = tokenizer->token(*id);
  };
  name("bos_token", vocabulary.bos);
  name("eos_token", vocabulary.eos);
  name("unk_token", vocabulary.unk);
  name("pad_token", vocabulary.pad);
  if (vocabulary.chat_template) config["chat_template"] = *vocabulary.chat_template;
  if (Status fine = write_file(folder + "/tokenizer.json", tokenizer->to_json()); !fine) return fine;
  return write_file(folder + "/tokenizer_config.json", config.dump(1) + "\n");
}

// The element type of the file's matrices where a folder can have it, else BF16.
Dtype own_dtype(const std::vector<HfTensor>& tensors) {
  for (const HfTensor& tensor : tensors) {
    if (tensor.tensor->shape.size() < 2) continue;
    if (tensor.tensor->type == GgmlType::kF32) return Dtype::kF32;
    return tensor.tensor->type == GgmlType::kF16 ? Dtype::kF16 : Dtype::kBF16;
  }
  return Dtype::kBF16;
}

Status gguf_to_folder(const std::string& path, const std::string& folder, const ConvertOptions& options) {
  const auto file = Gguf::open(path);
  if (!file) return tl::unexpected<Error>(file.error());
  const auto shape = read_gguf_shape(file->metadata());
  if (!shape) return tl::unexpected<Error>(shape.error());
  auto config = config_of_gguf(*file, *shape);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto vocabulary = read_gguf_vocabulary(file->metadata());
  if (!vocabulary) return tl::unexpected<Error>(vocabulary.error());
  const auto tensors = hf_tensors(*file, *shape);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  std::vector<TensorShape> found;
  for (const HfTensor& tensor : *tensors) found.push_back({tensor.name, tensor.tensor->shape});
  if (Status fine = check_llama_tensors(*config, found, path); !fine) return fine;
  if (vocabulary->bos) config->bos_token_id = *vocabulary->bos;
  if (vocabulary->eos) config->eos_token_id = *vocabulary->eos;
  const Dtype dtype = dtype_named(options.type).value_or(own_dtype(*tensors));

  if (Status made = make_folder(folder); !made) return made;
  if (Status fine = write_tokenizer(*vocabulary, path, folder); !fine) return fine;
  if (Status fine = write_file(folder + "/config.json", llama_config_json(*config, torch_name(dtype))); !fine) return fine;
  std::vector<int> more_ends;
  for (const auto& end : {vocabulary->eot, vocabulary->eom}) {
    if (end) more_ends.push_back(*end);
  }
  if (Status fine = complete_folder(folder, *config, more_ends); !fine) return fine;
  std::vector<TensorPlan> plans;
  std::vector<const HfTensor*> sources;
  for (const TensorShape& tensor : llama_tensors(*config)) {
    const auto at = std::lower_bound(tensors->begin(), tensors->end(), tensor.name, [](const HfTensor& a, const std::string& name) { return a.name < name; });
    plans.push_back({tensor.name, dtype, tensor.shape});
    sources.push_back(&*at);
  }
  const auto rows = [&](std::size_t i, std::int64_t first, std::span<float> out) -> Status {
    sources[i]->read(first, out);
    return {};
  };
  return save_tensors(folder, plans, rows, options.shard_bytes);
}

Status merge_folder(const std::string& adapter, const std::string& to, const SaveOptions& save) {
  const auto lora = load_lora_config(adapter);
  if (!lora) return tl::unexpected<Error>(lora.error());
  const auto base = peft_base_folder(adapter, *lora);
  if (!base) return tl::unexpected<Error>(base.error());
  const auto config = load_llama_config(*base);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto loaded = load_peft(adapter, *config);
  if (!loaded) return tl::unexpected<Error>(loaded.error());
  return merge_adapter(*base, *loaded, to, save);
}

}  // namespace

bool is_gguf(const std::string& path) { return fs::path(path).extension() == ".gguf"; }

Status convert_model(const std::string& from, const std::string& to, const ConvertOptions& options, const EventSink& events) {
  if (is_gguf(to)) {
    if (is_gguf(from)) return bad_input("GGUF is converted to a folder only", "name a folder");
    if (is_peft_folder(from)) return bad_input("is an adapter, which is not written as GGUF", "merge it first: precept model convert ADAPTER FOLDER", from);
    return folder_to_gguf(from, to, options.type.empty() ? "bf16" : options.type, events);
  }
  if (options.type == "q8_0") return bad_input("a folder does not hold q8_0", "use --type f32, f16 or bf16, or name FILE.gguf");
  const SaveOptions save{dtype_named(options.type), options.shard_bytes};
  const Status done = is_gguf(from)         ? gguf_to_folder(from, to, options)
                      : is_peft_folder(from) ? merge_folder(from, to, save)
                                             : copy_checkpoint(from, to, save);
  if (!done) return done;
  return card_of_conversion(from, to);
}

}  // namespace precept
