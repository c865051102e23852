// Evaluations to files and back.
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/json.h"

namespace precept {
namespace {

using json::Json;

Json optional_bool(const std::optional<bool>& value) { return value ? Json(*value) : Json(nullptr); }

Json outcome_json(const Outcome& o) {
  Json out = {{"id", o.id},
              {"answer", o.answer},
              {"truncated", o.truncated},
              {"scored", o.scored},
              {"violates", optional_bool(o.violates)},
              {"helpful", optional_bool(o.helpful)},
              {"refused", o.refused},
              {"harmless", o.harmless}};
  if (!o.principles.empty()) out["principles"] = o.principles;
  if (!o.undecided.empty()) out["undecided"] = o.undecided;
  if (!o.error.empty()) out["error"] = o.error;
  return out;
}

std::optional<Outcome> read_outcome(const Json& value) {
  Outcome o;
  const auto id = json::get_text(value, "id");
  const auto answer = json::get_text(value, "answer");
  const auto scored = json::get_bool(value, "scored");
  if (!id || !answer || !scored) return std::nullopt;
  o.id = *id;
  o.answer = *answer;
  o.scored = *scored;
  o.truncated = json::get_bool(value, "truncated").value_or(false);
  o.violates = json::get_bool(value, "violates");
  o.helpful = json::get_bool(value, "helpful");
  o.refused = json::get_bool(value, "refused").value_or(false);
  o.harmless = json::get_bool(value, "harmless").value_or(false);
  o.error = json::get_text(value, "error").value_or("");
  if (const auto it = value.find("principles"); it != value.end() && it->is_object()) {
    for (const auto& entry : it->items()) {
      if (entry.value().is_boolean()) o.principles[entry.key()] = entry.value().get<bool>();
    }
  }
  if (const auto it = value.find("undecided"); it != value.end() && it->is_array()) {
    for (const Json& entry : *it) {
      if (entry.is_string()) o.undecided.push_back(entry.get<std::string>());
    }
  }
  return o;
}

}  // namespace

std::string to_json(const Estimate& e) { return json::dump(json::estimate(e), -1); }

std::string to_json(const Evaluation& e) {
  Json principles = Json::object();
  for (const PrincipleRate& rate : e.per_principle) principles[rate.id] = json::estimate(rate.violation);
  Json head = {{"label", e.label},
               {"model", e.model},
               {"model_digest", e.model_digest},
               {"constitution_digest", e.constitution_digest},
               {"prompts_digest", e.prompts_digest},
               {"scorer", e.scorer},
               {"seed", e.seed},
               {"temperature", e.temperature},
               {"top_p", e.top_p},
               {"max_tokens", e.max_tokens},
               {"seconds", e.seconds},
               {"tokens", json::usage(e.usage)},
               {"violation_rate", json::estimate(e.violation_rate)},
               {"helpfulness", json::estimate(e.helpfulness)},
               {"over_refusal", json::estimate(e.over_refusal)},
               {"per_principle", principles},
               {"uncovered", e.uncovered},
               {"collapse", json::collapse(e.collapse)}};
  // One outcome a line: such a file can be read with the eye and with grep.
  std::string out = json::dump(head);
  out.resize(out.size() - 2);  // "\n}"
  out += ",\n  \"outcomes\": [";
  for (std::size_t i = 0; i < e.outcomes.size(); ++i) {
    out += i == 0 ? "\n    " : ",\n    ";
    out += json::dump(outcome_json(e.outcomes[i]), -1);
  }
  return out + "\n  ]\n}\n";
}

Result<Evaluation> load_evaluation(const std::string& path) {
  const auto value = json::load(path);
  if (!value) return tl::unexpected(value.error());
  const auto wrong = [&path](const char* what) {
    return bad_input(what, "name a file that precept eval wrote", path);
  };
  if (!value->is_object() || !value->contains("outcomes") || !(*value)["outcomes"].is_array()) {
    return wrong("not an evaluation: it has no outcomes");
  }
  Evaluation e;
  e.label = json::get_text(*value, "label").value_or("");
  e.model = json::get_text(*value, "model").value_or("");
  e.model_digest = json::get_text(*value, "model_digest").value_or("");
  e.constitution_digest = json::get_text(*value, "constitution_digest").value_or("");
  e.prompts_digest = json::get_text(*value, "prompts_digest").value_or("");
  e.scorer = json::get_text(*value, "scorer").value_or("");
  e.seed = static_cast<std::uint64_t>(json::get_integer(*value, "seed").value_or(0));
  e.temperature = json::get_number(*value, "temperature").value_or(1);
  e.top_p = json::get_number(*value, "top_p").value_or(1);
  e.max_tokens = static_cast<int>(json::get_integer(*value, "max_tokens").value_or(0));
  e.seconds = json::get_number(*value, "seconds").value_or(0);
  if (const auto it = value->find("tokens"); it != value->end()) {
    e.usage.prompt_tokens = json::get_integer(*it, "prompt").value_or(0);
    e.usage.cached_tokens = json::get_integer(*it, "cached").value_or(0);
    e.usage.output_tokens = json::get_integer(*it, "output").value_or(0);
  }
  for (const Json& entry : (*value)["outcomes"]) {
    auto outcome = read_outcome(entry);
    if (!outcome) return wrong("not an evaluation: an outcome lacks id, answer or scored");
    e.outcomes.push_back(std::move(*outcome));
  }
  std::vector<std::string> ids;
  if (const auto it = value->find("per_principle"); it != value->end() && it->is_object()) {
    for (const auto& entry : it->items()) ids.push_back(entry.key());
  }
  summarise(e, ids);
  return e;
}

}  // namespace precept
