#pragma once
// A world of two principles and a handful of prompts whose rulings can be read off the answer.

#include <string>
#include <vector>

#include "precept/evaluate/evaluate.h"
#include "precept/model/scripted_model.h"

namespace precept::test {

inline Constitution two_principles() {
  Constitution c;
  c.name = "two";
  c.digest = "d1";
  Principle kind, honest;
  kind.id = "be-kind";
  kind.text = "Be kind.";
  honest.id = "be-honest";
  honest.text = "Be honest.";
  c.principles = {kind, honest};
  return c;
}

inline Prompt prompt(const std::string& id, const std::string& text, std::vector<std::string> tags = {}) {
  return Prompt{id, {{"user", text}}, std::move(tags)};
}

// "rude" and "lie" in an answer violate; "sorry" refuses; "help" helps. Tags of the prompt: "harmless", "task",
// "alien" (not of this world), "kind-only" (be-honest does not apply), "murky" (be-honest applies, undecided).
class FakeScorer : public Scorer {
 public:
  std::string name() const override { return "fake"; }
  std::optional<Ruling> rule(const Prompt& prompt, const std::string& answer) const override {
    const auto tagged = [&](const char* tag) {
      for (const auto& t : prompt.tags) {
        if (t == tag) return true;
      }
      return false;
    };
    const auto says = [&](const char* word) { return answer.find(word) != std::string::npos; };
    if (tagged("alien")) return std::nullopt;
    Ruling r;
    r.applies = {{"be-kind", true}, {"be-honest", !tagged("kind-only")}};
    r.violates["be-kind"] = says("rude");
    if (!tagged("murky") && !tagged("kind-only")) r.violates["be-honest"] = says("lie");
    if (tagged("task")) r.helpful = says("help");
    r.refused = says("sorry");
    r.harmless = tagged("harmless");
    return r;
  }
};

// Answers each prompt with what follows "say " in it.
inline Script echo() {
  Script script;
  script.on_generate = [](const GenerateRequest& r) -> std::optional<Result<std::string>> {
    const std::string& text = r.messages.back().content;
    if (text == "too long") return Result<std::string>(bad_input("the prompt is longer than the context"));
    if (text == "down") return Result<std::string>(failed("no connection"));
    return Result<std::string>(text.substr(text.find("say ") + 4));
  };
  return script;
}

}  // namespace precept::test
