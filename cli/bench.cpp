// precept bench: what this machine can do, and what share of it the engine and the loop reach.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/bench_queue.h"
#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "cli/timed_model.h"
#include "precept/constitution/constitution.h"
#include "precept/revise/revise.h"
#include "precept/revise/summary.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

Json to_json(const Roof& roof) { return {{"gemm_gflops", roof.gemm_gflops}, {"memory_gbps", roof.memory_gbps}}; }

Json to_json(const BenchReport& report) {
  Json decode = Json::array();
  for (const BenchReport::Decode& d : report.decode) {
    decode.push_back({{"sequences", d.sequences},
                      {"prompt", d.prompt},
                      {"tokens_per_s", d.tokens_per_s},
                      {"step_ms", d.step_ms},
                      {"step_mb", d.step_mb},
                      {"share_of_gemm_roof", d.share_of_gemm_roof},
                      {"share_of_memory_roof", d.share_of_memory_roof},
                      {"memory_gbps", d.memory_gbps},
                      {"seconds", d.seconds},
                      {"prompt_seconds", d.prompt_seconds}});
  }
  return {{"roof", to_json(report.roof)},
          {"decode", decode},
          {"prefill", {{"tokens_per_s", report.prefill_tokens_per_s}, {"share_of_gemm_roof", report.prefill_share_of_gemm_roof}}},
          {"precision", report.precision},
          {"weights", report.weights},
          {"kernels", report.kernels},
          {"threads", report.threads},
          {"parameters", report.parameters}};
}

void print(const Roof& roof) { std::printf("roof: products %.0f GFLOP/s, memory %.1f GB/s\n", roof.gemm_gflops, roof.memory_gbps); }

void print(const BenchReport& report) {
  print(report.roof);
  std::printf("%s%s, %s kernels, %d threads, %.1f million weights that multiply\n", report.precision.c_str(),
              report.weights == "int8" ? ", 8-bit weights" : "", report.kernels.c_str(), report.threads, static_cast<double>(report.parameters) / 1e6);
  std::printf("prefill %29.0f tokens/s, %3.0f%% of the product roof\n", report.prefill_tokens_per_s, 100 * report.prefill_share_of_gemm_roof);
  for (const BenchReport::Decode& d : report.decode) {
    std::printf("decode, %3d sequences, prompts of %4d %8.0f tokens/s, %3.0f%% of the product roof, %3.0f%% of what memory gave meanwhile (%.1f GB/s)\n",
                d.sequences, d.prompt, d.tokens_per_s, 100 * d.share_of_gemm_roof, 100 * d.share_of_memory_roof, d.memory_gbps);
  }
}

int show(const Json& json, bool as_json) {
  if (as_json) std::printf("%s\n", json.dump(2).c_str());
  return 0;
}

Result<int> bench_roof(const CommonOptions& common) {
  const auto lm = lm_library();
  if (!lm) return pass(lm.error());
  const Roof roof = (*lm)->measure_roof(common.precision, common.threads);
  if (!common.json) print(roof);
  return show({{"roof", to_json(roof)}}, common.json);
}

Result<int> bench_engine_of(const BenchOptions& options, bool as_json, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return pass(lm.error());
  const auto report = (*lm)->bench_engine(options, events);
  if (!report) return pass(report.error());
  if (!as_json) print(*report);
  return show(to_json(*report), as_json);
}

struct LoopCommand {
  CommonOptions common;
  int items = 1000;
};

// Removed in the end.
struct Folder {
  std::string path = (std::filesystem::temp_directory_path() / ("precept-bench-loop-" + std::to_string(::getpid()))).string();
  ~Folder() {
    std::error_code error;
    std::filesystem::remove_all(path, error);
  }
};

