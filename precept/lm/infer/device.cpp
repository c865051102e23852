#include "precept/lm/infer/device.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include <fmt/format.h>

#include "precept/lm/infer/cpu_backend.h"
#include "precept/lm/torch/api.h"

namespace precept::infer {
namespace {

constexpr const char* kLibrary = "libprecept_lm_torch.so";
constexpr std::int64_t kCacheBytes = std::int64_t{512} << 20;  // on the CPU, unless told otherwise

int threads_of(const EngineOptions& options) {
  if (options.threads > 0) return std::min(options.threads, 256);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// The folder this library lies in.
std::filesystem::path own_folder() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&check_device), &info) == 0 || info.dli_fname == nullptr) return {};
  std::error_code error;
  const std::filesystem::path file = std::filesystem::canonical(info.dli_fname, error);
  return error ? std::filesystem::path(info.dli_fname).parent_path() : file.parent_path();
}

Result<const TorchApi*> open_library() {
  const std::string path = (own_folder() / kLibrary).string();
  std::error_code error;
  if (!std::filesystem::exists(path, error)) {
    return bad_input(std::string("the device cuda takes a build for GPUs: there is no ") + kLibrary,
                     "use --device cpu, or build with -DPRECEPT_TORCH=ON (docs/gpu.md)", own_folder().string());
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* why = dlerror();
    std::string text = why != nullptr ? why : "no reason given";
    std::replace(text.begin(), text.end(), '\n', ' ');
    return failed("the library for GPUs cannot be opened: " + text, "install the libtorch that it was built against, or use --device cpu", path);
  }
  using Entry = const TorchApi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "precept_lm_torch_api"));
  if (entry == nullptr || entry()->version != kTorchApiVersion) return failed("the library for GPUs is of another version", "build again", path);
  return entry();
}

constexpr std::int64_t kBookkeeping = 256;  // bytes that Cache takes for a block, and the engine for who holds it

// Bytes for keys and values beside `taken` ones of weights and activations. `usual`: where the options name none.
Result<std::int64_t> cache_bytes(const EngineOptions& options, const Weights& weights, std::int64_t usual, std::int64_t taken) {
  const std::int64_t wanted = options.cache_bytes > 0 ? options.cache_bytes : usual;
  if (options.memory_bytes <= 0) return wanted;
  const LlamaConfig& c = weights.config;
  const std::int64_t value = weights.precision == nn::Precision::kBf16 ? 2 : 4;
  const std::int64_t block = nn::kBlockTokens * 2 * value * c.num_hidden_layers * c.num_key_value_heads * c.head_dim;
  const std::int64_t angles = nn::kBlockTokens * c.head_dim * 4;  // cosines and sines; of no more positions than there are in the cache
  const std::int64_t each = block + angles + kBookkeeping, least = 64 * each;
  if (options.memory_bytes < taken + least) {
    return bad_input(fmt::format("{} MB of memory are too few: weights and activations take {} MB", options.memory_bytes >> 20, taken >> 20),
                     fmt::format("give it at least {} MB", ((taken + least) >> 20) + 1), weights.path);
  }
  return std::min(wanted, (options.memory_bytes - taken) / each * block);
}

Result<std::unique_ptr<Backend>> open_on_torch(const Weights& weights, const EngineOptions& options, int choices, std::int64_t beside) {
  const Result<const TorchApi*> library = torch_library();
  if (!library) return tl::unexpected(library.error());
  const TorchApi& torch = **library;
  const Result<std::int64_t> free = torch.free_bytes(options.device);
  if (!free) return tl::unexpected(free.error());
  const std::int64_t parameter = weights.precision == nn::Precision::kBf16 ? 2 : 4;
  const std::int64_t taken = parameter * weights.config.parameters() + beside + torch.scratch_bytes(weights.config, weights.precision, options.device);
  // Of a GPU, most of what is left: nobody else is there.
  const std::int64_t usual = *free == 0 ? kCacheBytes : std::max<std::int64_t>(0, (*free - taken) / 10 * 9);
  const Result<std::int64_t> cache = cache_bytes(options, weights, usual, taken);
  if (!cache) return tl::unexpected(cache.error());
  return torch.open(weights, options.device, threads_of(options), *cache, choices);
}

}  // namespace

Result<const TorchApi*> torch_library() {
  static const Result<const TorchApi*> library = open_library();
  return library;
}

Status check_device(const std::string& device) {
  const std::string cuda = "cuda:";
  const bool numbered = device.rfind(cuda, 0) == 0 && device.size() > cuda.size() && device.size() <= cuda.size() + 2 &&
                        std::all_of(device.begin() + static_cast<std::ptrdiff_t>(cuda.size()), device.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (device == "cpu") return {};
  if (device == "cuda" || device == "torch-cpu" || numbered) {
    const Result<const TorchApi*> library = torch_library();
    if (!library) return tl::unexpected(library.error());
    const Result<std::int64_t> free = (*library)->free_bytes(device);
    return free ? Status() : tl::unexpected(free.error());
  }
  return bad_input("there is no device \"" + device + "\"", "a device is: cpu, cuda, cuda:N, or torch-cpu (libtorch on the processor, for tests)");
}

Result<Roof> measure_device(const std::string& device, nn::Precision precision) {
  if (Status fine = check_device(device); !fine) return tl::unexpected(fine.error());
  const Result<const TorchApi*> library = torch_library();
  if (!library) return tl::unexpected(library.error());
  return (*library)->measure_roof(device, precision);
}

Result<std::unique_ptr<Backend>> open_backend(Weights weights, const EngineOptions& options, int choices, std::int64_t beside) {
  if (on_torch(options)) return open_on_torch(weights, options, choices, beside);
  const int threads = threads_of(options);
  const std::int64_t taken = weights.bytes() + beside + CpuBackend::scratch_bytes(weights.config, weights.precision, threads, beside > 0);
  const Result<std::int64_t> cache = cache_bytes(options, weights, kCacheBytes, taken);
  if (!cache) return tl::unexpected(cache.error());
  auto backend = std::make_unique<CpuBackend>(std::move(weights), threads, *cache, choices);
  if (options.claim_cache) backend->claim_cache();
  return backend;
}

}  // namespace precept::infer
