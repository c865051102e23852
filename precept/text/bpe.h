#pragma once
// The tables behind Tokenizer, and the merging itself. Internal to text/.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "precept/text/split.h"
#include "precept/text/tokenizer.h"

namespace precept {

struct BpeMerge {
  std::int32_t left = 0, right = 0, result = 0;
};

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

struct BpeToken {
  std::string bytes;         // ordinary tokens
  std::string special_name;  // special tokens; empty for ordinary ones
  bool added = false;        // ordinary, but listed among the added tokens (spelled as it is)
};

struct Tokenizer::Tables {
  std::vector<BpeToken> tokens;  // by id
  std::vector<BpeMerge> merges;  // by rank
  bool ignore_merges = false;    // a piece that is a token is that token, whatever the merges say

  // Derived by index().
  std::map<std::string, std::int32_t, std::less<>> specials;
  std::array<std::int32_t, 256> byte_ids{};
  PairTable pairs;
  std::unordered_map<std::string_view, std::int32_t> whole;  // pieces that become exactly one token
  Splitter splitter;

  // Fills the derived part. All 256 bytes must be there, merges must be consistent and each pair
  // unique: the message says what is not.
  Status index(const std::string& file_for_errors);
  void encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const;
};

}  // namespace precept
