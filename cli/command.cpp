#include "cli/command.h"

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
  return command.add_option("--model", options.model, "pocket, a checkpoint folder, http(s)://host:port/v1#name, or scripted:FILE");
}
CLI::Option* add_judge_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--judge", options.judge, "the model that selects and judges (default: the --model itself)");
}
CLI::Option* add_prompts_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--prompts", options.prompts, "prompts file, JSONL");
}
CLI::Option* add_constitution_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--constitution", options.constitution, "constitution file, TOML or Markdown (default: the one that comes with Precept)");
}
CLI::Option* add_run_option(CLI::App& command, CommonOptions& options) {
  return command.add_option("--run", options.run, "run folder");
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
  command.add_option("--threads", options.threads, "threads; 0: all cores (changes no result)")->capture_default_str()->check(CLI::Range(0, 1024));
  command.add_option("--batch", options.batch, "sequences decoded together (changes no result)")->capture_default_str()->check(CLI::Range(1, 4096));
}

std::string error_text(const Error& error) {
  std::string out = "precept: error: " + one_line(error.message()) + "\n";
  out += "hint: " + one_line(error.hint.empty() ? "see precept --help" : error.hint) + "\n";
  return out;
}

}  // namespace precept
