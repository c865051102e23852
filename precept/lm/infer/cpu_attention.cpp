// Attention of CpuBackend: a thread for each task of some rows and a kv head, or, where tasks are few and long, all threads
// together through each of them.

#include <algorithm>
#include <cmath>

#include "precept/lm/infer/cpu_backend.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

constexpr int kLong = 512;  // positions from which on a task is worth a barrier more

std::size_t times(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

}  // namespace

// From q, k, v of one row and kv head to factors of its queries and a place in the cache.
void CpuBackend::heads(Lane& lane, int r, int g, std::size_t layer) {
  const LlamaConfig& c = weights_.config;
  const Weights::Layer& w = weights_.layers[layer];
  const int D = c.head_dim, group = c.num_attention_heads / c.num_key_value_heads;
  const auto eps = static_cast<float>(c.rms_norm_eps);
  const Row& row = row_R_[static_cast<std::size_t>(r)];
  const int from_q = g * group * D, from_k = queries_ + g * D, from_v = queries_ + keys_ + g * D;
  float* all = qkv_RW_.data() + times(r, wide_);
  float *q = all + from_q, *k = all + from_k, *v = all + from_v;
  if (!w.qkv_bias.empty()) {
    for (int i = 0; i < group * D; ++i) q[i] += w.qkv_bias[static_cast<std::size_t>(from_q + i)];
    for (int i = 0; i < D; ++i) k[i] += w.qkv_bias[static_cast<std::size_t>(from_k + i)];
    for (int i = 0; i < D; ++i) v[i] += w.qkv_bias[static_cast<std::size_t>(from_v + i)];
  }
  if (c.qk_norm) {  // every head on its own (Qwen3)
    plain_.rmsnorm(group, D, q, w.q_norm.data(), eps, q, lane.rstd.data());
    plain_.rmsnorm(1, D, k, w.k_norm.data(), eps, k, lane.rstd.data());
  }
  const std::size_t angle = times(row.position, D / 2);
  plain_.rotate(group, D, rotary_.cosines.data() + angle, rotary_.sines.data() + angle, 1.0F, q);
  plain_.rotate(1, D, rotary_.cosines.data() + angle, rotary_.sines.data() + angle, 1.0F, k);
  const auto kv_head = static_cast<std::size_t>(g);
  kernels_.place(D, row.position % kBlockTokens, k, v, memory_.get() + kv_.keys(row.block, layer, kv_head),
                 memory_.get() + kv_.values(row.block, layer, kv_head));
  const std::size_t head = nn::lanes_of(kernels_.precision, static_cast<std::size_t>(D));
  nn::Lane* factors = q_RL_.data() + static_cast<std::size_t>(r) * q_stride_ + static_cast<std::size_t>(g * group) * head;
  for (int h = 0; h < group; ++h) kernels_.factors(D, q + h * D, factors + static_cast<std::size_t>(h) * head);
}

// The keys of the first two blocks of a task, which is about to be somebody's next one: its blocks lie anywhere.
void CpuBackend::ask_ahead(const Task& task, std::size_t layer) const {
  const Segment& segment = (*segments_)[static_cast<std::size_t>(task.segment)];
  for (int b = 0; b < 2 && b * kBlockTokens <= segment.first; ++b) {
    const nn::Lane* keys = memory_.get() + kv_.keys(segment.blocks[b], layer, static_cast<std::size_t>(task.group));
    for (std::size_t i = 0; i < kv_.key_block; i += 16) __builtin_prefetch(keys + i, 0, 2);
  }
}

