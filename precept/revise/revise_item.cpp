// The loop of one item, in the order of docs/architecture.md. The steps are in item_steps.cpp; what runs
// thousands of these at once is in precept/store/walk.h.

#include <utility>

#include "precept/revise/item_steps.h"

namespace precept {
namespace {

tl::unexpected<Error> fail(const Error& error) { return tl::unexpected<Error>(error); }

// The 2022 paper's way: every draft is criticised and rewritten, whatever it says.
Task<Result<Ending>> always_revise(ItemSteps& item, const ReviseOptions& options, Principles selected) {
  for (int round = 1; round <= options.max_rounds; ++round) {
    const Principles addressed = item.unjudged(selected, round);
    if (addressed.empty()) co_return Ending::kComplied;
    const Status criticised = co_await item.critique(round, addressed);
    if (!criticised) co_return fail(criticised.error());
    const Status revised = co_await item.revise(round, addressed);
    if (!revised) co_return fail(revised.error());
  }
  co_return options.max_rounds == 0 ? Ending::kComplied : Ending::kRevised;
}

// Judge; keep what complies; else critique, revise and judge again.
Task<Result<Ending>> revise_until_it_complies(ItemSteps& item, const ReviseOptions& options, Principles selected) {
  for (int round = 0;; ++round) {
    const Result<Judgment> judgment = co_await item.judge(round, selected);
    if (!judgment) co_return fail(judgment.error());
    if (judgment->violated.empty()) {
      if (judgment->unreadable) co_return Ending::kUnparseable;
      co_return round == 0 ? Ending::kComplied : Ending::kRevised;
    }
    if (round == options.max_rounds) co_return Ending::kUnsettled;
    const Principles addressed = item.most_important(*judgment);
    const Status criticised = co_await item.critique(round + 1, addressed);
    if (!criticised) co_return fail(criticised.error());
    const Status revised = co_await item.revise(round + 1, addressed);
    if (!revised) co_return fail(revised.error());
  }
}

Task<Result<Ending>> loop(ItemSteps& item, const ReviseOptions& options) {
  const Result<Principles> selected = co_await item.select();
  if (!selected) co_return fail(selected.error());
  const Status drafted = co_await item.draft();
  if (!drafted) co_return fail(drafted.error());
  if (options.revise_compliant) co_return co_await always_revise(item, options, *selected);
  co_return co_await revise_until_it_complies(item, options, *selected);
}

}  // namespace

Task<ItemTrace> revise_item(ReviseRun& run, ItemTrace trace) {
  ItemSteps steps(run, trace);
  trace.end(co_await loop(steps, run.options));
  co_return std::move(trace);
}

}  // namespace precept
