#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include "precept/lm/bench/roof.h"
#include "precept/lm/infer/device.h"
#include "precept/lm/infer/matrix.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Every thread multiplies its own matrices, of a size that its caches hold comfortably.
double gemm_gflops(nn::Precision precision, infer::Team& team) {
  const nn::RowKernels& kernels = nn::row_kernels(precision);
  constexpr int kRows = 448, kDepth = 576, kColumns = 512, kRepeat = 24;
  const std::size_t lanes = nn::lanes_of(kernels.precision, kDepth), row = nn::row_lanes(kernels, kDepth);
  struct Own {
    infer::Lanes a, w;
    std::vector<float> c;
  };
  std::vector<Own> all(static_cast<std::size_t>(team.threads()));
  for (Own& own : all) {
    own.a.assign(kRows * row, 0x3C003C00U);
    own.w.assign(nn::packed_lanes(kernels.precision, kDepth, kColumns), 0x3C003C00U);
    own.c.resize(std::size_t{kRows} * kColumns);
  }
  double best = 0;
  for (int round = 0; round < 8; ++round) {
    const auto start = Clock::now();
    team.run([&](int thread) {
      Own& own = all[static_cast<std::size_t>(thread)];
      for (int i = 0; i < kRepeat; ++i) {
        kernels.product(kRows, kColumns, static_cast<int>(lanes), own.a.data(), row, own.w.data(), own.c.data(), kColumns, false, nullptr);
      }
    });
    best = std::max(best, 2.0 * kRows * kDepth * kColumns * kRepeat * team.threads() / since(start) / 1e9);
  }
  return best;
}

}  // namespace

#if defined(__x86_64__)
[[gnu::target_clones("avx512f", "avx2", "default")]]
#endif
nn::Lane sum_of(const nn::Lane* from, std::size_t count) {
  nn::Lane sum = 0;
  for (std::size_t i = 0; i < count; ++i) sum += from[i];
  return sum;
}

MemoryRoof::MemoryRoof(int threads) : team_(threads), memory_(kBytes / sizeof(nn::Lane), 1) {}

double MemoryRoof::read(std::size_t bytes) {
  const std::size_t end = std::min(memory_.size(), bytes / sizeof(nn::Lane));
  constexpr std::size_t kPiece = (std::size_t{64} << 10) / sizeof(nn::Lane);  // as steps share their columns: memory does not serve all threads alike
  std::atomic<std::size_t> next{0};
  std::atomic<nn::Lane> sink{0};
  const auto start = Clock::now();
  team_.run([&](int) {
    nn::Lane sum = 0;
    for (std::size_t i = next.fetch_add(kPiece); i < end; i = next.fetch_add(kPiece)) sum += sum_of(memory_.data() + i, std::min(kPiece, end - i));
    sink += sum;
  });
  return since(start);
}

int all_threads(int threads) { return threads > 0 ? threads : std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

Roof measure_roof(const std::string& precision, int threads) {
  infer::Team team(all_threads(threads));
  Roof roof{gemm_gflops(nn::Precision::kFp32, team), 0};
  if (precision != "fp32") roof.gemm_gflops = std::max(roof.gemm_gflops, gemm_gflops(nn::Precision::kBf16, team));  // what is faster
  MemoryRoof memory(all_threads(threads));
  for (int i = 0; i < 10; ++i) roof.memory_gbps = std::max(roof.memory_gbps, MemoryRoof::kBytes / memory.read(MemoryRoof::kBytes) / 1e9);
  return roof;
}

Result<Roof> measure_roof(const std::string& precision, int threads, const std::string& device) {
  if (device == "cpu") return measure_roof(precision, threads);
  return infer::measure_device(device, precision == "fp32" ? nn::Precision::kFp32 : nn::Precision::kBf16);
}

}  // namespace precept
