#include "precept/store/item_trace.h"

#include <chrono>
#include <utility>

namespace precept {

void ItemTrace::end(const Result<Ending>& ending) {
  if (!ending && ending.error().kind == ErrorKind::kLimit) {
    limit = ending.error();
    return;
  }
  item.ending = ending ? *ending : Ending::kFailed;
  item.reason = ending ? std::string() : ending.error().message();
}

Result<const StepRecord*> StepLog::recall(ItemTrace& trace, StepKind kind, int round, const std::string& inputs) {
  for (const StepRecord& step : trace.steps) {
    if (step.kind != kind || step.round != round) continue;
    if (step.inputs != inputs) {
      return refuse(trace, kind, round, "was made from other inputs", "go back to the recipe that began this run, or give another run folder");
    }
    ++trace.repeated;
    return &step;
  }
  return nullptr;
}

tl::unexpected<Error> StepLog::refuse(const ItemTrace& trace, StepKind kind, int round, const std::string& what, const std::string& hint) {
  auto error = bad_input("the stored " + std::string(step_name(kind)) + " step of item " + trace.item.id + " (round " + std::to_string(round) + ") " + what,
                         hint);
  if (storage) storage = error;
  return error;
}

Status StepLog::keep(ItemTrace& trace, StepRecord step) {
  step.item = trace.item.ordinal;
  step.time_ms = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
  ++made;
  Status stored = store.put(step);
  if (!stored && storage) storage = stored;
  trace.steps.push_back(std::move(step));
  return stored;
}

}  // namespace precept
