#include "precept/constitution/pairs.h"

#include <nlohmann/json.hpp>

#include "precept/constitution/gzip.h"
#include "precept/constitution/hh_rlhf.h"
#include "precept/constitution/lines.h"
#include "precept/core/digest.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr const char* kShapes = R"(each line needs "prompt", "chosen" and "rejected", or the two texts of hh-rlhf)";

// Turns of a text (of `role`) or of a list of role and content. False: neither.
bool add_turns(const nlohmann::json& value, const char* role, Conversation& turns) {
  if (value.is_string()) {
    turns.push_back({role, value.get<std::string>()});
    return true;
  }
  if (!value.is_array()) return false;
  for (const auto& turn : value) {
    if (!turn.is_object()) return false;
    const auto said_by = turn.find("role"), content = turn.find("content");
    if (said_by == turn.end() || content == turn.end() || !said_by->is_string() || !content->is_string()) return false;
    turns.push_back({said_by->get<std::string>(), content->get<std::string>()});
  }
  return true;
}

// Takes the answer off the end; false when the conversation does not end with one.
bool take_answer(Conversation& turns, std::string& answer) {
  if (turns.size() < 2 || turns.back().role != "assistant") return false;
  answer = std::move(turns.back().content);
  turns.pop_back();
  return turns.back().role == "user";
}

bool same(const Conversation& a, const Conversation& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i].role != b[i].role || a[i].content != b[i].content) return false;
  }
  return true;
}

std::string digest_of(const Conversation& messages) {
  std::string text;
  for (const Message& message : messages) text += message.role + "\n" + std::to_string(message.content.size()) + "\n" + message.content;
  return "p" + sha256(text).substr(0, 12);
}

Result<AnswerPair> read_pair(const nlohmann::json& json, const std::string& file, int line) {
  const auto wrong = [&](std::string what) { return bad_input(std::move(what), kShapes, file, line); };
  Conversation first, second;
  const bool hh = !json.contains("prompt");
  for (const char* key : {"chosen", "rejected"}) {
    Conversation& turns = std::string_view(key) == "chosen" ? first : second;
    if (!json.contains(key)) return wrong(std::string("no \"") + key + "\"");
    const bool text = json[key].is_string();
    if (hh && text) {
      const std::string said = json[key].get<std::string>();
      turns = hh_turns(said);
      if (!turns.empty() && turns.back().role == "user" && hh_ends_silent(said)) turns.push_back({"assistant", ""});
    } else if ((!hh && !add_turns(json["prompt"], "user", turns)) || !add_turns(json[key], "assistant", turns)) {
      return wrong(std::string("\"") + key + "\" or the prompt is neither a text nor a list of role and content");
    }
  }
  AnswerPair pair;
  if (!take_answer(first, pair.chosen) || !take_answer(second, pair.rejected)) return wrong("no answer to a person at the end of both conversations");
  if (!same(first, second)) return wrong("the two conversations differ before their last answers");
  pair.messages = std::move(first);
  if (json.contains("id") && json["id"].is_string()) pair.id = json["id"].get<std::string>();
  if (pair.id.empty()) pair.id = digest_of(pair.messages);
  if (json.contains("label")) {
    if (!json["label"].is_number() || !(json["label"].get<double>() >= 0 && json["label"].get<double>() <= 1)) {
      return bad_input("\"label\" is not a probability", "it says how likely chosen is the better one", file, line);
    }
    pair.label = json["label"].get<double>();
  }
  return pair;
}

}  // namespace

Result<std::vector<AnswerPair>> load_pairs(const std::string& path) {
  auto source = open_gzip(path);
  if (!source) return tl::unexpected(source.error());
  return read_pairs(std::move(*source), path);
}

Result<std::vector<AnswerPair>> read_pairs(ByteSource source, const std::string& path) {
  LineReader lines(std::move(source), path);
  std::vector<AnswerPair> pairs;
  std::string_view line;
  while (true) {
    const auto more = lines.next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (nested_too_deeply(line)) return bad_input("nested deeper than " + std::to_string(kMaxJsonDepth), "one flat object a line", path, lines.number());
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object()) return bad_input("not a JSON object", "one object a line", path, lines.number());
    auto pair = read_pair(json, path, lines.number());
    if (!pair) return tl::unexpected(pair.error());
    pairs.push_back(std::move(*pair));
  }
  if (pairs.empty()) return bad_input("no pairs", "the file is empty", path);
  return pairs;
}

std::string silent_answers(const std::vector<AnswerPair>& pairs) {
  std::size_t chosen = 0, rejected = 0;
  const auto silent = [](const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; };
  for (const AnswerPair& pair : pairs) {
    chosen += silent(pair.chosen);
    rejected += silent(pair.rejected);
  }
  if (chosen + rejected == 0) return "";
  return "of " + std::to_string(pairs.size()) + " pairs, " + std::to_string(chosen) + " with an empty chosen answer and " + std::to_string(rejected) +
         " with an empty rejected one; they count like the others";
}

}  // namespace precept
