#include <string>
#include <utility>
#include <vector>

#include "precept/core/digest.h"
#include "precept/revise/fields.h"
#include "precept/revise/revise.h"

namespace precept {

Status check(const ReviseOptions& options) {
  ReviseOptions copy = options;
  return check_fields(fields_of(copy));
}

std::vector<RunItem> items_of(std::vector<Prompt> prompts) {
  std::vector<RunItem> items;
  items.reserve(prompts.size());
  for (Prompt& prompt : prompts) {
    RunItem item;
    item.ordinal = static_cast<std::int64_t>(items.size());
    item.id = std::move(prompt.id);
    item.messages = std::move(prompt.messages);
    item.tags = std::move(prompt.tags);
    items.push_back(std::move(item));
  }
  return items;
}

std::string revise_recipe(const ReviseOptions& options, const Constitution& constitution, const ModelInfo& policy,
                          const ModelInfo& judge) {
  std::string recipe;
  const auto line = [&](const std::string& key, const std::string& value) { recipe += key + " = " + value + '\n'; };
  ReviseOptions copy = options;
  for (const Field& field : fields_of(copy)) {
    if (field.rule.in_recipe) line(field.name, toml_value(field.value()));
  }
  line("constitution", toml_value(constitution.digest));
  std::string wording;
  if (const auto templates = resolve_templates(constitution)) {
    for (const auto& [key, text] : *templates) wording.append(std::to_string(text.size())).append(" ").append(key).append(" ").append(text).append("\n");
  }
  line("templates", toml_value(sha256(wording)));
  line("policy", toml_value(policy.digest));
  line("judge", toml_value(judge.digest));
  line("judge_scores", toml_value(judge.can_score));
  return recipe;
}

}  // namespace precept
