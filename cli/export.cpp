// precept export: a run as JSONL for training.

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "precept/core/whole_file.h"
#include "precept/revise/export.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

struct ExportCommand {
  CommonOptions common;
  ExportOptions export_options;
  std::string out;  // empty: standard output
};

tl::unexpected<Error> pass(const Error& error) { return tl::unexpected<Error>(error); }

// Lines to a file that appears whole or not at all, or to standard output.
class Output {
 public:
  explicit Output(const std::string& path) {
    if (!path.empty()) file_.emplace(path);
  }

  bool write(std::string_view line) {
    buffered_ += line;
    return buffered_.size() < kBuffer || flush();
  }
  Status finish() {
    flush();
    if (file_) return file_->finish();
    if (problem_ == 0 && std::fflush(stdout) != 0) problem_ = errno;
    if (problem_ == 0) return {};
    return failed(std::string("cannot write: ") + std::strerror(problem_), "check free space and permissions", "standard output");
  }

 private:
  static constexpr std::size_t kBuffer = 1 << 16;

  bool flush() {
    if (file_) {
      file_->write(buffered_);
    } else if (std::fwrite(buffered_.data(), 1, buffered_.size(), stdout) != buffered_.size() && problem_ == 0) {
      problem_ = errno;
    }
    buffered_.clear();
    return file_ ? file_->fine() : problem_ == 0;
  }

  std::optional<WholeFile> file_;
  std::string buffered_;
  int problem_ = 0;  // errno of the first failure on standard output
};

std::string in_words(const ExportCounts& counts) {
  std::string text = std::to_string(counts.written) + " records written";
  const auto add = [&](std::int64_t count, const char* what) {
    if (count > 0) text += ", " + std::to_string(count) + ' ' + what;
  };
  add(counts.unsettled, "left out (unsettled)");
  add(counts.unparseable, "left out (a judgment could not be read)");
  add(counts.unchanged, "without preference (the draft was kept)");
  add(counts.empty, "left out (blank)");
  add(counts.failed, "failed");
  add(counts.pending, "not finished");
  return text;
}

void report(const ExportCounts& counts, const ExportCommand& command, const EventSink& events) {
  if (command.common.json && !command.out.empty()) {
    const nlohmann::ordered_json json = {
        {"what", command.export_options.what}, {"written", counts.written},     {"unsettled", counts.unsettled},
        {"unparseable", counts.unparseable},   {"unchanged", counts.unchanged}, {"empty", counts.empty},
        {"failed", counts.failed},             {"pending", counts.pending}};
    std::printf("%s\n", json.dump(2).c_str());
    return;
  }
  if (!events) return;
  Event event;
  event.kind = counts.failed + counts.pending > 0 ? Event::Kind::kWarning : Event::Kind::kNote;
  event.stage = "export";
  event.text = in_words(counts);
  events(event);
}

Result<int> run_export(const ExportCommand& command, const EventSink& events) {
  if (command.common.run.empty()) return bad_input("no run folder is given", "give --run DIR");
  const auto store = RunStore::open_readonly(command.common.run);
  if (!store) return pass(store.error());
  Output output(command.out);
  const auto counts =
      export_run(*store, command.export_options, [&](std::string_view line) { return output.write(line); });
  if (!counts) return pass(counts.error());
  if (Status status = output.finish(); !status) return pass(status.error());
  report(*counts, command, events);
  return 0;
}

}  // namespace

void add_export(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("export", "a run as JSONL in the shapes that TRL reads");
  const auto options = std::make_shared<ExportCommand>();
  command->add_option("--what", options->export_options.what, "sft, preferences or traces")->capture_default_str();
  add_run_option(*command, options->common);
  command->add_option("--out", options->out, "file to write (default: standard output)");
  command->add_flag("--include-unsettled", options->export_options.include_unsettled,
                    "also items whose final violates, or could not be judged");
  add_json_option(*command, options->common);
  command->callback([options, &context] {
    context.action = [options, &context] { return run_export(*options, context.events); };
  });
}

}  // namespace precept
