// Byte-pair training with incremental pair counts: only the words that hold the merged pair are touched.

#include <algorithm>
#include <queue>
#include <set>
#include <unordered_map>
#include <utility>

#include "precept/core/io.h"
#include "precept/text/tables.h"
#include "precept/text/byte_alphabet.h"

namespace precept {
namespace {

constexpr std::size_t kMaxTokenBytes = 128;  // longer tokens are runs of one sign, not words
constexpr std::int64_t kMaxCount = std::int64_t{1} << 31;

struct Word {
  std::vector<std::int32_t> symbols;
  std::int64_t count = 0;
};

using Pair = std::pair<std::int32_t, std::int32_t>;
struct PairHash {
  std::size_t operator()(const Pair& pair) const {
    const auto key = (static_cast<std::uint64_t>(static_cast<std::uint32_t>(pair.first)) << 32) |
                     static_cast<std::uint32_t>(pair.second);
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 16);
  }
};
struct PairStats {
  std::int64_t count = 0;
  std::vector<std::uint32_t> words;  // that hold the pair, or once did
};

class Trainer {
 public:
  Trainer(std::vector<BpeToken> tokens, std::vector<Word> words, int vocab_size)
      : tokens_(std::move(tokens)), words_(std::move(words)), vocab_size_(static_cast<std::size_t>(vocab_size)) {
    for (std::size_t id = 0; id < tokens_.size(); ++id) {
      const BpeToken& token = tokens_[id];
      if (token.special_name.empty()) {
        ids_.emplace(token.bytes, static_cast<std::int32_t>(id));
      } else {
        taken_.insert(token.special_name);
      }
    }
    for (std::uint32_t w = 0; w < words_.size(); ++w) count_word(w, +1, std::nullopt);
    for (const auto& entry : stats_) heap_.push({entry.second.count, entry.first});
  }

  void run() {
    while (tokens_.size() < vocab_size_ && !heap_.empty()) {
      const Candidate best = heap_.top();
      heap_.pop();
      const auto found = stats_.find(best.pair);
      if (found == stats_.end() || found->second.count != best.count) {
        // An outdated entry. Counts that changed were pushed anew.
        continue;
      }
      if (best.count < 2) return;
      merge(best.pair);
    }
  }

  std::vector<BpeToken> tokens_;
  std::vector<BpeMerge> merges_;

 private:
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {  // the greatest is merged first
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  // Adds (sign +1) or takes away (-1) a word's pairs. With `fresh`, pairs that hold this token get
  // the word into their list; without, all do.
  void count_word(std::uint32_t w, int sign, std::optional<std::int32_t> fresh) {
    const Word& word = words_[w];
    for (std::size_t i = 0; i + 1 < word.symbols.size(); ++i) {
      const Pair pair{word.symbols[i], word.symbols[i + 1]};
      PairStats& stats = stats_[pair];
      stats.count += sign * word.count;
      const bool list = sign > 0 && (!fresh || pair.first == *fresh || pair.second == *fresh);
      if (list && (stats.words.empty() || stats.words.back() != w)) stats.words.push_back(w);
      if (fresh) changed_.push_back(pair);
    }
  }

  void merge(const Pair& pair) {
    const std::string bytes = tokens_[static_cast<std::size_t>(pair.first)].bytes +
                              tokens_[static_cast<std::size_t>(pair.second)].bytes;
    // A token must not be spelled like a special one, or text could inject it.
    if (bytes.size() > kMaxTokenBytes || taken_.count(to_byte_alphabet(bytes)) > 0) return;
    const auto known = ids_.find(bytes);
    const auto id = known != ids_.end() ? known->second : static_cast<std::int32_t>(tokens_.size());
    if (known == ids_.end()) {
      tokens_.push_back({bytes, "", false});
      ids_.emplace(bytes, id);
    }
    // Tokens of two spellings can bring a pair back that was merged before: its rule is there already.
    if (merged_.insert(pair).second) merges_.push_back({pair.first, pair.second, id});
    changed_.clear();
    const std::vector<std::uint32_t> touched = std::move(stats_[pair].words);
    for (const std::uint32_t w : touched) {
      if (!holds(words_[w].symbols, pair)) continue;
      count_word(w, -1, id);
      replace(words_[w].symbols, pair, id);
      count_word(w, +1, id);
    }
    std::sort(changed_.begin(), changed_.end());
    changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
    for (const Pair& other : changed_) {
      const auto found = stats_.find(other);
      if (found->second.count == 0) {
        stats_.erase(found);
      } else {
        heap_.push({found->second.count, other});
      }
    }
  }

  static bool holds(const std::vector<std::int32_t>& symbols, const Pair& pair) {
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      if (symbols[i] == pair.first && symbols[i + 1] == pair.second) return true;
    }
    return false;
  }

