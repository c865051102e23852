#include "precept/revise/compare_wording.h"

#include "precept/revise/templates.h"

namespace precept {

CompareRequest compare_request(const Conversation& messages, const Principle& principle, std::string_view first, std::string_view second) {
  std::string common = principle.preference.empty() ? "Which of the two replies keeps the rule better?" : principle.preference;
  common += "\n\nPerson: " + render_conversation(messages) + "\nRule: " + principle.text + "\nReply A: ";
  common.append(first).append("\nReply B: ").append(second).append("\n\n");
  return {common + "Answer with the letter alone: A or B.", common + "Think it through step by step; do not give the answer yet.",
          "So which one is it? Answer with the letter alone: A or B."};
}

}  // namespace precept
