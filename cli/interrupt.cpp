#include "cli/interrupt.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace precept {
namespace {

constexpr int kExitCode = 128 + SIGINT;
volatile std::sig_atomic_t interrupts = 0;  // a signal handler can reach nothing but a global

void on_interrupt(int) {
  interrupts = interrupts + 1;
  if (interrupts > 1) _exit(kExitCode);
  constexpr char kText[] = "\nprecept: stopping at the next safe point; Ctrl-C again stops now\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kText, sizeof kText - 1);
}

}  // namespace

void watch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

bool interrupted() { return interrupts > 0; }

void leave_interrupted() {
  std::fflush(stdout);
  std::fputs("precept: interrupted; the same command resumes a run folder where it stopped\n", stderr);
  std::fflush(stderr);
  _exit(kExitCode);
}

}  // namespace precept
