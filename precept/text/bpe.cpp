#include "precept/text/bpe.h"

#include <algorithm>
#include <cstring>
#include <queue>

namespace precept {

void PairTable::reserve(std::size_t pairs) {
  std::size_t size = 16;
  while (size < pairs * 2) size *= 2;
  slots_.assign(size, Slot{});
}

std::size_t PairTable::start(std::uint64_t key) const {
  std::uint64_t mixed = key * 0x9E3779B97F4A7C15ULL;
  mixed ^= mixed >> 32;
  return static_cast<std::size_t>(mixed) & (slots_.size() - 1);
}

namespace {
std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
         static_cast<std::uint32_t>(right);
}
}  // namespace

bool PairTable::insert(std::int32_t left, std::int32_t right, std::uint32_t rank, std::int32_t result) {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t i = start(key);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].key == key) return false;
    if (slots_[i].key == kEmpty) {
      slots_[i] = Slot{key, rank, result};
      return true;
    }
  }
}

const PairTable::Slot* PairTable::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t key = pair_key(left, right);
  for (std::size_t i = start(key);; i = (i + 1) & (slots_.size() - 1)) {
    if (slots_[i].key == key) return &slots_[i];
    if (slots_[i].key == kEmpty) return nullptr;
  }
}

namespace {

// Quadratic: for short pieces.
void merge_short(const PairTable& pairs, std::vector<BpeSymbol>& symbols, MergeScratch& scratch) {
  constexpr std::uint32_t kNone = ~std::uint32_t{0};
  using Pair = MergeScratch::Pair;
  const auto look_up = [&](std::size_t i) -> Pair {
    const auto* slot = pairs.find(symbols[i].id, symbols[i + 1].id);
    return slot != nullptr ? Pair{slot->rank, slot->result} : Pair{kNone, -1};
  };
  std::vector<Pair>& next = scratch.next;  // next[i]: the merge of symbols i and i + 1
  next.clear();
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) next.push_back(look_up(i));
  while (!next.empty()) {
    const auto best = std::min_element(next.begin(), next.end(),
                                       [](const Pair& a, const Pair& b) { return a.rank < b.rank; });
    if (best->rank == kNone) return;
    const auto i = static_cast<std::size_t>(best - next.begin());
    symbols[i] = {best->result, symbols[i].bytes + symbols[i + 1].bytes};
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    next.erase(best);
    if (i < next.size()) next[i] = look_up(i);
    if (i > 0) next[i - 1] = look_up(i - 1);
  }
}

// The same result in n log n: a heap of candidate merges over a linked list of what is left.
void merge_long(const PairTable& pairs, std::vector<BpeSymbol>& symbols) {
  struct Candidate {
    std::uint32_t rank;
    std::uint32_t left;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  const auto n = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> before(n), after(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    before[i] = i == 0 ? kEnd : i - 1;
    after[i] = i + 1 == n ? kEnd : i + 1;
  }
  std::vector<Candidate> first;
  const auto candidate = [&](std::uint32_t left, auto push) {
    if (left == kEnd || after[left] == kEnd) return;
    if (const auto* slot = pairs.find(symbols[left].id, symbols[after[left]].id)) push(Candidate{slot->rank, left});
  };
  first.reserve(n);
  for (std::uint32_t i = 0; i + 1 < n; ++i) candidate(i, [&](Candidate c) { first.push_back(c); });
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap({}, std::move(first));
  const auto offer = [&](std::uint32_t left) {
    candidate(left, [&](Candidate c) { heap.push(c); });
  };
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    if (symbols[best.left].id < 0 || after[best.left] == kEnd) continue;  // merged away since
    const std::uint32_t right = after[best.left];
    const auto* slot = pairs.find(symbols[best.left].id, symbols[right].id);
    if (slot == nullptr || slot->rank != best.rank) continue;  // another pair stands there now
    symbols[best.left] = {slot->result, symbols[best.left].bytes + symbols[right].bytes};
    symbols[right].id = -1;
    after[best.left] = after[right];
    if (after[right] != kEnd) before[after[right]] = best.left;
    offer(best.left);
    offer(before[best.left]);
  }
  symbols.erase(std::remove_if(symbols.begin(), symbols.end(), [](const BpeSymbol& s) { return s.id < 0; }), symbols.end());
}

// Eight bytes at a time. Long texts are no tokens; their hash need not be good.
std::uint64_t hash_of(std::string_view text) {
  std::uint64_t hash = text.size() * 0x9E3779B97F4A7C15ULL;
  const char* at = text.data();
  std::size_t left = text.size();
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0xD6E8FEB86659FD93ULL;
    hash ^= hash >> 32;
  };
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    mix(word);
  }
  if (left > 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, at, left);
    mix(word);
  }
  return hash;
}

}  // namespace

void merge_symbols(const PairTable& pairs, std::vector<BpeSymbol>& symbols, MergeScratch& scratch) {
  constexpr std::size_t kShort = 96;
  if (symbols.size() <= kShort) {
    merge_short(pairs, symbols, scratch);
  } else {
    merge_long(pairs, symbols);
  }
}

void StringTable::reserve(std::size_t entries) {
  std::size_t size = 16;
  while (size < entries * 2) size *= 2;
  slots_.assign(size, Slot{});
}

bool StringTable::insert(std::string_view text, std::int32_t id) {
  const std::uint64_t hash = hash_of(text);
  for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    Slot& slot = slots_[i];
    if (slot.id < 0) {
      slot = Slot{hash, text.data(), static_cast<std::uint32_t>(text.size()), id};
      return true;
    }
    if (slot.hash == hash && std::string_view(slot.text, slot.length) == text) return false;
  }
}

std::int32_t StringTable::find(std::string_view text) const {
  if (slots_.empty()) return -1;
  const std::uint64_t hash = hash_of(text);
  for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return -1;
    if (slot.hash == hash && std::string_view(slot.text, slot.length) == text) return slot.id;
  }
}

}  // namespace precept
