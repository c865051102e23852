#include <map>
#include <set>

#include <gtest/gtest.h>

#include "worlds/pocket/documents.h"
#include "worlds/pocket/lexicon.h"
#include "worlds/pocket/oracle.h"
#include "worlds/pocket/phrases.h"
#include "worlds/pocket/rules.h"

namespace precept::pocket {
namespace {

TEST(PocketWorld, ScenesArePureFunctionsOfTheirNumbers) {
  const Scene a = make_scene(Split::kHeldOut, 7, 42);
  const Scene b = make_scene(Split::kHeldOut, 7, 42);
  EXPECT_EQ(a.prompt, b.prompt);
  EXPECT_EQ(a.slots, b.slots);
  EXPECT_NE(a.prompt, make_scene(Split::kHeldOut, 7, 43).prompt);
}

TEST(PocketWorld, SplitsShareNoNamePlaceOrPhrasing) {
  std::set<std::string> names[2], prompts[2];
  for (int s = 0; s < 2; ++s) {
    for (std::uint64_t i = 0; i < 4000; ++i) {
      const Scene scene = make_scene(s == 0 ? Split::kTrain : Split::kHeldOut, 1, i);
      for (const char* slot : {"a", "b", "name", "place"}) names[s].insert(scene.slots.at(slot));
      prompts[s].insert(scene.prompt);
    }
  }
  for (const auto& name : names[1]) {
    if (name.empty()) continue;
    EXPECT_EQ(names[0].count(name), 0u) << name;
  }
  for (const auto& prompt : prompts[1]) EXPECT_EQ(prompts[0].count(prompt), 0u) << prompt;
}

// The oracle reads the text; the generator knows its intention. They must say the same.
TEST(PocketWorld, OracleAgreesWithIntention) {
  Rng rng({11, 0, 0, 0});
  std::map<std::string, int> broken;
  for (int f = 0; f < kFamilies; ++f) {
    const auto family = static_cast<Family>(f);
    for (const Split split : {Split::kTrain, Split::kHeldOut}) {
      for (const Behaviour behaviour : behaviours(family)) {
        for (int n = 0; n < 60; ++n) {
          const Scene scene = make_scene(family, split, rng);
          const Style style = random_style(scene, 0.5, rng);
          const std::string answer = render(scene, make_content(scene, behaviour, rng), style);
          const Ruling ruling = rule_on(scene, answer);
          for (const Rule& rule : rules()) {
            const bool intended = violates(rule, scene, behaviour, style);
            EXPECT_EQ(ruling.violates.at(rule.id), intended)
                << rule.id << "\n  " << scene.prompt << "\n  " << answer;
            broken[rule.id] += intended;
          }
          EXPECT_EQ(ruling.refused, behaviour == Behaviour::kBare || behaviour == Behaviour::kOver ||
                                        (behaviour == Behaviour::kGood && should_decline(family)))
              << answer;
          if (harmless(family)) {
            EXPECT_EQ(ruling.helpful, std::optional<bool>(behaviour == Behaviour::kGood)) << scene.prompt << "\n  " << answer;
          } else {
            EXPECT_EQ(ruling.helpful, std::nullopt);
          }
        }
      }
    }
  }
  for (const Rule& rule : rules()) EXPECT_GT(broken[rule.id], 0) << rule.id << " is never violated";
}

TEST(PocketWorld, MendingARuleMendsIt) {
  Rng rng({12, 0, 0, 0});
  for (int n = 0; n < 2000; ++n) {
    const Scene scene = make_scene(Split::kTrain, 3, static_cast<std::uint64_t>(n));
    Behaviour behaviour = rng.pick(behaviours(scene.family));
    Style style = random_style(scene, 0.5, rng);
    for (const Rule& rule : rules()) mend(rule, scene, behaviour, style);
    const std::string answer = render(scene, make_content(scene, behaviour, rng), style);
    for (const auto& [id, violated] : rule_on(scene, answer).violates) EXPECT_FALSE(violated) << id << ": " << answer;
  }
}

TEST(PocketWorld, WordingsOfTheSplitsDiffer) {
  Rng rng({13, 0, 0, 0});
  for (const Rule& rule : rules()) {
    std::set<std::string> seen;
    for (int n = 0; n < 500; ++n) seen.insert(word_rule(rule, Split::kTrain, rng));
    EXPECT_GE(seen.size(), 5u) << rule.id;
    for (int n = 0; n < 50; ++n) EXPECT_EQ(seen.count(word_rule(rule, Split::kHeldOut, rng)), 0u) << rule.id;
  }
}

TEST(PocketWorld, ScenesAreFoundAgainFromTheirPrompts) {
  for (const Split split : {Split::kTrain, Split::kHeldOut}) {
    for (auto& prompt : pocket_prompts(split, 50, 9)) {
      ASSERT_TRUE(scene_of(prompt).has_value());
      prompt.messages[0].content += "!";
      EXPECT_FALSE(scene_of(prompt).has_value()) << "a changed prompt is not of this world";
    }
  }
  EXPECT_FALSE(scene_of({"pocket-train-x-1", {{"user", "Hi"}}, {}}).has_value());
  EXPECT_FALSE(scene_of({"p0123", {{"user", "Hi"}}, {}}).has_value());
}

TEST(PocketWorld, BaseModelIsTempted) {
  int violating = 0;
  const int count = 3000;
  Rng rng({14, 0, 0, 0});
  for (int i = 0; i < count; ++i) {
    const Scene scene = make_scene(Split::kTrain, 5, static_cast<std::uint64_t>(i));
    const std::string answer = render(scene, make_content(scene, base_behaviour(scene, rng), rng), {});
    bool any = false;
    for (const auto& [id, violated] : rule_on(scene, answer).violates) any |= violated && !find_rule(id)->families.empty();
    violating += any;
  }
  EXPECT_GT(violating, count * 45 / 100);
  EXPECT_LT(violating, count * 60 / 100);
}

}  // namespace
}  // namespace precept::pocket
