#pragma once
// SIGINT (Ctrl-C) and SIGTERM: the first one asks for a stop at the next safe point (a progress event, which comes after
// what it reports is stored; in training the end of a step), the second one ends the program at once. Either way a run
// folder resumes.

namespace precept {

void watch_interrupts();  // installs the handlers; a SIGINT that the parent ignores stays ignored
bool interrupted();       // was there a first signal?
[[noreturn]] void leave_interrupted();  // says how to go on; exit code 130, as shells have it for SIGINT

}  // namespace precept
