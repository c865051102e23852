// Attention of CpuBackend: a thread for each task of some rows and a kv head, or, where tasks are few and long, all threads
// together through each of them.

#include <algorithm>
#include <cmath>

#include "precept/lm/infer/cpu_backend.h"

namespace precept::infer {
namespace {

using nn::kBlockTokens;

constexpr int kLong = 512;  // positions from which on threads share a task

std::size_t times(int a, int b) { return static_cast<std::size_t>(a) * static_cast<std::size_t>(b); }

}  // namespace

// Factors of the queries of one row and kv head, from q, which stays as it is.
void CpuBackend::queries(Lane& lane, int r, int g, std::size_t layer, nn::Lane* factors) const {
  const LlamaConfig& c = weights_.config;
  const Weights::Layer& w = weights_.layers[layer];
  const int D = c.head_dim, group = c.num_attention_heads / c.num_key_value_heads, from = g * group * D;
  float* q = lane.wide.data();
  std::copy_n(qkv_RW_.data() + times(r, wide_) + from, group * D, q);
  for (int i = 0; i < group * D && !w.qkv_bias.empty(); ++i) q[i] += w.qkv_bias[static_cast<std::size_t>(from + i)];
  if (c.qk_norm) {  // every head on its own (Qwen3)
    plain_.rmsnorm(group, D, q, w.q_norm.data(), static_cast<float>(c.rms_norm_eps), q, lane.rstd.data());
  }
  const std::size_t angle = times(row_R_[static_cast<std::size_t>(r)].position, D / 2);
  plain_.rotate(group, D, rotary_.cosines.data() + angle, rotary_.sines.data() + angle, 1.0F, q);
  const std::size_t head = nn::row_lanes(kernels_, static_cast<std::size_t>(D));
  for (int h = 0; h < group; ++h) kernels_.row_factors(D, q + h * D, factors + static_cast<std::size_t>(h) * head);
}

// From k, v of one row and kv head to a place in the cache.
void CpuBackend::remember(Lane& lane, int r, int g, std::size_t layer) {
  const LlamaConfig& c = weights_.config;
  const Weights::Layer& w = weights_.layers[layer];
  const int D = c.head_dim, from_k = queries_ + g * D, from_v = queries_ + keys_ + g * D;
  const Row& row = row_R_[static_cast<std::size_t>(r)];
  nn::Lane* keys = memory_.get() + kv_.keys(row.block, layer, static_cast<std::size_t>(g));
  nn::Lane* values = memory_.get() + kv_.values(row.block, layer, static_cast<std::size_t>(g));
  // A key lies in as many cache lines as it has lanes: all are asked for before any is written.
  for (std::size_t i = 0; i < kv_.key_block; i += 16) __builtin_prefetch(keys + i, 1, 3);
  float *k = qkv_RW_.data() + times(r, wide_) + from_k, *v = qkv_RW_.data() + times(r, wide_) + from_v;
  for (int i = 0; i < D && !w.qkv_bias.empty(); ++i) {
    k[i] += w.qkv_bias[static_cast<std::size_t>(from_k + i)];
    v[i] += w.qkv_bias[static_cast<std::size_t>(from_v + i)];
  }
  if (c.qk_norm) plain_.rmsnorm(1, D, k, w.k_norm.data(), static_cast<float>(c.rms_norm_eps), k, lane.rstd.data());
  const std::size_t angle = times(row.position, D / 2);
  plain_.rotate(1, D, rotary_.cosines.data() + angle, rotary_.sines.data() + angle, 1.0F, k);
  kernels_.place(D, row.position % kBlockTokens, k, v, keys, values);
}

// The keys of the first two blocks of a task, which is about to be somebody's next one: its blocks lie anywhere.
void CpuBackend::ask_ahead(const Task& task, std::size_t layer) const {
  const Segment& segment = (*segments_)[static_cast<std::size_t>(task.segment)];
  for (int b = 0; b < 2 && b * kBlockTokens <= segment.first; ++b) {
    const nn::Lane* keys = memory_.get() + kv_.keys(segment.blocks[b], layer, static_cast<std::size_t>(task.group));
    for (std::size_t i = 0; i < kv_.key_block; i += 16) __builtin_prefetch(keys + i, 0, 2);
  }
}

// Where the factors of a row's queries of a kv head are for all to see, or likewise what they attended to.
std::size_t CpuBackend::head_of(int row, int group) const {
  const LlamaConfig& c = weights_.config;
  const std::size_t head = nn::row_lanes(kernels_, static_cast<std::size_t>(c.head_dim));
  return static_cast<std::size_t>(row) * q_stride_ + times(group, c.num_attention_heads / c.num_key_value_heads) * head;
}

// `queries`: factors of the task's first row.
nn::Attention CpuBackend::attention(const Task& task, std::size_t layer, const nn::Lane* queries) const {
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
  a.q_head = nn::row_lanes(kernels_, static_cast<std::size_t>(c.head_dim));
  a.q = queries;
  a.out_row = times(a.group, c.head_dim);
  a.out_head = static_cast<std::size_t>(c.head_dim);
  return a;
}

// Who is done with a task takes the next one.
void CpuBackend::attend(Lane& lane, std::size_t layer) {
  std::atomic<int>& taken = taken_[layer];
  const int tasks = static_cast<int>(tasks_.size());
  for (int i = taken.fetch_add(1); i < tasks; i = taken.fetch_add(1)) {
    const Task& task = tasks_[static_cast<std::size_t>(i)];
    nn::Attention a = attention(task, layer, q_RL_.data() + head_of(task.row, task.group));
    a.out = lane.attended.data();
    a.scratch = lane.scores.data();
    a.parts = lane.parts.data();
    for (int r = 0; fused_heads_ && r < task.rows; ++r) {
      queries(lane, task.row + r, task.group, layer, q_RL_.data() + head_of(task.row + r, task.group));
      remember(lane, task.row + r, task.group, layer);
    }
    if (const int next = i + team_.threads(); next < tasks) ask_ahead(tasks_[static_cast<std::size_t>(next)], layer);
    kernels_.attend(a);
    const int width = a.group * a.head_dim;
    for (int r = 0; r < task.rows; ++r) {
      kernels_.row_factors(width, lane.attended.data() + times(r, width), attended_RL_.data() + head_of(task.row + r, task.group));
    }
  }
}

// Answers of few sequences with long pasts are few tasks: three of them for two threads leave one waiting half of the time.
bool CpuBackend::shares_attention() const {
  const LlamaConfig& c = weights_.config;
  return team_.threads() > 1 && longest_ >= kLong && static_cast<int>(tasks_.size()) <= kSharedTasks * team_.threads() &&
         rows_ == static_cast<int>(segments_->size()) && c.num_attention_heads / c.num_key_value_heads <= nn::kMostQueries;
}

// The most parts that a task has of those that threads share: they count as many for each.
int CpuBackend::most_parts(std::size_t layer) const {
  const int window = weights_.config.window(static_cast<int>(layer)), all = nn::parts_seen(longest_ - 1, 0);
  return window > 0 ? std::min(all, window / nn::kPartTokens + 2) : all;
}

// Where the keys of the i-th of those parts begin; null if there is no such part.
const nn::Lane* CpuBackend::part_keys(int i, std::size_t layer) const {
  const int most = most_parts(layer), window = weights_.config.window(static_cast<int>(layer));
  if (i >= static_cast<int>(tasks_.size()) * most) return nullptr;
  const Task& task = tasks_[static_cast<std::size_t>(i / most)];
  const Segment& segment = (*segments_)[static_cast<std::size_t>(task.segment)];
  const int from = window > 0 ? std::max(0, segment.first + 1 - window) : 0;
  const int at = std::max(from, (from / nn::kPartTokens + i % most) * nn::kPartTokens);
  if (at > segment.first) return nullptr;
  return memory_.get() + kv_.keys(segment.blocks[at / kBlockTokens], layer, static_cast<std::size_t>(task.group));
}

// Parts of the positions, by whoever comes. Nobody waits for another's queries: every thread makes those that it needs for itself. Only
// a sequence's last part reads what this step puts into the cache: who takes it puts it there first. Who is done with the last missing
// part of a task joins them.
void CpuBackend::attend_together(Lane& lane, int thread, std::size_t layer) {
  const LlamaConfig& c = weights_.config;
  const int tasks = static_cast<int>(tasks_.size()), group = c.num_attention_heads / c.num_key_value_heads;
  const int most = most_parts(layer);
  const Task* made = nullptr;  // lane.q
  for (Pieces p(taken_[layer], tasks * most, 1, thread); p; ++p) {
    const auto t = static_cast<std::size_t>(p.begin() / most);
    const int part = p.begin() % most;
    const Task& task = tasks_[t];
    nn::Attention a = attention(task, layer, lane.q.data());
    const int parts = nn::parts_seen(a.first, a.window);
    if (part >= parts) continue;
    if (made != &task) queries(lane, task.row, task.group, layer, lane.q.data());
    made = &task;
    a.out = attended_.data() + times(task.row, queries_) + times(task.group * group, c.head_dim);
    a.scratch = lane.scores.data();
    a.parts = parts_.data() + t * nn::attention_parts(longest_, c.head_dim);
    a.next = part_keys(p.next(), layer);
    if (a.next == nullptr) a.next = first_panel(weights_.layers[layer].out, thread);
    if (part == parts - 1) remember(lane, task.row, task.group, layer);
    kernels_.attend_part(a, part);
    if (done_[t].fetch_add(1) + 1 < parts) continue;
    done_[t].store(0);  // for the next layer, behind a barrier
    nn::Lane* factors = attended_RL_.data() + head_of(task.row, task.group);
    for (int head = 0; head < group; ++head, factors += a.q_head) {
      kernels_.attend_join(a, head);
      kernels_.row_factors(c.head_dim, a.out + times(head, c.head_dim), factors);
    }
  }
}

}  // namespace precept::infer
