#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/digest.h"
#include "precept/revise/fields.h"
#include "precept/revise/revise.h"

namespace precept {
namespace {

// A TOML value.
std::string shown(const std::string& value) { return '"' + value + '"'; }
std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(int value) { return std::to_string(value); }
std::string shown(std::uint64_t value) { return std::to_string(value); }
std::string shown(double value) {
  // The shortest form that reads back as the same number.
  char text[40];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (std::stod(text) == value) break;
  }
  std::string out = text;
  if (out.find_first_of(".e") == std::string::npos) out += ".0";
  return out;
}

struct Range {
  const char* name;
  double value, low, high;
};

}  // namespace

Status check(const ReviseOptions& options) {
  if (options.selection != "applicable" && options.selection != "random") {
    return bad_input("selection is \"" + options.selection + "\"", "use applicable or random");
  }
  const Range ranges[] = {
      {"max_rounds", static_cast<double>(options.max_rounds), 0, 100},
      {"select_threshold", options.select_threshold, 0, 1},
      {"violation_threshold", options.violation_threshold, 0, 1},
      {"principles_per_round", static_cast<double>(options.principles_per_round), 1, 1000},
      {"draft_temperature", options.draft_temperature, 0, 10},
      {"draft_top_p", options.draft_top_p, 1e-9, 1},
      {"draft_max_tokens", static_cast<double>(options.draft_max_tokens), 1, 1e6},
      {"critique_temperature", options.critique_temperature, 0, 10},
      {"critique_max_tokens", static_cast<double>(options.critique_max_tokens), 1, 1e6},
      {"revision_temperature", options.revision_temperature, 0, 10},
      {"revision_max_tokens", static_cast<double>(options.revision_max_tokens), 1, 1e6},
      {"list_max_tokens", static_cast<double>(options.list_max_tokens), 1, 1e6},
      {"concurrency", static_cast<double>(options.concurrency), 1, 1e6},
      {"give_up_after", static_cast<double>(options.give_up_after), 0, 1e9},
  };
  for (const Range& range : ranges) {
    if (!(range.value >= range.low && range.value <= range.high)) {
      return bad_input(std::string(range.name) + " is " + shown(range.value),
                       "use " + shown(range.low) + " to " + shown(range.high));
    }
  }
  return {};
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
  for_each_field(copy, [&](const char* name, const auto& value, const char*) {
    const std::string key = name;
    if (key != "concurrency" && key != "give_up_after") line(key, shown(value));
  });
  line("constitution", shown(constitution.digest));
  std::string wording;
  if (const auto templates = resolve_templates(constitution)) {
    for (const auto& [key, text] : *templates) wording += std::to_string(text.size()) + ' ' + key + ' ' + text + '\n';
  }
  line("templates", shown(sha256(wording)));
  line("policy", shown(policy.digest));
  line("judge", shown(judge.digest));
  line("judge_scores", shown(judge.can_score));
  return recipe;
}

}  // namespace precept
