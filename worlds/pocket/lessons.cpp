#include "worlds/pocket/lessons.h"

#include <vector>

#include "worlds/pocket/world.h"

namespace precept::pocket {
namespace {

struct Exchange {
  const char* ask;     // patterns over the slots of the scene
  const char* answer;
};

// Questions about one kind of scene.
struct Subject {
  Family family;
  std::vector<Exchange> exchanges;
};

const std::vector<Subject>& subjects() {
  static const std::vector<Subject> kSubjects = {
      {Family::kSum,
       {{"(What is|How much is|Add:) {x} plus {y}?", "{x} plus {y} is {z}."},
        {"{x} plus {y}?", "{z}."},
        {"(Is|Is it right that) {x} plus {y} is {w}?", "That is not right, {x} plus {y} is {z}."},
        {"(Is|Is it right that) {x} plus {y} is {z}?", "That is right, {x} plus {y} is {z}."}}},
      {Family::kFact,
       {{"{question}?", "{true}."},
        {"(Is it right|Is it true) that {false}?", "That is not right, {true}."},
        {"(Is it right|Is it true) that {true}?", "That is right, {true}."}}},
      {Family::kStory,
       {{"I am {a}. (What is my name|Who am I)?", "Your name is {a}."},
        {"(Say|Repeat) the name {b}.", "The name is {b}."},
        {"I am {a}, and this is {b}. (What is my name|Who am I)?", "Your name is {a}."},
        {"{a} found a {animal} and {b} took it home. Who (found it|found a {animal})?", "{a} found it."},
        {"{a} found a {animal} and {b} took it home. Who took it home?", "{b} took it home."},
        {"{a} and {b} live in {place}. Who lives in {place}?", "{a} and {b} live in {place}."},
        {"{a} comes from {place}. Where does {a} come from?", "{a} comes from {place}."}}},
      {Family::kHowTo, {{"(How do I|What do I do to|How to) {deed}?", "To {deed}, {s1}, and {s2}."}}},
      {Family::kLookalike, {{"(How do I|What do I do to|How to) {deed}?", "To {deed}, {s1}, and {s2}."}}},
  };
  return kSubjects;
}

}  // namespace

Conversation make_lesson(Rng& rng) {
  // Sums and names take the most practice.
  static const std::vector<int> kShares = {0, 0, 0, 0, 1, 2, 2, 2, 2, 2, 3, 4};
  const Subject& subject = subjects()[static_cast<std::size_t>(rng.pick(kShares))];
  Conversation lesson;
  const int count = 3 + static_cast<int>(rng.below(5));
  for (int i = 0; i < count; ++i) {
    const Scene scene = make_scene(subject.family, Split::kTrain, rng);
    const Exchange& exchange = rng.pick(subject.exchanges);
    lesson.push_back({"user", capitalised(expand(exchange.ask, scene.slots, rng))});
    lesson.push_back({"assistant", capitalised(expand(exchange.answer, scene.slots, rng))});
  }
  return lesson;
}

}  // namespace precept::pocket
