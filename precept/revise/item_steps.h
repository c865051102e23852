#pragma once
// The steps of one item: each looks in the store first, else asks a model and stores the answer.
// For revise/ and feedback/ only.

#include <optional>
#include <string>
#include <vector>

#include "precept/core/task.h"
#include "precept/revise/revise.h"
#include "precept/store/walk.h"

namespace precept {

struct Judgment {
  std::vector<Verdict> violated;
  bool unreadable = false;  // some verdict is kUnparseable
};

class ItemSteps {
 public:
  ItemSteps(ReviseRun& run, ItemTrace& trace) : run_(run), trace_(trace) {}

  const std::string& reply() const { return reply_; }  // draft or latest revision; the final when the item is finished

  // The principles to judge by: those that apply, and those of which the answer could not be read.
  // With selection = "random": some at random, without a call.
  Task<Result<Principles>> select();
  Task<Status> draft(int round = 0);  // rounds above 0: further samples
  // A reply that is there already, stored as what a draft would be.
  Status given(int round, const std::string& text);
  // One call about all of them; none for no principles.
  Task<Result<Judgment>> judge(int round, Principles principles);
  Task<Status> critique(int round, Principles principles);
  Task<Status> revise(int round, Principles principles);
  // Which of two replies is better by a principle: kYes for the first, with its probability. `reasoning`: the judge writes some
  // first. The judge must give log-probs. Wording: compare_wording.h.
  Task<Result<Verdict>> compare(int round, const Principle& principle, std::string_view first, std::string_view second, bool reasoning);

  // What a round addresses: the most important principles that are violated...
  Principles most_important(const Judgment& judgment) const;
  // ... or, where nothing is judged, the next ones of those selected: at random for each round, or in
  // order of importance, round after round.
  Principles unjudged(const Principles& selected, int round) const;

 private:
  Task<Result<std::string>> write(StepKind kind, int round, Conversation messages, Sampling sampling,
                                  Principles principles);
  Task<Result<std::string>> write(Model& model, StepKind kind, int round, GenerateRequest request, Principles principles);
  Task<Result<std::vector<Verdict>>> ask(StepKind kind, int round, Principles principles);
  // The stored answer to `questions` (or to `list`, where the judge gives no log-probs), or a new one.
  Task<Result<std::vector<Verdict>>> answer(StepKind kind, int round, Principles principles, ScoreRequest questions, GenerateRequest list);
  Task<Result<StepRecord>> ask_scores(StepKind kind, Principles principles, ScoreRequest request);
  Task<Result<StepRecord>> ask_list(StepKind kind, Principles principles, GenerateRequest request);

  Principles all() const;
  Principles random(int round) const;
  RngKey key(StepKind kind, int round) const;
  Status keep(StepRecord step, StepKind kind, int round, std::string inputs, const Principles& principles,
              const Model& model);

  ReviseRun& run_;
  ItemTrace& trace_;
  std::string reply_, critique_;
};

// Walks the run's items, its models at work; `stage` names the events.
Result<WalkResult> walk(ReviseRun& run, const char* stage, const ItemTask& task, const EventSink& events);

}  // namespace precept