  static void replace(std::vector<std::int32_t>& symbols, const Pair& pair, std::int32_t id) {
    std::size_t out = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      if (i + 1 < symbols.size() && symbols[i] == pair.first && symbols[i + 1] == pair.second) {
        symbols[out++] = id;
        ++i;
      } else {
        symbols[out++] = symbols[i];
      }
    }
    symbols.resize(out);
  }

  std::vector<Word> words_;
  std::size_t vocab_size_;
  std::unordered_map<std::string, std::int32_t> ids_;
  std::set<std::string> taken_;
  std::set<Pair> merged_;
  std::unordered_map<Pair, PairStats, PairHash> stats_;
  std::priority_queue<Candidate> heap_;
  std::vector<Pair> changed_;
};

Status check(const BpeOptions& options) {
  const std::size_t least = 256 + options.special_tokens.size();
  constexpr int kMost = 1 << 20;
  if (options.vocab_size < 0 || static_cast<std::size_t>(options.vocab_size) < least || options.vocab_size > kMost) {
    return bad_input("vocabulary size " + std::to_string(options.vocab_size) + " is not within " +
                         std::to_string(least) + " and " + std::to_string(kMost),
                     "it holds 256 bytes, the special tokens, and the merges");
  }
  std::set<std::string> seen;
  for (const std::string& name : options.special_tokens) {
    if (name.empty() || find_invalid_utf8(name)) {
      return bad_input("a special token whose name is empty or not UTF-8", "name it, e.g. <|end|>");
    }
    const auto bytes = from_byte_alphabet(name);
    if (bytes && bytes->size() == 1) {
      return bad_input("special token \"" + name + "\" is spelled like a byte", "name it, e.g. <|end|>");
    }
    if (!seen.insert(name).second) {
      return bad_input("special token \"" + name + "\" is listed twice", "list every name once");
    }
  }
  return {};
}

}  // namespace

Result<Tokenizer> train_bpe(const std::map<std::string, std::int64_t>& texts, const BpeOptions& options) {
  if (auto fine = check(options); !fine) return tl::unexpected<Error>(fine.error());
  auto tables = std::make_shared<Tokenizer::Tables>();
  std::unordered_map<std::string_view, std::int64_t> pieces;
  for (const auto& entry : texts) {
    if (entry.second <= 0 || entry.second > kMaxCount) {
      return bad_input("a text has the count " + std::to_string(entry.second), "counts are 1 to 2^31");
    }
    for (const std::string_view piece : tables->splitter.split(entry.first)) {
      if (piece.size() > 1) pieces[piece] += entry.second;
    }
  }
  std::vector<BpeToken> tokens;
  for (const std::string& name : options.special_tokens) tokens.push_back({"", name, false});
  const auto first_byte = static_cast<std::int32_t>(tokens.size());
  for (int byte = 0; byte < 256; ++byte) tokens.push_back({std::string(1, static_cast<char>(byte)), "", false});

  std::vector<Word> words;
  words.reserve(pieces.size());
  for (const auto& entry : pieces) {
    Word word;
    word.count = entry.second;
    word.symbols.reserve(entry.first.size());
    for (const char c : entry.first) word.symbols.push_back(first_byte + static_cast<unsigned char>(c));
    words.push_back(std::move(word));
  }
  Trainer trainer(std::move(tokens), std::move(words), options.vocab_size);
  trainer.run();
  tables->tokens = std::move(trainer.tokens_);
  tables->merges = std::move(trainer.merges_);
  tables->pre_json = tables->decoder_json = kByteLevelJson;
  for (std::size_t id = 0; id < options.special_tokens.size(); ++id) {
    AddedToken special;
    special.id = static_cast<std::int32_t>(id);
    special.content = options.special_tokens[id];
    special.special = true;
    tables->added.push_back(std::move(special));
  }
  if (auto fine = tables->pipeline(""); !fine) return tl::unexpected<Error>(fine.error());
  if (auto fine = tables->index(""); !fine) return tl::unexpected<Error>(fine.error());
  return Tokenizer(std::move(tables));
}

}  // namespace precept
