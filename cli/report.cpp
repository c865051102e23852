// precept report: a run folder as one HTML page.

#include <cstdio>
#include <memory>

#include "cli/command.h"
#include "cli/run_report.h"

namespace precept {
namespace {

struct ReportCommand {
  CommonOptions common;
  std::string out;
};

Result<int> run_report(const ReportCommand& command) {
  const std::string& run = command.common.run;
  if (run.empty()) return bad_input("no run folder is given", "give --run DIR");
  const std::string out = command.out.empty() ? run + "/report.html" : command.out;
  if (const Status written = write_run_report(run, out); !written) return tl::unexpected<Error>(written.error());
  std::printf("%s\n", out.c_str());
  return 0;
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("report", "a run folder as one HTML page that needs no network");
  const auto options = std::make_shared<ReportCommand>();
  add_run_option(*command, options->common);
  command->add_option("--out", options->out, "where to write it (default: report.html in the run folder)");
  command->callback([options, &context] {
    context.action = [options] { return run_report(*options); };
  });
}

}  // namespace precept
