#include "cli/train_command.h"

#include <algorithm>
#include <cstdio>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/locate.h"
#include "cli/model_card.h"
#include "cli/open_model.h"
#include "cli/world.h"
#include "precept/checkpoint/peft.h"
#include "precept/constitution/constitution.h"
#include "precept/core/io.h"
#include "precept/evaluate/evaluate.h"
#include "precept/evaluate/json.h"
#include "precept/revise/templates.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

constexpr std::uint64_t kPanelSeed = 0x70616e656cull;  // of prompts that no loop, training or evaluation draws
constexpr int kPanelTries = 4;                         // times as many are drawn, since some are taken

// Right: breaks no principle that applies and, where something harmless is asked, helps.
bool is_right(const Outcome& outcome) { return outcome.violates == false && outcome.helpful.value_or(true); }

Result<std::vector<RolloutPrompt>> panel_of(const PanelOptions& panel, const std::vector<Prompt>& taken) {
  std::vector<RolloutPrompt> out;
  if (!panel.panel_prompts.empty()) {
    auto prompts = load_prompts(panel.panel_prompts);
    if (!prompts) return tl::unexpected(prompts.error());
    for (Prompt& prompt : *prompts) out.push_back({std::move(prompt.id), std::move(prompt.messages)});
    return out;
  }
  std::set<std::string> seen;
  for (const Prompt& prompt : taken) seen.insert(render_conversation(prompt.messages));
  for (Prompt& prompt : pocket::pocket_prompts(pocket::Split::kTrain, kPanelTries * panel.panel, kPanelSeed)) {
    if (static_cast<int>(out.size()) == panel.panel) break;
    if (seen.insert(prompt.messages[0].content).second) out.push_back({std::move(prompt.id), std::move(prompt.messages)});
  }
  return out;
}

}  // namespace

// Nothing that was asked for is passed over in silence.
Status check_lora(TrainCommand& options, const std::string& from) {
  if (is_peft_folder(from)) {
    return bad_input("is an adapter; training begins from a whole checkpoint", "train on its base, or merge it first", from);
  }
  LoraOptions& lora = options.train.lora;
  const LoraOptions plain;
  if (!lora.on && (options.merge || lora.rank != plain.rank || lora.alpha != plain.alpha || lora.targets != plain.targets || lora.rslora)) {
    return bad_input("options of an adapter are given, but no adapter is trained", "add --lora");
  }
  std::string out = options.out;
  while (out.size() > 1 && out.back() == '/') out.pop_back();
  if (options.merge) lora.merged = out + "-merged";
  return {};
}

Result<std::string> checkpoint_of(const std::string& model) { return model == "pocket" ? pocket_folder() : Result<std::string>(model); }

Status add_panel(TrainCommand& options, const std::string& constitution_file, const std::vector<Prompt>& taken) {
  GuardOptions& guard = options.train.guard;
  const bool own = options.model == "pocket" || !options.panel.panel_prompts.empty() ||
                   std::any_of(taken.begin(), taken.end(), [](const Prompt& prompt) { return pocket::scene_of(prompt).has_value(); });
  if (!guard.on || !own) return {};
  auto panel = panel_of(options.panel, taken);
  if (!panel) return tl::unexpected(panel.error());
  guard.prompts = std::move(*panel);
  if (guard.prompts.empty() || !options.panel.panel_prompts.empty()) return {};
  const auto constitution = load_constitution(constitution_file.empty() ? data_path("constitutions/default.toml") : constitution_file);
  if (!constitution) return tl::unexpected(constitution.error());
  guard.truth = [rules = *constitution, answer_of = options.answer_of](const std::vector<Rollout>& rollouts) -> Result<TruthReading> {
    const pocket::PocketOracle oracle(rules);
    TruthReading truth;
    for (const Rollout& rollout : rollouts) {
      const Prompt prompt{rollout.prompt.id, rollout.prompt.messages, {}};
      const std::string answer = answer_of ? answer_of(rollout) : rollout.text;
      const Outcome outcome = judge_outcome(prompt, answer, rules, oracle.rule(prompt, answer));
      if (!outcome.violates) continue;
      ++truth.n;
      truth.right += is_right(outcome);
    }
    return truth;
  };
  return {};
}

