#pragma once
// The mean of values that lie between 0 and 1, such as the share of solved samples of each of many tasks.

#include <cstdint>
#include <vector>

#include "precept/core/estimate.h"

namespace precept {

// An interval that is guaranteed for every distribution on [low, high] and every n (none of "approximately for many"): the
// hedged capital of a gambler who bets against each candidate mean (Waudby-Smith and Ramdas 2024, J. of the Royal
// Statistical Society B 86:1, "Estimating means of bounded random variables by betting", section 4.4, with c = 3/4 and its
// predictable plug-in bets). The values are independent draws from one population, as tasks of a benchmark are taken to be;
// what several samples of one task have in common stays inside its value.
// For values of 0 and 1 alone use proportion(), which is exact and narrower.
// Deviations: the capital at the end decides, not its maximum on the way, which could leave the mean of the values outside;
// the order of the values, on which the bets depend, is a fixed permutation of the one given, so that a file
// sorted by difficulty does no harm. No values: undefined. Values outside of [low, high] are our own bug.
Estimate bounded_mean(const std::vector<double>& values, std::int64_t unscored = 0, double low = 0, double high = 1,
                      double level = 0.95);

}  // namespace precept
