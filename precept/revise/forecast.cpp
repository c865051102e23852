#include "precept/revise/forecast.h"

#include <algorithm>
#include <array>
#include <limits>

namespace precept {
namespace {

// One request or several: bounds of what they take.
struct Cost {
  ForecastBounds low, high;

  void add(const ForecastBounds& at_least, const ForecastBounds& at_most) {
    for (const auto& [to, what] : {std::pair(&low, &at_least), std::pair(&high, &at_most)}) {
      to->calls += what->calls;
      to->prompt_tokens += what->prompt_tokens;
      to->output_tokens += what->output_tokens;
    }
  }
};

ForecastBounds least(const ForecastBounds& a, const ForecastBounds& b) {
  return {std::min(a.calls, b.calls), std::min(a.prompt_tokens, b.prompt_tokens), std::min(a.output_tokens, b.output_tokens)};
}
ForecastBounds most(const ForecastBounds& a, const ForecastBounds& b) {
  return {std::max(a.calls, b.calls), std::max(a.prompt_tokens, b.prompt_tokens), std::max(a.output_tokens, b.output_tokens)};
}

class Forecaster {
 public:
  Forecaster(const Constitution& constitution, const ReviseOptions& options, const Templates& templates,
             const std::vector<JudgeWay>& ways, const CountTokens& policy, const CountTokens& judge)
      : options_(options), templates_(templates), ways_(ways), policy_(policy), judge_(judge) {
    for (const Principle& principle : constitution.principles) all_.push_back(&principle);
    by_length_ = all_;
    std::stable_sort(by_length_.begin(), by_length_.end(), [](const Principle* a, const Principle* b) {
      return a->text.size() + a->why.size() + a->applies_to.size() < b->text.size() + b->why.size() + b->applies_to.size();
    });
    addressed_ = std::min(all_.size(), static_cast<std::size_t>(std::max(0, options.principles_per_round)));
  }

  void add(const RunItem& item) {
    const bool random = options_.selection == "random";
    if (!random) {
      const Cost cost = asked([&](const Principles& these) { return select_request(templates_, item.messages, these); },
                              [&](const Principles& these) { return select_list_request(templates_, item.messages, these); },
                              all_, all_, 0);
      at(StepKind::kSelect).add(cost.low, cost.high);
    }
    draft(item);
    if (!options_.revise_compliant) judge(item, random);
    rewrite(item);
  }

  Forecast finish(std::size_t items) const {
    Forecast out;
    out.items = static_cast<std::int64_t>(items);
    for (int kind = 0; kind < kStepKinds; ++kind) {
      const Cost& cost = costs_[static_cast<std::size_t>(kind)];
      if (cost.high.calls == 0) continue;
      const auto step = static_cast<StepKind>(kind);
      out.steps.push_back({step, step == StepKind::kSelect || step == StepKind::kJudge, cost.low, cost.high});
    }
    return out;
  }

 private:
  Cost& at(StepKind kind) { return costs_[static_cast<std::size_t>(kind)]; }

  // The shortest, or the longest, principles that a round addresses.
  Principles shortest() const { return {by_length_.begin(), by_length_.begin() + static_cast<std::ptrdiff_t>(addressed_)}; }
  Principles longest() const { return {by_length_.end() - static_cast<std::ptrdiff_t>(addressed_), by_length_.end()}; }

  // A question to the judge about `few` principles at least and `many` at most, in any of the ways. `reply` tokens come to
  // each request that holds a reply, at most.
  template <class Split, class List>
  Cost asked(const Split& split, const List& list, const Principles& few, const Principles& many, int reply) const {
    Cost out;
    bool first = true;
    for (const JudgeWay way : ways_) {
      const ForecastBounds low = one_way(way, split, list, few, 0, true), high = one_way(way, split, list, many, reply, false);
      out.low = first ? low : least(out.low, low);
      out.high = first ? high : most(out.high, high);
      first = false;
    }
    return out;
  }