Status prepare(TrainCommand& options, const std::string& kind) {
  if (options.out.empty()) {
    if (options.run.empty()) return bad_input("no --out", "name the checkpoint folder to write");
    options.out = options.run + "/models/" + kind + (options.train.lora.on ? "-lora" : "");
  }
  const auto from = checkpoint_of(options.model);
  if (!from) return tl::unexpected(from.error());
  if (const Status fine = check_lora(options, *from); !fine) return fine;
  const auto shard_bytes = parse_byte_size(options.shard_size);
  if (!shard_bytes) return bad_input("--shard-size: " + shard_bytes.error().what, shard_bytes.error().hint);
  TrainOptions& train = options.train;
  const Result<WorldOptions> world = world_from_environment();
  if (!world) return tl::unexpected(world.error());
  train.world = *world;
  train.shard_bytes = *shard_bytes;
  train.from = *from;
  train.out = options.out;
  train.stop = interrupted;
  if (train.state.empty()) train.state = options.out + ".state";
  return {};
}

EventSink reported(const TrainCommand& options, EventSink events) { return options.train.world.rank > 0 ? EventSink() : std::move(events); }

Result<int> conclude_training(const TrainCommand& options, const char* section, const std::vector<Field>& fields, const TrainSummary& summary) {
  const TrainOptions& train = options.train;
  if (train.world.rank > 0) return summary.halted.empty() ? 0 : 1;
  const std::string comment = std::string("What this model is made of, defaults included. Again: precept train ") + section +
                              " --recipe FILE --out DIR\nweights " + summary.digest;
  if (const auto kept = write_file(train.out + "/recipe.toml", recipe_text({section, fields}, comment)); !kept) return tl::unexpected(kept.error());
  const std::string recipe = train.out + "/recipe.toml";
  Status card = card_of_training({train.out, train.from, summary.digest, options.run, recipe});
  if (card && options.merge) card = card_of_training({train.lora.merged, train.from, summary.merged_digest, options.run, recipe});
  if (!card) return tl::unexpected(card.error());
  if (options.json) {
    nlohmann::ordered_json out = {{"out", train.out}, {"digest", summary.digest}, {"steps", summary.steps},
                                  {"examples", summary.examples}, {"truncated", summary.truncated},
                                  {"precision", summary.precision}, {"tokens", summary.tokens}, {"trained_tokens", summary.trained_tokens},
                                  {"first_loss", summary.first_loss}, {"last_loss", summary.last_loss},
                                  {"seconds", summary.seconds}, {"tokens_per_s", summary.tokens_per_s}};
    if (options.merge) out["merged"] = train.lora.merged, out["merged_digest"] = summary.merged_digest;
    for (const auto& [name, estimate] : summary.measures) out[name] = nlohmann::ordered_json::parse(to_json(estimate));
    if (!summary.halted.empty()) out["halted"] = summary.halted, out["kept_step"] = summary.kept_step;
    std::printf("%s\n", out.dump().c_str());
  } else {
    std::printf("%s: %lld examples, %lld steps, loss %.4f -> %.4f, %.0f tokens/s\n", train.out.c_str(),
                static_cast<long long>(summary.examples), static_cast<long long>(summary.steps), summary.first_loss,
                summary.last_loss, summary.tokens_per_s);
    if (options.merge) std::printf("%s: the same, merged\n", train.lora.merged.c_str());
    if (summary.truncated > 0) {
      std::printf("%lld examples were longer than --max-tokens and were cut\n", static_cast<long long>(summary.truncated));
    }
    for (const auto& [name, estimate] : summary.measures) {
      const bool share = estimate.low.has_value();
      std::printf("  %-28s %s\n", name.c_str(), (share ? percent_text(estimate) : number_text(estimate, 3)).c_str());
    }
    if (!summary.halted.empty()) {
      std::printf("a guard stopped the training at %s; the weights are those of step %lld\n", summary.halted.c_str(),
                  static_cast<long long>(summary.kept_step));
    }
  }
  return summary.halted.empty() ? 0 : 1;
}

}  // namespace precept