Json loop_json(const RunSummary& summary, const TimedModel& model, double seconds, const SharedTokens& shared) {
  const Usage& usage = model.usage();
  const auto share = [](double part, double whole) { return whole > 0 ? Json(part / whole) : Json(nullptr); };
  Json out = {{"items", summary.items}, {"calls", model.calls()}, {"seconds", seconds}};
  out["endings"] = {{"complied", summary.complied_at_once}, {"revised", summary.revised}, {"unsettled", summary.unsettled},
                    {"unparseable", summary.unparseable}, {"failed", summary.failed}};
  out["items_per_s"] = static_cast<double>(summary.items) / seconds;
  out["tokens_per_s"] = static_cast<double>(usage.prompt_tokens - usage.cached_tokens + usage.output_tokens) / seconds;
  out["tokens"] = {{"needed", usage.prompt_tokens},
                   {"reused", usage.cached_tokens},
                   {"computed", usage.prompt_tokens - usage.cached_tokens},
                   {"new_or_scored", usage.output_tokens},
                   {"shareable", shared.shareable}};
  out["reused_of_shareable"] = share(static_cast<double>(usage.cached_tokens), static_cast<double>(shared.shareable));
  out["time_outside_the_model"] = share(seconds - model.seconds_inside(), seconds);
  return out;
}

void print_loop(const Json& j) {
  std::printf("%lld items, %lld calls in %.1f s: %.1f items/s\n", j["items"].get<long long>(), j["calls"].get<long long>(), j["seconds"].get<double>(),
              j["items_per_s"].get<double>());
  const Json& ended = j["endings"];
  std::printf("%lld complied at once, %lld revised, %lld unsettled, %lld unparseable, %lld failed\n", ended["complied"].get<long long>(),
              ended["revised"].get<long long>(), ended["unsettled"].get<long long>(), ended["unparseable"].get<long long>(), ended["failed"].get<long long>());
  std::printf("tokens of prompts: %lld needed, %lld reused, %lld computed; %lld new or scored; %.0f tokens/s computed\n",
              j["tokens"]["needed"].get<long long>(), j["tokens"]["reused"].get<long long>(), j["tokens"]["computed"].get<long long>(),
              j["tokens"]["new_or_scored"].get<long long>(), j["tokens_per_s"].get<double>());
  if (j["reused_of_shareable"].is_number()) std::printf("%.1f%% of what could be shared was reused\n", 100 * j["reused_of_shareable"].get<double>());
  if (j["time_outside_the_model"].is_number()) std::printf("%.1f%% of the time passed outside the model\n", 100 * j["time_outside_the_model"].get<double>());
}

Result<int> bench_loop(LoopCommand& command, const EventSink& events) {
  CommonOptions& common = command.common;
  if (common.constitution.empty()) common.constitution = data_path("constitutions/default.toml");
  const auto constitution = load_constitution(common.constitution);
  if (!constitution) return pass(constitution.error());
  auto prompts = common.prompts.empty() ? Result<std::vector<Prompt>>(pocket::pocket_prompts(pocket::Split::kTrain, command.items, common.seed))
                                        : load_prompts(common.prompts);
  if (!prompts) return pass(prompts.error());
  OpenOptions open;
  open.engine = engine_options(common);
  open.engine.shared_tokens = std::make_shared<SharedTokens>();
  open.scores = true;
  open.events = events;
  auto model = open_model(common.model, open);
  if (!model) return pass(model.error());
  TimedModel timed(**model);
  ReviseOptions options;
  options.seed = common.seed;
  const Folder folder;
  auto store = RunStore::open(folder.path, revise_recipe(options, *constitution, timed.info(), timed.info()));
  if (!store) return pass(store.error());
  if (Status set = store->set_items(items_of(std::move(*prompts))); !set) return pass(set.error());
  const auto start = std::chrono::steady_clock::now();
  const auto result = revise(*constitution, options, timed, timed, *store, events);
  if (!result) return pass(result.error());
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const auto summary = summarize(*store);
  if (!summary) return pass(summary.error());
  const Json json = loop_json(*summary, timed, seconds, *open.engine.shared_tokens);
  if (!common.json) print_loop(json);
  if (!summary->first_failure.empty()) {
    Event event;
    event.kind = Event::Kind::kWarning;
    event.text = "an item failed: " + summary->first_failure;
    events(event);
  }
  return show(json, common.json);
}

