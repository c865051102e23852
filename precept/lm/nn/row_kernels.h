#pragma once
// Kernels of the forward pass that the engine and the trainer share: products of rows with packed matrices, and
// attention over a paged cache, in fp32 or in bf16 with fp32 sums. Chosen once for the processor at hand.
//
// Factors of matrices, keys and values are lanes of 32 bits: one float, or two bf16 values that are neighbours along the dimension
// that is summed (an odd last one is paired with 0). So both precisions have one layout and one loop; only the sum of a lane's
// products differs. Rows of a product and queries (`row_factors`) are such lanes too where the processor multiplies pairs. Where it has
// no instruction for that, or a slow one, their bf16 values are kept as floats, and only the other side's are widened in the loop, for
// all rows of a tile at once.
//
// A row's arithmetic, and the order of every sum in it, depends on that row's inputs alone: not on the rows beside it, nor
// on where its keys and values lie, nor on which threads compute. Sums over k run in order, kDepth lanes at a time (what
// nn::Kernels::gemm does too: a row of a product has the same bits there).

#include <cstddef>
#include <cstdint>

#include "precept/lm/nn/kernels.h"

namespace precept::nn {

using Lane = std::uint32_t;

enum class Precision { kFp32, kBf16 };

inline constexpr int kBlockTokens = 16;  // positions of one cache block

constexpr std::size_t lanes_of(Precision precision, std::size_t n) { return precision == Precision::kFp32 ? n : (n + 1) / 2; }
// Lanes of a packed matrix of n outputs and k inputs.
constexpr std::size_t packed_lanes(Precision precision, std::size_t k, std::size_t n) { return packed_size(lanes_of(precision, k), n); }

// Where keys and values lie in a cache, in lanes from its beginning. Blocks whose numbers follow each other, `together` of them (a
// power of two), are a chunk: [layers][keys, then values], keys [kv_heads][together][lanes_of(head_dim)][kBlockTokens], values
// [kv_heads][together][lanes_of(kBlockTokens)][width], where width is head_dim up to whole vectors. So what is read of one head of a
// sequence whose blocks follow each other is a long run of memory, which processors follow by themselves: docs/performance.md has
// what that gave.
struct KvShape {
  KvShape(Precision precision, int layers, int kv_heads, int head_dim, int together = 1);
  // Of a block's first position.
  std::size_t keys(std::uint32_t block, std::size_t layer, std::size_t head) const {
    return within_chunks(block, key_block) + layer * layer_ + head * key_head_;
  }
  std::size_t values(std::uint32_t block, std::size_t layer, std::size_t head) const {
    return within_chunks(block, value_block) + layer * layer_ + values_ + head * value_head_;
  }
  int together() const { return 1 << shift_; }
  // Of all layers, heads and positions of one block.
  std::size_t block_lanes() const { return chunk_ >> shift_; }
  void copy_block(Lane* cache, std::uint32_t from, std::uint32_t to) const;

  std::size_t key_block, value_block;  // lanes of one head in a block

  // From what lies in block 0 to the same of another block, where a block has `lanes` lanes of it.
  [[gnu::always_inline]] std::size_t within_chunks(std::uint32_t block, std::size_t lanes) const {
    return (block >> shift_) * chunk_ + (block & ((1U << shift_) - 1)) * lanes;
  }

