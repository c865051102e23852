// Attention of one long sequence beside threads that only read the same keys and values, between the same reads of weights, by
// turns: what a step of shape 135m at a long context is bound by, and how near the kernels come.
//
//   bench_attention [ROUNDS = 15] [THREADS = 2] [POSITIONS = 4096]
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "precept/lm/bench/roof.h"
#include "precept/lm/infer/team.h"
#include "precept/lm/nn/memory.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept {
namespace {

using nn::Lane;
using Lanes = std::vector<Lane, nn::Aligned<Lane>>;

constexpr int kLayers = 30, kKvHeads = 3, kGroup = 3, kDim = 64;
constexpr std::size_t kWeights = (std::size_t{9} << 20) / sizeof(Lane), kPiece = (std::size_t{64} << 10) / sizeof(Lane);  // of a layer
constexpr int kTogether = 64;  // blocks of a chunk, as the engine has them

enum Mode { kNothing, kReads, kKernels, kModes };
constexpr const char* kNames[] = {"weights alone", "and the cache, read", "and the cache, attended to"};

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  using namespace precept;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 15, threads = argc > 2 ? std::atoi(argv[2]) : 2, positions = argc > 3 ? std::atoi(argv[3]) : 4096;
  constexpr int kPartBlocks = nn::kPartTokens / nn::kBlockTokens;
  if (rounds < 1 || threads < 1 || positions < nn::kPartTokens || positions % nn::kPartTokens != 0) {
    std::fprintf(stderr, "POSITIONS are a multiple of %d\n", nn::kPartTokens);
    return 2;
  }
  const nn::RowKernels& kernels = nn::row_kernels(nn::Precision::kBf16);
  const nn::KvShape shape(nn::Precision::kBf16, kLayers, kKvHeads, kDim, kTogether);
  const int parts = positions / nn::kPartTokens, blocks = (positions / nn::kBlockTokens + kTogether - 1) / kTogether * kTogether;
  const Lanes weights(kLayers * kWeights, 1), cache(static_cast<std::size_t>(blocks) * shape.block_lanes(), 0x3C003C00U);
  std::vector<std::uint32_t> ids(static_cast<std::size_t>(blocks));
  std::iota(ids.begin(), ids.end(), 0U);
  const std::size_t query = nn::row_lanes(kernels, kDim);
  const Lanes queries(kKvHeads * kGroup * query, 0x3C003C00U);
  std::vector<Lanes> scratch(static_cast<std::size_t>(threads), Lanes(nn::kAttentionScratch));
  const std::size_t part_floats = nn::attention_parts(positions, kDim);
  std::vector<float> joined(kKvHeads * part_floats), out(kKvHeads * kGroup * kDim);

  infer::Team team(threads);
  std::vector<Lane> sums(static_cast<std::size_t>(threads));
  std::vector<std::atomic<int>> taken((2 + kKvHeads) * kLayers);  // of each layer: pieces of weights, parts, parts done of each head
  const auto attention = [&](int layer, int head, int thread) {
    nn::Attention a;
    a.head_dim = kDim;
    a.group = kGroup;
    a.scale = 0.125F;
    a.shape = &shape;
    a.keys = cache.data() + shape.keys(0, static_cast<std::size_t>(layer), static_cast<std::size_t>(head));
    a.values = cache.data() + shape.values(0, static_cast<std::size_t>(layer), static_cast<std::size_t>(head));
    a.blocks = ids.data();
    a.rows = 1;
    a.first = positions - 1;
    a.q_head = query;
    a.q = queries.data() + static_cast<std::size_t>(head * kGroup) * a.q_head;
    a.out_head = kDim;
    a.out = out.data() + static_cast<std::size_t>(head * kGroup) * a.out_head;
    a.scratch = scratch[static_cast<std::size_t>(thread)].data();
    a.parts = joined.data() + static_cast<std::size_t>(head) * part_floats;
    return a;
  };
  const auto read_part = [&](int layer, int head, int part) {  // its blocks lie in one chunk
    const auto first = static_cast<std::uint32_t>(part * kPartBlocks);
    const auto l = static_cast<std::size_t>(layer), h = static_cast<std::size_t>(head);
    return sum_of(cache.data() + shape.keys(first, l, h), kPartBlocks * shape.key_block) +
           sum_of(cache.data() + shape.values(first, l, h), kPartBlocks * shape.value_block);
  };
  const auto step = [&](int thread, Mode mode) {
    Lane& sum = sums[static_cast<std::size_t>(thread)];
    for (int layer = 0; layer < kLayers; ++layer) {
      const auto next = [&](int turn) { return taken[static_cast<std::size_t>((2 + kKvHeads) * layer + turn)].fetch_add(1); };
      for (int i = next(0); i < static_cast<int>(kWeights / kPiece); i = next(0)) {
        sum += sum_of(weights.data() + static_cast<std::size_t>(layer) * kWeights + static_cast<std::size_t>(i) * kPiece, kPiece);
      }
      team.barrier();
      if (mode == kNothing) continue;
      for (int i = next(1), then = next(1); i < kKvHeads * parts; i = then, then = next(1)) {
        if (mode == kReads) {
          sum += read_part(layer, i / parts, i % parts);
          continue;
        }
        const int head = i / parts;
        nn::Attention a = attention(layer, head, thread);
        if (then < kKvHeads * parts) a.next = attention(layer, then / parts, thread).keys + shape.keys(static_cast<std::uint32_t>(then % parts * kPartBlocks), 0, 0);
        kernels.attend_part(a, i % parts);
        std::atomic<int>& done = taken[static_cast<std::size_t>((2 + kKvHeads) * layer + 2 + head)];
        if (done.fetch_add(1) + 1 < parts) continue;
        for (int h = 0; h < kGroup; ++h) kernels.attend_join(a, h);
      }
      team.barrier();
    }
  };
  std::vector<double> took[kModes];
  for (int round = 0; round < kModes * (rounds + 1); ++round) {
    const auto mode = static_cast<Mode>(round % kModes);
    for (std::atomic<int>& each : taken) each = 0;
    const auto start = std::chrono::steady_clock::now();
    team.run([&](int thread) { step(thread, mode); });
    if (round >= kModes) took[mode].push_back(1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  const double weight_mb = kLayers * kWeights * sizeof(Lane) / 1e6;
  const double cache_mb = double(positions) * kLayers * kKvHeads * kDim * 2 * 2 / 1e6, base = median(took[kNothing]);
  std::printf("%s kernels, %d threads, %d positions: %.0f MB of weights, %.0f MB of keys and values (%.3f times the bytes); medians of %d, by turns\n",
              kernels.name, threads, positions, weight_mb, cache_mb, 1 + cache_mb / weight_mb, rounds);
  for (int mode = 0; mode < kModes; ++mode) {
    const double ms = median(took[mode]);
    std::printf("%-27s %7.2f ms, %.3f times, %5.1f us a layer more\n", kNames[mode], ms, ms / base, 1e3 * (ms - base) / kLayers);
  }
  return std::accumulate(sums.begin(), sums.end(), Lane{0}) == 0 ? 3 : 0;  // so that nobody leaves the reading out
}
