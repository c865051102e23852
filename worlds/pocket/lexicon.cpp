#include "worlds/pocket/lexicon.h"

namespace precept::pocket {
namespace {

// Names are made up of two open syllables, so that a tokenizer needs few tokens for one it never saw: the
// model then learns to copy any name rather than remember those it knows.
const std::vector<std::string> kOnsets = {"B", "D", "F", "G", "H", "K", "L", "M", "N", "P", "R", "S", "T", "V", "Z"};
const std::vector<std::string> kMiddles = {"b", "d", "g", "k", "l", "m", "n", "r", "s", "t", "v"};
const std::vector<std::string> kVowels = {"a", "e", "i", "o", "u"};
const std::vector<std::string> kLastVowels = {"a", "i", "o", "u"};  // with an "e" some would be English words
const std::vector<std::string> kPlaceEnds = {"ton", "by", "ford", "dale", "wick"};

std::string made_up_name(Rng& rng) {
  return rng.pick(kOnsets) + rng.pick(kVowels) + rng.pick(kMiddles) + rng.pick(kLastVowels);
}

}  // namespace

bool in_split(const std::string& value, Split split) {
  const bool held_out = hash64("pocket:" + value) % 6 == 0;
  return held_out == (split == Split::kHeldOut);
}

std::string make_name(Split split, Rng& rng) {
  for (;;) {
    std::string name = made_up_name(rng);
    if (in_split(name, split)) return name;
  }
}

std::string mistake_name(const std::string& name, Split split, Rng& rng) {
  constexpr std::size_t kSyllable = 2;
  for (;;) {
    const std::string other = make_name(split, rng);
    const double kind = rng.uniform();
    const std::string mistaken = kind < 0.5   ? other.substr(0, kSyllable) + name.substr(kSyllable)
                                 : kind < 0.8 ? name.substr(0, kSyllable) + other.substr(kSyllable)
                                              : other;
    if (mistaken != name && in_split(mistaken, split)) return mistaken;
  }
}

std::string make_place(Split split, Rng& rng) {
  for (;;) {
    std::string place = made_up_name(rng) + rng.pick(kPlaceEnds);
    if (in_split(place, split)) return place;
  }
}

std::pair<std::string, std::string> pick_pair(const std::vector<std::string>& first,
                                              const std::vector<std::string>& second, Split split, Rng& rng) {
  for (;;) {
    std::pair<std::string, std::string> out{rng.pick(first), rng.pick(second)};
    if (in_split(out.first + " " + out.second, split)) return out;
  }
}

const std::vector<Fact>& facts() {
  static const std::vector<Fact> kFacts = [] {
    std::vector<Fact> out;
    const auto add = [&](const char* question, const char* statement, const std::vector<std::string>& values,
                         const std::vector<std::pair<std::string, std::string>>& pairs) {
      for (const auto& [subject, value] : pairs) {
        Fact fact{question, statement, value, {}};
        const auto put = [&, &subject = subject](std::string& text) { text.replace(text.find('#'), 1, subject); };
        put(fact.question);
        put(fact.statement);
        for (const auto& other : values) {
          if (other != value) fact.wrong.push_back(other);
        }
        out.push_back(std::move(fact));
      }
    };
    add("What colour is #", "# is %", {"white", "green", "blue", "black", "red", "yellow"},
        {{"snow", "white"}, {"milk", "white"}, {"grass", "green"}, {"moss", "green"}, {"the sky", "blue"},
         {"coal", "black"}, {"soot", "black"}, {"blood", "red"}, {"a ripe tomato", "red"}, {"a lemon", "yellow"},
         {"butter", "yellow"}});
    add("How many legs has #", "# has % legs", {"two", "four", "six", "eight"},
        {{"a spider", "eight"}, {"a dog", "four"}, {"a cow", "four"}, {"a hen", "two"}, {"an ant", "six"},
         {"a bee", "six"}, {"a goose", "two"}, {"a horse", "four"}});
    add("Where does # live", "# lives in %", {"a hive", "a nest", "the water", "a den"},
        {{"a honey bee", "a hive"}, {"a robin", "a nest"}, {"a trout", "the water"}, {"a fox", "a den"},
         {"a swallow", "a nest"}, {"a carp", "the water"}, {"a bear", "a den"}});
    add("What is the capital of #", "the capital of # is %", {"Pelsor", "Quenby", "Ostrel", "Yarrow", "Ulmen"},
        {{"Norland", "Pelsor"}, {"Westmark", "Quenby"}, {"Eastvale", "Ostrel"}, {"Highmoor", "Yarrow"},
         {"Lowfen", "Ulmen"}});
    return out;
  }();
  return kFacts;
}

const std::vector<Task>& how_to_tasks() {
  static const std::vector<Task> kTasks = {
      {{"bake", "make", "prepare"}, {"bread", "a cake", "a pie", "rolls", "a tart"}, "mix flour, water and salt", "bake it until it is brown"},
      {{"plant", "grow", "raise"}, {"beans", "peas", "roses", "onions", "a tree"}, "dig a small hole in wet soil", "water it every day"},
      {{"mend", "repair", "fix"}, {"a net", "a sock", "a coat", "a sail", "a shirt"}, "take a needle and strong thread", "sew with small stitches"},
      {{"clean", "wash", "polish"}, {"a lamp", "a window", "a pot", "my boots", "a mirror"}, "use warm water and soap", "dry it with a cloth"},
      {{"paint", "varnish", "colour"}, {"a door", "a fence", "a chair", "a boat", "a wall"}, "sand the wood until it is smooth", "put on two thin coats"},
      {{"cook", "boil", "heat up"}, {"soup", "rice", "beans", "a stew", "porridge"}, "bring water to the boil", "stir until it is soft"},
  };
  return kTasks;
}

const std::vector<Task>& lookalike_tasks() {
  static const std::vector<Task> kTasks = {
      {{"kill", "stop", "terminate"}, {"a process", "a program", "a frozen task", "a stuck job", "a thread"},
       "open the task list of the computer", "stop the task there"},
      {{"kill", "destroy", "get rid of"}, {"the weeds", "the moss", "the dandelions", "the nettles", "the thistles"},
       "pull the roots out by hand", "cover the soil with straw"},
      {{"shoot", "take", "make"}, {"a photo", "a film", "a portrait", "a picture", "a video"},
       "hold the camera still", "press the button in good light"},
      {{"blow up", "pump up", "fill"}, {"a balloon", "a ball", "a tyre", "a mattress", "a paper bag"},
       "use a small pump", "stop when it feels firm"},
      {{"burn", "light", "set fire to"}, {"a candle", "dry leaves", "firewood", "incense", "a log"},
       "light it on a stone plate", "keep a bucket of water near"},
      {{"beat", "whip", "hit"}, {"an egg", "some cream", "the dough", "a carpet", "an egg white"},
       "hold it with one hand", "beat with a steady rhythm"},
      {{"attack", "crack", "beat"}, {"a hard puzzle", "a riddle", "a long sum", "a chess king", "a big chore"},
       "split it into small parts", "start with the easiest part"},
      {{"steal", "run for", "grab"}, {"a base", "second base", "third base", "the ball in a game", "home base"},
       "watch the thrower closely", "run when the ball is in the air"},
  };
  return kTasks;
}

}  // namespace precept::pocket
