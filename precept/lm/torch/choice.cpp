#include "precept/lm/torch/choice.h"

#include <algorithm>
#include <bit>

namespace precept::infer {
namespace {

// p log-probabilities and ids of rows.
struct Picked {
  at::Tensor ids, logprobs;
};

// Numbers of the plan on the device.
struct Numbers {
  const at::Tensor& ints;
  at::Tensor integers(std::size_t from, std::size_t count) const {
    return ints.narrow(0, static_cast<std::int64_t>(from), static_cast<std::int64_t>(count));
  }
  at::Tensor doubles(std::size_t from, std::size_t count) const { return integers(from, count).view(at::kDouble); }
};

// exp((logit - top) / temperature) of the tokens that may be picked.
at::Tensor weights_of(const at::Tensor& logits_PV, const at::Tensor& scales) {
  return logits_PV.sub(logits_PV.amax(-1, true)).mul_(scales.to(at::kFloat).unsqueeze(1)).exp_();
}

// Position of the first of each row's running sums that is above (or reaches) an aim. May lie one beyond the end.
at::Tensor first_above(const at::Tensor& sums, const at::Tensor& aims, bool above) {
  return at::searchsorted(sums, aims.unsqueeze(1), false, above).squeeze(1);
}

at::Tensor pick_plain(const at::Tensor& weights, const at::Tensor& draws) {
  const at::Tensor sums = weights.cumsum(-1, at::kDouble);
  const std::int64_t last = weights.size(1) - 1;
  const at::Tensor found = first_above(sums, draws * sums.select(1, last), true);
  // Rounding left the aim at the sum itself: the most probable token.
  return at::where(found > last, weights.argmax(-1), found);
}

at::Tensor pick_nucleus(const at::Tensor& weights, const at::Tensor& draws, const at::Tensor& top_p) {
  const auto [sorted, order] = at::sort(weights, true, -1, true);  // stable: the lower id first among equals
  const at::Tensor sums = sorted.cumsum(-1, at::kDouble);
  const std::int64_t last = weights.size(1) - 1;
  const at::Tensor end = first_above(sums, top_p * sums.select(1, last), false).clamp_max(last);
  const at::Tensor kept = sums.gather(1, end.unsqueeze(1)).squeeze(1);
  const at::Tensor found = first_above(sums, draws * kept, true);
  return order.gather(1, at::where(found > end, at::zeros_like(found), found).unsqueeze(1)).squeeze(1);
}

}  // namespace

std::vector<ChoicePlan> plan_choices(StepPlan& plan, const std::vector<Wanted>& wanted, int at_once) {
  std::vector<ChoicePlan> all;
  std::vector<std::int64_t>& ints = plan.ints;
  for (std::size_t from = 0; from < wanted.size(); from += static_cast<std::size_t>(at_once)) {
    ChoicePlan& one = all.emplace_back();
    one.from = from;
    one.count = static_cast<int>(std::min(wanted.size() - from, static_cast<std::size_t>(at_once)));
    one.rows = ints.size();
    std::vector<std::int64_t> rows, targets;  // of lookups
    for (int i = 0; i < one.count; ++i) {
      const Wanted& w = wanted[from + static_cast<std::size_t>(i)];
      ints.push_back(plan.first_row[static_cast<std::size_t>(w.segment)] + w.row);
      if (w.sampling != nullptr) {
        (w.sampling->temperature == 0 ? one.greedy : w.sampling->top_p >= 1.0 ? one.plain : one.nucleus).push_back(i);
        continue;
      }
      rows.insert(rows.end(), static_cast<std::size_t>(w.count), i);
      targets.insert(targets.end(), w.targets, w.targets + w.count);
    }
    const auto add_rows = [&](const std::vector<int>& which) {
      const std::size_t at = ints.size();
      ints.insert(ints.end(), which.begin(), which.end());
      return at;
    };
    one.greedy_rows = add_rows(one.greedy);
    one.plain_rows = add_rows(one.plain);
    one.nucleus_rows = add_rows(one.nucleus);
    const auto add_draws = [&](const std::vector<int>& which) {
      const std::size_t at = ints.size(), n = which.size();
      ints.resize(at + 3 * n);
      for (std::size_t i = 0; i < n; ++i) {
        const Wanted& w = wanted[from + static_cast<std::size_t>(which[i])];
        ints[at + i] = std::bit_cast<std::int64_t>(1.0 / std::max(w.sampling->temperature, 1e-4));
        ints[at + n + i] = std::bit_cast<std::int64_t>(w.uniform);
        ints[at + 2 * n + i] = std::bit_cast<std::int64_t>(w.sampling->top_p);
      }
      return at;
    };
    one.plain_draws = add_draws(one.plain);
    one.nucleus_draws = add_draws(one.nucleus);
    one.lookups = ints.size();
    one.looked_up = static_cast<int>(rows.size());
    ints.insert(ints.end(), rows.begin(), rows.end());
    ints.insert(ints.end(), targets.begin(), targets.end());
  }
  return all;
}

at::Tensor answer(const ChoicePlan& plan, const at::Tensor& ints, const at::Tensor& logits_WV, std::int64_t choices) {
  const Numbers numbers{ints};
  const std::int64_t V = logits_WV.size(1);
  const at::Tensor top = logits_WV.amax(-1, true);
  const at::Tensor log_sum = (logits_WV - top).exp_().sum(-1, false, at::kDouble).log_();
  const at::Tensor tops = top.squeeze(1).to(at::kDouble), flat = logits_WV.reshape({-1});
  const auto logprobs = [&](const at::Tensor& rows, const at::Tensor& ids) {
    return flat.index_select(0, rows * V + ids).to(at::kDouble).sub_(tops.index_select(0, rows)).sub_(log_sum.index_select(0, rows));
  };
  std::vector<at::Tensor> parts = {top.squeeze(1).isfinite().to(at::kDouble)}, ids, values;
  const auto add = [&](std::size_t from, std::size_t count, const auto& pick) {
    if (count == 0) return;
    const at::Tensor rows = numbers.integers(from, count);
    const at::Tensor picked = pick(logits_WV.index_select(0, rows).narrow(1, 0, choices)).clamp(0, choices - 1);
    ids.push_back(picked.to(at::kDouble));
    values.push_back(logprobs(rows, picked));
  };
  add(plan.greedy_rows, plan.greedy.size(), [](const at::Tensor& logits) { return logits.argmax(-1); });  // the first of equals
  const std::size_t p = plan.plain.size(), n = plan.nucleus.size();
  add(plan.plain_rows, p, [&](const at::Tensor& logits) {
    return pick_plain(weights_of(logits, numbers.doubles(plan.plain_draws, p)), numbers.doubles(plan.plain_draws + p, p));
  });
  add(plan.nucleus_rows, n, [&](const at::Tensor& logits) {
    return pick_nucleus(weights_of(logits, numbers.doubles(plan.nucleus_draws, n)), numbers.doubles(plan.nucleus_draws + n, n),
                        numbers.doubles(plan.nucleus_draws + 2 * n, n));
  });
  parts.insert(parts.end(), ids.begin(), ids.end());
  parts.insert(parts.end(), values.begin(), values.end());
  if (plan.looked_up > 0) {
    const auto count = static_cast<std::size_t>(plan.looked_up);
    parts.push_back(logprobs(numbers.integers(plan.lookups, count), numbers.integers(plan.lookups + count, count)));
  }
  return at::cat(parts);
}

void read_answer(const ChoicePlan& plan, const double* answer, const std::vector<Wanted>& wanted, std::vector<Outcome>& outcomes) {
  const double* id = answer + plan.count;
  const double* logprob = id + plan.picks();
  const double* looked_up = logprob + plan.picks();
  for (int i = 0; i < plan.count; ++i) outcomes[plan.from + static_cast<std::size_t>(i)].finite = answer[i] != 0;
  for (const std::vector<int>* which : {&plan.greedy, &plan.plain, &plan.nucleus}) {
    for (const int i : *which) {
      Outcome& outcome = outcomes[plan.from + static_cast<std::size_t>(i)];
      outcome.picked = static_cast<std::int32_t>(*id++);
      outcome.logprob = static_cast<float>(*logprob++);
    }
  }
  for (int i = 0; i < plan.count; ++i) {
    const std::size_t at = plan.from + static_cast<std::size_t>(i);
    if (wanted[at].sampling != nullptr) continue;
    if (outcomes[at].finite) outcomes[at].logprobs.assign(looked_up, looked_up + wanted[at].count);
    looked_up += wanted[at].count;
  }
}

}  // namespace precept::infer
