#pragma once
// A model over endpoints that never asks for the same answer twice in a run folder, and stops asking at a ceiling.
//
// Answers come from the folder's answers.db where it has them; every new one is stored there before it is handed on. Equal
// requests in flight at the same time are sent once. A score request is sent, and remembered, question by question.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/model/model.h"
#include "precept/store/answer_store.h"

namespace precept {

struct Ceiling {
  std::uint64_t tokens = 0;  // of prompts and answers together; 0: none
  double spend = 0;          // in the currency of the prices; 0: none
  double price_input = 0, price_output = 0;  // of a million tokens
};

// What is spent, over all models that share it and all sessions of its folder. The counts are the servers' own; where one
// gives none, four bytes are taken for a token. Prompt tokens that a server had cached count in full.
class Meter {
 public:
  // An empty `folder`: nothing is kept, and only this session counts.
  static Result<std::shared_ptr<Meter>> open(const std::string& folder, const Ceiling& ceiling, const EventSink& events = {});

  const Usage& spent() const { return spent_; }
  double cost(const Usage& usage) const;
  // kLimit once a ceiling is reached, in words that say which, and how to go on.
  Status within() const;
  // Would `more` on top of what is spent reach a ceiling?
  bool room_for(const Usage& more) const;

  // For HttpOpen::known; and what was found out, after opening.
  std::optional<bool> known_scores(const EndpointInfo& endpoint) const;
  Status keep(const ModelInfo& info);

 private:
  friend class MeteredModel;
  Ceiling ceiling_;
  std::optional<AnswerStore> answers_;
  Usage spent_, reserved_;  // reserved: at most, by what is on its way
  std::map<std::string, EndpointRecord> endpoints_;  // by URL
  EventSink events_;
};

// `model` is one over endpoints (ModelInfo::endpoints is not empty).
std::unique_ptr<Model> metered(std::unique_ptr<Model> model, std::shared_ptr<Meter> meter);

}  // namespace precept
