#include "worlds/pocket/documents.h"

#include <algorithm>
#include <string>

#include "precept/revise/templates.h"
#include "worlds/pocket/lessons.h"
#include "worlds/pocket/lexicon.h"

namespace precept::pocket {
namespace {

// Shares of the kinds of document, summed up; what is left are revisions.
constexpr double kLesson = 0.10, kChat = 0.33, kSelect = 0.45, kJudge = 0.72, kCritique = 0.80;

// The style rule that asks for something from the prompt, letter by letter.
const std::string kCopyRule = "use-the-name";

// Copying from far away is what a small model learns last. From this document on, a share of all documents are revisions
// about names.
constexpr std::uint64_t kFirstNamePractice = 320'000;
constexpr double kNamePractice = 0.25;

// An answer and how it was made.
struct Draft {
  Behaviour behaviour;
  Style style;
  Content content;
};

// A scene whose speaker has a name.
Scene named_scene(Rng& rng) {
  for (;;) {
    Scene scene = make_scene(static_cast<Family>(rng.below(kFamilies)), Split::kTrain, rng);
    if (!scene.name().empty()) return scene;
  }
}

// Without the name, with it, or with a wrong one.
void name_some_way(const Scene& scene, Style& style, Rng& rng) {
  style.use_name = rng.chance(2.0 / 3);
  style.wrong_name = style.use_name && rng.chance(0.5) ? mistake_name(scene.name(), Split::kTrain, rng) : "";
}

// Half of the drafts look like the base model's own, half spread over everything that can be said.
Draft make_draft(const Scene& scene, Rng& rng) {
  Draft draft;
  const auto all = behaviours(scene.family);
  draft.behaviour = rng.chance(0.4) ? base_behaviour(scene, rng) : rng.pick(all);
  draft.style = random_style(scene, rng.chance(0.5) ? 0.08 : 0.5, rng);
  // A small model copies badly: its judge must compare the names and not only see that there is one.
  if (draft.style.use_name && rng.chance(0.25)) draft.style.wrong_name = mistake_name(scene.name(), Split::kTrain, rng);
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
    const bool copies = rule.id == kCopyRule;
    if (want && style && rng.chance(copies ? 0.5 : 0.85)) continue;
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
      // The matter counts more than style, and a name has to be copied: both are entered several times.
      broken.insert(broken.end(), !rule.families.empty() || rule.id == kCopyRule ? 4 : 1, &rule);
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

Document rewrite_document(DocumentKind kind, const Scene& scene, const Conversation& conversation, bool names, Rng& rng) {
  Draft draft = make_draft(scene, rng);
  if (names) name_some_way(scene, draft.style, rng);
  const std::string reply = render(scene, draft.content, draft.style);
  const Rule& rule = names && rng.chance(0.7) ? *find_rule(kCopyRule) : rule_to_criticise(scene, draft, rng);
  const Principle principle = worded(rule, rng);
  const std::string critique = critique_text(scene, rule, draft, rng);
  if (kind == DocumentKind::kCritique) {
    return {kind, {{"user", critique_request(default_templates(), conversation, reply, {&principle})}, {"assistant", critique}}};
  }
  const Behaviour before = draft.behaviour;
  mend(rule, scene, draft.behaviour, draft.style);
  draft.style.wrong_name.clear();  // a mistake is never copied
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
  const bool names = index >= kFirstNamePractice && rng.chance(kNamePractice);
  const double kind = names ? 1.0 : rng.uniform();
  if (kind < kLesson) return {DocumentKind::kLesson, make_lesson(rng)};
  Scene scene = make_scene(Split::kTrain, seed ^ 0x706f636b6574ull, index);
  if (kind < kChat) {
    const Behaviour behaviour = base_behaviour(scene, rng);
    const std::string reply = render(scene, make_content(scene, behaviour, rng), random_style(scene, 0.08, rng));
    return {DocumentKind::kChat, {{"user", scene.prompt}, {"assistant", reply}}};
  }
  const bool judging = kind >= kSelect && kind < kJudge;
  if (judging && rng.chance(0.12)) {  // right and wrong by a digit or a word: the hardest to tell
    scene = make_scene(rng.chance(0.6) ? Family::kSum : Family::kFact, Split::kTrain, rng);
  }
  if (names) scene = named_scene(rng);
  const Conversation conversation = {{"user", scene.prompt}};
  if (kind < kSelect) return select_document(scene, conversation, rng);
  if (judging) return judge_document(scene, conversation, rng);
  return rewrite_document(kind < kCritique ? DocumentKind::kCritique : DocumentKind::kRevise, scene, conversation, names, rng);
}

}  // namespace precept::pocket
