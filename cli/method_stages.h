#pragma once
// The stages of a method, one function for all: each takes what the stages before it made, and leaves a folder that is done once and
// for all. Methods that begin alike share the folders of their beginnings.

#include <string>
#include <vector>

#include "cli/method.h"
#include "cli/token_meter.h"
#include "precept/constitution/constitution.h"
#include "precept/core/events.h"

namespace precept {

// What is the same for all methods of a comparison, but for the seed.
struct MethodSetting {
  const LmApi& lm;
  const Constitution& constitution;
  std::string constitution_file;       // empty: the default
  const std::vector<Prompt>& prompts;  // that methods learn from
  std::string base = {};               // checkpoint folder: where all begin, and the judge of all
  std::string base_digest = {};
  std::uint64_t seed = 0;
  std::int64_t budget = 0;             // passes (TokensSpent) that a method may take; 0: no limit
  std::string precision = "auto";
  int threads = 0, batch = 64;
  std::string folder = {};             // stages lie in it
  EventSink events = {};
};

// What flows from stage to stage.
struct MethodState {
  std::string model;    // checkpoint folder
  std::string key;      // digest of everything that led here
  std::string answers;  // file of the answers that sft learns; empty: there are none yet
  std::string pairs;    // file of the pairs that dpo learns from
  bool answers_reason = false;  // in that file reasoning stands before the answers
  int reasoning = 0;    // the model has learnt to reason first, up to so many tokens; only what follows is its answer. 0: it has not
  bool halted = false;  // a guard stopped a training on the way: nothing is to build on it
  TokensSpent spent;
  std::vector<std::string> notes;  // what did not go as listed: cut at the budget, stopped by a guard
};

MethodState start_of(const MethodSetting& setting);
// MethodState::key of a further round on the prompts of `setting`.
std::string key_of_round(const MethodState& state, const MethodSetting& setting, int round);

// Resumes what was interrupted; a stage that is done is read. A stage that the budget does not reach any more is left out, and noted.
Result<MethodState> run_stage(const MethodSetting& setting, Method& method, StageKind kind, MethodState state);

}  // namespace precept
