#pragma once
// Answers made with the rules before the model's eyes, to be learnt without them: deliberative alignment (Guan et al. 2024, arXiv
// 2412.16339, sections 2.2 and 2.3). With `reasoning` the model first writes what the rules mean for the prompt, then answers, and both are
// learnt; without, the answer alone, which is context distillation (Askell et al. 2021, arXiv 2112.00861, section 2.3) with a filter.
// We deviate in three things: the rules are those that apply, not all; reasoning and answer are two requests, since a base model cannot be
// told to write both; and the judge that filters sees the answer, never the reasoning.

#include <memory>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/constitution/prompts.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

struct DeliberateOptions {
  std::string rules = "applicable";  // which principles it sees: those that the judge says apply, or "all"
  // {prompt}: the conversation; {rules}: the principles, joined by "\nRule: "; {reasoning}: what it wrote before, nothing without
  // `reasoning`. By default the loop's own request to rewrite, with nothing written yet.
  std::string request = "Rewrite the reply so that it keeps the rule.\n\nPerson: {prompt}\nReply: \nRule: {rules}\nCritique: {reasoning}";
  int samples = 2;                   // answers to one prompt
  bool filter = true;                // only an answer that the judge lets pass by all principles is learnt
  double temperature = 0.7;
  int max_tokens = 96;
  bool reasoning = false;            // it reasons about the rules first, and learns to
  std::string reasoning_request = "Say how the reply breaks the rule.\n\nPerson: {prompt}\nReply: \nRule: {rules}";  // likewise, without {reasoning}
  int reasoning_max_tokens = 48;
  std::string no_rule = "No rule matters here.";  // what it learns to reason where no principle applies
};

// Each request names what it needs once.
Status check(const DeliberateOptions& options);

struct DeliberatedAnswer {
  std::string id;
  Conversation messages;  // the prompt: no rule is in it
  std::string reasoning;  // empty: without
  std::string reply;
  std::string completion() const;  // what is learnt: reasoning, mark, reply
};

// One answer a prompt at most, the first of its samples that is whole and that the judge lets pass. A pure function of its arguments.
// Emits kProgress, stage "deliberate".
Result<std::vector<DeliberatedAnswer>> deliberate(const std::vector<Prompt>& prompts, Model& policy, Model& judge, const Constitution& constitution,
                                                  const DeliberateOptions& options, std::uint64_t seed, const EventSink& events = {});

// Between reasoning and answer.
inline constexpr const char* kAnswerMark = "\nReply: ";

// The answer in what a model wrote that reasons first: what follows the mark. Without a mark all of it, unless it was `cut`: then it is
// reasoning that never came to an answer, and the answer is empty.
std::string answer_in(const std::string& text, bool cut);

// The same model, of whose texts only the answers are seen; it may write `reasoning_tokens` more than it is asked for. Tokens,
// log-probabilities and usage stay those of all that it wrote.
std::unique_ptr<Model> answers_alone(std::unique_ptr<Model> model, int reasoning_tokens);

}  // namespace precept
