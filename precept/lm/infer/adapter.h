#pragma once
// Adapters of the engine: low-rank parts that rows of a product add, each row that of its own request.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "precept/lm/nn/lora.h"
#include "precept/lm/nn/row_kernels.h"

namespace precept::infer {

// A and B that were loaded and stay as they are, or a trainer's, which change with its steps. Borrowed by whatever computes with it.
struct Adapter {
  struct Loaded {
    Loaded(const LlamaConfig& config, const std::vector<LoraTarget>& targets) : layout(config, targets), weights(layout, false) {}
    nn::LoraLayout layout;
    nn::LoraWeights weights;
  };
  Adapter(std::string called, std::string of, std::unique_ptr<Loaded> loaded)
      : name(std::move(called)), digest(std::move(of)), own(std::move(loaded)), weights(own->weights), layout(weights.layout) {}
  Adapter(std::string called, const nn::LoraWeights& trained) : name(std::move(called)), weights(trained), layout(weights.layout) {}
  Adapter(const Adapter&) = delete;
  Adapter& operator=(const Adapter&) = delete;

  std::string name;
  std::string digest;        // with its base; of a trainer's: none
  std::uint64_t number = 0;  // 1 for the first of an engine; 0 is the base
  std::unique_ptr<Loaded> own;
  const nn::LoraWeights& weights;
  const nn::LoraLayout& layout;
};

// Reads an adapter in PEFT's format for a base of this shape. Errors are those of load_peft.
Result<std::unique_ptr<Adapter>> load_adapter(const std::string& name, const std::string& folder, const LlamaConfig& base,
                                              const std::string& base_digest, const nn::Kernels& kernels);

// Consecutive rows of a chunk with one adapter.
struct AdapterRows {
  const Adapter* adapter = nullptr;  // null: none
  int from = 0, rows = 0;
};

// y += s B (A x) of some rows, given as row factors of `of`, `lda` lanes apart: x has `in` values a row, y has `out`. A row's bits do not
// depend on the others. The scratch of one thread.
class AdapterProducts {
 public:
  explicit AdapterProducts(const nn::Kernels& kernels) : kernels_(kernels) {}
  void add(const Adapter& adapter, std::size_t layer, nn::Product product, const nn::RowKernels& of, int rows, const nn::Lane* x, std::size_t lda,
           int in, float* y, std::size_t out);

 private:
  const nn::Kernels& kernels_;
  std::vector<float> x_RC_, u_RK_;
};

}  // namespace precept::infer
