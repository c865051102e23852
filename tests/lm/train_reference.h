#pragma once
// A Llama-architecture forward pass as plainly as it can be said, in double: no packing, no blocks,
// one sequence, one token at a time. Independent of the code under test but for the layout's names.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "precept/lm/nn/llama.h"
#include "tests/support/variations.h"

namespace precept {

using Row = std::vector<double>;

inline Row reference_norm(const Row& x, const double* weight, double eps) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double scale = 1.0 / std::sqrt(squares / double(x.size()) + eps);
  Row y(x.size());
  for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
  return y;
}

inline Row reference_product(const double* matrix, int rows, const Row& x) {
  Row y(std::size_t(rows), 0.0);
  for (std::size_t r = 0; r < y.size(); ++r) {
    for (std::size_t c = 0; c < x.size(); ++c) y[r] += matrix[r * x.size() + c] * x[c];
  }
  return y;
}

inline void reference_norm_heads(Row& heads, const double* weight, int dim, double eps) {
  for (auto head = heads.begin(); head != heads.end(); head += dim) {
    const Row one = reference_norm(Row(head, head + dim), weight, eps);
    std::copy(one.begin(), one.end(), head);
  }
}

inline void reference_add(Row& x, const double* bias) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += bias[i];
}

// [i] = log p(tokens[i] | tokens before it); [0] = 0.
template <class Numbers>
std::vector<double> reference_logprobs(const nn::Layout& layout, const Numbers& flat,
                                       const std::vector<std::int32_t>& tokens) {
  const LlamaConfig& c = layout.config;
  const std::vector<double> all(flat.begin(), flat.end());
  std::map<std::string, const double*> tensor;
  for (const nn::Param& param : layout.params) tensor[param.name] = all.data() + param.offset;
  const int dim = c.head_dim;
  const int share = c.num_attention_heads / c.num_key_value_heads;
  std::vector<std::vector<Row>> keys(std::size_t(c.num_hidden_layers)), values(keys);
  std::vector<double> result(tokens.size(), 0.0);
  for (std::size_t t = 0; t + 1 < tokens.size(); ++t) {
    const double* embedding = tensor.at("model.embed_tokens.weight") + std::size_t(tokens[t]) * c.hidden_size;
    Row x(embedding, embedding + c.hidden_size);
    for (int l = 0; l < c.num_hidden_layers; ++l) {
      const std::string name = "model.layers." + std::to_string(l) + ".";
      const auto of = [&](const char* rest) { return tensor.at(name + rest); };
      const Row h = reference_norm(x, of("input_layernorm.weight"), c.rms_norm_eps);
      Row q = reference_product(of("self_attn.q_proj.weight"), c.num_attention_heads * dim, h);
      Row k = reference_product(of("self_attn.k_proj.weight"), c.num_key_value_heads * dim, h);
      Row v = reference_product(of("self_attn.v_proj.weight"), c.num_key_value_heads * dim, h);
      if (c.qkv_bias) {
        reference_add(q, of("self_attn.q_proj.bias"));
        reference_add(k, of("self_attn.k_proj.bias"));
        reference_add(v, of("self_attn.v_proj.bias"));
      }
      if (c.qk_norm) {
        reference_norm_heads(q, of("self_attn.q_norm.weight"), dim, c.rms_norm_eps);
        reference_norm_heads(k, of("self_attn.k_norm.weight"), dim, c.rms_norm_eps);
      }
      reference_rotate(q, c, int(t));
      reference_rotate(k, c, int(t));
      auto& past_k = keys[std::size_t(l)];
      auto& past_v = values[std::size_t(l)];
      past_k.push_back(k);
      past_v.push_back(v);
      const std::size_t seen = std::size_t(reference_first_seen(c, l, int(t)));
      Row attended(std::size_t(c.num_attention_heads * dim), 0.0);
      for (int head = 0; head < c.num_attention_heads; ++head) {
        const std::size_t mine = std::size_t(head * dim);
        const std::size_t theirs = std::size_t(head / share * dim);
        Row p;
        double sum = 0;
        for (std::size_t j = seen; j < past_k.size(); ++j) {
          const Row& key = past_k[j];
          double score = 0;
          for (int d = 0; d < dim; ++d) score += q[mine + std::size_t(d)] * key[theirs + std::size_t(d)];
          p.push_back(std::exp(score / std::sqrt(double(dim))));
          sum += p.back();
        }
        for (std::size_t j = 0; j < p.size(); ++j) {
          for (int d = 0; d < dim; ++d) attended[mine + std::size_t(d)] += p[j] / sum * past_v[seen + j][theirs + std::size_t(d)];
        }
      }
      Row projected = reference_product(of("self_attn.o_proj.weight"), c.hidden_size, attended);
      if (c.out_bias) reference_add(projected, of("self_attn.o_proj.bias"));
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += projected[i];
      const Row h2 = reference_norm(x, of("post_attention_layernorm.weight"), c.rms_norm_eps);
      const Row gate = reference_product(of("mlp.gate_proj.weight"), c.intermediate_size, h2);
      Row up = reference_product(of("mlp.up_proj.weight"), c.intermediate_size, h2);
      for (std::size_t i = 0; i < up.size(); ++i) up[i] *= gate[i] / (1.0 + std::exp(-gate[i]));
      const Row down = reference_product(of("mlp.down_proj.weight"), c.hidden_size, up);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += down[i];
    }
    const char* head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    const Row last = reference_norm(x, tensor.at("model.norm.weight"), c.rms_norm_eps);
    const Row logits = reference_product(tensor.at(head), c.vocab_size, last);
    double sum = 0;
    for (const double logit : logits) sum += std::exp(logit);
    result[t + 1] = logits[std::size_t(tokens[t + 1])] - std::log(sum);
  }
  return result;
}

}  // namespace precept
