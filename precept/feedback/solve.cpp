#include "precept/feedback/solve.h"

#include <chrono>
#include <utility>

#include "precept/feedback/code/code_test.h"
#include "precept/feedback/solve_item.h"

namespace precept {

Result<WalkResult> solve(const std::vector<CodeTask>& tasks, const SolveOptions& options, Model& model, Sandbox& sandbox,
                          RunStore& store, const EventSink& events) {
  SolveOptions copy = options;
  if (Status status = check_fields(fields_of(copy)); !status) return tl::unexpected(status.error());
  auto strategies = strategies_of(options);
  if (!strategies) return tl::unexpected(strategies.error());
  SandboxLimits limits = code_limits();
  limits.wall_seconds = limits.cpu_seconds = options.time_limit;
  limits.memory_bytes = static_cast<std::uint64_t>(options.memory_limit) << 20;
  const std::uint64_t budget = budget_of(options, *strategies);
  SolveRun run{tasks, options, std::move(*strategies), budget, limits, model, sandbox, {store}};
  const Advance advance = [&] {  // a busy model is not waited for while tests could be collected, nor tests while the model could work
    const std::size_t testing = sandbox.advance(std::chrono::milliseconds(0));
    const std::size_t writing = model.advance(std::chrono::milliseconds(testing > 0 ? 2 : 50));
    if (writing == 0 && testing > 0) return sandbox.advance(std::chrono::milliseconds(50));
    return testing + writing;
  };
  return walk(run.log, {"solve", "sample", options.concurrency, options.give_up_after},
              [&run](ItemTrace trace) { return solve_item(run, std::move(trace)); }, advance, events);
}

}  // namespace precept
