#pragma once
// The wording of the requests of the loop, and how they are filled in. The built-in wording is part
// of the product: the built-in model is trained on exactly these bytes.
//
// Placeholders: {conversation} {reply} {critique}, and of the principle {principle} {why} {applies_to}; in the *_list
// templates {principles}, a numbered list; in draft {prompt}, the last turn. Which template may and must have which is
// in precept/constitution/placeholders.h. Filling in is one pass: a placeholder inside a prompt, a reply or a
// principle's own wording stays text.

#include <string>
#include <string_view>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/model/message.h"
#include "precept/model/model.h"

namespace precept {

// Keys as in Templates.
const Templates& default_templates();

// The constitution's own templates over the built-in ones. What check_template finds is an Error with the constitution's
// file; load_constitution has refused it before, with the line.
Result<Templates> resolve_templates(const Constitution& constitution);

// One user turn: its content. Longer ones: "content\nAssistant: content\nPerson: content"; a system
// turn is "System: content\nPerson: ...".
std::string render_conversation(const Conversation& messages);

// A request split for scoring: what all principles share, and one tail for each. The split is at the
// start of the line that holds the first placeholder of the principle.
struct SplitRequest {
  std::string prefix;
  std::vector<std::string> tails;  // prefix + tails[i] is the whole content
};

using Principles = std::vector<const Principle*>;

// What the policy answers: the conversation with the template around its last turn.
Conversation draft_request(const Templates&, Conversation);
SplitRequest select_request(const Templates&, const Conversation&, const Principles&);
SplitRequest judge_request(const Templates&, const Conversation&, std::string_view reply, const Principles&);
std::string select_list_request(const Templates&, const Conversation&, const Principles&);
std::string judge_list_request(const Templates&, const Conversation&, std::string_view reply, const Principles&);

// About one or several principles at once: {principle} is their texts joined with "\nRule: ". The
// wording Principle::critique / revision of the first principle that has one replaces the first line.
std::string critique_request(const Templates&, const Conversation&, std::string_view reply, const Principles&);
std::string revise_request(const Templates&, const Conversation&, std::string_view reply, const Principles&,
                           std::string_view critique);

// The score request with options "yes" and "no" for each tail.
ScoreRequest yes_no_questions(SplitRequest request);

}  // namespace precept
