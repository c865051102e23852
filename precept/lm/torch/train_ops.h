#pragma once
// Operators of training that libtorch would compose of several, each of which keeps its inputs for backwards. Each here keeps what its
// formula needs and computes it in fp32.
//
// Legend: T tokens of all sequences, packed; H query heads, G key/value heads, D head width; S sequences of a group, L its longest.

#include <cstdint>
#include <vector>

#include <ATen/ATen.h>

namespace precept::on_device {

// x / rms(x) * weight over the last dimension, in `type`; x in fp32. Zhang & Sennrich 2019, arXiv 1910.07467.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps, at::ScalarType type);

// heads_TnD turned by angles whose cosines and sines are [T, 1, D / 2], in `type`.
at::Tensor rotate(const at::Tensor& heads_TnD, const at::Tensor& cosines, const at::Tensor& sines, at::ScalarType type);

// silu(gate) * up of gate_up [T, 2 F], in `type`.
at::Tensor swiglu(const at::Tensor& gate_up, at::ScalarType type);

// Sequences of about one length, side by side.
struct AttentionGroup {
  std::int64_t count = 0, length = 0;
  at::Tensor row_of;  // [S L]: rows of the packed tokens; of what is padding, some row. Undefined: they are the rows in order
};
struct GroupedAttention {
  std::vector<AttentionGroup> groups;
  at::Tensor back;  // [T]: where a token's result lies among those of the groups, one after the other; undefined: in order
};

// Causal attention within sequences: q [T, H, D], k and v [T, G, D] to [T, H D]. A query sees the last `window` keys up to its own; 0: all.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const GroupedAttention& plan, std::int64_t window);

}  // namespace precept::on_device
