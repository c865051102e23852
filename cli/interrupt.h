#pragma once
// Ctrl-C: the first one asks for a stop at the next safe point (a progress event, which comes after what it reports is
// stored), the second one ends the program at once. Either way a run folder resumes.

namespace precept {

void watch_interrupts();  // installs the SIGINT handler
bool interrupted();       // was there a first Ctrl-C?
[[noreturn]] void leave_interrupted();  // says how to go on; exit code 130, as shells have it for SIGINT

}  // namespace precept
