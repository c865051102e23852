// precept model inspect|convert: what a checkpoint is, and the same checkpoint in another form.

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/convert.h"
#include "cli/open_model.h"
#include "precept/checkpoint/gguf_config.h"
#include "precept/checkpoint/gguf_llama.h"
#include "precept/checkpoint/gguf_vocabulary.h"
#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/peft.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/lm/gguf_tokenizer.h"
#include "precept/text/chat_codec.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

struct ModelOptions {
  std::string from, to;
  std::string type;
  std::string shard_size = "5GB";
  bool json = false;
};

void add_config(const LlamaConfig& c, Json& out) {
  const Json config = Json::parse(llama_config_json(c));
  for (const auto& [key, value] : config.items()) {
    if (key != "torch_dtype") out["config"][key] = value;
  }
  out["parameters"] = c.parameters();
}

// Element types and how many tensors have them.
Json types_json(const std::map<std::string, int>& types) {
  Json out = Json::object();
  for (const auto& [type, count] : types) out[type] = count;
  return out;
}

Result<Json> inspect_gguf(const std::string& path) {
  const auto file = Gguf::open(path);
  if (!file) return tl::unexpected<Error>(file.error());
  const auto shape = read_gguf_shape(file->metadata());
  if (!shape) return tl::unexpected<Error>(shape.error());
  const auto config = config_of_gguf(*file, *shape);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto tensors = hf_tensors(*file, *shape);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  std::vector<TensorShape> found;
  for (const HfTensor& tensor : *tensors) found.push_back({tensor.name, tensor.tensor->shape});
  if (Status fine = check_llama_tensors(*config, found, path); !fine) return tl::unexpected<Error>(fine.error());
  const auto vocabulary = read_gguf_vocabulary(file->metadata());
  if (!vocabulary) return tl::unexpected<Error>(vocabulary.error());
  Json out = {{"path", path}, {"format", "gguf"}};
  add_config(*config, out);
  std::map<std::string, int> types;
  for (const GgufTensor& tensor : file->tensors()) ++types[std::string(ggml_type_name(tensor.type))];
  out["tensors"] = types_json(types);
  const auto tokenizer = Tokenizer::from_vocabulary(vocabulary_spec(*vocabulary), path);
  if (!tokenizer) return tl::unexpected<Error>(tokenizer.error());
  out["tokens"] = tokenizer->size();
  out["chat"] = vocabulary->chat_template ? "template" : "none";
  const auto digest = file_digest(path);
  if (!digest) return tl::unexpected<Error>(digest.error());
  out["digest"] = *digest;
  return out;
}

Result<Json> inspect_folder(const std::string& folder) {
  const auto config = load_llama_config(folder);
  if (!config) return tl::unexpected<Error>(config.error());
  const auto tensors = open_checkpoint_tensors(folder);
  if (!tensors) return tl::unexpected<Error>(tensors.error());
  if (Status fine = check_llama_checkpoint(*config, *tensors, folder); !fine) return tl::unexpected<Error>(fine.error());
  const auto files = load_tokenizer_files(folder);
  if (!files) return tl::unexpected<Error>(files.error());
  Json out = {{"path", folder}, {"format", "safetensors"}};
  add_config(*config, out);
  std::map<std::string, int> types;
  for (const TensorView& tensor : tensors->tensors) ++types[std::string(dtype_name(tensor.dtype))];
  out["tensors"] = types_json(types);
  out["files"] = tensors->shards.size();
  out["tokens"] = files->tokenizer.size();
  out["chat"] = files->chat.format() != nullptr ? "chat.json" : files->chat.has_chat() ? "template" : "none";
  const auto digest = checkpoint_digest(folder, *tensors);
  if (!digest) return tl::unexpected<Error>(digest.error());
  out["digest"] = *digest;
  return out;
}

