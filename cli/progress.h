#pragma once
// Shows events on stderr: one bar for each active stage on a terminal, plain lines elsewhere (at most one every five
// seconds a stage, and the last). Notes and warnings stay above the bars.

#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "precept/core/events.h"

namespace precept {

// One line about a stage, never wider than `columns` terminal columns. Exposed for its test.
struct StageView {
  std::string stage, unit;
  std::string note;            // "loss 2.31"; may be empty
  double done = 0, total = 0;  // total 0: unknown
  double seconds = 0;          // since the stage began
  double rate = 0;             // units per second; 0: unknown
};
std::string bar_line(const StageView& view, int columns, bool utf8 = true);
std::string plain_line(const StageView& view);  // as wide as it needs to be

// Columns that a terminal needs for UTF-8 text (East Asian wide characters count two).
int text_columns(const std::string& text);

class Progress {
 public:
  Progress(std::FILE* out, bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const Event& event);
  void finish();  // leaves the last state of every bar standing; may be called again

 private:
  using Clock = std::chrono::steady_clock;
  struct Stage {
    StageView view;
    double first_done = 0;  // done when the stage was first seen: a resumed run starts above 0
    Clock::time_point began, seen, printed;
    bool unprinted = false;  // plain lines: the latest state was not printed
  };

  Stage& stage_named(const std::string& name, const Event& event);
  void progress(const Event& event);
  void message(const Event& event);
  void end(std::size_t index);           // its last line stays; the stage leaves
  void draw(const std::string& above);   // `above`: whole lines that stay above the bars
  int columns() const;

  std::FILE* out_;
  bool quiet_, terminal_, utf8_;
  std::vector<Stage> stages_;  // active ones, in order of appearance
  std::vector<std::string> ended_;
  int drawn_ = 0;              // lines of bars on the screen, the cursor below them
  Clock::time_point drawn_at_{};
};

}  // namespace precept
