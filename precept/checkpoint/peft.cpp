#include "precept/checkpoint/peft.h"

#include <filesystem>
#include <set>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

const char* const kMismatch = "adapter_config.json, its tensors and the base model do not belong together";

std::string tensor_name(const std::string& module, char which) {
  return "base_model.model." + module + ".lora_" + which + ".weight";
}

Result<Safetensors> open_tensors(const std::string& folder) {
  const std::string path = folder + "/adapter_model.safetensors";
  std::error_code ec;
  if (!fs::exists(path, ec) && fs::exists(folder + "/adapter_model.bin", ec)) {
    return bad_input("the adapter's tensors are in adapter_model.bin, which is not read", "save it again as safetensors with PEFT", folder);
  }
  return Safetensors::open(path);
}

// Takes tensors by name and shape; remembers which.
class Taker {
 public:
  Taker(const Safetensors& tensors, const std::string& file) : tensors_(tensors), file_(file) {}

  Result<std::vector<float>> take(const std::string& name, const std::vector<std::int64_t>& shape) {
    const TensorView* view = tensors_.find(name);
    if (view == nullptr) return bad_input("the adapter lacks the tensor " + name, kMismatch, file_);
    used_.insert(name);
    if (view->shape != shape) {
      return bad_input("the tensor " + name + " is " + shape_text(view->shape) + ", but should be " + shape_text(shape), kMismatch, file_);
    }
    if (!is_float(view->dtype)) {
      return bad_input("the tensor " + name + " is " + std::string(dtype_name(view->dtype)) + ", not F32, F16 or BF16", "save the adapter in one of these", file_);
    }
    if (!all_finite(view->dtype, view->bytes)) {
      return bad_input("the tensor " + name + " holds values that are not finite", "the file is damaged, or the training that made it diverged", file_);
    }
    all_bf16_ = all_bf16_ && view->dtype == Dtype::kBF16;
    return to_floats(*view);
  }

  Status finish() const {
    for (const TensorView& view : tensors_.tensors()) {
      if (used_.count(view.name) == 0) {
        return bad_input("the adapter holds the tensor " + in_quotes(view.name) + ", which its config and base do not ask for", kMismatch, file_);
      }
    }
    return {};
  }
  Dtype dtype() const { return all_bf16_ ? Dtype::kBF16 : Dtype::kF32; }

 private:
  const Safetensors& tensors_;
  const std::string& file_;
  std::set<std::string> used_;
  bool all_bf16_ = true;
};

std::string bytes_of(const std::vector<float>& values, Dtype dtype) {
  if (dtype == Dtype::kBF16) return to_bf16_bytes(values);
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

}  // namespace

bool is_peft_folder(const std::string& folder) {
  std::error_code ec;
  return fs::exists(folder + "/adapter_config.json", ec);
}

Result<std::string> peft_base_folder(const std::string& folder, const LoraConfig& config) {
  const std::string file = folder + "/adapter_config.json";
  if (config.base_model_name_or_path.empty()) {
    return bad_input("\"base_model_name_or_path\" is missing", "give the folder of the base model", file);
  }
  const fs::path base = fs::path(folder) / config.base_model_name_or_path;  // an absolute path stands for itself
  std::error_code ec;
  if (!fs::is_directory(base, ec)) {
    return bad_input("the base model " + in_quotes(config.base_model_name_or_path) + " is no folder here",
                     "base_model_name_or_path is a folder, absolute or relative to that of the adapter", file);
  }
  if (is_peft_folder(base.string())) {
    return bad_input("the base model " + in_quotes(config.base_model_name_or_path) + " is an adapter itself", "merge that one first", file);
  }
  return base.lexically_normal().string();
}

Result<PeftAdapter> load_peft(const std::string& folder, const LlamaConfig& base) {
  auto config = load_lora_config(folder);
  if (!config) return tl::unexpected(config.error());
  const auto targets = lora_targets(*config, base, folder + "/adapter_config.json");
  if (!targets) return tl::unexpected(targets.error());
  const auto tensors = open_tensors(folder);
  if (!tensors) return tl::unexpected(tensors.error());
  const std::string file = folder + "/adapter_model.safetensors";
  Taker taker(*tensors, file);
  PeftAdapter adapter;
  adapter.config = std::move(*config);
  for (const LoraTarget& target : *targets) {
    auto a = taker.take(tensor_name(target.name, 'A'), {target.rank, target.in});
    if (!a) return tl::unexpected(a.error());
    auto b = taker.take(tensor_name(target.name, 'B'), {target.out, target.rank});
    if (!b) return tl::unexpected(b.error());
    adapter.pairs.push_back({target.name, std::move(*a), std::move(*b)});
  }
  if (Status fine = taker.finish(); !fine) return tl::unexpected(fine.error());
  adapter.dtype = taker.dtype();
  return adapter;
}

Status save_peft(const std::string& folder, const PeftAdapter& adapter, const LlamaConfig& base) {
  const auto targets = lora_targets(adapter.config, base);
  if (!targets) return tl::unexpected(targets.error());
  PRECEPT_CHECK(targets->size() == adapter.pairs.size());
  PRECEPT_CHECK(adapter.dtype == Dtype::kF32 || adapter.dtype == Dtype::kBF16);
  if (Status made = make_folder(folder); !made) return made;
  std::vector<std::string> bytes;
  bytes.reserve(2 * targets->size());
  std::vector<TensorView> views;
  for (std::size_t i = 0; i < targets->size(); ++i) {
    const LoraTarget& target = (*targets)[i];
    const LoraPair& pair = adapter.pairs[i];
    PRECEPT_CHECK(pair.module == target.name);
    bytes.push_back(bytes_of(pair.a, adapter.dtype));
    views.push_back({tensor_name(pair.module, 'A'), adapter.dtype, {target.rank, target.in}, bytes.back()});
    bytes.push_back(bytes_of(pair.b, adapter.dtype));
    views.push_back({tensor_name(pair.module, 'B'), adapter.dtype, {target.out, target.rank}, bytes.back()});
  }
  if (Status written = write_safetensors(folder + "/adapter_model.safetensors", std::move(views), {{"format", "pt"}}); !written) return written;
  return write_file(folder + "/adapter_config.json", lora_config_json(adapter.config));
}

Result<std::string> peft_digest(const std::string& folder) {
  auto config = load_lora_config(folder);
  if (!config) return tl::unexpected(config.error());
  config->base_model_name_or_path.clear();
  const auto tensors = open_tensors(folder);
  if (!tensors) return tl::unexpected(tensors.error());
  return tensors_digest(lora_config_json(*config), tensors->tensors());
}

std::string adapted_digest(const std::string& base_digest, const std::string& peft_digest) {
  return sha256("base " + base_digest + "\nadapter " + peft_digest + "\n");
}

}  // namespace precept