 private:
  unsigned shift_;
  std::size_t layers_, kv_heads_;
  std::size_t key_head_, value_head_, values_, layer_, chunk_;  // from one to the next; values_: from a layer's keys to its values
};

// Attention of the heads of one group (which share keys and values), for consecutive positions of one sequence. The row
// r sees the keys of positions 0 .. first + r, or the last `window` of those. Lane counts are of this table's precision.
//
// It is taken in parts, positions 0 .. 511, 512 .. 1,023 and so on, each with its own largest score; then the parts are joined (as
// Milakov and Gimelshein, 2018, and FlashAttention do). Where the parts lie depends on positions alone, so they may be shared by
// threads without changing a bit.
struct Attention {
  int head_dim = 0;
  int group = 0;                          // heads that share these keys
  float scale = 0;                        // of the scores
  int window = 0;                         // 0: all
  const KvShape* shape = nullptr;         // of the cache
  const Lane* keys = nullptr;             // of this layer and kv head, in block 0
  const Lane* values = nullptr;           // likewise
  const std::uint32_t* blocks = nullptr;  // positions 16 i .. 16 i + 15 lie in block blocks[i]
  int rows = 0, first = 0;                // positions first .. first + rows - 1
  const Lane* q = nullptr;                // [rows][group][row_lanes(head_dim)], strides q_row and q_head
  std::size_t q_row = 0, q_head = 0;
  float* out = nullptr;                   // [rows][group][head_dim], strides out_row and out_head
  std::size_t out_row = 0, out_head = 0;
  const Lane* next = nullptr;             // what the thread reads after attend_part(), asked for near its end; null: nothing
  Lane* scratch = nullptr;                // kAttentionScratch lanes, of one thread
  float* parts = nullptr;                 // attention_parts(first + rows, head_dim) floats
};

inline constexpr int kPartTokens = 512;  // a whole number of blocks

// Parts of what the row at this position sees.
constexpr int parts_seen(int position, int window) {
  const int from = window > 0 && position + 1 > window ? position + 1 - window : 0;
  return position / kPartTokens - from / kPartTokens + 1;
}

inline constexpr int kMostQueries = 6;
inline constexpr std::size_t kAttentionScratch = 2 * kMostQueries * (kPartTokens + kBlockTokens);
// Floats of what one query has of one part, and of all parts of kMostQueries queries that see `keys` keys at most.
constexpr std::size_t part_floats(int head_dim) { return (static_cast<std::size_t>(head_dim) + 15) / 16 * 16 + 16; }
constexpr std::size_t attention_parts(int keys, int head_dim) {
  return (static_cast<std::size_t>(keys) / kPartTokens + 2) * kMostQueries * part_floats(head_dim);
}

struct RowKernels {
  const char* name;
  Precision precision;
  int rows_together;  // that a product takes through all of its columns before the next ones, so that they stay in a cache
  bool wide_rows;     // row_factors are bf16 values as floats; behind an odd number of them comes a 0
  // Rounds n values to factors, of a matrix or of keys; writes lanes_of(n) lanes.
  void (*factors)(int n, const float* x, Lane* y);
  // The same values for a product's rows and for queries; writes row_lanes(n) lanes.
  void (*row_factors)(int n, const float* x, Lane* y);
  // Packs n rows (outputs) of `lanes` lanes each into panels of kPanel outputs, the last one filled with zeros.
  void (*pack)(int lanes, int n, const Lane* w, std::size_t ldw, Lane* packed);
  // C (m x n, ldc) = A W^T, or += with `add`; W's rows have `lanes` lanes, A's m rows (row_factors) lie lda lanes apart. `after` (may be
  // null) is memory that will be read next: as much of it is asked for in time, by the last rows, as the last pass reads of a panel.
  void (*product)(int m, int n, int lanes, const Lane* a, std::size_t lda, const Lane* packed, float* c, std::size_t ldc, bool add,
                  const Lane* after);
  // Makes a panel of 8-bit numbers one of factors, exactly: they are [lanes][values of a lane][kPanel], the panel as `pack` makes it.
  void (*widen8)(int lanes, const std::int8_t* numbers, Lane* panel);
  // m rows of a panel's sums (kPanel apart) times what belongs to each column: n columns of C (ldc), or += with `add`.
  void (*scaled)(int m, int n, const float* sums, const float* scales, float* c, std::size_t ldc, bool add);
  // Puts one head's key and value (head_dim floats each) of a position into its slot (0 .. 15) of a block, given where that
  // head's keys and values begin there.
  void (*place)(int head_dim, int slot, const float* key, const float* value, Lane* keys, Lane* values);
  void (*attend)(const Attention& a);
  // attend() of one row and a group of at most kMostQueries heads, with the same bits: all of its parts (counted from the first
  // one that it sees), which threads may share, then all of its heads. `parts` is the same for all of them.
  void (*attend_part)(const Attention& a, int part);
  void (*attend_join)(const Attention& a, int head);
  // The largest of n values (NaN if any value is NaN).
  float (*largest)(int n, const float* x);
  // y[i] = exp((x[i] - top) * scale); returns their sum. y may be null.
  float (*exponentials)(int n, const float* x, float top, float scale, float* y);
};

inline constexpr int kMostRowsTogether = 112;

// Into which cache products ask for the next panel, 36 KB of it at 576 inputs: an Intel core (Emerald Rapids) reads weights at
// 24-29 GB/s into its second cache and at 19-25 into its first one, an AMD core (Zen 4) at 31 and 34.
extern const bool kPanelsIntoSecond;

// Lanes of a row of n factors.
constexpr std::size_t row_lanes(const RowKernels& kernels, std::size_t n) {
  return lanes_of(kernels.precision, n) * (kernels.wide_rows ? 2 : 1);
}

// The fastest table of this precision that this processor runs. Every processor has both: where there are no bf16
// instructions, or slow ones (processor.h), bf16 factors are widened and multiplied in fp32.
const RowKernels& row_kernels(Precision precision);

}  // namespace precept::nn
