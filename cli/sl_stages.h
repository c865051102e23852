#pragma once
// Stages of supervised learning as functions, for the commands that run them among others: the loop, and fine-tuning.

#include <string>

#include "cli/train_command.h"
#include "precept/constitution/constitution.h"
#include "precept/revise/export.h"
#include "precept/revise/revise.h"

namespace precept {

// What the store exports, in one file.
Result<ExportCounts> export_to_file(const RunStore& store, const ExportOptions& options, const std::string& path);

// The loop over the items of `store`, which was opened with revise_recipe of the same; its final answers go into `answers_file`.
// Failed items are in the result; all_finished() makes an Error of them.
Result<WalkResult> run_loop_stage(const Constitution& constitution, const ReviseOptions& options, Model& policy, Model& judge, RunStore& store,
                      const std::string& answers_file, const EventSink& events);

Status all_finished(const WalkResult& result);

// Fine-tuning on a file in TRL's shapes. `train`: after prepare(), or filled by hand.
Result<TrainSummary> run_sft_stage(const LmApi& lm, const TrainOptions& train, const std::string& data, const EventSink& events);

}  // namespace precept
