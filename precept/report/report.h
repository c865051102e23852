#pragma once
// The report: one HTML file that needs nothing else. Whoever has a run folder fills a ReportInput; every part
// may be absent, and the report says what is missing instead of inventing it.

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/core/result.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/familiarity.h"
#include "precept/evaluate/judge.h"
#include "precept/model/message.h"
#include "precept/store/run_store.h"

namespace precept {

// One thing that was done to an item, in order.
struct ReportStep {
  std::string kind;       // "judgment", "critique", "revision"
  int round = 0;          // 0: about the draft
  std::string principle;  // id; may be empty
  std::string verdict;    // judgments: "complies", "violates", "unparseable"
  std::optional<double> probability;  // of a violation, for judgments
  std::string text;       // critiques and revisions
};

struct ReportSelection {
  std::string principle;
  std::optional<double> probability;  // that it applies
  bool selected = false;
};

struct ReportTrace {
  std::string id;
  Conversation prompt;
  std::vector<ReportSelection> selections;
  std::string draft;
  std::vector<ReportStep> steps;
  std::string final_answer;
  Ending ending = Ending::kComplied;
};

struct ReportCurve {
  std::string stage, name;                          // "sft", "loss"
  std::vector<std::pair<double, double>> points;    // step, value
};

struct ReportLoopStep {
  std::string name;  // "select", "draft", "judge", "critique", "revise"
  std::int64_t calls = 0;
  Usage usage;
};

// What the loop did.
struct ReportLoop {
  std::int64_t items = 0;
  std::int64_t complied_at_once = 0;   // draft kept unchanged
  std::int64_t revised = 0;            // a revision became the answer
  std::int64_t unsettled = 0;         // still violating after the last round
  std::int64_t failed = 0;             // no answer at all
  std::int64_t unparseable = 0;        // no violation found, but a verdict could not be read
  std::vector<std::int64_t> rounds;    // [r]: items that ended after r revisions
  double selected_per_item = 0;        // principles, of finished items
  std::optional<double> calls_per_item;  // of finished items
  std::vector<ReportLoopStep> steps;
  VerdictCount select, judge;          // what the verdicts of the two steps are worth
};

// Seconds by stage, in the order of the stages.
using ReportStages = std::vector<std::pair<std::string, double>>;

struct ReportInput {
  std::string title = "Alignment report";
  std::string run;        // the run's name, for people
  std::string version;    // of precept
  std::string scope;      // what these numbers can and cannot show; one paragraph
  std::vector<std::string> notes;  // anything else that a reader must know
  std::optional<Evaluation> base, sl;
  std::optional<Evaluation> rl;        // after reinforcement learning, which began with the model of `sl`
  std::optional<JudgeQuality> judge;
  std::optional<Familiarity> familiarity;  // of the loop's prompts
  std::optional<ReportLoop> loop;
  std::vector<ReportTrace> traces;     // the first ten are shown
  std::string traces_note;             // how they were chosen
  std::vector<ReportCurve> curves;
  std::optional<Constitution> constitution;
  std::string recipe;                  // TOML text
  ReportStages stages;                 // of the whole run, all sessions; may be empty
  double seconds = 0;                  // of the whole run; 0: unknown
  double peak_rss_mb = 0;              // 0: unknown
};

// Whole HTML document, UTF-8. Pure: the same input gives the same bytes. Text of models and files is escaped,
// invalid UTF-8 replaced, overlong text cut and marked.
std::string render_report(const ReportInput& input);

Status write_report(const ReportInput& input, const std::string& path);

}  // namespace precept
