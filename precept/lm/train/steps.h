#pragma once
// The steps of a course, from where its state stands to the end of its data.

#include "precept/lm/train/course.h"

namespace precept {

// The weights that are written: rounded to bf16, or an adapter's as they are; where a guard stopped the course, the last good
// ones. `items`: of one epoch. The state, the trainer and the lesson belong together and have not moved apart.
Result<std::vector<float>> run_steps(const TrainOptions& options, std::uint64_t items, Lesson& lesson, BatchTrainer& trainer,
                                     TrainState& state, const EventSink& sink);

// Mean over the first (or last) 5% of steps, weighted by each step's weights.
double mean_loss(const TrainState& state, bool last);

}  // namespace precept
