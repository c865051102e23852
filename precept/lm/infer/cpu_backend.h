#pragma once
// The forward pass on the CPU. All threads walk through it side by side: products are shared out by columns, attention by
// sequences and heads, the rest by rows, so that each weight is read from memory once a step. Steps of few rows wait for
// memory: there whoever is done with some columns takes the next ones, and what is short is done by every thread for itself
// rather than by one for all, which would cost a barrier.
//
// Legend: rows R of one step, hidden C, heads H, kv heads G, head_dim D, queries Q = H D, W = (H + 2 G) D, feed-forward F,
// vocabulary V; an L after a name: lanes of factors (row_kernels.h).

#include <atomic>
#include <memory>
#include <vector>

#include "precept/lm/infer/backend.h"
#include "precept/lm/infer/sampler.h"
#include "precept/lm/infer/team.h"
#include "precept/lm/infer/weights.h"
#include "precept/lm/nn/kernels.h"

namespace precept::infer {

// Of the low-rank parts of adapters beside products of this precision.
const nn::Kernels& low_rank_kernels(nn::Precision precision);

class CpuBackend : public Backend {
 public:
  // `cache_bytes`: of keys and values; at least one block is made. `choices`: tokens that may be picked, the first ones.
  CpuBackend(Weights weights, int threads, std::int64_t cache_bytes, int choices);
  ~CpuBackend() override;

  std::vector<Outcome> run(const std::vector<Segment>& segments, const std::vector<Wanted>& wanted) override;
  int max_rows() const override;
  void copy_block(std::uint32_t from, std::uint32_t to) override;
  std::int64_t blocks() const override { return blocks_; }

  // See EngineOptions::claim_cache. Before the first step.
  void claim_cache();

  const Weights& weights() const { return weights_; }
  // Bytes of activations that a step takes at most, all threads together. `adapted`: of an engine with adapters.
  static std::int64_t scratch_bytes(const LlamaConfig& config, nn::Precision precision, int threads, bool adapted);

 private:
  struct Row {
    std::int32_t token;
    int position;
    std::uint32_t block;  // where its key and value go
  };
  // Attention of one kv head for some rows of a segment.
  struct Task {
    int segment, from, rows;
    int row;  // of the step
    int group;
  };
  struct Lane {  // scratch of one thread
    Lane(const nn::RowKernels& kernels, const nn::Kernels& plain);
    Products products;
    AdapterProducts adapters;
    Sampler sampler;
    std::vector<float> wide, gate_up, swiglu, attended, rstd, parts;
    Lanes scores, h, q;  // q: factors of one task's queries, where threads share attention
  };
  static constexpr int kMostPanels = 8;  // of a piece, in steps of few rows
  static constexpr int kTaskRows = 32;  // of one attention task
  static constexpr int kSharedTasks = 4;  // of a thread, at most, for threads to share them
  // Products of a step whose panels are dealt out; the head comes after all layers.
  enum Dealt { kQkv, kOut, kFeedForward, kDown, kDealt };

  void lay_out(const std::vector<Segment>& segments);
  void work(int thread);
  // Parts of a layer, each on this thread's share.
  const nn::Lane* normed(Lane& lane, int thread, Weights::Vector weight);
  void queries(Lane& lane, int row, int group, std::size_t layer, nn::Lane* factors) const;
  void remember(Lane& lane, int row, int group, std::size_t layer);
  bool shares_attention() const;
  std::size_t head_of(int row, int group) const;
  nn::Attention attention(const Task& task, std::size_t layer, const nn::Lane* queries) const;
  void attend(Lane& lane, std::size_t layer);
  int most_parts(std::size_t layer) const;
  const nn::Lane* part_keys(int i, std::size_t layer) const;
  void attend_together(Lane& lane, int thread, std::size_t layer);
  void feed_forward(Lane& lane, int thread, std::size_t layer, const nn::Lane* h);
  void ask_ahead(const Task& task, std::size_t layer) const;
  void answer(int thread);
  void answer_one(Lane& lane, const Wanted& wanted, float* logits, Outcome& outcome) const;
  int piece(int panels) const;
  // Of gate and up, computed before their SwiGLU.
  struct Together {
    int rows, panels;
  };
  Together gate_up_together() const;
  Pieces pieces(std::size_t which, int panels, int thread);
  void product(Lane& lane, int thread, int rows, const nn::Lane* a, std::size_t lda, const Matrix& matrix, std::size_t which, float* c, bool add,
               const nn::Lane* next);
  const nn::Lane* first_panel(const Matrix& matrix, int thread) const;  // of this thread's share
  // Low-rank parts of a product's rows; x are its factors.
  void adapt(Lane& lane, Share rows, std::size_t layer, nn::Product product, const nn::Lane* x, std::size_t lda, int in, float* y, int out);

  Weights weights_;
  const nn::RowKernels& kernels_;
  const nn::Kernels& plain_;    // norms, rotation, SwiGLU
  const nn::Kernels& low_rank_;  // products of adapters
  Rotary rotary_;
  nn::KvShape kv_;
  int choices_;
  int queries_, keys_, wide_;  // Q, G D, W
  std::size_t h_stride_, q_stride_, s_stride_;  // lanes between rows of factors
  std::int64_t blocks_ = 0;
  nn::Uninitialised<nn::Lane> memory_;
  Team team_;
  std::vector<std::unique_ptr<Lane>> lanes_;

  // Of the step in work.
  const std::vector<Segment>* segments_ = nullptr;
  const std::vector<Wanted>* wanted_ = nullptr;
  std::vector<Outcome>* outcomes_ = nullptr;
  int rows_ = 0;
  int longest_ = 0;  // positions of a sequence
  std::vector<Row> row_R_;
  std::vector<int> start_;  // of each segment: its first row
  std::vector<AdapterRows> adapter_rows_;
  bool adapted_ = false;
  bool few_ = false;          // rows: products wait for memory
  bool own_norms_ = false;    // every thread norms all rows for itself
  bool fused_heads_ = false;  // who attends with a kv head makes its keys and queries first
  bool shared_attention_ = false;  // the threads share each task of attention
  std::vector<Task> tasks_;
  std::unique_ptr<std::atomic<int>[]> taken_;  // tasks, or parts of them: [layers]
  std::vector<std::atomic<int>> done_;         // parts of each task, where threads share them
  std::unique_ptr<std::atomic<int>[]> dealt_;  // pieces of products: [layers][kDealt], and the head's
  std::vector<float> x_RC_, qkv_RW_, gate_up_R2F_, logits_, attended_, parts_;
  Lanes h_RL_, q_RL_, attended_RL_, s_RL_;
};

}  // namespace precept::infer
