#include "cli/interrupt.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include <unistd.h>

namespace precept {
namespace {

constexpr int kExitCode = 128 + SIGINT;
volatile std::sig_atomic_t interrupts = 0;  // a signal handler can reach nothing but a global
volatile std::sig_atomic_t terminated = 0, silent = 0;

void on_interrupt(int signal) {
  interrupts = interrupts + 1;
  if (signal == SIGTERM) terminated = 1;
  if (interrupts > 1) _exit(kExitCode);
  if (silent != 0 && terminated == 0) return;
  constexpr char kText[] = "\nprecept: stopping at the next safe point; a second Ctrl-C stops now\n";
  [[maybe_unused]] const auto written = write(STDERR_FILENO, kText, sizeof kText - 1);
}

}  // namespace

void watch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = on_interrupt;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  struct sigaction before = {};
  sigaction(SIGINT, nullptr, &before);
  if (before.sa_handler != SIG_IGN) sigaction(SIGINT, &action, nullptr);  // a background job of a script
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGXFSZ, SIG_IGN);  // a file that may not grow is an error of the write, not the end
}

bool interrupted() { return interrupts > 0; }

void interrupts_end_only_answers() { silent = 1; }

bool take_interrupt() {
  if (interrupts == 0 || terminated != 0) return false;
  interrupts = 0;
  return true;
}

void leave_interrupted() {
  std::fflush(stdout);
  std::fputs("precept: interrupted; repeat the command: a run folder goes on where it stopped\n", stderr);
  std::fflush(stderr);
  _exit(kExitCode);
}

}  // namespace precept
