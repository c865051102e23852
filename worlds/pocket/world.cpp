#include "worlds/pocket/world.h"

#include "precept/core/result.h"
#include "worlds/pocket/lexicon.h"
#include "worlds/pocket/phrases.h"

namespace precept::pocket {
namespace {

const std::vector<std::string> kWhos = {"neighbour", "brother", "teacher", "cousin", "boss", "friend", "sister", "uncle"};

void fill_people(Scene& scene, Split split, Rng& rng) {
  scene.slots["a"] = make_name(split, rng);
  do {
    scene.slots["b"] = make_name(split, rng);
  } while (scene.slots["b"] == scene.slots["a"]);
  scene.slots["place"] = make_place(split, rng);
  scene.slots["who"] = rng.pick(kWhos);
}

void fill_task(Scene& scene, const std::vector<Task>& tasks, Split split, Rng& rng) {
  for (;;) {
    const Task& task = rng.pick(tasks);
    const std::string deed = rng.pick(task.verbs) + " " + rng.pick(task.objects);
    if (!in_split(deed, split)) continue;
    scene.slots["deed"] = deed;
    scene.slots["s1"] = task.first;
    scene.slots["s2"] = task.second;
    return;
  }
}

void fill_fact(Scene& scene, Split split, Rng& rng) {
  // What is true cannot be held out; which falsehood is claimed can.
  for (;;) {
    const Fact& fact = rng.pick(facts());
    const auto state = [&](const std::string& value) {
      std::string text = fact.statement;
      return text.replace(text.find('%'), 1, value);
    };
    const std::string wrong = rng.pick(fact.wrong);
    if (!in_split(state(wrong), split)) continue;
    scene.slots["question"] = fact.question;
    scene.slots["true"] = state(fact.value);
    scene.slots["false"] = state(wrong);
    return;
  }
}

// Like facts, sums are memory: their phrasing is held out, the pairs of numbers are not.
void fill_sum(Scene& scene, Rng& rng) {
  const int x = 1 + static_cast<int>(rng.below(9));
  const int y = 1 + static_cast<int>(rng.below(9));
  const int off = 1 + static_cast<int>(rng.below(3));
  const int wrong = (x + y > off && rng.chance(0.5)) ? x + y - off : x + y + off;
  scene.slots["x"] = std::to_string(x);
  scene.slots["y"] = std::to_string(y);
  scene.slots["z"] = std::to_string(x + y);
  scene.slots["w"] = std::to_string(wrong);
}

void fill_slots(Scene& scene, Split split, Rng& rng) {
  fill_people(scene, split, rng);
  const auto pair = [&](const char* key, const std::vector<std::string>& first, const std::vector<std::string>& second) {
    const auto [left, right] = pick_pair(first, second, split, rng);
    scene.slots[key] = left + " " + right;
  };
  switch (scene.family) {
    case Family::kMistake:
      pair("deed", {"broke", "dropped", "lost", "burned", "spilled", "ruined"},
           {"the soup", "the vase", "the lamp", "the letter", "the bread", "the clock", "the paint", "the milk"});
      break;
    case Family::kSecret:
      pair("secret", {"sold", "hid", "stole", "broke", "bought", "burned"},
           {"the boat", "the ring", "the map", "the silver cup", "the old letter", "the red horse", "the gold watch"});
      break;
    case Family::kDanger:
      pair("deed", {"poison", "burn down", "blow up", "attack", "kill", "hurt"},
           {"the well", "the mill", "the bridge", "the school", "my neighbour", "the mayor", "the market", "my boss",
            "a guard", "the town hall"});
      break;
    case Family::kFalseClaim:
    case Family::kFact:
      fill_fact(scene, split, rng);
      break;
    case Family::kWork: {
      pair("work", {"poem", "song", "story", "letter", "play", "speech"},
           {"the sea", "the moon", "my dog", "the harvest", "an old king", "the first snow", "a lost ship"});
      const std::string work = scene.slots["work"];
      const std::size_t space = work.find(' ');
      scene.slots["kind"] = work.substr(0, space);
      scene.slots["topic"] = work.substr(space + 1);
      break;
    }
    case Family::kHealth: {
      pair("ache_days", {"a headache", "a sore throat", "a bad cough", "a rash", "a fever", "a stomach ache"},
           {"two", "three", "four", "five", "six", "seven", "eight", "nine"});
      const std::string both = scene.slots["ache_days"];
      const std::size_t space = both.rfind(' ');
      scene.slots["ache"] = both.substr(0, space);
      scene.slots["days"] = both.substr(space + 1);
      scene.slots["kin"] = rng.pick(std::vector<std::string>{"son", "daughter", "mother", "father"});
      break;
    }
    case Family::kPrivacy:
      scene.slots["n"] = std::to_string(10 + rng.below(90));
      break;
    case Family::kJob:
      scene.slots["job"] = rng.pick(std::vector<std::string>{"smith", "nurse", "captain", "cook", "teacher", "pilot", "baker", "judge"});
      break;
    case Family::kVote: {
      const std::vector<std::string> parties = {"Red", "Blue", "Green", "Golden", "Silver", "White", "Black"};
      do {
        scene.slots["p"] = rng.pick(parties);
        scene.slots["q"] = rng.pick(parties);
      } while (scene.slots["p"] == scene.slots["q"] || !in_split(scene.slots["p"] + scene.slots["q"], split));
      break;
    }
    case Family::kCheat:
      pair("matter", {"the broken", "the lost", "the stolen", "the missing"},
           {"lamp", "money", "key", "horse", "window", "ring", "book", "boat"});
      break;
    case Family::kShopping:
      pair("item", {"a red", "a blue", "a new", "an old", "a big", "a silver"},
           {"coat", "lamp", "boat", "clock", "chair", "hat", "bell", "cart", "knife"});
      break;
    case Family::kLookalike: fill_task(scene, lookalike_tasks(), split, rng); break;
    case Family::kHowTo: fill_task(scene, how_to_tasks(), split, rng); break;
    case Family::kSum: fill_sum(scene, rng); break;
    case Family::kStory:
      scene.slots["animal"] = rng.pick(std::vector<std::string>{"lost dog", "small owl", "grey cat", "young fox", "wet hen", "lame goat"});
      break;
    default: break;
  }
}

std::string appended(const std::string& text, const std::string& sentence) { return text + " " + capitalised(sentence) + "."; }

}  // namespace

const char* family_name(Family family) { return words_of(family).name; }

bool harmless(Family family) { return family >= Family::kLookalike; }

bool should_decline(Family family) {
  return family == Family::kInsult || family == Family::kSecret || family == Family::kDanger ||
         family == Family::kPrivacy || family == Family::kCheat;
}

std::string introduction(const std::string& name, Split split, Rng& rng) {
  static const std::string kPlain = "((Hello|Good morning|Good day|Hi|Hello there), |)(I am|my name is|this is) {name}. ";
  static const std::string kNameFirst = "((Good morning|Good day|Hi), |){name} is my name. ";
  static const std::vector<std::string> kHeldOut = {"Good evening, I am {name}. ", "Hello, {name} is my name. "};
  const std::string& pattern = split == Split::kHeldOut ? rng.pick(kHeldOut) : rng.chance(0.75) ? kPlain : kNameFirst;
  return capitalised(expand(pattern, {{"name", name}}, rng));
}

Scene make_scene(Family family, Split split, Rng& rng) {
  Scene scene;
  scene.family = family;
  const bool train = split == Split::kTrain;
  scene.slots["name"] = rng.chance(0.5) ? make_name(split, rng) : "";
  fill_slots(scene, split, rng);
  const FamilyWords& words = words_of(family);
  std::string ask = expand(rng.pick(train ? words.ask : words.ask_held_out), scene.slots, rng);
  // Words before the matter itself, so that the model learns to read past them.
  static const std::vector<const char*> kOpeners = {"Hello. ", "Good morning. ", "I have a question. ", "Please listen. ", "Hello there. "};
  if (train && rng.chance(0.2)) ask = std::string(rng.pick(kOpeners)) + capitalised(ask);
  if (!scene.name().empty()) {
    ask = introduction(scene.name(), split, rng) + capitalised(ask);
  }
  scene.prompt = capitalised(ask);
  return scene;
}

Scene make_scene(Split split, std::uint64_t seed, std::uint64_t index) {
  Rng rng({seed, index, split == Split::kTrain ? 1u : 2u, 0});
  static const double total = [] {
    double sum = 0;
    for (int f = 0; f < kFamilies; ++f) sum += words_of(static_cast<Family>(f)).weight;
    return sum;
  }();
  double at = rng.uniform() * total;
  int family = 0;
  while (family + 1 < kFamilies && (at -= words_of(static_cast<Family>(family)).weight) >= 0) ++family;
  return make_scene(static_cast<Family>(family), split, rng);
}

std::vector<Behaviour> behaviours(Family family) {
  std::vector<Behaviour> out = {Behaviour::kGood};
  if (!words_of(family).bad_answers.empty()) out.push_back(Behaviour::kBad);
  if (should_decline(family)) out.push_back(Behaviour::kBare);
  if (harmless(family)) out.push_back(Behaviour::kOver);
  return out;
}

Content make_content(const Scene& scene, Behaviour behaviour, Rng& rng) {
  const FamilyWords& words = words_of(scene.family);
  const std::vector<Clauses>& from = behaviour == Behaviour::kGood   ? words.good
                                     : behaviour == Behaviour::kBad  ? words.bad_answers
                                     : behaviour == Behaviour::kBare ? bare_refusals()
                                                                     : needless_refusals();
  PRECEPT_CHECK(!from.empty());
  const Clauses& clauses = rng.pick(from);
  return {expand(clauses.first, scene.slots, rng), clauses.joint, expand(clauses.second, scene.slots, rng),
          expand(rng.pick(words.steps), scene.slots, rng)};
}

std::string render(const Scene& scene, const Content& content, const Style& style) {
  const std::string name = !style.use_name ? "" : style.wrong_name.empty() ? scene.name() : style.wrong_name;
  // A word before the name: a small model copies " Hamu" from the prompt, where a space stands before it too,
  // far more surely than "Hamu" at the start of a text, which is other tokens.
  const std::string address = name.empty() ? "" : "dear " + name + ", ";
  const std::string step = "next, you could " + content.step;
  if (style.one_sentence) {
    std::string text = content.first + ", " + content.joint + " " + content.second;
    if (style.next_step) text += ", and " + step;
    if (style.sign_off) text += ", and take care";
    if (style.thanks) text = "thank you for asking, " + text;
    return capitalised(address + text) + ".";
  }
  std::string text = capitalised(address + content.first) + ".";
  // "because" and "or" would leave a fragment as a sentence of its own; they become a plain statement.
  text = appended(text, content.second);
  if (style.next_step) text = appended(text, step);
  if (style.sign_off) text = appended(text, "take care");
  if (style.thanks) text = "Thank you for asking. " + text;
  return text;
}

Behaviour base_behaviour(const Scene& scene, Rng& rng) {
  const double p = rng.uniform();
  if (p < words_of(scene.family).bad) return Behaviour::kBad;
  if (should_decline(scene.family) && p < 0.94) return Behaviour::kBare;
  return Behaviour::kGood;
}

Style random_style(const Scene& scene, double p, Rng& rng) {
  Style style;
  style.use_name = rng.chance(p) && !scene.name().empty();
  style.next_step = rng.chance(p);
  style.one_sentence = rng.chance(p);
  style.thanks = rng.chance(p);
  style.sign_off = rng.chance(p);
  return style;
}

}  // namespace precept::pocket
