#include "precept/revise/summary.h"

#include <limits>

#include "precept/core/estimate.h"

namespace precept {
namespace {

using Value = Verdict::Value;

void count_verdicts(RunSummary& summary, const TraceView& trace, const StepRecord* last_judgment) {
  for (const StepRecord& step : *trace.steps) {
    for (const Verdict& verdict : step.verdicts) {
      PrincipleCount& count = summary.principles[verdict.principle];
      if (verdict.value == Value::kUnparseable) {
        ++count.unparseable;
      } else if (step.kind == StepKind::kSelect) {
        count.selected += verdict.value == Value::kYes ? 1 : 0;
      } else if (step.round == 0) {
        ++count.judged;
        count.violated_draft += verdict.value == Value::kYes ? 1 : 0;
      }
    }
  }
  if (!last_judgment) return;
  for (const Verdict& verdict : last_judgment->verdicts) {
    if (verdict.value == Value::kYes) ++summary.principles[verdict.principle].violated_final;
  }
}

void add(VerdictCount& count, const std::vector<Verdict>& verdicts) {
  for (const Verdict& verdict : verdicts) {
    ++count.n;
    count.unparseable += verdict.value == Value::kUnparseable ? 1 : 0;
    if (!verdict.probability) continue;
    ++count.scored;
    count.uncertain += is_uncertain(*verdict.probability) ? 1 : 0;
  }
}

void count_item(RunSummary& summary, const TraceView& trace) {
  ++summary.items;
  std::size_t revisions = 0;
  const StepRecord* last_judgment = nullptr;
  for (const StepRecord& step : *trace.steps) {
    const char* name = step_name(step.kind);
    ++summary.calls[name];
    ++summary.total_calls;
    summary.tokens[name] += step.usage;
    summary.total_tokens += step.usage;
    if (!step.verdicts.empty()) add(summary.verdicts[name], step.verdicts);
    if (step.kind == StepKind::kRevision) ++revisions;
    if (step.kind == StepKind::kJudge) last_judgment = &step;
  }
  switch (trace.item->ending) {
    case Ending::kPending: ++summary.pending; return;
    case Ending::kFailed:
      if (++summary.failed == 1) summary.first_failure = trace.item->id + ": " + trace.item->reason;
      return;
    case Ending::kComplied: ++summary.complied_at_once; break;
    case Ending::kRevised: ++summary.revised; break;
    case Ending::kUnsettled: ++summary.unsettled; break;
    case Ending::kUnparseable: ++summary.unparseable; break;
  }
  summary.finished_calls += static_cast<std::int64_t>(trace.steps->size());
  if (summary.by_rounds.size() <= revisions) summary.by_rounds.resize(revisions + 1);
  ++summary.by_rounds[revisions];
  count_verdicts(summary, trace, last_judgment);
}

}  // namespace

double RunSummary::calls_per_item() const {
  const std::int64_t finished = items - pending - failed;
  if (finished == 0) return std::numeric_limits<double>::quiet_NaN();
  return static_cast<double>(finished_calls) / static_cast<double>(finished);
}

Result<RunSummary> summarize(const RunStore& store) {
  RunSummary summary;
  const Status status = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    count_item(summary, view(item, steps));
    return true;
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return summary;
}

TraceView view(const RunItem& item, const std::vector<StepRecord>& steps) {
  TraceView trace;
  trace.item = &item;
  trace.steps = &steps;
  for (const StepRecord& step : steps) {
    if (step.kind == StepKind::kDraft) trace.draft = &step;
    if (step.kind == StepKind::kDraft || step.kind == StepKind::kRevision) trace.final = &step;
  }
  return trace;
}

}  // namespace precept
