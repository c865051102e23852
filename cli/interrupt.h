#pragma once
// SIGINT (Ctrl-C) and SIGTERM: the first one asks for a stop at the next safe point (a progress event, which comes after
// what it reports is stored; in training the end of a step), the second one ends the program at once. Either way a run
// folder resumes.

namespace precept {

void watch_interrupts();  // installs the handlers; a SIGINT that the parent ignores stays ignored
bool interrupted();       // was there a first signal?
// For commands that go on after Ctrl-C: nothing is said about it, and take_interrupt() forgets it, so that the next one counts
// as a first one again. False where none was, and for SIGTERM, which stays.
void interrupts_end_only_answers();
bool take_interrupt();
[[noreturn]] void leave_interrupted();  // says how to go on; exit code 130, as shells have it for SIGINT

}  // namespace precept
