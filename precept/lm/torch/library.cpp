#include <chrono>
#include <exception>
#include <optional>

#include <ATen/Parallel.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#ifdef PRECEPT_TORCH_CUDA
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>
#endif

#include "precept/lm/torch/api.h"
#include "precept/lm/torch/errors.h"
#include "precept/lm/torch/torch_backend.h"
#include "precept/lm/torch/torch_trainer.h"

namespace precept::infer {
namespace {

constexpr const char* kElse = "use --device cpu, or build against a libtorch with CUDA (docs/gpu.md)";

Result<at::Device> device_of(const std::string& name) {
  if (name == "torch-cpu") return at::Device(at::kCPU);
#ifdef PRECEPT_TORCH_CUDA
  try {
    const at::Device device(name);
    const int index = std::max<int>(0, device.index()), count = c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount();
    if (index < count) return at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
    if (count > 0) return bad_input("there is no device " + name + ": this machine has " + std::to_string(count), "name one from cuda:0 on");
  } catch (const std::exception& error) {
    return bad_input("the device " + name + " cannot be used: " + first_line(error.what()), kElse);
  }
  return bad_input("this machine has no CUDA device that libtorch can use", "see what nvidia-smi says, or use --device cpu");
#else
  return bad_input("there is no device " + name + ": libtorch was built without CUDA here", kElse);
#endif
}

Result<std::int64_t> free_bytes(const std::string& name) {
  const Result<at::Device> device = device_of(name);
  if (!device) return tl::unexpected(device.error());
  std::size_t free = 0;
#ifdef PRECEPT_TORCH_CUDA
  if (device->is_cuda()) {
    const c10::cuda::CUDAGuard guard(*device);
    std::size_t all = 0;
    c10::cuda::CUDACachingAllocator::emptyCache();  // what models before this one took counts as free
    if (const cudaError_t error = cudaMemGetInfo(&free, &all); error != cudaSuccess) {
      return failed("the device " + name + " cannot be used: " + cudaGetErrorString(error), kElse);
    }
  }
#endif
  return static_cast<std::int64_t>(free);
}

std::int64_t scratch_bytes(const LlamaConfig& config, nn::Precision precision, const std::string& name) {
  const Result<at::Device> device = device_of(name);
  return device ? TorchLimits(config, precision, *device).scratch_bytes : 0;
}

// Calls a second, after one that is not counted. `call` must leave its result in memory of the device.
template <class Call>
double calls_per_s(const at::Device& device, int count, const Call& call) {
  const auto wait = [&] {
    const c10::impl::VirtualGuardImpl guard(device.type());
    if (device.is_cuda()) guard.synchronizeStream(guard.getStream(device));
  };
  call();
  wait();
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; ++i) call();
  wait();
  return count / std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Result<Roof> measure_roof(const std::string& name, nn::Precision precision) {
  const Result<at::Device> device = device_of(name);
  if (!device) return tl::unexpected(device.error());
  const bool gpu = device->is_cuda();
  const std::int64_t side = gpu ? 8192 : 1024, bytes = std::int64_t{gpu ? 2048 : 128} << 20;
  try {
    const c10::InferenceMode inference;
    const at::TensorOptions there = at::TensorOptions().device(*device);
    const at::Tensor a = at::ones({side, side}, there.dtype(precision == nn::Precision::kBf16 ? at::kBFloat16 : at::kFloat));
    at::Tensor c = at::empty_like(a);
    const at::Tensor from = at::ones({bytes}, there.dtype(at::kByte)), to = at::empty_like(from);
    Roof roof;
    const double side_d = static_cast<double>(side);
    roof.gemm_gflops = 2 * side_d * side_d * side_d / 1e9 * calls_per_s(*device, gpu ? 50 : 5, [&] { at::matmul_out(c, a, a); });
    roof.memory_gbps = 2 * static_cast<double>(bytes) / 1e9 * calls_per_s(*device, gpu ? 50 : 5, [&] { to.copy_(from); });
    return roof;
  } catch (const c10::Error& error) {
    return failed("libtorch: " + first_line(error.what_without_backtrace()));
  }
}

Result<std::unique_ptr<Backend>> open(const Weights& weights, const std::string& name, int threads, std::int64_t cache_bytes, int choices) {
  const Result<at::Device> device = device_of(name);
  if (!device) return tl::unexpected(device.error());
  try {
    if (device->is_cpu()) at::set_num_threads(threads);
    return std::make_unique<TorchBackend>(weights, *device, cache_bytes, choices);
  } catch (const c10::OutOfMemoryError&) {
    return failed("the memory of " + name + " is exhausted", "use a smaller model, or a smaller cache");
  } catch (const c10::Error& error) {
    return failed("libtorch: " + first_line(error.what_without_backtrace()));
  }
}

// Processes of one machine each take their own of its GPUs, unless one is named.
Result<std::unique_ptr<BatchTrainer>> open_trainer(const TrainerSpec& spec) {
  const std::string& name = spec.options.device;
  Result<at::Device> device = device_of(name);
  if (!device) return tl::unexpected(device.error());
  try {
    if (device->is_cpu()) at::set_num_threads(spec.threads);
    if (name == "cuda" && spec.world != nullptr) {
      const auto count = static_cast<int>(c10::impl::VirtualGuardImpl(at::kCUDA).deviceCount());
      device = at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(spec.world->rank() % count));
    }
    return std::make_unique<on_device::TorchTrainer>(spec, *device);
  } catch (const c10::OutOfMemoryError&) {
    return failed("the memory of " + name + " is exhausted", "use a smaller model, or --lora");
  } catch (const c10::Error& error) {
    return failed("libtorch: " + first_line(error.what_without_backtrace()));
  } catch (const WorldError&) {
    throw;
  } catch (const std::runtime_error& error) {  // of c10d and what it is made of
    return failed("libtorch: " + first_line(error.what()), "see docs/gpu.md on several processes");
  }
}

}  // namespace
}  // namespace precept::infer

extern "C" const precept::infer::TorchApi* precept_lm_torch_api() {
  static const precept::infer::TorchApi api = {precept::infer::kTorchApiVersion, precept::infer::free_bytes, precept::infer::scratch_bytes, precept::infer::measure_roof,
                                               precept::infer::open, precept::infer::open_trainer};
  return &api;
}
