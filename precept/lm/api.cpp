#include "precept/lm/api.h"

#include <exception>
#include <new>

#include "precept/lm/infer/engine.h"
#include "precept/lm/train/trainer.h"
#include "precept/lm/train/world.h"

namespace precept {
namespace {

// The wall between exceptions and Result: whatever lm/ throws becomes an Error here.
template <class F>
auto guarded(F call) -> decltype(call()) {
  try {
    return call();
  } catch (const std::bad_alloc&) {
    return failed("memory is exhausted", "use a smaller model or a smaller cache");
  } catch (const WorldError& e) {
    return failed(e.what(), "start all processes again with the same command: they go on from the last state");
  } catch (const std::exception& e) {
    return failed(e.what());
  }
}

Result<std::unique_ptr<Model>> open_checkpoint(const std::string& folder, const EngineOptions& options) {
  return guarded([&] { return infer::open_engine(folder, options); });
}

Result<TrainSummary> run_training(const TrainOptions& options, const TrainSet& set, const EventSink& sink) {
  return guarded([&] { return train(options, set, sink); });
}

Result<BenchReport> run_bench(const BenchOptions& options, const EventSink& events) {
  return guarded([&] { return bench_engine(options, events); });
}

Result<TrainSummary> run_preferences(const TrainOptions& options, const PreferenceOptions& preference, const TrainSet& pairs, const EventSink& sink) {
  return guarded([&] { return train_preferences(options, preference, pairs, sink); });
}

Result<TrainSummary> run_reward(const TrainOptions& options, const RewardOptions& reward, const TrainSet& pairs, const TrainSet& held_out,
                                const EventSink& sink) {
  return guarded([&] { return train_reward(options, reward, pairs, held_out, sink); });
}

Result<TrainSummary> run_grpo(const TrainOptions& options, const GrpoOptions& grpo, const PromptSet& prompts, const RewardFunction& reward,
                              const EventSink& sink) {
  return guarded([&] { return train_grpo(options, grpo, prompts, reward, sink); });
}

Result<std::unique_ptr<RewardModel>> run_open_reward(const std::string& folder, int threads) {
  return guarded([&] { return open_reward(folder, threads); });
}

}  // namespace
}  // namespace precept

extern "C" const precept::LmApi* precept_lm_api() {
  static const precept::LmApi api = {precept::open_checkpoint, precept::run_training,    precept::run_preferences,
                                     precept::run_reward,      precept::run_grpo,        precept::run_open_reward,
                                     precept::measure_roof,    precept::run_bench};
  return &api;
}
