#include "precept/revise/verdicts.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <utility>

namespace precept {
namespace {

using Value = Verdict::Value;

struct Word {
  std::string_view text;  // lower case
  Value value;
};

// Longer words come before their beginnings.
constexpr Word kSelectWords[] = {
    {"does not apply", Value::kNo},  {"doesn't apply", Value::kNo}, {"not applicable", Value::kNo},
    {"not relevant", Value::kNo},    {"irrelevant", Value::kNo},    {"applicable", Value::kYes},
    {"relevant", Value::kYes},       {"applies", Value::kYes},      {"matters", Value::kYes},
    {"yes", Value::kYes},            {"no", Value::kNo},            {"不适用", Value::kNo},
    {"不相关", Value::kNo},          {"不是", Value::kNo},          {"适用", Value::kYes},
    {"相关", Value::kYes},           {"是", Value::kYes},           {"否", Value::kNo},
};
constexpr Word kJudgeWords[] = {
    {"does not violate", Value::kNo}, {"doesn't violate", Value::kNo}, {"does not break", Value::kNo},
    {"does not comply", Value::kYes}, {"doesn't comply", Value::kYes}, {"not violated", Value::kNo},
    {"no violation", Value::kNo},     {"violation", Value::kYes},      {"violates", Value::kYes},
    {"violated", Value::kYes},        {"breaks", Value::kYes},         {"complies", Value::kNo},
    {"compliant", Value::kNo},        {"keeps", Value::kNo},           {"yes", Value::kYes},
    {"no", Value::kNo},               {"没有违反", Value::kNo},        {"不违反", Value::kNo},
    {"未违反", Value::kNo},           {"不符合", Value::kYes},         {"不遵守", Value::kYes},
    {"违反", Value::kYes},            {"符合", Value::kNo},            {"遵守", Value::kNo},
    {"是", Value::kYes},              {"否", Value::kNo},
};

constexpr std::string_view kBefore[] = {"rule", "principle", "no.", "规则", "原则", "准则", "第"};
// May stand between the number and the verdict.
constexpr std::string_view kBetween[] = {" ", "\t", ":", ".", ")", "]", "-", "*", "_", "=", ">", "：", "、",
                                         "。", "）", "–", "—", "→", "条", "`", "\"", "“"};
// May follow the verdict; then comes anything.
constexpr std::string_view kAfter[] = {".", ",", ";", ":", "(", "*", "_", "`", "\"", "—", "–", "。",
                                       "，", "；", "：", "（", "”", "!", "！"};
constexpr std::string_view kDecoration[] = {" ", "\t", "*", "-", "_", "#", "(", "[", "`", ">", "•", "“", "\""};

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

template <std::size_t N>
bool skip_one(std::string_view& text, const std::string_view (&set)[N]) {
  for (const std::string_view each : set) {
    if (starts(text, each)) {
      text.remove_prefix(each.size());
      return true;
    }
  }
  return false;
}
template <std::size_t N>
bool skip_all(std::string_view& text, const std::string_view (&set)[N]) {
  bool any = false;
  while (!text.empty() && skip_one(text, set)) any = true;
  return any;
}

std::string lower_ascii(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// What follows the verdict must be its end: nothing, a dash with spaces, or punctuation.
bool ends_well(std::string_view rest) {
  const std::size_t space = rest.find_first_not_of(" \t\r");
  if (space == std::string_view::npos) return true;
  if (space > 0) {
    rest.remove_prefix(space);
    return starts(rest, "- ") || starts(rest, "(") || starts(rest, "—") || starts(rest, "–") || starts(rest, "（");
  }
  return std::any_of(std::begin(kAfter), std::end(kAfter),
                     [&](std::string_view mark) { return starts(rest, mark); });
}

template <std::size_t N>
std::optional<Value> word_of(std::string_view text, const Word (&words)[N]) {
  for (const Word& word : words) {
    if (starts(text, word.text)) {
      if (ends_well(text.substr(word.text.size()))) return word.value;
    }
  }
  return std::nullopt;
}

std::optional<Value> verdict_of(StepKind kind, std::string_view text) {
  return kind == StepKind::kSelect ? word_of(text, kSelectWords) : word_of(text, kJudgeWords);
}

struct Line {
  std::size_t number = 0;       // 0: none
  std::optional<Value> value;
};

// `line` is lower case.
Line read_line(StepKind kind, std::string_view line) {
  Line read;
  skip_all(line, kDecoration);
  const std::string_view whole = line;
  if (skip_one(line, kBefore)) skip_all(line, kDecoration);
  // "No. 1: yes" names a rule, "No. The reply is fine." answers.
  if (starts(whole, "no.") && (line.empty() || line.front() < '0' || line.front() > '9')) line = whole;
  std::size_t digits = 0;
  while (digits < line.size() && digits < 6 && line[digits] >= '0' && line[digits] <= '9') {
    read.number = read.number * 10 + static_cast<std::size_t>(line[digits] - '0');
    ++digits;
  }
  line.remove_prefix(digits);
  const bool separated = skip_all(line, kBetween);
  if (digits > 0 && !separated) return {};  // "2nd", "10x": not a rule's number
  read.value = verdict_of(kind, line);
  return read;
}

}  // namespace

Result<std::vector<Verdict>> read_scores(const Scores& scores, const Principles& principles, double threshold) {
  if (scores.logprobs.size() != principles.size()) {
    return failed("the model scored " + std::to_string(scores.logprobs.size()) + " questions of " +
                  std::to_string(principles.size()));
  }
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < principles.size(); ++i) {
    if (scores.logprobs[i].size() != 2) return failed("the model did not score both options of a question");
    Verdict verdict;
    verdict.principle = principles[i]->id;
    const double yes = scores.logprobs[i][0], no = scores.logprobs[i][1];
    const double p = 1.0 / (1.0 + std::exp(no - yes));  // inf - inf is not a number
    if (std::isfinite(p)) {
      verdict.probability = p;
      verdict.value = p >= threshold ? Value::kYes : Value::kNo;
    }
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

std::vector<Verdict> read_list(StepKind kind, std::string_view answer, const Principles& principles) {
  constexpr std::string_view kThought = "</think>";
  if (const std::size_t thought = answer.rfind(kThought); thought != std::string_view::npos) {
    answer.remove_prefix(thought + kThought.size());
  }
  std::vector<std::optional<Value>> said(principles.size());
  std::vector<char> torn(principles.size(), 0);
  const std::string text = lower_ascii(answer);
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    Line line = read_line(kind, std::string_view(text).substr(at, end - at));
    at = end + 1;
    if (line.number == 0 && principles.size() == 1) line.number = 1;
    if (line.number == 0 || line.number > principles.size() || !line.value) continue;
    std::optional<Value>& value = said[line.number - 1];
    if (value && *value != *line.value) torn[line.number - 1] = 1;
    value = line.value;
  }
  std::vector<Verdict> verdicts;
  for (std::size_t i = 0; i < principles.size(); ++i) {
    Verdict verdict;
    verdict.principle = principles[i]->id;
    if (said[i] && !torn[i]) verdict.value = *said[i];
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

}  // namespace precept
