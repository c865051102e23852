#pragma once
// Low-rank adapters in products: y = W x + s B (A x), and its gradients (Hu et al. 2021, arXiv 2106.09685, equation 3).
// Trainer and engine share the forward part. With dy the gradient of a row y:
//   dB = s dy (A x)^T,  dA = s (B^T dy) x^T,  dx = W^T dy + A^T (s B^T dy).
// They are computed as such, rank by rank: no gradient of W is ever made.

#include <cstddef>
#include <string>
#include <vector>

#include "precept/checkpoint/peft.h"
#include "precept/lm/nn/kernels.h"
#include "precept/lm/nn/memory.h"

namespace precept::nn {

// The four products of a decoder layer; q, k, v are one, and so are gate and up.
enum class Product { kQkv, kOut, kGateUp, kDown };

// The adapted modules and where their A [rank, in] and B [out, rank] lie in one flat buffer.
struct LoraLayout {
  struct Module {
    std::string name;
    int out = 0, in = 0, rank = 0;
    float scale = 0;
    int at = 0;                // its first output among those of the product
    std::size_t a = 0, b = 0;  // offsets in the flat buffer
    std::size_t index = 0;     // among all modules
  };
  LoraLayout(const LlamaConfig& config, const std::vector<LoraTarget>& targets);

  const std::vector<Module>& of(std::size_t layer, Product product) const {
    return products[4 * layer + static_cast<std::size_t>(product)];
  }
  std::vector<std::vector<Module>> products;  // 4 a layer
  std::vector<Module> modules;                // all, in the order of the targets
  std::size_t size = 0;                       // floats of all A and B
  int most_rank = 0;
};

// A and B as the products want them. Call pack() after each change of `flat`.
class LoraWeights {
 public:
  // `layout` is borrowed. `backward`: gradients are wanted too.
  LoraWeights(const LoraLayout& layout, bool backward);
  void pack(const Kernels& kernels);

  std::size_t bytes() const { return (flat.size() + packed_.size()) * sizeof(float); }

  const LoraLayout& layout;
  Floats flat;  // as in the layout; the owner's to change
  // Of one module: for x A^T and u B^T, and for dy B and du A.
  const float* a_forward(const LoraLayout::Module& m) const { return packed_.data() + slots_[m.index].a_forward; }
  const float* b_forward(const LoraLayout::Module& m) const { return packed_.data() + slots_[m.index].b_forward; }
  const float* a_backward(const LoraLayout::Module& m) const { return packed_.data() + slots_[m.index].a_backward; }
  const float* b_backward(const LoraLayout::Module& m) const { return packed_.data() + slots_[m.index].b_backward; }

 private:
  struct Slots {
    std::size_t a_forward, b_forward, a_backward, b_backward;
  };
  bool backward_;
  std::vector<Slots> slots_;
  Floats packed_;
};

// y (rows x ldy) += s (x A^T) B^T at the module's outputs; x is rows x in. Leaves u = s x A^T (rows x rank). A row's sums
// run over x's elements, then over ranks, in order: its bits do not depend on the other rows.
void lora_forward(const Kernels& kernels, const LoraWeights& weights, const LoraLayout::Module& module, int rows, const float* x,
                  float* u, float* y, std::size_t ldy);

// What one thread keeps between forward and backward.
class LoraPass {
 public:
  LoraPass(const LoraWeights& weights, const Kernels& kernels);
  // Rows x (T x in) and y (T x ldy) of one product of one layer; y is added to.
  void forward(std::size_t layer, Product product, int t, const float* x, float* y, std::size_t ldy);
  // The same x, and dy (T x ldy): adds to dx (T x in), and to `gradient` (flat, as the layout). `panel` is scratch of
  // packed_size(t, in) floats.
  void backward(std::size_t layer, Product product, int t, const float* x, const float* dy, std::size_t ldy, float* dx,
                float* gradient, float* panel);

 private:
  const LoraWeights& weights_;
  const Kernels& k_;
  std::vector<Floats> kept_TK_;  // by module: u
  Floats du_TK_, packed_u_;
};

}  // namespace precept::nn
