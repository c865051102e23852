#include "precept/text/bpe.h"

#include <algorithm>
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

// Repeatedly merges the pair of lowest rank, the leftmost among equals. Quadratic: for short pieces.
void merge_short(const PairTable& pairs, std::vector<std::int32_t>& ids) {
  constexpr std::uint32_t kNone = ~std::uint32_t{0};
  struct Pair {
    std::uint32_t rank;
    std::int32_t result;
  };
  const auto look_up = [&](std::size_t i) -> Pair {
    const auto* slot = pairs.find(ids[i], ids[i + 1]);
    return slot != nullptr ? Pair{slot->rank, slot->result} : Pair{kNone, -1};
  };
  std::vector<Pair> next;  // next[i]: the merge of ids[i] and ids[i + 1]
  next.reserve(ids.size());
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) next.push_back(look_up(i));
  while (!next.empty()) {
    const auto best = std::min_element(next.begin(), next.end(),
                                       [](const Pair& a, const Pair& b) { return a.rank < b.rank; });
    if (best->rank == kNone) return;
    const auto i = static_cast<std::size_t>(best - next.begin());
    ids[i] = best->result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
    next.erase(best);
    if (i < next.size()) next[i] = look_up(i);
    if (i > 0) next[i - 1] = look_up(i - 1);
  }
}

// The same result in n log n: a heap of candidate merges over a linked list of what is left.
void merge_long(const PairTable& pairs, std::vector<std::int32_t>& ids) {
  struct Candidate {
    std::uint32_t rank;
    std::uint32_t left;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  constexpr std::uint32_t kEnd = ~std::uint32_t{0};
  const auto n = static_cast<std::uint32_t>(ids.size());
  std::vector<std::uint32_t> before(n), after(n);
  for (std::uint32_t i = 0; i < n; ++i) {
    before[i] = i == 0 ? kEnd : i - 1;
    after[i] = i + 1 == n ? kEnd : i + 1;
  }
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> heap;
  const auto offer = [&](std::uint32_t left) {
    if (left == kEnd || after[left] == kEnd) return;
    if (const auto* slot = pairs.find(ids[left], ids[after[left]])) heap.push({slot->rank, left});
  };
  for (std::uint32_t i = 0; i + 1 < n; ++i) offer(i);
  while (!heap.empty()) {
    const Candidate best = heap.top();
    heap.pop();
    if (ids[best.left] < 0 || after[best.left] == kEnd) continue;  // merged away since
    const std::uint32_t right = after[best.left];
    const auto* slot = pairs.find(ids[best.left], ids[right]);
    if (slot == nullptr || slot->rank != best.rank) continue;  // another pair stands there now
    ids[best.left] = slot->result;
    ids[right] = -1;
    after[best.left] = after[right];
    if (after[right] != kEnd) before[after[right]] = best.left;
    offer(best.left);
    offer(before[best.left]);
  }
  ids.erase(std::remove(ids.begin(), ids.end(), -1), ids.end());
}

}  // namespace

void Tokenizer::Tables::encode_piece(std::string_view piece, std::vector<std::int32_t>& ids) const {
  if (const auto known = whole.find(piece); known != whole.end()) {
    ids.push_back(known->second);
    return;
  }
  std::vector<std::int32_t> symbols;
  symbols.reserve(piece.size());
  for (const char c : piece) symbols.push_back(byte_ids[static_cast<unsigned char>(c)]);
  constexpr std::size_t kShort = 96;
  if (piece.size() <= kShort) {
    merge_short(pairs, symbols);
  } else {
    merge_long(pairs, symbols);
  }
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

Status Tokenizer::Tables::index(const std::string& file) {
  byte_ids.fill(-1);
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const BpeToken& token = tokens[id];
    if (!token.special_name.empty()) {
      specials.emplace(token.special_name, static_cast<std::int32_t>(id));
    } else if (token.bytes.size() == 1 && !token.added) {
      byte_ids[static_cast<unsigned char>(token.bytes[0])] = static_cast<std::int32_t>(id);
    }
  }
  for (std::size_t byte = 0; byte < 256; ++byte) {
    if (byte_ids[byte] < 0) {
      return bad_input("the vocabulary has no token for byte " + std::to_string(byte),
                       "only byte-level vocabularies, which hold all 256 bytes, are supported", file);
    }
  }
  pairs.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const BpeMerge& merge = merges[rank];
    if (!pairs.insert(merge.left, merge.right, static_cast<std::uint32_t>(rank), merge.result)) {
      return bad_input("merge " + std::to_string(rank) + " repeats an earlier one",
                       "list every pair once", file);
    }
  }
  std::vector<std::int32_t> ids;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const BpeToken& token = tokens[id];
    if (token.bytes.empty() || token.added) continue;
    ids.clear();
    if (!ignore_merges) encode_piece(token.bytes, ids);
    if (ignore_merges || (ids.size() == 1 && ids[0] == static_cast<std::int32_t>(id))) {
      whole.emplace(token.bytes, static_cast<std::int32_t>(id));
    }
  }
  return {};
}

}  // namespace precept
