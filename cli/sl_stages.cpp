#include "cli/sl_stages.h"

#include "cli/matching_tokenizer.h"
#include "cli/train_set.h"
#include "precept/core/io.h"

namespace precept {

Result<ExportCounts> export_to_file(const RunStore& store, const ExportOptions& options, const std::string& path) {
  std::string lines;
  const auto counts = export_run(store, options, [&](std::string_view line) {
    lines += line;
    return true;
  });
  if (!counts) return counts;
  if (const Status written = write_file(path, lines); !written) return tl::unexpected(written.error());
  return counts;
}

Result<WalkResult> run_loop_stage(const Constitution& constitution, const ReviseOptions& options, Model& policy, Model& judge, RunStore& store,
                      const std::string& answers_file, const EventSink& events) {
  const auto result = revise(constitution, options, policy, judge, store, events);
  if (!result) return result;
  const auto counts = export_to_file(store, {}, answers_file);
  if (!counts) return tl::unexpected(counts.error());
  return result;
}

Status all_finished(const WalkResult& result) {
  if (result.failed == 0) return {};
  return failed(std::to_string(result.failed) + " items failed, the first: " + result.first_failure, "run the same command again to retry them");
}

Result<TrainSummary> run_sft_stage(const LmApi& lm, const TrainOptions& train, const std::string& data, const EventSink& events) {
  const auto files = load_matching_tokenizer(train.from);
  if (!files) return tl::unexpected(files.error());
  const auto set = load_sft_set(data, *files);
  if (!set) return tl::unexpected(set.error());
  return lm.train(train, *set, events);
}

}  // namespace precept
