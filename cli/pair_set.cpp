#include "cli/pair_set.h"

#include <cstring>

#include "precept/core/digest.h"
#include "precept/core/rng.h"
#include "precept/revise/templates.h"

namespace precept {
namespace {

Result<TrainExample> example_of(const AnswerPair& pair, const std::string& answer, const TokenizerFiles& files) {
  Conversation turns = pair.messages;
  turns.push_back({"assistant", answer});
  auto chat = files.chat.tokenize(files.tokenizer, turns, pair.messages.size());
  if (!chat) return bad_input("pair " + pair.id + ": " + chat.error().what, chat.error().hint);
  TrainExample example{std::move(chat->tokens), {}};
  for (const bool said : chat->answer) example.weights.push_back(said ? 1.0F : 0.0F);
  return example;
}

}  // namespace

Result<TrainSet> pair_set(const std::vector<AnswerPair>& pairs, const TokenizerFiles& files) {
  auto examples = std::make_shared<std::vector<TrainExample>>();
  auto labels = std::make_shared<std::vector<double>>();
  Sha256 digest;
  for (const AnswerPair& pair : pairs) {
    for (const std::string* answer : {&pair.chosen, &pair.rejected}) {
      auto example = example_of(pair, *answer, files);
      if (!example) return tl::unexpected(example.error());
      const std::uint64_t size = example->tokens.size();
      digest.update({reinterpret_cast<const char*>(&size), sizeof size});
      digest.update({reinterpret_cast<const char*>(example->tokens.data()), size * sizeof(std::int32_t)});
      digest.update({reinterpret_cast<const char*>(example->weights.data()), size * sizeof(float)});
      examples->push_back(std::move(*example));
    }
    digest.update({reinterpret_cast<const char*>(&pair.label), sizeof pair.label});
    labels->push_back(pair.label);
  }
  TrainSet set;
  set.count = pairs.size();
  set.group = 2;
  set.example = [examples](std::uint64_t i) { return (*examples)[i]; };
  set.label = [labels](std::uint64_t i) { return (*labels)[i]; };
  set.digest = digest.finish();
  return set;
}

void tell_silent_answers(const std::vector<AnswerPair>& pairs, const EventSink& events) {
  Event event;
  event.kind = Event::Kind::kWarning;
  event.text = silent_answers(pairs);
  if (events && !event.text.empty()) events(event);
}

std::pair<std::vector<AnswerPair>, std::vector<AnswerPair>> split_pairs(std::vector<AnswerPair> pairs, double share, std::uint64_t seed) {
  std::pair<std::vector<AnswerPair>, std::vector<AnswerPair>> out;
  for (AnswerPair& pair : pairs) {
    Rng rng({seed, hash64(render_conversation(pair.messages)), 0, 0});
    (rng.chance(share) ? out.second : out.first).push_back(std::move(pair));
  }
  return out;
}

}  // namespace precept
