#include "cli/command.h"

#include <algorithm>
#include <set>

#include "precept/core/io.h"

namespace precept {

std::string one_line(const std::string& text) {
  std::string out = text;
  for (auto bad = find_invalid_utf8(out); bad; bad = find_invalid_utf8(out)) out[*bad] = '?';
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto byte = static_cast<unsigned char>(out[i]);
    const bool c1 = byte == 0xC2 && i + 1 < out.size() && static_cast<unsigned char>(out[i + 1]) < 0xA0;
    if (byte < 0x20 || byte == 0x7F) out[i] = ' ';
    if (c1) out.replace(i, 2, " ");
  }
  return out;
}

CLI::Validator not_negative() {
  return CLI::Validator(
      [](const std::string& text) { return !text.empty() && text[0] == '-' ? text + " is negative" : std::string(); }, "");
}

CLI::Option* add_model_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--model", options.model, kModelHelp);
}
CLI::Option* add_prompts_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--prompts", options.prompts, kPromptsHelp);
}
CLI::Option* add_run_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--run", options.run, kRunHelp);
}
CLI::Option* add_seed_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--seed", options.seed, "seed of all sampling")
      ->capture_default_str()
      ->check(not_negative());
}
CLI::Option* add_json_option(CLI::App& command, CommonOptions& options) {
  return command.add_flag("--json", options.json, "for machines: JSON on stdout");
}
void add_engine_options(CLI::App& command, CommonOptions& options) {
  command.add_option("--threads", options.threads, kThreadsHelp)->capture_default_str()->check(CLI::Range(0, 1024));
  command.add_option("--batch", options.batch, kBatchHelp)->capture_default_str()->check(CLI::Range(1, 4096));
  command.add_option("--precision", options.precision, kModelPrecisionHelp)->capture_default_str()->check(CLI::IsMember({"auto", "bf16", "fp32"}));
  command.add_option("--weights", options.weights, kWeightsHelp)->capture_default_str()->check(CLI::IsMember({"auto", "int8"}));
  command.add_option("--cache-mb", options.cache_mb, kCacheHelp)->capture_default_str()->check(CLI::Range(0, 10'000'000));
  command.add_option("--memory-mb", options.memory_mb, kMemoryHelp)->capture_default_str()->check(CLI::Range(0, 10'000'000));
  command.add_option("--device", options.device, kDeviceHelp)->capture_default_str();
}

EngineOptions engine_options(const CommonOptions& options) {
  EngineOptions engine;
  engine.threads = options.threads;
  engine.max_batch = options.batch;
  engine.precision = options.precision;
  engine.weights = options.weights;
  engine.device = options.device;
  engine.cache_bytes = std::int64_t{options.cache_mb} << 20;
  engine.memory_bytes = std::int64_t{options.memory_mb} << 20;
  return engine;
}

Status read_recipe_flag(const CLI::App& command, const Context& context, const std::string& section) {
  const auto own = std::find_if(context.sections.begin(), context.sections.end(),
                                [&](const RecipeSection& each) { return each.name == section; });
  PRECEPT_CHECK(own != context.sections.end());
  if (!context.recipe.empty()) {
    std::set<std::string> given;
    for (const Field& field : own->fields) {
      if (command.count(flag_of(field.name)) > 0) given.insert(field.name);
    }
    if (const Status read = read_recipe(context.recipe, context.sections, section, given); !read) return read;
  }
  return check_fields(own->fields, true);
}

std::string error_text(const Error& error) {
  std::string out = "precept: error: " + one_line(error.message()) + "\n";
  out += "hint: " + one_line(error.hint.empty() ? "see precept --help" : error.hint) + "\n";
  return out;
}

}  // namespace precept
