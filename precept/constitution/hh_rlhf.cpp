#include "precept/constitution/hh_rlhf.h"

#include <utility>

#include "precept/constitution/gzip.h"
#include "precept/constitution/json_line.h"
#include "precept/constitution/prompts_parse.h"

namespace precept {
namespace {

constexpr std::string_view kHuman = "\n\nHuman:", kAssistant = "\n\nAssistant:";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

void add_turn(Conversation& turns, const char* role, std::string_view text) {
  text = trimmed(text);
  if (text.empty()) return;
  if (!turns.empty() && turns.back().role == role) turns.back().content += "\n\n" + std::string(text);
  else turns.push_back({role, std::string(text)});
}

}  // namespace

Conversation hh_turns(std::string_view text) {
  Conversation turns;
  if (text.substr(0, kHuman.size()) != kHuman) return turns;
  const char* role = "user";
  std::size_t begin = kHuman.size();
  std::size_t human = text.find(kHuman, begin), assistant = text.find(kAssistant, begin);
  while (true) {
    const std::size_t end = std::min(human, assistant);
    add_turn(turns, role, text.substr(begin, end - begin));
    if (end == std::string_view::npos) return turns;
    const bool person = human < assistant;
    role = person ? "user" : "assistant";
    begin = end + (person ? kHuman.size() : kAssistant.size());
    // Only the mark that was met is looked for again: linear in the text.
    (person ? human : assistant) = text.find(person ? kHuman : kAssistant, begin);
  }
}

bool hh_ends_silent(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  return end != std::string_view::npos && end + 1 >= kAssistant.size() && text.substr(end + 1 - kAssistant.size(), kAssistant.size()) == kAssistant;
}

namespace {

Result<Prompt> read_pair(const nlohmann::json& object, const std::string& file, int line) {
  if (auto known = check_keys(object, {"chosen", "rejected"}, file, line); !known) return tl::unexpected(known.error());
  for (const char* key : {"chosen", "rejected"}) {
    if (!object.contains(key) || !object[key].is_string()) {
      return bad_input(std::string("no text ") + key, "every line has the strings chosen and rejected", file, line);
    }
  }
  const std::string chosen = object["chosen"].get<std::string>();
  Prompt prompt;
  if (chosen.find('\0') == std::string::npos) prompt.messages = hh_turns(chosen);
  while (!prompt.messages.empty() && prompt.messages.back().role != "user") prompt.messages.pop_back();
  if (prompt.messages.empty() || prompt.messages.front().role != "user") {
    return bad_input("no conversation that begins with a human turn", R"(expected "\n\nHuman: ...\n\nAssistant: ...")",
                     file, line);
  }
  prompt.tags = {"hh-rlhf"};
  return prompt;
}

}  // namespace

Result<std::vector<Prompt>> read_hh_rlhf(ByteSource source, const std::string& file) {
  const auto read = [&](const nlohmann::json& object, int line) { return read_pair(object, file, line); };
  return read_prompt_lines(std::move(source), file, read, "expected JSONL with chosen and rejected");
}

Result<std::vector<Prompt>> load_hh_rlhf(const std::string& path) {
  auto source = open_gzip(path);
  if (!source) return tl::unexpected(source.error());
  return read_hh_rlhf(std::move(*source), path);
}

}  // namespace precept
