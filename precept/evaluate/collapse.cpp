#include "precept/evaluate/collapse.h"

#include <map>
#include <unordered_set>

#include "precept/core/result.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

constexpr std::size_t kEndingWords = 5;
constexpr std::size_t kLongestPhrase = 12;

// Digest of words[begin, end); words cannot contain the separator.
std::uint64_t phrase_hash(const std::vector<std::string>& words, std::size_t begin, std::size_t end) {
  std::string phrase;
  for (std::size_t i = begin; i < end; ++i) {
    phrase += words[i];
    phrase += ' ';
  }
  return hash64(phrase);
}

std::optional<double> distinct(const std::vector<std::vector<std::string>>& answers, std::size_t n) {
  std::unordered_set<std::uint64_t> seen;
  std::int64_t total = 0;
  for (const auto& words : answers) {
    for (std::size_t i = 0; i + n <= words.size(); ++i) {
      seen.insert(phrase_hash(words, i, i + n));
      ++total;
    }
  }
  if (total == 0) return std::nullopt;
  return static_cast<double>(seen.size()) / static_cast<double>(total);
}

}  // namespace

std::vector<std::string> split_words(const std::string& text) {
  std::vector<std::string> words;
  std::string word;
  for (const char c : text) {
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
    } else {
      word += c;
    }
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

bool ends_in_a_loop(const std::vector<std::string>& words) {
  for (std::size_t length = 1; length <= kLongestPhrase; ++length) {
    const std::size_t times = length == 1 ? 4 : 3;
    if (words.size() < length * times) return false;
    bool same = true;
    for (std::size_t i = words.size() - length * (times - 1); same && i < words.size(); ++i) {
      same = words[i] == words[i - length];
    }
    if (same) return true;
  }
  return false;
}

CollapseSigns collapse_signs(const std::vector<std::string>& answers, const std::vector<bool>& truncated) {
  PRECEPT_CHECK(answers.size() == truncated.size());
  CollapseSigns signs;
  std::vector<std::vector<std::string>> split;
  split.reserve(answers.size());
  std::map<std::uint64_t, std::int64_t> endings;
  std::vector<double> lengths;
  std::int64_t empty = 0, cut = 0, looping = 0;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    split.push_back(split_words(answers[i]));
    const auto& words = split.back();
    lengths.push_back(static_cast<double>(words.size()));
    empty += words.empty() ? 1 : 0;
    cut += truncated[i] ? 1 : 0;
    looping += ends_in_a_loop(words) ? 1 : 0;
    if (words.size() >= kEndingWords) ++endings[phrase_hash(words, words.size() - kEndingWords, words.size())];
  }
  std::int64_t repeated = 0, with_ending = 0;
  for (const auto& entry : endings) {
    with_ending += entry.second;
    if (entry.second > 1) repeated += entry.second;
  }
  const auto n = static_cast<std::int64_t>(answers.size());
  signs.distinct_1 = distinct(split, 1);
  signs.distinct_2 = distinct(split, 2);
  signs.distinct_3 = distinct(split, 3);
  signs.repeated_endings = proportion(repeated, with_ending, n - with_ending);
  signs.looping = proportion(looping, n);
  signs.empty = proportion(empty, n);
  signs.truncated = proportion(cut, n);
  signs.mean_words = mean(lengths);
  return signs;
}

}  // namespace precept
