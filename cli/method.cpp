#include "cli/method.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "precept/constitution/recipe.h"
#include "precept/constitution/suggest.h"
#include "precept/core/quote.h"
#include "precept/revise/fields.h"

namespace precept {
namespace {

constexpr StageKind kStages[] = {StageKind::kRevise, StageKind::kDeliberate, StageKind::kSft, StageKind::kDpo, StageKind::kGrpo, StageKind::kMidtrain};
constexpr std::size_t kMostStages = 12;

// What is the same for all methods of a comparison, or no matter of one: the comparison sets it.
const std::set<std::string>& set_by_comparison() {
  static const std::set<std::string> kNames = {"seed", "threads", "precision", "state", "shard_size", "checkpoint_every", "concurrency", "give_up_after",
                                               "merge", "lora", "lora_rank", "lora_alpha", "lora_targets", "lora_rslora", "reward_model",
                                               "reward_model_weight", "panel_prompts"};
  return kNames;
}

struct Collector {
  std::vector<Field>& fields;
  template <class Value>
  void operator()(const char* name, Value& value, const char* help, FieldRule rule = any()) const {
    if (set_by_comparison().count(name) == 0) fields.push_back(make_field(name, value, help, std::move(rule)));
  }
};

RecipeSection method_table(Method& m) {
  std::vector<Field> fields;
  const Collector collect{fields};
  collect("name", m.name, "what it is called in tables (default: the file's name)");
  collect("about", m.about, "what it does, in one sentence");
  collect("stages", m.listed, "revise, deliberate, sft, dpo, grpo, midtrain, by comma, in their order");
  return {"method", std::move(fields)};
}

std::vector<std::string> split_list(const std::string& list) {
  std::vector<std::string> out(1);
  for (const char c : list) {
    if (c == ',') out.emplace_back();
    else if (c != ' ') out.back() += c;
  }
  return out;
}

Status read_stages(Method& m, const std::string& path, int line) {
  std::vector<std::string> known;
  for (const StageKind kind : kStages) known.push_back(stage_name(kind));
  if (m.listed.find_first_not_of(' ') == std::string::npos) {
    return bad_input("no stages are listed", "write, say, stages = \"revise, sft\"", path, line);
  }
  bool answers = false, pairs = false;
  for (const std::string& word : split_list(m.listed)) {
    const auto at = std::find(known.begin(), known.end(), word);
    if (at == known.end()) return bad_input("no stage is called " + in_quotes(word), suggest(word, known), path, line);
    const StageKind kind = kStages[at - known.begin()];
    if (kind == StageKind::kSft && !answers) return bad_input("sft has no answers to learn", "list revise or deliberate before it", path, line);
    if (kind == StageKind::kDpo && !pairs) return bad_input("dpo has no pairs to learn from", "list revise before it", path, line);
    answers = answers || kind == StageKind::kRevise || kind == StageKind::kDeliberate;
    pairs = pairs || kind == StageKind::kRevise;
    m.stages.push_back(kind);
  }
  if (m.stages.size() > kMostStages) return bad_input("more than 12 stages", "", path, line);
  const StageKind last = m.stages.back();
  if (last == StageKind::kRevise || last == StageKind::kDeliberate) {
    return bad_input("the last stage, " + std::string(stage_name(last)) + ", trains nothing", "list sft, dpo or grpo after it", path, line);
  }
  return {};
}

}  // namespace

const char* stage_name(StageKind kind) {
  switch (kind) {
    case StageKind::kRevise: return "revise";
    case StageKind::kDeliberate: return "deliberate";
    case StageKind::kSft: return "sft";
    case StageKind::kDpo: return "dpo";
    case StageKind::kGrpo: return "grpo";
    case StageKind::kMidtrain: return "midtrain";
  }
  return "";
}

RecipeSection Method::section(StageKind kind) {
  std::vector<Field> fields;
  const Collector collect{fields};
  switch (kind) {
    case StageKind::kRevise: for_each_field(revise, collect); break;
    case StageKind::kDeliberate: for_each_field(deliberate, collect); break;
    case StageKind::kSft: visit_training(sft, collect); visit_guards(sft, collect); break;
    case StageKind::kDpo:
      collect("loss", preference.loss, "sigmoid (DPO) or ipo", one_of({"sigmoid", "ipo"}));
      collect("beta", preference.beta, "how closely to keep to the model that it begins with", above(0, 1000));
      collect("label_smoothing", preference.label_smoothing, "share of pairs taken to be the wrong way round", between(0, 0.499));
      visit_training(dpo, collect), visit_guards(dpo, collect);
      break;
    case StageKind::kGrpo:
      for_each_field(rl, collect);
      for_each_field(reward, collect);
      visit_training(grpo, collect), visit_guards(grpo, collect);
      break;
    case StageKind::kMidtrain:
      collect("documents", documents, "synthetic documents about the constitution", between(1, 1e6));
      visit_training(midtrain, collect), visit_guards(midtrain, collect);
      break;
  }
  return {stage_name(kind), std::move(fields)};
}

std::vector<RecipeSection> method_sections(Method& m) {
  return {method_table(m), m.section(StageKind::kDeliberate), m.section(StageKind::kMidtrain)};
}

Result<Method> load_method(const std::string& path) {
  Method m;
  // The loop and fine-tuning as the quickstart has them, and what suits the others.
  m.revise.draft_temperature = 0.7;
  m.revise.draft_max_tokens = m.revise.revision_max_tokens = 96;
  m.revise.critique_max_tokens = 48;
  m.sft.train.epochs = 3;
  m.sft.train.lr = 1e-3;
  m.dpo.train.lr = m.grpo.train.lr = 1e-4;
  m.grpo.train.weight_decay = 0;
  m.midtrain.train.lr = 5e-4;
  std::vector<RecipeSection> sections = {method_table(m)};
  for (const StageKind kind : kStages) sections.push_back(m.section(kind));
  const auto found = read_sections(path, sections);
  if (!found) return tl::unexpected(found.error());
  if (found->count("method") == 0) {
    return bad_input("this recipe has no table [method]", "a method to compare has one, with stages = \"...\"; see recipes/sl.toml", path);
  }
  if (const Status read = read_stages(m, path, found->at("method")); !read) return tl::unexpected(read.error());
  for (const StageKind kind : kStages) {
    if (found->count(stage_name(kind)) == 0 || std::count(m.stages.begin(), m.stages.end(), kind) > 0) continue;
    return bad_input("[" + std::string(stage_name(kind)) + "] is no stage of this method", "list it in stages, or remove the table", path, found->at(stage_name(kind)));
  }
  if (const auto at = found->find("deliberate"); at != found->end()) {
    if (const Status fine = check(m.deliberate); !fine) return bad_input(fine.error().what, fine.error().hint, path, at->second);
  }
  m.id = std::filesystem::path(path).stem().string();
  const bool plain = !m.id.empty() && std::all_of(m.id.begin(), m.id.end(), [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
  if (!plain) return bad_input("the name of a method's file has letters, digits, - and _ alone", "it names folders and lines of tables", path);
  if (m.id == "base") return bad_input("a method cannot be called base", "that is the model that all begin with; rename the file", path);
  if (m.name.empty()) m.name = m.id;
  return m;
}

}  // namespace precept
