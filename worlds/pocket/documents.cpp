#include "worlds/pocket/documents.h"

#include <algorithm>
#include <string>

#include "precept/revise/templates.h"
#include "worlds/pocket/lexicon.h"

namespace precept::pocket {
namespace {

// An answer and how it was made.
struct Draft {
  Behaviour behaviour;
  Style style;
  Content content;
};

// Half of the drafts look like the base model's own, half spread over everything that can be said.
Draft make_draft(const Scene& scene, Rng& rng) {
  Draft draft;
  const auto all = behaviours(scene.family);
  draft.behaviour = rng.chance(0.4) ? base_behaviour(scene, rng) : rng.pick(all);
  draft.style = random_style(scene, rng.chance(0.5) ? 0.08 : 0.5, rng);
  draft.content = make_content(scene, draft.behaviour, rng);
  return draft;
}

Principle worded(const Rule& rule, Rng& rng) {
  Principle principle;
  principle.id = rule.id;
  principle.text = word_rule(rule, Split::kTrain, rng);
  return principle;
}

// A rule for a question about this scene: one that matters, or any other.
const Rule& pick_rule(const Scene& scene, double p_applies, Rng& rng) {
  const bool want = rng.chance(p_applies);
  for (;;) {
    const Rule& rule = rng.pick(rules());
    // Style rules matter nearly everywhere; without this they would crowd out all others.
    const bool style = rule.families.empty();
    if (want && style && rng.chance(0.85)) continue;
    if (applies(rule, scene) == want) return rule;
  }
}

// Several questions about one beginning: the first asked in full, the others by their tail alone.
template <class Ask, class Answer>
Document questionnaire(DocumentKind kind, int count, const Scene& scene, double p_applies, Rng& rng, Ask ask, Answer answer) {
  Document document{kind, {}};
  for (int i = 0; i < count; ++i) {
    const Rule& rule = pick_rule(scene, p_applies, rng);
    const Principle principle = worded(rule, rng);
    const SplitRequest request = ask(principle);
    document.messages.push_back({"user", (i == 0 ? request.prefix : "") + request.tails[0]});
    document.messages.push_back({"assistant", answer(rule) ? "yes" : "no"});
  }
  return document;
}

Document select_document(const Scene& scene, const Conversation& conversation, Rng& rng) {
  return questionnaire(
      DocumentKind::kSelect, 1 + static_cast<int>(rng.below(6)), scene, 0.4, rng,
      [&](const Principle& p) { return select_request(default_templates(), conversation, {&p}); },
      [&](const Rule& rule) { return applies(rule, scene); });
}

Document judge_document(const Scene& scene, const Conversation& conversation, Rng& rng) {
  const Draft draft = make_draft(scene, rng);
  const std::string reply = render(scene, draft.content, draft.style);
  return questionnaire(
      DocumentKind::kJudge, 1 + static_cast<int>(rng.below(4)), scene, 0.8, rng,
      [&](const Principle& p) { return judge_request(default_templates(), conversation, reply, {&p}); },
      [&](const Rule& rule) { return violates(rule, scene, draft.behaviour, draft.style); });
}

// A rule the draft breaks, if any and if wanted; otherwise any rule.
const Rule& rule_to_criticise(const Scene& scene, const Draft& draft, Rng& rng) {
  std::vector<const Rule*> broken;
  for (const Rule& rule : rules()) {
    if (violates(rule, scene, draft.behaviour, draft.style)) {
      // The matter counts more than style: entered several times.
      broken.insert(broken.end(), rule.families.empty() ? 1 : 4, &rule);
    }
  }
  if (!broken.empty() && rng.chance(0.85)) return *rng.pick(broken);
  return pick_rule(scene, 0.7, rng);
}

std::string critique_text(const Scene& scene, const Rule& rule, const Draft& draft, Rng& rng) {
  if (!applies(rule, scene)) return "The rule does not matter here.";
  if (!violates(rule, scene, draft.behaviour, draft.style)) return "The reply keeps the rule.";
  return "The reply " + std::string(rng.pick(rule.critiques)) + ".";
}

Document rewrite_document(DocumentKind kind, const Scene& scene, const Conversation& conversation, Rng& rng) {
  Draft draft = make_draft(scene, rng);
  const std::string reply = render(scene, draft.content, draft.style);
  const Rule& rule = rule_to_criticise(scene, draft, rng);
  const Principle principle = worded(rule, rng);
  const std::string critique = critique_text(scene, rule, draft, rng);
  if (kind == DocumentKind::kCritique) {
    return {kind, {{"user", critique_request(default_templates(), conversation, reply, {&principle})}, {"assistant", critique}}};
  }
  const Behaviour before = draft.behaviour;
  mend(rule, scene, draft.behaviour, draft.style);
  if (draft.behaviour != before) {
    const std::string step = draft.content.step;
    draft.content = make_content(scene, draft.behaviour, rng);
    draft.content.step = step;  // what was fine stays
  }
  return {kind, {{"user", revise_request(default_templates(), conversation, reply, {&principle}, critique)},
                 {"assistant", render(scene, draft.content, draft.style)}}};
}

}  // namespace

Document make_document(std::uint64_t seed, std::uint64_t index) {
  Rng rng({seed, index, 100, 0});
  const Scene scene = make_scene(Split::kTrain, seed ^ 0x706f636b6574ull, index);
  const Conversation conversation = {{"user", scene.prompt}};
  const double kind = rng.uniform();
  if (kind < 0.28) {
    const Behaviour behaviour = base_behaviour(scene, rng);
    const std::string reply = render(scene, make_content(scene, behaviour, rng), random_style(scene, 0.06, rng));
    return {DocumentKind::kChat, {{"user", scene.prompt}, {"assistant", reply}}};
  }
  if (kind < 0.44) return select_document(scene, conversation, rng);
  if (kind < 0.70) return judge_document(scene, conversation, rng);
  return rewrite_document(kind < 0.79 ? DocumentKind::kCritique : DocumentKind::kRevise, scene, conversation, rng);
}

}  // namespace precept::pocket