  template <class Split, class List>
  ForecastBounds one_way(JudgeWay way, const Split& split, const List& list, const Principles& these, int reply, bool low) const {
    const auto count = [&](std::string_view text) { return low ? judge_(text).low : judge_(text).high + kChatTokens + reply; };
    const auto number = static_cast<std::int64_t>(these.size());
    if (way == JudgeWay::kList) return {1, count(list(these)), low ? 1 : options_.list_max_tokens};
    const SplitRequest request = split(these);
    if (way == JudgeWay::kWords) {
      ForecastBounds out{number, 0, number};
      for (const std::string& tail : request.tails) out.prompt_tokens += count(request.prefix + tail);
      return out;
    }
    ForecastBounds out{1, count(request.prefix), 2 * number};  // both options of every question are scored
    for (const std::string& tail : request.tails) out.prompt_tokens += low ? judge_(tail).low : judge_(tail).high;
    return out;
  }

  void draft(const RunItem& item) {
    ForecastBounds low{1, 0, 1}, high{1, kChatTokens, options_.draft_max_tokens};
    for (const Message& message : draft_request(templates_, item.messages)) {
      const TokenBounds tokens = policy_(message.content);
      low.prompt_tokens += tokens.low;
      high.prompt_tokens += tokens.high;
    }
    at(StepKind::kDraft).add(low, high);
  }

  void judge(const RunItem& item, bool random) {
    const auto split = [&](const Principles& these) { return judge_request(templates_, item.messages, "", these); };
    const auto list = [&](const Principles& these) { return judge_list_request(templates_, item.messages, "", these); };
    // Random principles are judged in any case; of those asked about it may be that none applies.
    const Cost draft = asked(split, list, random ? shortest() : Principles(), random ? longest() : all_, options_.draft_max_tokens);
    at(StepKind::kJudge).add(random ? draft.low : ForecastBounds{}, draft.high);
    const Cost revision = asked(split, list, {}, random ? longest() : all_, options_.revision_max_tokens);
    for (int round = 1; round <= options_.max_rounds; ++round) at(StepKind::kJudge).add({}, revision.high);
  }

  void rewrite(const RunItem& item) {
    const bool always = options_.revise_compliant && options_.selection == "random";
    const auto count = [&](const std::string& text, bool low, int answers) {
      return low ? policy_(text).low : policy_(text).high + kChatTokens + answers;
    };
    const int reply = std::max(options_.draft_max_tokens, options_.revision_max_tokens);
    Cost critique, revision;
    for (const bool low : {true, false}) {
      const Principles these = low ? shortest() : longest();
      if (these.empty()) return;
      const std::string criticise = critique_request(templates_, item.messages, "", these);
      const std::string rewrite = revise_request(templates_, item.messages, "", these, "");
      (low ? critique.low : critique.high) = {1, count(criticise, low, reply), low ? 1 : options_.critique_max_tokens};
      (low ? revision.low : revision.high) = {1, count(rewrite, low, reply + options_.critique_max_tokens), low ? 1 : options_.revision_max_tokens};
    }
    for (int round = 1; round <= options_.max_rounds; ++round) {
      at(StepKind::kCritique).add(always ? critique.low : ForecastBounds{}, critique.high);
      at(StepKind::kRevision).add(always ? revision.low : ForecastBounds{}, revision.high);
    }
  }

  const ReviseOptions& options_;
  const Templates& templates_;
  const std::vector<JudgeWay>& ways_;
  const CountTokens& policy_;
  const CountTokens& judge_;
  Principles all_, by_length_;
  std::size_t addressed_ = 0;
  std::array<Cost, kStepKinds> costs_;
};

}  // namespace

TokenBounds tokens_by_bytes(std::string_view text) {
  const auto bytes = static_cast<std::int64_t>(text.size());
  return {(bytes + kManyBytesPerToken - 1) / kManyBytesPerToken, (bytes + kFewBytesPerToken - 1) / kFewBytesPerToken};
}

Result<Forecast> forecast(const Constitution& constitution, const ReviseOptions& options, const std::vector<RunItem>& items,
                          const std::vector<JudgeWay>& ways, const CountTokens& policy, const CountTokens& judge) {
  if (Status status = check(options); !status) return tl::unexpected<Error>(status.error());
  if (constitution.principles.empty()) {
    return bad_input("the constitution has no principles", "add a [[principle]]", constitution.file);
  }
  const auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  Forecaster forecaster(constitution, options, *templates, ways, policy, judge);
  for (const RunItem& item : items) forecaster.add(item);
  return forecaster.finish(items.size());
}

}  // namespace precept
