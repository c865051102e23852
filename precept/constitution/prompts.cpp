#include "precept/constitution/prompts.h"

#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "precept/constitution/json_line.h"
#include "precept/constitution/prompts_parse.h"
#include "precept/constitution/suggest.h"
#include "precept/core/digest.h"

namespace precept {
namespace {

using nlohmann::json;

const std::vector<std::string> kKeys = {"prompt", "messages", "id", "tags"};
const std::vector<std::string> kTurnKeys = {"role", "content"};
const std::vector<std::string> kRoles = {"system", "user", "assistant"};

struct Place {
  const std::string& file;
  int line;
};

tl::unexpected<Error> wrong(const Place& at, std::string what, std::string hint) {
  return bad_input(std::move(what), std::move(hint), at.file, at.line);
}

// A string that says something and holds no NUL (which JSON can escape).
Result<std::string> text_of(const json& value, const std::string& name, const Place& at) {
  if (!value.is_string()) {
    return wrong(at, name + " must be a string, found " + value.type_name(), "put the text in quotes");
  }
  std::string text = value.get<std::string>();
  if (is_blank(text)) return wrong(at, name + " is empty", "give it a text or remove the line");
  if (text.find('\0') != std::string::npos) return wrong(at, name + " holds a NUL character", "remove \\u0000");
  return text;
}

Result<Message> read_turn(const json& turn, std::size_t index, const Place& at) {
  const std::string name = "messages[" + std::to_string(index) + "]";
  if (!turn.is_object()) {
    return wrong(at, name + " must be an object, found " + turn.type_name(), R"(write {"role": "user", "content": "..."})");
  }
  if (auto known = check_keys(turn, kTurnKeys, at.file, at.line); !known) return tl::unexpected(known.error());
  for (const std::string& key : kTurnKeys) {
    if (!turn.contains(key)) return wrong(at, std::string(name).append(" has no ").append(key), "every turn has role and content");
  }
  auto role = text_of(turn["role"], name + ".role", at);
  if (!role) return tl::unexpected(role.error());
  if (*role != "system" && *role != "user" && *role != "assistant") {
    return wrong(at, "unknown role " + in_quotes(*role), suggest(*role, kRoles));
  }
  if (*role == "system" && index > 0) {
    return wrong(at, name + " is a system turn after the first turn", "a system turn comes first or not at all");
  }
  auto content = text_of(turn["content"], name + ".content", at);
  if (!content) return tl::unexpected(content.error());
  return Message{std::move(*role), std::move(*content)};
}

Result<Conversation> read_messages(const json& value, const Place& at) {
  if (!value.is_array()) {
    return wrong(at, std::string("messages must be a list, found ") + value.type_name(),
                 R"(write "messages": [{"role": "user", "content": "..."}])");
  }
  if (value.empty()) return wrong(at, "messages is empty", "it needs at least one user turn");
  Conversation messages;
  for (std::size_t i = 0; i < value.size(); ++i) {
    auto turn = read_turn(value[i], i, at);
    if (!turn) return tl::unexpected(turn.error());
    messages.push_back(std::move(*turn));
  }
  if (messages.back().role != "user") {
    return wrong(at, "the last turn is the " + messages.back().role + "'s, not the user's",
                 "remove it: the model writes the next turn");
  }
  return messages;
}

Status read_id_and_tags(const json& object, Prompt& prompt, const Place& at) {
  if (const auto id = object.find("id"); id != object.end()) {
    auto text = text_of(*id, "id", at);
    if (!text) return tl::unexpected(text.error());
    if (text->size() > 256) return wrong(at, "id is longer than 256 bytes", "shorten it");
    for (const char c : *text) {
      if (static_cast<unsigned char>(c) < 0x20) return wrong(at, "id holds a control character", "keep it on one line");
    }
    prompt.id = std::move(*text);
  }
  if (const auto tags = object.find("tags"); tags != object.end()) {
    if (!tags->is_array()) {
      return wrong(at, std::string("tags must be a list, found ") + tags->type_name(), R"(write "tags": ["..."])");
    }
    for (const json& tag : *tags) {
      auto text = text_of(tag, "a tag", at);
      if (!text) return tl::unexpected(text.error());
      prompt.tags.push_back(std::move(*text));
    }
  }
  return {};
}

Result<Prompt> read_prompt(const json& object, const Place& at) {
  if (auto known = check_keys(object, kKeys, at.file, at.line); !known) return tl::unexpected(known.error());
  const auto text = object.find("prompt");
  const auto messages = object.find("messages");
  if (text == object.end() && messages == object.end()) {
    return wrong(at, "neither prompt nor messages", R"(write {"prompt": "..."} or {"messages": [...]})");
  }
  if (text != object.end() && messages != object.end()) {
    return wrong(at, "both prompt and messages", "keep one of them");
  }
  Prompt prompt;
  if (text != object.end()) {
    auto content = text_of(*text, "prompt", at);
    if (!content) return tl::unexpected(content.error());
    prompt.messages.push_back({"user", std::move(*content)});
  } else {
    auto turns = read_messages(*messages, at);
    if (!turns) return tl::unexpected(turns.error());
    prompt.messages = std::move(*turns);
  }
  if (auto rest = read_id_and_tags(object, prompt, at); !rest) return tl::unexpected(rest.error());
  return prompt;
}

// Lengths keep the parts apart whatever they contain.
std::string conversation_digest(const Conversation& messages) {
  std::string bytes;
  for (const Message& m : messages) {
    bytes += m.role + ' ' + std::to_string(m.content.size()) + '\n' + m.content + '\n';
  }
  return sha256(bytes);
}

}  // namespace

void derive_ids(std::vector<Prompt>& prompts) {
  std::unordered_set<std::string> used;
  for (const Prompt& p : prompts) {
    if (!p.id.empty()) used.insert(p.id);
  }
  std::unordered_map<std::string, int> copies;
  for (Prompt& p : prompts) {
    if (!p.id.empty()) continue;
    const std::string base = "p" + conversation_digest(p.messages).substr(0, 12);
    std::string id;
    do {
      const int copy = ++copies[base];
      id = copy == 1 ? base : base + "-" + std::to_string(copy);
    } while (!used.insert(id).second);
    p.id = std::move(id);
  }
}

Result<std::vector<Prompt>> read_prompt_lines(ByteSource source, const std::string& file, const ReadPrompt& read,
                                              const std::string& hint_when_empty) {
  std::vector<Prompt> prompts;
  LineReader reader(std::move(source), file);
  std::string_view line;
  while (true) {
    const auto more = reader.next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    if (is_blank(line)) continue;
    const auto object = parse_json_line(line, file, reader.number());
    if (!object) return tl::unexpected(object.error());
    auto prompt = read(*object, reader.number());
    if (!prompt) return tl::unexpected(prompt.error());
    prompts.push_back(std::move(*prompt));
  }
  if (prompts.empty()) return bad_input("no prompts in the file", hint_when_empty, file);
  derive_ids(prompts);
  return prompts;
}

Result<std::vector<Prompt>> read_prompts(ByteSource source, const std::string& file) {
  std::unordered_map<std::string, int> given;  // explicit id -> line
  const auto read = [&](const json& object, int line) -> Result<Prompt> {
    const Place at{file, line};
    auto prompt = read_prompt(object, at);
    if (!prompt || prompt->id.empty()) return prompt;
    const auto [first, fresh] = given.emplace(prompt->id, line);
    if (fresh) return prompt;
    return wrong(at, "id " + in_quotes(prompt->id) + " is already that of line " + std::to_string(first->second),
                 "give each prompt its own id, or none");
  };
  return read_prompt_lines(std::move(source), file, read, R"(write one {"prompt": "..."} a line)");
}

Result<std::vector<Prompt>> load_prompts(const std::string& path) {
  auto source = open_bytes(path);
  if (!source) return tl::unexpected(source.error());
  return read_prompts(std::move(*source), path);
}

}  // namespace precept
