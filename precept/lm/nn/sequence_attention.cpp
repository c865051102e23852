#include "precept/lm/nn/sequence_attention.h"

#include <cmath>
#include <numeric>

namespace precept::nn {

SequenceAttention::SequenceAttention(const RowKernels& kernels, int heads, int kv_heads, int head_dim)
    : kernels_(kernels), heads_(heads), kv_heads_(kv_heads), dim_(head_dim), shape_(kernels.precision, 1, kv_heads, head_dim) {}

void SequenceAttention::run(int length, int window, const float* qkv, std::size_t row, float* out, std::size_t out_row) {
  const auto blocks = static_cast<std::size_t>((length + kBlockTokens - 1) / kBlockTokens), dim = static_cast<std::size_t>(dim_);
  const std::size_t head = row_lanes(kernels_, dim), q_row = static_cast<std::size_t>(heads_) * head;
  const auto grow = [](auto& v, std::size_t n) {
    if (v.size() < n) v.resize(n);
  };
  if (blocks_.size() < blocks) {
    blocks_.resize(blocks);
    std::iota(blocks_.begin(), blocks_.end(), 0U);
  }
  grow(cache_, blocks * shape_.block_lanes());
  grow(q_, static_cast<std::size_t>(length) * q_row);
  grow(scratch_, kAttentionScratch);
  grow(parts_, attention_parts(length, dim_));
  for (int t = 0; t < length; ++t) {
    const float* q = qkv + static_cast<std::size_t>(t) * row;
    const float *key = q + static_cast<std::size_t>(heads_) * dim, *value = key + static_cast<std::size_t>(kv_heads_) * dim;
    const auto block = static_cast<std::uint32_t>(t / kBlockTokens);
    for (std::size_t g = 0; g < static_cast<std::size_t>(kv_heads_); ++g) {
      kernels_.place(dim_, t % kBlockTokens, key + g * dim, value + g * dim, cache_.data() + shape_.keys(block, 0, g),
                     cache_.data() + shape_.values(block, 0, g));
    }
    Lane* factors = q_.data() + static_cast<std::size_t>(t) * q_row;
    for (std::size_t h = 0; h < static_cast<std::size_t>(heads_); ++h) kernels_.row_factors(dim_, q + h * dim, factors + h * head);
  }
  Attention a;
  a.head_dim = dim_;
  a.group = heads_ / kv_heads_;
  a.scale = 1.0F / std::sqrt(static_cast<float>(dim_));
  a.window = window;
  a.shape = &shape_;
  a.blocks = blocks_.data();
  a.rows = length;
  a.q_row = q_row;
  a.q_head = head;
  a.out_row = out_row;
  a.out_head = dim;
  a.scratch = scratch_.data();
  a.parts = parts_.data();
  for (std::size_t g = 0; g < static_cast<std::size_t>(kv_heads_); ++g) {
    a.keys = cache_.data() + shape_.keys(0, 0, g);
    a.values = cache_.data() + shape_.values(0, 0, g);
    a.q = q_.data() + g * static_cast<std::size_t>(a.group) * head;
    a.out = out + g * static_cast<std::size_t>(a.group) * dim;
    kernels_.attend(a);
  }
}

}  // namespace precept::nn
