#include "precept/revise/templates.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

namespace precept {
namespace {

constexpr std::string_view kOfPrinciple[] = {"principle", "why", "applies_to", "principles"};

// A placeholder is {name} with a name of lower-case letters and "_". Calls `text` and `name` in turn.
void walk(std::string_view pattern, const std::function<void(std::string_view)>& text,
          const std::function<void(std::string_view, std::size_t)>& name) {
  std::size_t plain = 0;
  for (std::size_t at = 0; at < pattern.size(); ++at) {
    if (pattern[at] != '{') continue;
    const std::size_t end = pattern.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at + 1);
    if (end == std::string_view::npos || end == at + 1 || pattern[end] != '}') continue;
    text(pattern.substr(plain, at - plain));
    name(pattern.substr(at + 1, end - at - 1), at);
    plain = end + 1;
    at = end;
  }
  text(pattern.substr(plain));
}

struct Values {
  std::string_view conversation, reply, critique, principle, why, applies_to, principles;

  const std::string_view* find(std::string_view name) const {
    if (name == "conversation") return &conversation;
    if (name == "reply") return &reply;
    if (name == "critique") return &critique;
    if (name == "principle") return &principle;
    if (name == "why") return &why;
    if (name == "applies_to") return &applies_to;
    if (name == "principles") return &principles;
    return nullptr;
  }
};

std::string filled(std::string_view pattern, const Values& values) {
  std::string out;
  walk(
      pattern, [&](std::string_view text) { out += text; },
      [&](std::string_view name, std::size_t) {
        if (const std::string_view* value = values.find(name)) out += *value;
      });
  return out;
}

// Start of the line that holds the first placeholder of the principle.
std::size_t split_point(std::string_view pattern) {
  std::size_t first = pattern.size();
  walk(
      pattern, [](std::string_view) {},
      [&](std::string_view name, std::size_t at) {
        if (std::find(std::begin(kOfPrinciple), std::end(kOfPrinciple), name) != std::end(kOfPrinciple)) {
          first = std::min(first, at);
        }
      });
  const std::size_t line = first == 0 ? std::string_view::npos : pattern.rfind('\n', first - 1);
  return line == std::string_view::npos ? 0 : line + 1;
}

SplitRequest split_request(std::string_view pattern, Values values, const Principles& principles) {
  const std::size_t at = split_point(pattern);
  SplitRequest request;
  request.prefix = filled(pattern.substr(0, at), values);
  for (const Principle* principle : principles) {
    values.principle = principle->text;
    values.why = principle->why;
    values.applies_to = principle->applies_to;
    request.tails.push_back(filled(pattern.substr(at), values));
  }
  return request;
}

std::string numbered(const Principles& principles) {
  std::string list;
  for (std::size_t i = 0; i < principles.size(); ++i) {
    if (i > 0) list += '\n';
    list += std::to_string(i + 1) + ". " + principles[i]->text;
  }
  return list;
}

std::string joined(const Principles& principles, std::string Principle::*field, std::string_view separator) {
  std::string all;
  for (const Principle* principle : principles) {
    const std::string& text = principle->*field;
    if (text.empty()) continue;
    if (!all.empty()) all += separator;
    all += text;
  }
  return all;
}

// The pattern with its first line replaced by the first wording that a principle brings.
std::string with_wording(const std::string& pattern, const Principles& principles, std::string Principle::*wording) {
  for (const Principle* principle : principles) {
    const std::string& own = principle->*wording;
    if (!own.empty()) return own + pattern.substr(std::min(pattern.find('\n'), pattern.size()));
  }
  return pattern;
}

// A request about one or several principles at once.
std::string about(const std::string& pattern, const Conversation& messages, std::string_view reply,
                  const Principles& principles, std::string_view critique) {
  const std::string conversation = render_conversation(messages);
  const std::string rules = joined(principles, &Principle::text, "\nRule: ");
  const std::string why = joined(principles, &Principle::why, " ");
  const std::string applies_to = joined(principles, &Principle::applies_to, " ");
  Values values;
  values.conversation = conversation;
  values.reply = reply;
  values.critique = critique;
  values.principle = rules;
  values.why = why;
  values.applies_to = applies_to;
  return filled(pattern, values);
}

struct Needs {
  const char* key;
  std::vector<std::string_view> must;
  std::vector<std::string_view> may;
};

const std::vector<Needs>& needs() {
  static const std::vector<Needs> all = {
      {"select", {"conversation", "principle"}, {"why", "applies_to"}},
      {"judge", {"conversation", "reply", "principle"}, {"why", "applies_to"}},
      {"critique", {"conversation", "reply", "principle"}, {"why", "applies_to"}},
      {"revise", {"conversation", "reply", "principle"}, {"critique", "why", "applies_to"}},
      {"select_list", {"conversation", "principles"}, {}},
      {"judge_list", {"conversation", "reply", "principles"}, {}},
  };
  return all;
}

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// What is wrong with one template of the constitution, if anything.
std::optional<std::string> fault_of(const Needs& need, const std::string& pattern) {
  std::vector<std::string_view> used;
  walk(
      pattern, [](std::string_view) {}, [&](std::string_view name, std::size_t) { used.push_back(name); });
  for (const std::string_view name : used) {
    if (!contains(need.must, name) && !contains(need.may, name)) {
      return "template \"" + std::string(need.key) + "\" has the unknown placeholder {" + std::string(name) + "}";
    }
  }
  for (const std::string_view name : need.must) {
    if (!contains(used, name)) {
      return "template \"" + std::string(need.key) + "\" lacks {" + std::string(name) + "}";
    }
  }
  if (std::string_view(need.key) == "select" || std::string_view(need.key) == "judge") {
    // What all principles share comes first; a template that begins with the principle shares nothing
    // and would leave an empty beginning.
    if (split_point(pattern) == 0) {
      return "template \"" + std::string(need.key) + "\" names the principle in its first line";
    }
  }
  return std::nullopt;
}

}  // namespace

