#pragma once
// Random weights for a config, and checkpoint folders of them.

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "precept/checkpoint/llama_tensors.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/rng.h"

namespace precept {

struct Tensors {
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, std::vector<std::int64_t>> shapes;
};

// Weights wide enough that outputs differ much from token to token; norms near 1.
inline Tensors random_tensors(const LlamaConfig& config, std::uint64_t seed) {
  Tensors t;
  for (TensorShape& tensor : llama_tensors(config)) {
    const std::string& name = tensor.name;
    Rng rng({seed, hash64(name), 0, 0});
    std::size_t size = 1;
    for (const std::int64_t n : tensor.shape) size *= static_cast<std::size_t>(n);
    std::vector<float> values(size);
    const double spread = tensor.shape.size() == 1 ? 0.1 : 1.2 / std::sqrt(static_cast<double>(tensor.shape[1]));
    const bool norm = tensor.shape.size() == 1 && name.find("bias") == std::string::npos;
    for (float& v : values) v = static_cast<float>((norm ? 1.0 : 0.0) + spread * rng.normal());
    t.values[name] = std::move(values);
    t.shapes[name] = std::move(tensor.shape);
  }
  return t;
}

// Rounds the tensors to what is written.
inline void write_tensors(const std::string& folder, Tensors& t, bool bf16 = true) {
  std::vector<TensorView> views;
  std::map<std::string, std::string> bytes;
  for (auto& [name, values] : t.values) {
    std::string& b = bytes[name];
    b = bf16 ? to_bf16_bytes(values)
             : std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    views.push_back({name, bf16 ? Dtype::kBF16 : Dtype::kF32, t.shapes[name], b});
    if (bf16) values = *to_floats(views.back());
  }
  const Status written = write_safetensors(folder + "/model.safetensors", views);
  ASSERT_TRUE(written) << written.error().message();
}

}  // namespace precept
