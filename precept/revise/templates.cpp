#include "precept/revise/templates.h"

#include <algorithm>
#include <utility>

#include "precept/constitution/placeholders.h"
#include "precept/constitution/suggest.h"

namespace precept {
namespace {

struct Values {
  std::string_view conversation, reply, critique, principle, why, applies_to, principles, prompt;

  const std::string_view* find(std::string_view name) const {
    if (name == "prompt") return &prompt;
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
  walk_placeholders(
      pattern, [&](std::string_view text) { out += text; },
      [&](std::string_view name, std::size_t) {
        const std::string_view* value = values.find(name);
        PRECEPT_CHECK(value != nullptr);  // check_template lets no other name through
        out += *value;
      });
  return out;
}

SplitRequest split_request(std::string_view pattern, Values values, const Principles& principles) {
  const std::size_t at = principle_line(pattern);
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

// The first wording that a principle brings; it replaces the first line of the pattern.
std::string_view own_wording(const Principles& principles, std::string Principle::*wording) {
  for (const Principle* principle : principles) {
    if (!(principle->*wording).empty()) return principle->*wording;
  }
  return {};
}

// A request about one or several principles at once.
std::string about(std::string_view pattern, std::string Principle::*wording, const Conversation& messages,
                  std::string_view reply, const Principles& principles, std::string_view critique) {
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
  const std::string_view own = own_wording(principles, wording);
  if (own.empty()) return filled(pattern, values);
  return std::string(own) + filled(pattern.substr(std::min(pattern.find('\n'), pattern.size())), values);
}

}  // namespace

const Templates& default_templates() {
  static const Templates templates = {
      {"select",
       "Does the rule matter for answering this person? Answer yes or no.\n\n"
       "Person: {conversation}\nRule: {principle}"},
      {"draft", "{prompt}"},
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
    const TemplateRule* rule = find_template_rule(key);
    if (rule == nullptr) {
      return bad_input("unknown key " + in_quotes(key) + " in [templates]", suggest(key, template_keys()),
                       constitution.file);
    }
    if (auto problems = check_template(*rule, pattern); !problems.empty()) {
      return bad_input(std::move(problems.front().what), std::move(problems.front().hint), constitution.file);
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
  return split_request(templates.at("select"), Values{conversation, {}, {}, {}, {}, {}, {}, {}}, principles);
}

Conversation draft_request(const Templates& templates, Conversation messages) {
  const std::string prompt = messages.back().content;
  messages.back().content = filled(templates.at("draft"), Values{{}, {}, {}, {}, {}, {}, {}, prompt});
  return messages;
}

SplitRequest judge_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                           const Principles& principles) {
  const std::string conversation = render_conversation(messages);
  return split_request(templates.at("judge"), Values{conversation, reply, {}, {}, {}, {}, {}, {}}, principles);
}

std::string select_list_request(const Templates& templates, const Conversation& messages,
                                const Principles& principles) {
  const std::string conversation = render_conversation(messages), list = numbered(principles);
  return filled(templates.at("select_list"), Values{conversation, {}, {}, {}, {}, {}, list, {}});
}

std::string judge_list_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                               const Principles& principles) {
  const std::string conversation = render_conversation(messages), list = numbered(principles);
  return filled(templates.at("judge_list"), Values{conversation, reply, {}, {}, {}, {}, list, {}});
}

std::string critique_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                             const Principles& principles) {
  return about(templates.at("critique"), &Principle::critique, messages, reply, principles, {});
}

std::string revise_request(const Templates& templates, const Conversation& messages, std::string_view reply,
                           const Principles& principles, std::string_view critique) {
  return about(templates.at("revise"), &Principle::revision, messages, reply, principles, critique);
}

ScoreRequest yes_no_questions(SplitRequest request) {
  ScoreRequest questions;
  questions.messages = {{"user", std::move(request.prefix)}};
  for (std::string& tail : request.tails) questions.questions.push_back({std::move(tail), {"yes", "no"}});
  return questions;
}

}  // namespace precept