// Does it fit its base? Both are looked at.
Result<Json> inspect_adapter(const std::string& folder) {
  const auto lora = load_lora_config(folder);
  if (!lora) return tl::unexpected<Error>(lora.error());
  const auto base = peft_base_folder(folder, *lora);
  if (!base) return tl::unexpected<Error>(base.error());
  auto whole = inspect_folder(*base);
  if (!whole) return tl::unexpected<Error>(whole.error());
  const auto adapter = load_peft(folder, *load_llama_config(*base));
  if (!adapter) return tl::unexpected<Error>(adapter.error());
  const auto digest = peft_digest(folder);
  if (!digest) return tl::unexpected<Error>(digest.error());
  std::int64_t parameters = 0;
  for (const LoraPair& pair : adapter->pairs) parameters += static_cast<std::int64_t>(pair.a.size() + pair.b.size());
  const Json all = Json::parse(lora_config_json(*lora));
  Json config = Json::object();  // what it says, without what every adapter has
  for (const auto& [key, value] : all.items()) {
    if (!value.is_null() && value != false && value != Json::object()) config[key] = value;
  }
  const std::string of_both = adapted_digest((*whole)["digest"].get<std::string>(), *digest);
  return Json{{"path", folder}, {"format", "peft"}, {"config", std::move(config)}, {"parameters", parameters},
              {"modules", adapter->pairs.size()}, {"base", std::move(*whole)}, {"digest", of_both}};
}

Result<std::string> path_of(const std::string& model) { return model == "pocket" ? pocket_folder() : Result<std::string>(model); }

Result<int> inspect(const ModelOptions& options) {
  const auto path = path_of(options.from);
  if (!path) return tl::unexpected<Error>(path.error());
  const auto found = is_gguf(*path) ? inspect_gguf(*path) : is_peft_folder(*path) ? inspect_adapter(*path) : inspect_folder(*path);
  if (!found) return tl::unexpected<Error>(found.error());
  if (options.json) {
    std::printf("%s\n", found->dump().c_str());
    return 0;
  }
  for (const auto& [key, value] : found->items()) {
    if (key == "config") {
      for (const auto& [name, setting] : value.items()) std::printf("  %-26s %s\n", name.c_str(), one_line(setting.dump()).c_str());
    } else {
      std::printf("%-28s %s\n", key.c_str(), one_line(value.is_string() ? value.get<std::string>() : value.dump()).c_str());
    }
  }
  return 0;
}

Result<int> convert(const ModelOptions& options, const EventSink& events) {
  const auto from = path_of(options.from);
  if (!from) return tl::unexpected<Error>(from.error());
  const std::set<std::string> types = {"", "f32", "f16", "bf16", "q8_0"};
  if (types.count(options.type) == 0) return bad_input("--type is " + options.type, "one of f32, f16, bf16, q8_0");
  const auto shard_bytes = parse_byte_size(options.shard_size);
  if (!shard_bytes) return bad_input("--shard-size: " + shard_bytes.error().what, shard_bytes.error().hint);
  std::error_code error;
  if (std::filesystem::exists(options.to, error)) return bad_input(options.to + " is there already", "name a new file or folder");
  const Status done = convert_model(*from, options.to, {options.type, *shard_bytes}, events);
  if (!done) return tl::unexpected<Error>(done.error());
  std::printf("%s\n", options.to.c_str());
  return 0;
}

}  // namespace

void add_model(CLI::App& app, Context& context) {
  CLI::App* model = app.add_subcommand("model", "look at a checkpoint, or convert it");
  model->require_subcommand(1);
  const auto options = std::make_shared<ModelOptions>();
  CLI::App* look = model->add_subcommand("inspect", "what a checkpoint holds; refuses what Precept cannot run");
  look->add_option("MODEL", options->from, "pocket, a checkpoint or adapter folder, or FILE.gguf")->required();
  look->add_flag("--json", options->json, "for machines: JSON on stdout");
  look->callback([options, &context] { context.action = [options] { return inspect(*options); }; });
  CLI::App* turn = model->add_subcommand("convert", "a checkpoint in another form: folder or GGUF, other shards or numbers, an adapter merged");
  turn->add_option("FROM", options->from, "pocket, a checkpoint or adapter folder, or FILE.gguf")->required();
  turn->add_option("TO", options->to, "FILE.gguf, or a new folder")->required();
  turn->add_option("--type", options->type, "of matrices: f32, f16, bf16 or q8_0 (default: bf16 in GGUF, in folders as it is)");
  turn->add_option("--shard-size", options->shard_size, kShardHelp)->capture_default_str();
  turn->callback([options, &context] { context.action = [options, &context] { return convert(*options, context.events); }; });
}

}  // namespace precept
