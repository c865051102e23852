#include "cli/train_set.h"

#include <algorithm>
#include <functional>
#include <sstream>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "worlds/pocket/documents.h"

namespace precept {
namespace {

// How much the loss of a person's words counts in conversations: enough to know what people say.
constexpr float kPersonWeight = 0.05f;
// A verdict is one token of many; this keeps it from drowning.
constexpr float kVerdictWeight = 2.0f;
constexpr std::uint64_t kDigestDocuments = 1000;

TrainExample weighted(const ChatTokens& chat, float answer, float other) {
  TrainExample out;
  out.tokens = chat.tokens;
  out.weights.reserve(chat.tokens.size());
  for (const bool said : chat.answer) out.weights.push_back(said ? answer : other);
  return out;
}

// One line: its turns, and the first of those to learn.
struct Line {
  Conversation turns;
  std::size_t first_answer = 0;
};

constexpr const char* kShapes = "each line needs \"prompt\" and \"completion\", or \"messages\" that end with the assistant";

// The turns of one value: a text, or a list of role and content. False: neither.
bool add_turns(const nlohmann::json& value, const char* role_of_text, Conversation& turns) {
  if (value.is_string()) {
    if (role_of_text == nullptr) return false;
    turns.push_back({role_of_text, value.get<std::string>()});
    return true;
  }
  if (!value.is_array()) return false;
  for (const auto& turn : value) {
    if (!turn.is_object()) return false;
    const auto role = turn.find("role"), content = turn.find("content");
    if (role == turn.end() || content == turn.end() || !role->is_string() || !content->is_string()) return false;
    turns.push_back({role->get<std::string>(), content->get<std::string>()});
  }
  return true;
}

// Other columns, as data sets have them, are passed over.
Result<Line> read_line(const nlohmann::json& json, const std::string& path, int number) {
  Line out;
  const bool whole = json.contains("messages");
  for (const char* key : {"messages", "prompt", "completion"}) {
    if (whole != (std::string_view(key) == "messages")) continue;
    if (!json.contains(key)) return bad_input("no answer to train on", kShapes, path, number);
    if (std::string_view(key) == "completion") out.first_answer = out.turns.size();  // nobody judged what was said in the prompt
    const char* role = whole ? nullptr : std::string_view(key) == "prompt" ? "user" : "assistant";
    if (!add_turns(json[key], role, out.turns)) {
      return bad_input("\"" + std::string(key) + "\" is neither a text nor a list of {\"role\", \"content\"}", kShapes, path, number);
    }
  }
  if (out.first_answer >= out.turns.size() || out.turns.back().role != "assistant" || out.turns.back().content.empty()) {
    return bad_input("no answer to train on", kShapes, path, number);
  }
  return out;
}

// Over tokens and weights, so that another text, tokenizer, chat format or weighting is another set.
std::string digest_of(const std::function<TrainExample(std::uint64_t)>& example, std::uint64_t count) {
  Sha256 digest;
  const auto add = [&digest](const auto* values, std::size_t size) {
    digest.update({reinterpret_cast<const char*>(values), size * sizeof *values});
  };
  for (std::uint64_t i = 0; i < count; ++i) {
    const TrainExample one = example(i);
    const std::uint64_t size = one.tokens.size();
    add(&size, 1);
    add(one.tokens.data(), one.tokens.size());
    add(one.weights.data(), one.weights.size());
  }
  return digest.finish();
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
    const auto read = read_line(json, path, number);
    if (!read) return tl::unexpected(read.error());
    const auto chat = files.chat.tokenize(files.tokenizer, read->turns, read->first_answer);
    if (!chat) return bad_input(chat.error().what, chat.error().hint, path, number);
    examples->push_back(weighted(*chat, 1.0f, 0.0f));
  }
  if (examples->empty()) return bad_input("no examples", "the file is empty", path);
  TrainSet set;
  set.count = examples->size();
  set.example = [examples](std::uint64_t i) { return (*examples)[i]; };
  set.digest = digest_of(set.example, set.count);
  return set;
}

TrainSet text_set(const std::vector<std::string>& texts, const TokenizerFiles& files) {
  auto examples = std::make_shared<std::vector<TrainExample>>();
  const std::vector<std::int32_t>& ends = files.chat.stop_ids();
  for (const std::string& text : texts) {
    TrainExample example{files.chat.raw(files.tokenizer, text), {}};
    if (!ends.empty()) example.tokens.push_back(ends.front());
    example.weights.assign(example.tokens.size(), 1.0F);
    examples->push_back(std::move(example));
  }
  TrainSet set;
  set.count = examples->size();
  set.example = [examples](std::uint64_t i) { return (*examples)[i]; };
  set.digest = digest_of(set.example, set.count);
  return set;
}

TrainSet pocket_train_set(std::uint64_t seed, std::uint64_t count, const TokenizerFiles& files) {
  TrainSet set;
  set.count = count;
  set.example = [seed, files](std::uint64_t i) {
    const pocket::Document document = pocket::make_document(seed, i);
    const auto chat = files.chat.tokenize(files.tokenizer, document.messages);
    PRECEPT_CHECK(chat.has_value());
    const bool verdict = document.kind == pocket::DocumentKind::kSelect || document.kind == pocket::DocumentKind::kJudge;
    return weighted(*chat, verdict ? kVerdictWeight : 1.0f,
                    document.kind == pocket::DocumentKind::kChat ? kPersonWeight : 0.0f);
  };
  // Another world, tokenizer or weighting shows in the first documents.
  set.digest = std::to_string(seed) + " " + digest_of(set.example, std::min(count, kDigestDocuments));
  return set;
}

}  // namespace precept