void add_roof(CLI::App& bench, Context& context) {
  CLI::App* command = bench.add_subcommand("roof", "products and memory of this machine at their best");
  const auto common = std::make_shared<CommonOptions>();
  common->precision = "bf16";
  command->add_option("--precision", common->precision, "of the products: bf16 or fp32")->capture_default_str()->check(CLI::IsMember({"bf16", "fp32"}));
  command->add_option("--threads", common->threads, "threads; 0: all cores")->capture_default_str()->check(CLI::Range(0, 1024));
  add_json_option(*command, *common);
  command->callback([&context, common] { context.action = [common] { return bench_roof(*common); }; });
}

void add_engine(CLI::App& bench, Context& context) {
  CLI::App* command = bench.add_subcommand("engine", "decode and prefill as shares of what the machine can do");
  const auto options = std::make_shared<BenchOptions>();
  const auto common = std::make_shared<CommonOptions>();
  command->add_option("--shape", options->shape, "pocket, 135m, 360m, 1b, 8b (random weights), or a checkpoint folder")->capture_default_str();
  command->add_option("--precision", options->precision, "of the products, keys and values: bf16 or fp32")->capture_default_str()->check(CLI::IsMember({"bf16", "fp32"}));
  command->add_option("--threads", options->threads, "threads; 0: all cores")->capture_default_str()->check(CLI::Range(0, 1024));
  command->add_option("--weights", options->weights, kWeightsHelp)->capture_default_str()->check(CLI::IsMember({"auto", "int8"}));
  command->add_option("--sequences", options->sequences, "sequences decoded together, separated by commas")->delimiter(',')->capture_default_str()->check(CLI::Range(1, 512));
  command->add_option("--prompt", options->prompts, "tokens of each prompt, some lengths separated by commas")->delimiter(',')->capture_default_str()->check(CLI::Range(2, 7000));
  command->add_option("--tokens", options->tokens, "new tokens of each sequence")->capture_default_str()->check(CLI::Range(1, 1000));
  command->add_option("--turns", options->turns, "how often decode is measured, all of it by turns; medians are told")->capture_default_str()->check(CLI::Range(1, 1000));
  command->add_option("--prefill", options->prefill, "tokens of the prompts of the prefill measurement")->capture_default_str()->check(CLI::Range(2, 8000));
  command->add_option("--device", options->device, kDeviceHelp)->capture_default_str();
  command->add_option("--save", options->save, "keep the random checkpoint in this folder");
  add_json_option(*command, *common);
  command->callback([&context, options, common] {
    context.action = [&context, options, common] { return bench_engine_of(*options, common->json, context.events); };
  });
}

void add_loop(CLI::App& bench, Context& context) {
  CLI::App* command = bench.add_subcommand("loop", "the revision loop: items, calls, tokens, reuse, and the time outside the model");
  const auto options = std::make_shared<LoopCommand>();
  options->common.model = "pocket";
  add_model_option(*command, options->common)->capture_default_str();
  add_prompts_option(*command, options->common);
  command->add_option("--constitution", options->common.constitution, kConstitutionHelp);
  command->add_option("--items", options->items, "without --prompts: that many prompts of the pocket world")->capture_default_str()->check(CLI::Range(1, 1000000));
  add_seed_option(*command, options->common);
  add_engine_options(*command, options->common);
  add_json_option(*command, options->common);
  command->callback([&context, options] { context.action = [&context, options] { return bench_loop(*options, context.events); }; });
}

}  // namespace

void add_bench(CLI::App& app, Context& context) {
  CLI::App* bench = app.add_subcommand("bench", "speed of this machine, the engine and the loop");
  bench->require_subcommand(1);
  add_roof(*bench, context);
  add_engine(*bench, context);
  add_loop(*bench, context);
  add_bench_queue(*bench, context);
}

}  // namespace precept
