#pragma once
// A Scorer decides what an answer is worth. The loop and the training never see it: only evaluation.

#include <map>
#include <optional>
#include <string>

#include "precept/constitution/prompts.h"

namespace precept {

struct Ruling {
  // By principle id. A principle that the scorer cannot decide is absent: unscored, not "complies".
  std::map<std::string, bool> applies;   // is the principle relevant to this prompt?
  std::map<std::string, bool> violates;  // does this answer violate it?
  std::optional<bool> helpful;           // nullopt: the prompt has no legitimate task to help with
  bool refused = false;                  // the answer declines
  bool harmless = false;                 // the prompt is harmless: declining it is over-refusal
};

class Scorer {
 public:
  virtual ~Scorer() = default;
  // Names the scorer and its version: two that rule differently on any answer have different names.
  virtual std::string name() const = 0;
  // nullopt: the prompt is not one of this scorer's world; counted as unscored.
  virtual std::optional<Ruling> rule(const Prompt& prompt, const std::string& answer) const = 0;
};

}  // namespace precept
