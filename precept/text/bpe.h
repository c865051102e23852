#pragma once
// Merging of pairs, and looking up tokens by their text. Internal to text/.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace precept {

struct BpeMerge {
  std::int32_t left = 0, right = 0, result = 0;
};

// A piece of text on its way to being a token.
struct BpeSymbol {
  std::int32_t id = 0;
  std::uint32_t bytes = 0;  // of the text
};
inline constexpr std::int32_t kUnknownSymbol = 0x7FFFFFFF;  // merges with nothing

// (left, right) -> rank and result, by open addressing.
class PairTable {
 public:
  struct Slot {
    std::uint64_t key = kEmpty;
    std::uint32_t rank = 0;
    std::int32_t result = -1;
  };

  void reserve(std::size_t pairs);  // once, before the first insert
  bool insert(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t result);  // false: is there
  const Slot* find(std::int32_t left, std::int32_t right) const;  // nullptr: no such merge

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};
  std::size_t start(std::uint64_t key) const;
  std::vector<Slot> slots_;
};

// Repeatedly merges the pair of lowest rank, the leftmost among equals. n log n.
struct MergeScratch;
void merge_symbols(const PairTable& pairs, std::vector<BpeSymbol>& symbols, MergeScratch& scratch);

// Memory that merging uses again and again.
struct MergeScratch {
  struct Pair {
    std::uint32_t rank;
    std::int32_t result;
  };
  std::vector<Pair> next;
  std::vector<BpeSymbol> symbols;
};

// Text -> number, by open addressing. The texts must outlive the table.
class StringTable {
 public:
  void reserve(std::size_t entries);  // once, before the first insert
  bool insert(std::string_view text, std::int32_t id);  // false: is there
  std::int32_t find(std::string_view text) const;       // -1: not there

 private:
  struct Slot {
    std::uint64_t hash = 0;
    const char* text = nullptr;
    std::uint32_t length = 0;
    std::int32_t id = -1;
  };
  std::vector<Slot> slots_;
};

}  // namespace precept
