#include "precept/revise/item_steps.h"

namespace precept {

Result<WalkResult> walk(ReviseRun& run, const char* stage, const ItemTask& task, const EventSink& events) {
  const Advance advance = [&run] {
    const bool two = &run.policy != &run.judge;
    // With two models neither may sleep while the other could work.
    const std::chrono::milliseconds wait(two ? 2 : 50);
    std::size_t in_flight = run.policy.advance(wait);
    if (two) in_flight += run.judge.advance(wait);
    return in_flight;
  };
  return walk(run.log, {stage, "item", run.options.concurrency, run.options.give_up_after}, task, advance, events);
}

Result<WalkResult> revise(const Constitution& constitution, const ReviseOptions& options, Model& policy,
                          Model& judge, RunStore& store, const EventSink& events) {
  if (Status status = check(options); !status) return tl::unexpected<Error>(status.error());
  if (constitution.principles.empty()) {
    return bad_input("the constitution has no principles", "add a [[principle]]", constitution.file);
  }
  const auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  ReviseRun run{options, constitution, *templates, policy, judge, {store}};
  return walk(run, "revise", [&run](ItemTrace trace) { return revise_item(run, std::move(trace)); }, events);
}

}  // namespace precept