nn::Attention CpuBackend::attention(const Task& task, std::size_t layer) const {
  const LlamaConfig& c = weights_.config;
  const Segment& segment = (*segments_)[static_cast<std::size_t>(task.segment)];
  const auto g = static_cast<std::size_t>(task.group);
  nn::Attention a;
  a.head_dim = c.head_dim;
  a.group = c.num_attention_heads / c.num_key_value_heads;
  a.scale = 1.0F / std::sqrt(static_cast<float>(c.head_dim));
  a.window = c.window(static_cast<int>(layer));
  a.shape = &kv_;
  a.keys = memory_.get() + kv_.keys(0, layer, g);
  a.values = memory_.get() + kv_.values(0, layer, g);
  a.blocks = segment.blocks;
  a.rows = task.rows;
  a.first = segment.first + task.from;
  a.q_row = q_stride_;
  a.q_head = nn::lanes_of(kernels_.precision, static_cast<std::size_t>(c.head_dim));
  a.q = q_RL_.data() + static_cast<std::size_t>(task.row) * q_stride_ + g * static_cast<std::size_t>(a.group) * a.q_head;
  a.out_row = times(a.group, c.head_dim);
  a.out_head = static_cast<std::size_t>(c.head_dim);
  return a;
}

// Who is done with a task takes the next one.
void CpuBackend::attend(Lane& lane, std::size_t layer) {
  std::atomic<int>& taken = taken_[layer * kTurns];
  const int tasks = static_cast<int>(tasks_.size());
  for (int i = taken.fetch_add(1); i < tasks; i = taken.fetch_add(1)) {
    const Task& task = tasks_[static_cast<std::size_t>(i)];
    nn::Attention a = attention(task, layer);
    a.out = lane.attended.data();
    a.scratch = lane.scores.data();
    a.parts = lane.parts.data();
    for (int r = 0; fused_heads_ && r < task.rows; ++r) heads(lane, task.row + r, task.group, layer);
    if (const int next = i + team_.threads(); next < tasks) ask_ahead(tasks_[static_cast<std::size_t>(next)], layer);
    kernels_.attend(a);
    const int width = a.group * a.head_dim;
    for (int r = 0; r < task.rows; ++r) {
      kernels_.factors(width, lane.attended.data() + times(r, width),
                       attended_RL_.data() + static_cast<std::size_t>(task.row + r) * q_stride_ + static_cast<std::size_t>(task.group * a.group) * a.q_head);
    }
  }
}

// Answers of few sequences with long pasts are few tasks: three of them for two threads leave one waiting half of the time.
bool CpuBackend::shares_attention() const {
  const LlamaConfig& c = weights_.config;
  return team_.threads() > 1 && longest_ >= kLong && static_cast<int>(tasks_.size()) <= kSharedTasks * team_.threads() &&
         rows_ == static_cast<int>(segments_->size()) && c.num_attention_heads / c.num_key_value_heads <= nn::kMostQueries;
}

// In two turns: parts of the positions, then heads.
void CpuBackend::attend_together(Lane& lane, std::size_t layer) {
  const LlamaConfig& c = weights_.config;
  const int tasks = static_cast<int>(tasks_.size()), group = c.num_attention_heads / c.num_key_value_heads;
  const std::size_t parts = nn::attention_parts(longest_, c.head_dim);
  std::atomic<int>* taken = &taken_[layer * kTurns];
  // Calls `some` with each task's attention and a number below `count`, in no order and on any thread.
  const auto turn = [&](std::atomic<int>& next, int count, const auto& some) {
    for (int i = next.fetch_add(1); i < tasks * count; i = next.fetch_add(1)) {
      const auto t = static_cast<std::size_t>(i / count);
      nn::Attention a = attention(tasks_[t], layer);
      a.out = attended_.data() + times(tasks_[t].row, queries_) + times(tasks_[t].group * group, c.head_dim);
      a.scratch = lane.scores.data();
      a.parts = parts_.data() + t * parts;
      some(a, tasks_[t], i % count);
    }
  };
  turn(taken[0], nn::parts_seen(longest_ - 1, 0), [&](const nn::Attention& a, const Task&, int part) {
    if (part < nn::parts_seen(a.first, a.window)) kernels_.attend_part(a, part);
  });
  team_.barrier();
  turn(taken[1], group, [&](const nn::Attention& a, const Task& task, int head) {
    kernels_.attend_join(a, head);
    nn::Lane* factors = attended_RL_.data() + static_cast<std::size_t>(task.row) * q_stride_;
    kernels_.factors(c.head_dim, a.out + times(head, c.head_dim), factors + times(task.group * group + head, static_cast<int>(a.q_head)));
  });
}

}  // namespace precept::infer
