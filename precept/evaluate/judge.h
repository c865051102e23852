#pragma once
// How good the judge itself is, step by step, against a scorer's ruling: does it select the principles that
// apply, and does it see violations? Harm detection is where such loops fail.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/prompts.h"
#include "precept/core/estimate.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/evaluate/scorer.h"
#include "precept/model/model.h"

namespace precept {

struct JudgeCase {
  Prompt prompt;
  std::string answer;  // what is judged
};

// The requests of the loop, handed in by whoever knows its templates. Each asks about all the principles given:
// "does it apply?", "is it violated?". For a model that can score: one question a principle, in that order,
// with the options [yes, no]. For one that cannot: one request, whose answer `read` turns into P(yes) of each
// principle (0 or 1 where the text only says yes or no), nullopt where it cannot be read.
struct JudgeRequests {
  using Principles = std::vector<const Principle*>;
  std::function<ScoreRequest(const Prompt&, const Principles&)> select;
  std::function<ScoreRequest(const Prompt&, const std::string& answer, const Principles&)> judge;
  std::function<GenerateRequest(const Prompt&, const Principles&)> select_text;
  std::function<GenerateRequest(const Prompt&, const std::string& answer, const Principles&)> judge_text;
  std::function<std::vector<std::optional<double>>(const std::string& text, bool judging, const Principles&)> read;
};

// P(first option) among two; nullopt unless there are two finite numbers.
std::optional<double> yes_probability(const std::vector<double>& logprobs);

// One step's quality. Questions about one prompt are not independent of each other, so the intervals,
// which take them to be, are somewhat too narrow.
struct StepQuality {
  Estimate accuracy, precision, recall, false_alarms;
  std::optional<double> ece, brier, auroc;
  Estimate unparseable;  // share of questions whose answer could not be read
  Estimate uncertain;    // share of read answers with a P(yes) that is_uncertain (core/estimate.h)
  std::vector<ReliabilityBin> reliability;
  std::vector<std::pair<std::string, Estimate>> per_principle;  // accuracy
};

struct JudgeQuality {
  std::string model;
  std::int64_t cases = 0, unscored = 0;  // unscored: outside the scorer's world
  StepQuality selection;  // every principle the scorer can decide, every case
  StepQuality judgment;   // principles that apply, every case
};

// `in_flight` cases at a time. Emits kProgress, stage "evaluate judge". Cases outside the scorer's world are
// skipped and counted as unscored; principles whose truth the scorer does not know are not asked about.
Result<JudgeQuality> evaluate_judge(Model& judge, const std::vector<JudgeCase>& cases,
                                    const Constitution& constitution, const Scorer& scorer,
                                    const JudgeRequests& requests, const EventSink& events = {},
                                    int in_flight = 128);

std::string to_json(const JudgeQuality& quality);
Result<JudgeQuality> load_judge_quality(const std::string& path);

}  // namespace precept
