#include "cli/train_set.h"

#include <sstream>

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/chat_tokens.h"
#include "worlds/pocket/documents.h"

namespace precept {
namespace {

// How much the loss of a person's words counts in conversations: enough to know what people say.
constexpr float kPersonWeight = 0.05f;
// A verdict is one token of many; this keeps it from drowning.
constexpr float kVerdictWeight = 2.0f;

TrainExample weighted(const ChatTokens& chat, float answer, float other) {
  TrainExample out;
  out.tokens = chat.tokens;
  out.weights.reserve(chat.tokens.size());
  for (const bool said : chat.answer) out.weights.push_back(said ? answer : other);
  return out;
}

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto it = object.find(key);
  return it != object.end() && it->is_string() ? it->get<std::string>() : std::string();
}

// The conversation of one line; empty when the line has none of the known shapes.
Conversation conversation_of(const nlohmann::json& line) {
  Conversation out;
  const auto add_all = [&](const nlohmann::json& turns) {
    for (const auto& turn : turns) {
      if (turn.is_object()) out.push_back({text_of(turn, "role"), text_of(turn, "content")});
    }
  };
  if (line.contains("messages") && line["messages"].is_array()) {
    add_all(line["messages"]);
    return out;
  }
  for (const char* key : {"prompt", "completion"}) {
    if (!line.contains(key)) return {};
    if (line[key].is_array()) add_all(line[key]);
    else if (line[key].is_string()) {
      out.push_back({std::string(key) == "prompt" ? "user" : "assistant", line[key].get<std::string>()});
    }
  }
  return out;
}

}  // namespace

Result<TrainSet> load_sft_set(const std::string& path, const TokenizerFiles& files) {
  const auto text = read_text(path);
  if (!text) return tl::unexpected(text.error());
  auto examples = std::make_shared<std::vector<TrainExample>>();
  std::istringstream lines(*text);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (nested_too_deeply(line)) return bad_input("nested deeper than " + std::to_string(kMaxJsonDepth), "one flat object a line", path, number);
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return bad_input("not a JSON object", "one object a line", path, number);
    const Conversation conversation = conversation_of(json);
    if (conversation.empty() || conversation.back().role != "assistant" || conversation.back().content.empty()) {
      return bad_input("no answer to train on", "each line needs \"prompt\" and \"completion\", or \"messages\" that end with the assistant",
                       path, number);
    }
    const auto chat = tokenize_chat(files.tokenizer, files.chat, conversation);
    if (!chat) return bad_input(chat.error().what, chat.error().hint, path, number);
    examples->push_back(weighted(*chat, 1.0f, 0.0f));
  }
  if (examples->empty()) return bad_input("no examples", "the file is empty", path);
  TrainSet set;
  set.count = examples->size();
  set.example = [examples](std::uint64_t i) { return (*examples)[i]; };
  set.digest = sha256(*text);
  return set;
}

TrainSet pocket_train_set(std::uint64_t seed, std::uint64_t count, const TokenizerFiles& files) {
  TrainSet set;
  set.count = count;
  set.digest = sha256("pocket corpus " + std::to_string(seed) + " " + files.tokenizer.digest());
  set.example = [seed, files](std::uint64_t i) {
    const pocket::Document document = pocket::make_document(seed, i);
    const auto chat = tokenize_chat(files.tokenizer, files.chat, document.messages);
    PRECEPT_CHECK(chat.has_value());
    const bool verdict = document.kind == pocket::DocumentKind::kSelect || document.kind == pocket::DocumentKind::kJudge;
    return weighted(*chat, verdict ? kVerdictWeight : 1.0f,
                    document.kind == pocket::DocumentKind::kChat ? kPersonWeight : 0.0f);
  };
  return set;
}

}  // namespace precept
