#pragma once
// What every subcommand shares. One file a subcommand: cli/NAME.cpp defines `void add_NAME(CLI::App&, Context&)`, which
// adds its options and sets the action; cli/main.cpp lists them.

#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include <CLI/CLI.hpp>

#include "precept/core/events.h"
#include "precept/core/result.h"

namespace precept {

// Handed to every command. `action` is what the chosen subcommand does: exit code 0, or 1 for "the answer is no".
struct Context {
  std::function<Result<int>()> action;
  bool quiet = false;
  EventSink events;  // progress and notes, shown on stderr; set before the action runs
};

void add_constitution(CLI::App& app, Context& context);
void add_generate(CLI::App& app, Context& context);
void add_revise(CLI::App& app, Context& context);
void add_export(CLI::App& app, Context& context);
void add_train(CLI::App& app, Context& context);
void add_eval(CLI::App& app, Context& context);
void add_report(CLI::App& app, Context& context);
void add_pocket(CLI::App& app, Context& context);
void add_quickstart(CLI::App& app, Context& context);

// Options that mean the same in every command.
struct CommonOptions {
  std::string model, judge, prompts, constitution, run;
  std::uint64_t seed = 0;
  int threads = 0;
  int batch = 64;
  bool json = false;
};
CLI::Option* add_model_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_judge_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_prompts_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_constitution_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_run_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_seed_option(CLI::App& command, CommonOptions& options);
CLI::Option* add_json_option(CLI::App& command, CommonOptions& options);
void add_engine_options(CLI::App& command, CommonOptions& options);  // --threads, --batch

// For unsigned values: CLI11 alone reads -1 as the largest number.
CLI::Validator not_negative();

// One field list drives flags and help: adds --max-rounds for the field max_rounds, with its default shown.
// `Fields` is a struct with a for_each_field(Fields&, visit(name, value, help)).
template <class Fields>
void add_fields(CLI::App& command, Fields& fields) {
  for_each_field(fields, [&](const char* name, auto& value, const char* help) {
    std::string flag = std::string("--") + name;
    for (char& c : flag) {
      if (c == '_') c = '-';
    }
    if (command.get_option_no_throw(flag)) return;  // a common option of this name stands for it
    if constexpr (std::is_same_v<std::decay_t<decltype(value)>, bool>) {
      command.add_flag(flag, value, help);
    } else {
      CLI::Option* option = command.add_option(flag, value, help)->capture_default_str();
      if constexpr (std::is_unsigned_v<std::decay_t<decltype(value)>>) option->check(not_negative());
    }
  });
}

// Foreign text on one line of a terminal: control characters (C1 too) become spaces, invalid UTF-8 becomes "?".
std::string one_line(const std::string& text);

// Text of an error as the CLI prints it: two lines, made of one_line.
std::string error_text(const Error& error);

}  // namespace precept
