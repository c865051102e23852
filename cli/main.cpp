// precept: one program, one subcommand a file. This file reads the command line, shows errors, and decides the exit code:
// 0 done, 1 the answer is no, 2 bad usage or input, 3 failed while running, 130 stopped by Ctrl-C or SIGTERM.

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/usage.h"

namespace precept {
namespace {

constexpr const char* kVersion = "precept 0.1.0";
constexpr const char* kFooter =
    "Exit codes: 0 done, 1 the answer is no (a check that finds errors), 2 bad usage or input, 3 failed while running,\n"
    "130 stopped by Ctrl-C or SIGTERM.\n"
    "Results go to stdout, progress and messages to stderr. Every run folder resumes: repeat the command.";

int fail(const Error& error) {
  std::fflush(stdout);
  std::fputs(error_text(error).c_str(), stderr);
  return error.kind == ErrorKind::kBadInput ? 2 : 3;
}

// A stream that is closed would lend its number to the next file opened, and output would land in the run store. In its
// place stands one that cannot be written (and stderr one that swallows).
void keep_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(stream, F_GETFD) < 0) ::open("/dev/null", stream == STDERR_FILENO ? O_WRONLY : O_RDONLY);
  }
}

// The exit code, if everything printed has reached the standard output.
int printed(int code) {
  if (std::cout.flush().good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  return fail(failed("cannot write to the standard output", "is the disk full, or the reader gone?").value());
}

void add_commands(CLI::App& app, Context& context) {
  add_quickstart(app, context);
  add_bench(app, context);
  add_constitution(app, context);
  add_generate(app, context);
  add_chat(app, context);
  add_model(app, context);
  add_revise(app, context);
  add_export(app, context);
  add_label(app, context);
  add_align(app, context);
  add_compare(app, context);
  add_train(app, context);
  add_eval(app, context);
  add_solve(app, context);
  add_report(app, context);
  add_pocket(app, context);
}

// The chosen subcommand. Nothing below main throws on purpose: what arrives here is a bug or the end of memory.
Result<int> act(Context& context) {
  try {
    return context.action();
  } catch (const std::bad_alloc&) {
    return failed("out of memory", "use a smaller --batch or a smaller model");
  } catch (const std::exception& exception) {
    return failed(std::string("unexpected: ") + exception.what(), "this is a bug in precept");
  }
}

int run(int argc, char** argv) {
  keep_streams();
  Context context;
  CLI::App app("Aligns a language model to a written constitution, and shows the evidence.", "precept");
  app.set_version_flag("--version", kVersion, "print the version");
  app.footer(kFooter);
  app.fallthrough();
  app.add_flag("--quiet", context.quiet, "no progress and no notes on stderr: only warnings and errors");
  app.require_subcommand(0, 1);
  add_commands(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    app.exit(success);
    return printed(0);
  } catch (const CLI::ParseError& error) {
    return fail(usage_error(app, error));
  }
  if (!context.action) return fail(missing_command(app));

  Progress progress(stderr, context.quiet);
  context.events = [&progress](const Event& event) {
    progress.show(event);
    if (event.kind == Event::Kind::kProgress && interrupted()) {
      progress.finish();
      leave_interrupted();
    }
  };
  watch_interrupts();
  const Result<int> code = act(context);
  progress.finish();
  if (!code && interrupted()) leave_interrupted();
  if (!code) return fail(code.error());
  return printed(*code);
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) { return precept::run(argc, argv); }
