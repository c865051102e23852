#include "precept/feedback/text_reward.h"

#include <algorithm>
#include <sstream>

namespace precept {
namespace {

constexpr std::size_t kOverAndOver = 4;  // times one word ends an answer

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::vector<std::string> phrases(const std::string& list) {
  std::vector<std::string> out;
  std::istringstream parts(lower(list));
  for (std::string part; std::getline(parts, part, '|');) {
    if (!part.empty()) out.push_back(part);
  }
  return out;
}

bool any_in(const std::vector<std::string>& wanted, const std::string& text) {
  return std::any_of(wanted.begin(), wanted.end(), [&](const std::string& phrase) { return text.find(phrase) != std::string::npos; });
}

RewardValue format_of(const RewardInput& answer) {
  if (answer.cut) return {0.0, "cut off"};
  std::istringstream words(answer.reply);
  std::string word, last;
  std::size_t count = 0, repeated = 0;
  for (; words >> word; ++count) {
    repeated = word == last ? repeated + 1 : 1;
    last = word;
  }
  if (count == 0) return {0.0, "blank"};
  if (repeated >= kOverAndOver) return {0.0, "ends in one word over and over"};
  return {1.0, ""};
}

}  // namespace

TextReward::TextReward(TextRewardOptions options)
    : options_(std::move(options)), wanted_(phrases(options_.must_contain)), unwanted_(phrases(options_.must_not_contain)) {}

Result<std::vector<std::vector<RewardValue>>> TextReward::score(std::span<const RewardInput> answers) {
  std::vector<std::vector<RewardValue>> out;
  for (const RewardInput& answer : answers) {
    const double most = options_.most_tokens;
    const double length = most > 0 ? -std::max(0.0, (static_cast<double>(answer.tokens) - most) / most) : 0.0;
    const std::string text = lower(answer.reply);
    const bool kept = (wanted_.empty() || any_in(wanted_, text)) && !any_in(unwanted_, text);
    out.push_back({RewardValue{length, ""}, format_of(answer), RewardValue{kept ? 1.0 : 0.0, ""}});
  }
  return out;
}

}  // namespace precept
