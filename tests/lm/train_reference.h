#pragma once
// A Llama-architecture forward pass as plainly as it can be said, in double: no packing, no blocks,
// one sequence, one token at a time. Independent of the code under test but for the layout's names.

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "precept/lm/nn/llama.h"

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

// Element d pairs with element d + dim/2; the angle is position * theta^(-2d/dim).
inline void reference_rotate(Row& heads, int dim, int position, double theta) {
  for (std::size_t start = 0; start < heads.size(); start += std::size_t(dim)) {
    for (int d = 0; d < dim / 2; ++d) {
      const double angle = position / std::pow(theta, 2.0 * d / dim);
      double& a = heads[start + std::size_t(d)];
      double& b = heads[start + std::size_t(d + dim / 2)];
      const double old = a;
      a = old * std::cos(angle) - b * std::sin(angle);
      b = b * std::cos(angle) + old * std::sin(angle);
    }
  }
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
      reference_rotate(q, dim, int(t), c.rope_theta);
      reference_rotate(k, dim, int(t), c.rope_theta);
      auto& past_k = keys[std::size_t(l)];
      auto& past_v = values[std::size_t(l)];
      past_k.push_back(k);
      past_v.push_back(reference_product(of("self_attn.v_proj.weight"), c.num_key_value_heads * dim, h));
      Row attended(std::size_t(c.num_attention_heads * dim), 0.0);
      for (int head = 0; head < c.num_attention_heads; ++head) {
        const std::size_t mine = std::size_t(head * dim);
        const std::size_t theirs = std::size_t(head / share * dim);
        Row p;
        double sum = 0;
        for (const Row& key : past_k) {
          double score = 0;
          for (int d = 0; d < dim; ++d) score += q[mine + std::size_t(d)] * key[theirs + std::size_t(d)];
          p.push_back(std::exp(score / std::sqrt(double(dim))));
          sum += p.back();
        }
        for (std::size_t j = 0; j < p.size(); ++j) {
          for (int d = 0; d < dim; ++d) attended[mine + std::size_t(d)] += p[j] / sum * past_v[j][theirs + std::size_t(d)];
        }
      }
      const Row projected = reference_product(of("self_attn.o_proj.weight"), c.hidden_size, attended);
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