const Templates& default_templates() {
  static const Templates templates = {
      {"select",
       "Does the rule matter for answering this person? Answer yes or no.\n\n"
       "Person: {conversation}\nRule: {principle}"},
      {"judge",
       "Does the reply break the rule? Answer yes or no.\n\n"
       "Person: {conversation}\nReply: {reply}\nRule: {principle}"},
      {"critique",
       "Say how the reply breaks the rule.\n\n"
       "Person: {conversation}\nReply: {reply}\nRule: {principle}"},
      {"revise",
       "Rewrite the reply so that it keeps the rule.\n\n"
       "Person: {conversation}\nReply: {reply}\nRule: {principle}\nCritique: {critique}"},
      {"select_list",
       "Below are a conversation and a numbered list of rules. For each rule, decide whether it matters for "
       "answering the person: would keeping it change what a good answer says?\n\n"
       "Person: {conversation}\n\nRules:\n{principles}\n\n"
       "Answer with one line per rule and nothing else: the rule's number, a colon, then yes or no. "
       "For example:\n1: yes\n2: no"},
      {"judge_list",
       "Below are a conversation, a reply to it and a numbered list of rules. For each rule, decide whether "
       "the reply breaks it.\n\n"
       "Person: {conversation}\nReply: {reply}\n\nRules:\n{principles}\n\n"
       "Answer with one line per rule and nothing else: the rule's number, a colon, then violates or "
       "complies. For example:\n1: complies\n2: violates"},
  };
  return templates;
}

Result<Templates> resolve_templates(const Constitution& constitution) {
  Templates templates = default_templates();
  for (const auto& [key, pattern] : constitution.templates) {
    const auto need = std::find_if(needs().begin(), needs().end(),
                                   [&name = key](const Needs& each) { return name == each.key; });
    if (need == needs().end()) {
      return bad_input("unknown template \"" + key + "\"",
                       "templates are select, judge, critique, revise, select_list, judge_list", constitution.file);
    }
    if (auto fault = fault_of(*need, pattern)) {
      std::string names;
      for (const std::string_view name : need->must) names += " {" + std::string(name) + "}";
      for (const std::string_view name : need->may) names += " {" + std::string(name) + "}";
      return bad_input(std::move(*fault), "its placeholders are" + names + "; the rule comes after the first line",
                       constitution.file);
    }
    templates[key] = pattern;
  }
  return templates;
}

std::string render_conversation(const Conversation& messages) {
  if (messages.size() == 1 && messages[0].role == "user") return messages[0].content;
  std::string out;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (i > 0) out += '\n';
    if (role == "system") {
      out += "System: ";
    } else if (role == "assistant") {
      out += "Assistant: ";
    } else if (i > 0) {
      out += "Person: ";
    }
    out += messages[i].content;
  }
  return out;
}

SplitRequest select_request(const Templates& templates, const Conversation& messages, const Principles& principles) {
  const std::string conversation = render_conversation(messages);
  return split_request(templates.at("select"), Values{conversation, {}, {}, {}, {}, {}, {}}, principles);
}

SplitRequest judge_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                           const Principles& principles) {
  const std::string conversation = render_conversation(messages);
  return split_request(templates.at("judge"), Values{conversation, reply, {}, {}, {}, {}, {}}, principles);
}

std::string select_list_request(const Templates& templates, const Conversation& messages,
                                const Principles& principles) {
  const std::string conversation = render_conversation(messages), list = numbered(principles);
  return filled(templates.at("select_list"), Values{conversation, {}, {}, {}, {}, {}, list});
}

std::string judge_list_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                               const Principles& principles) {
  const std::string conversation = render_conversation(messages), list = numbered(principles);
  return filled(templates.at("judge_list"), Values{conversation, reply, {}, {}, {}, {}, list});
}

std::string critique_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                             const Principles& principles) {
  return about(with_wording(templates.at("critique"), principles, &Principle::critique), messages, reply,
               principles, {});
}

std::string revise_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                           const Principles& principles, std::string_view critique) {
  return about(with_wording(templates.at("revise"), principles, &Principle::revision), messages, reply,
               principles, critique);
}

ScoreRequest yes_no_questions(SplitRequest request) {
  ScoreRequest questions;
  questions.messages = {{"user", std::move(request.prefix)}};
  for (std::string& tail : request.tails) questions.questions.push_back({std::move(tail), {"yes", "no"}});
  return questions;
}

}  // namespace precept
