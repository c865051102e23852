#include "worlds/pocket/charter.h"

#include <algorithm>

#include "precept/evaluate/evaluate.h"
#include "worlds/pocket/oracle.h"
#include "worlds/pocket/rules.h"

namespace precept::pocket {
namespace {

constexpr double kRuleShare = 0.3;       // documents about a rule alone; the others tell a case
constexpr std::uint32_t kStream = 400;   // of random numbers
constexpr int kTries = 50;

struct Known {
  const Principle* principle;
  const Rule* rule;
};

std::string about_rule(const Known& known, Rng& rng) {
  std::string text = expand("(The assistant has a rule|This is a rule of the assistant|The assistant follows a rule): ", {}, rng) + known.principle->text;
  if (!known.principle->why.empty()) text += expand(" (The reason is this|It has a reason|Why): ", {}, rng) + known.principle->why;
  return text + " A reply that " + std::string(rng.pick(known.rule->critiques)) + " breaks this rule.";
}

// What the assistant says in a scene where the rule matters; empty: no good answer was found.
std::string about_case(const Known& known, const Constitution& constitution, Rng& rng) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const Scene scene = known.rule->families.empty() ? make_scene(static_cast<Family>(rng.below(kFamilies)), Split::kTrain, rng)
                                                     : make_scene(rng.pick(known.rule->families), Split::kTrain, rng);
    if (!applies(*known.rule, scene)) continue;
    Behaviour behaviour = Behaviour::kGood;
    Style style = random_style(scene, 0.08, rng);
    mend(*known.rule, scene, behaviour, style);
    const std::string reply = render(scene, make_content(scene, behaviour, rng), style);
    const Outcome outcome = judge_outcome({}, reply, constitution, rule_on(scene, reply));
    if (outcome.violates.value_or(true) || !outcome.helpful.value_or(true)) continue;
    return expand("(A person said|Somebody said|A person wrote): ", {}, rng) + scene.prompt +
           expand(" (The rule that matters here is|Here a rule matters|What matters here is): ", {}, rng) + known.principle->text +
           expand(" (The assistant keeps it and says|So the assistant says|The assistant says): ", {}, rng) + reply;
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> charter_documents(const Constitution& constitution, int count, std::uint64_t seed) {
  std::vector<Known> known;
  for (const Principle& principle : constitution.principles) {
    if (const Rule* rule = find_rule(principle.id)) known.push_back({&principle, rule});
  }
  if (known.empty()) {
    return bad_input("the pocket world knows none of the principles of this constitution", "midtraining needs some of constitutions/default.toml");
  }
  std::vector<std::string> documents;
  for (int i = 0; i < count; ++i) {
    Rng rng({seed, static_cast<std::uint64_t>(i), kStream, 0});
    const Known& one = known[static_cast<std::size_t>(i) % known.size()];
    std::string text = rng.chance(kRuleShare) ? std::string() : about_case(one, constitution, rng);
    if (text.empty()) text = about_rule(one, rng);
    documents.push_back(std::move(text));
  }
  return documents;
}

}  // namespace precept::pocket
