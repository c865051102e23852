#include "cli/run_traces.h"

#include <algorithm>
#include <array>
#include <utility>

#include "precept/revise/summary.h"

namespace precept {
namespace {

std::string joined(const std::vector<std::string>& ids) {
  std::string out;
  for (const std::string& id : ids) out += (out.empty() ? "" : ", ") + id;
  return out;
}

ReportTrace trace_of(const RunItem& item, const std::vector<StepRecord>& steps) {
  ReportTrace t;
  t.id = item.id;
  t.prompt = item.messages;
  const TraceView seen = view(item, steps);
  if (seen.draft) t.draft = seen.draft->text;
  if (seen.final) t.final_answer = seen.final->text;
  t.ending = item.ending;
  for (const StepRecord& step : steps) {
    switch (step.kind) {
      case StepKind::kDraft: break;
      case StepKind::kSelect:
        for (const Verdict& v : step.verdicts) {
          t.selections.push_back({v.principle, v.probability, v.value == Verdict::Value::kYes});
        }
        break;
      case StepKind::kJudge:
        for (const Verdict& v : step.verdicts) {
          t.steps.push_back({"judgment", step.round, v.principle, verdict_name(step.kind, v.value), v.probability, ""});
        }
        break;
      case StepKind::kReason:
      case StepKind::kCompare: break;  // of label folders, which have no such report
      case StepKind::kCritique:
      case StepKind::kRevision:
        t.steps.push_back({step.kind == StepKind::kCritique ? "critique" : "revision", step.round, joined(step.principles),
                           "", std::nullopt, step.text});
        break;
    }
  }
  return t;
}

// Items of one ending. The shares of all kinds are of ten.
struct Kind {
  Ending ending;
  bool long_way;  // more than one round
  std::size_t share;
  std::vector<ReportTrace> found;
};

bool fits(const Kind& kind, const RunItem& item, const std::vector<StepRecord>& steps) {
  if (kind.ending != item.ending) return false;
  if (item.ending != Ending::kRevised) return true;
  const bool long_way = std::any_of(steps.begin(), steps.end(), [](const StepRecord& step) { return step.round > 1; });
  return kind.long_way == long_way;
}

}  // namespace

Result<std::vector<ReportTrace>> pick_traces(const RunStore& store, std::size_t most) {
  std::array<Kind, 5> kinds = {{{Ending::kRevised, false, 4, {}},
                                {Ending::kRevised, true, 2, {}},
                                {Ending::kComplied, false, 2, {}},
                                {Ending::kUnsettled, false, 1, {}},
                                {Ending::kUnparseable, false, 1, {}}}};
  const auto status = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    bool wanting = false;
    for (Kind& kind : kinds) {
      if (kind.found.size() < most && fits(kind, item, steps)) kind.found.push_back(trace_of(item, steps));
      wanting = wanting || kind.found.size() < most;
    }
    return wanting;
  });
  if (!status) return tl::unexpected(status.error());
  std::array<std::size_t, 5> places{};
  std::size_t taken = 0;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    places[k] = std::min({kinds[k].share * most / 10, kinds[k].found.size(), most - taken});
    taken += places[k];
  }
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    const std::size_t more = std::min(kinds[k].found.size() - places[k], most - taken);
    places[k] += more;
    taken += more;
  }
  std::vector<ReportTrace> traces;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    for (std::size_t i = 0; i < places[k]; ++i) traces.push_back(std::move(kinds[k].found[i]));
  }
  return traces;
}

}  // namespace precept
