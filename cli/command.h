#pragma once
// What every subcommand shares. One file a subcommand: cli/NAME.cpp defines `void add_NAME(CLI::App&, Context&)`, which
// adds its options and sets the action; cli/main.cpp lists them.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include "precept/constitution/recipe.h"
#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/lm/api.h"

namespace precept {

// Handed to every command. `action` is what the chosen subcommand does: exit code 0, or 1 for "the answer is no".
struct Context {
  std::function<Result<int>()> action;
  bool quiet = false;
  EventSink events;  // progress and notes, shown on stderr; set before the action runs
  std::string recipe;                   // --recipe of the chosen command
  std::vector<RecipeSection> sections;  // of all commands that read recipes
};

void add_constitution(CLI::App& app, Context& context);
void add_generate(CLI::App& app, Context& context);
void add_chat(CLI::App& app, Context& context);
void add_model(CLI::App& app, Context& context);
void add_revise(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_label(CLI::App& app, Context& context);
void add_align(CLI::App& app, Context& context);
void add_compare(CLI::App& app, Context& context);
void add_train(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_solve(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_pocket(CLI::App& app, Context& context);
void add_quickstart(CLI::App& app, Context& context);
void add_bench(CLI::App& app, Context& context);

// Options that mean the same in every command.
struct CommonOptions {
  std::string model, judge, prompts, constitution, run;
  std::uint64_t seed = 0;
  int threads = 0;
  int batch = 64;
  std::string precision = "auto", weights = "auto";
  int cache_mb = 0;
  std::string device = "cpu";
  int memory_mb = 0;
  bool json = false;
};
EngineOptions engine_options(const CommonOptions& options);
CLI::Option* add_model_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_prompts_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_run_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_seed_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_json_option(CLI::App& command, CommonOptions& options);
void add_engine_options(CLI::App& command, CommonOptions& options);  // --threads and what follows there

// The same as entries of a command's field list, for commands that read recipes.
inline constexpr const char* kModelHelp =
    "pocket, a checkpoint or adapter folder, FILE.gguf, http(s)://host:port/v1#name (several endpoints: separated by commas), or scripted:FILE";
inline constexpr const char* kJudgeHelp = "the model that selects and judges (default: the --model itself)";
inline constexpr const char* kPromptsHelp = "prompts file, JSONL";
inline constexpr const char* kConstitutionHelp =
    "constitution file, TOML or Markdown (default: the one that comes with Precept)";
inline constexpr const char* kRunHelp = "run folder";
inline constexpr const char* kShardHelp = "most bytes of one file of weights, as 5GB or 300MB";
inline constexpr const char* kThreadsHelp = "threads; 0: all cores (changes no result)";
inline constexpr const char* kBatchHelp = "sequences decoded together (changes no result)";
inline constexpr const char* kModelPrecisionHelp =
    "of the model's products, keys and values: bf16, fp32, or auto (bf16 where its weights are bf16)";
inline constexpr const char* kWeightsHelp =
    "of the model: auto (as they are), or int8 (matrices rounded to 8 bits: half of bf16's memory, another model with other answers)";
inline constexpr const char* kCacheHelp = "MB of memory for keys and values; 0: 512, on a GPU most of what is free (changes no result)";
inline constexpr const char* kMemoryHelp = "MB of memory for weights, cache and activations together, of each model; 0: no such bound (changes no result)";
inline FieldRule threads_rule() { return beside(between(0, 1024)); }
inline FieldRule batch_rule() { return beside(between(1, 4096)); }

// Entries of a field list for a model that runs in this process.
template <class Visit>
void visit_engine(CommonOptions& o, Visit& visit) {
  visit("threads", o.threads, kThreadsHelp, threads_rule());
  visit("batch", o.batch, kBatchHelp, batch_rule());
  visit("precision", o.precision, kModelPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("weights", o.weights, kWeightsHelp, one_of({"auto", "int8"}));
  visit("cache_mb", o.cache_mb, kCacheHelp, beside(between(0, 1e7)));
  visit("memory_mb", o.memory_mb, kMemoryHelp, beside(between(0, 1e7)));
  visit("device", o.device, kDeviceHelp);
}

// For unsigned values: CLI11 alone reads -1 as the largest number.
CLI::Validator not_negative();

// One field list drives flags and help: adds --max-rounds for the field max_rounds, with its default shown.
// `Options` is a struct with a for_each_field (see precept/core/fields.h).
template <class Options>
void add_fields(CLI::App& command, Options& options) {
  for_each_field(options, [&](const char* name, auto& value, const char* help, const FieldRule& = any()) {
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) {
      command.add_flag(flag_of(name), value, help);
    } else {
      CLI::Option* option = command.add_option(flag_of(name), value, help)->capture_default_str();
      if constexpr (std::is_unsigned_v<std::decay_t<decltype(value)>>) option->check(not_negative());
    }
  });
}

// The recipe of --recipe, if any, into the options that no flag has set; then every option of `section` is checked.
Status read_recipe_flag(const CLI::App& command, const Context& context, const std::string& section);

// A command whose options, all in one field list, are flags and the recipe table [section]. `act(options, events)` runs
// when both are read and checked.
template <class Options, class Act>
void add_recipe_command(CLI::App& command, Context& context, const char* section, std::shared_ptr<Options> options, Act act) {
  command.add_option("--recipe", context.recipe, std::string("TOML file that sets these flags, in a table [") + section +
                                                     "]; a flag on the command line overrides it");
  add_fields(command, *options);
  context.sections.push_back({section, fields_of(*options)});
  command.callback([&command, &context, section, options, act] {
    context.action = [&command, &context, section, options, act]() -> Result<int> {
      if (const Status read = read_recipe_flag(command, context, section); !read) return tl::unexpected(read.error());
      return act(*options, context.events);
    };
  });
}

// Foreign text on one line of a terminal: control characters (C1 too) become spaces, invalid UTF-8 becomes "?".
std::string one_line(const std::string& text);

// Text of an error as the CLI prints it: two lines, made of one_line.
std::string error_text(const Error& error);

}  // namespace precept
