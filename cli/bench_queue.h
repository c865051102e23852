#pragma once
// precept bench queue: a model with more requests than it can take, and what they cost while they wait.

#include "cli/command.h"

namespace precept {

void add_bench_queue(CLI::App& bench, Context& context);

}  // namespace precept
