#include "cli/method_stages.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/deliberate.h"
#include "cli/interrupt.h"
#include "cli/matching_tokenizer.h"
#include "cli/metrics_log.h"
#include "cli/rl_stages.h"
#include "cli/sl_stages.h"
#include "cli/train_set.h"
#include "precept/constitution/pairs.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/evaluate/json.h"
#include "precept/revise/summary.h"
#include "worlds/pocket/charter.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using json::Json;

constexpr std::size_t kSlice = 100;  // prompts that are worked on together; between slices the budget is looked at

// One stage at work.
struct Work {
  const MethodSetting& setting;
  Method& method;
  const MethodState& before;
  std::string folder;
  MetricsLog metrics;
  TokensSpent spent = {};               // by this stage
  std::vector<std::string> notes = {};
  bool trains = false, answers = false, pairs = false;  // what it leaves
  bool halted = false;                  // by a guard

  std::string path(const std::string& name) const { return folder + "/" + name; }
  bool over(const TokensSpent& now) const {
    return setting.budget > 0 && before.spent.passes() + now.passes() >= setting.budget;
  }
  Result<std::unique_ptr<Model>> open(const std::string& checkpoint) const {
    EngineOptions engine;
    engine.threads = setting.threads;
    engine.max_batch = setting.batch;
    return setting.lm.open_checkpoint(checkpoint, engine);
  }
  // The model so far, of which only answers are seen.
  Result<std::unique_ptr<Model>> open_policy() const {
    auto model = open(before.model);
    if (!model || before.reasoning == 0) return model;
    return answers_alone(std::move(*model), before.reasoning);
  }
  void cut(std::size_t done, std::size_t all, const char* of) {
    if (done < all) notes.push_back(fmt::format("cut at the budget after {} of {} {}", done, all, of));
  }
};

// The prompts of slice `s`.
std::vector<Prompt> slice_of(const std::vector<Prompt>& prompts, std::size_t s) {
  const std::size_t begin = s * kSlice, end = std::min(prompts.size(), begin + kSlice);
  return {prompts.begin() + static_cast<std::ptrdiff_t>(begin), prompts.begin() + static_cast<std::ptrdiff_t>(end)};
}
std::size_t slices(const std::vector<Prompt>& prompts) { return (prompts.size() + kSlice - 1) / kSlice; }

Status append_file(const std::string& from, std::string& text) {
  const auto read = read_file(from);
  if (!read) return tl::unexpected(read.error());
  text += *read;
  return {};
}

// The loop, slice by slice, each in a store of its own: final answers, and revisions over drafts as pairs.
Status revise_stage(Work& w) {
  auto policy = w.open_policy(), judge = w.open(w.setting.base);
  if (!policy || !judge) return tl::unexpected(policy ? judge.error() : policy.error());
  ReviseOptions loop = w.method.revise;
  loop.seed = w.setting.seed;
  std::string answers, pairs;
  std::size_t done = 0;
  for (std::size_t s = 0; s < slices(w.setting.prompts) && !w.over(w.spent); ++s) {
    const std::vector<Prompt> prompts = slice_of(w.setting.prompts, s);
    const std::string folder = w.path(fmt::format("slice-{:04}", s));
    if (const Status made = make_folder(folder); !made) return made;
    auto store = RunStore::open(folder, revise_recipe(loop, w.setting.constitution, (*policy)->info(), (*judge)->info()));
    if (!store) return tl::unexpected(store.error());
    if (const Status set = store->set_items(items_of(prompts)); !set) return set;
    const auto looped = run_loop_stage(w.setting.constitution, loop, **policy, **judge, *store, folder + "/sft.jsonl", w.setting.events);
    if (!looped) return tl::unexpected(looped.error());
    if (const Status all = all_finished(*looped); !all) return all;
    ExportOptions preferences;
    preferences.what = "preferences";
    if (const auto exported = export_to_file(*store, preferences, folder + "/preferences.jsonl"); !exported) return tl::unexpected(exported.error());
    const auto summary = summarize(*store);
    if (!summary) return tl::unexpected(summary.error());
    for (const auto& [step, usage] : summary->tokens) {
      const bool writes = step == step_name(StepKind::kDraft) || step == step_name(StepKind::kCritique) || step == step_name(StepKind::kRevision);
      w.spent += writes ? TokensSpent{usage.output_tokens, usage.prompt_tokens, 0} : TokensSpent{0, usage.prompt_tokens + usage.output_tokens, 0};
    }
    if (const Status read = append_file(folder + "/sft.jsonl", answers); !read) return read;
    if (const Status read = append_file(folder + "/preferences.jsonl", pairs); !read) return read;
    done += prompts.size();
  }
  w.cut(done, w.setting.prompts.size(), "prompts");
  w.answers = w.pairs = true;
  if (const Status written = write_file(w.path("answers.jsonl"), answers); !written) return written;
  return write_file(w.path("pairs.jsonl"), pairs);
}

// Answers with the rules in the context, slice by slice, each in a file that is whole or absent.
Status deliberate_stage(Work& w) {
  std::string answers;
  std::size_t done = 0, kept = 0;
  std::optional<Deliberation> deliberation;
  for (std::size_t s = 0; s < slices(w.setting.prompts) && !w.over(w.spent); ++s) {
    const std::vector<Prompt> prompts = slice_of(w.setting.prompts, s);
    const std::string path = w.path(fmt::format("slice-{:04}.json", s));
    if (!fs::exists(path)) {
      if (!deliberation) {
        auto begun = Deliberation::begin(w.setting, w.method.deliberate, w.before.model);
        if (!begun) return tl::unexpected(begun.error());
        deliberation.emplace(std::move(*begun));
      }
      const auto slice = deliberation->answer(prompts);
      if (!slice) return tl::unexpected(slice.error());
      const Json out = {{"generated", slice->spent.generated}, {"read", slice->spent.read}, {"kept", slice->kept}, {"lines", slice->lines}};
      if (const Status written = write_file(path, json::dump(out) + "\n"); !written) return written;
    }
    const auto slice = json::load(path);
    if (!slice) return tl::unexpected(slice.error());
    w.spent += {json::get_integer(*slice, "generated").value_or(0), json::get_integer(*slice, "read").value_or(0), 0};
    kept += static_cast<std::size_t>(json::get_integer(*slice, "kept").value_or(0));
    answers += json::get_text(*slice, "lines").value_or("");
    done += prompts.size();
  }
  w.cut(done, w.setting.prompts.size(), "prompts");
  if (kept < done) w.notes.push_back(fmt::format("{} of {} prompts had no answer that the judge let pass", done - kept, done));
  w.answers = true;
  return write_file(w.path("answers.jsonl"), answers);
}

// The training options of a stage: where it begins and ends, and what the comparison sets.
Result<TrainCommand> command_of(Work& w, const TrainCommand& options, const std::string& kind) {
  TrainCommand command = options;
  command.model = w.before.model;
  command.out = w.path("model");
  command.run = w.folder;
  command.train.seed = w.setting.seed;
  command.train.threads = w.setting.threads;
  command.train.precision = w.setting.precision;
  command.train.checkpoint_every = 10;
  const int reasoning = std::max(w.before.reasoning, kind == "sl" && w.before.answers_reason ? w.method.deliberate.reasoning_max_tokens : 0);
  if (reasoning > 0) {
    command.train.guard.max_new_tokens += reasoning;
    command.answer_of = [](const Rollout& rollout) { return answer_in(rollout.text, rollout.cut); };
  }
  if (const Status ready = prepare(command, kind); !ready) return tl::unexpected(ready.error());
  return command;
}

// What has been trained, and how it ended.
Status conclude(Work& w, const Result<TrainSummary>& summary, bool cut) {
  if (!summary) return tl::unexpected(summary.error());
  if (cut) w.notes.push_back(fmt::format("cut at the budget after {} steps", summary->steps));
  w.halted = !summary->halted.empty();
  if (w.halted) w.notes.push_back("a guard stopped it at " + summary->halted);
  if (summary->truncated > 0) w.notes.push_back(fmt::format("{} examples were too long and were cut", summary->truncated));
  w.trains = true;
  return {};
}

std::int64_t tokens_of(const TrainSet& set) {
  std::int64_t tokens = 0;
  for (std::uint64_t i = 0; i < set.count * static_cast<std::uint64_t>(set.group); ++i) tokens += static_cast<std::int64_t>(set.example(i).tokens.size());
  return tokens;
}

// Trains on a set of `items`; `more`: what that takes besides. `train(options)` does it.
template <class Train>
Status train_on_set(Work& w, TrainCommand command, std::uint64_t items, const TokensSpent& more, Train train) {
  const auto all = static_cast<std::int64_t>(items) * command.train.epochs;
  bool cut = false;
  const auto total = [&](const TrainSummary& so_far) {
    TokensSpent sum = more;
    sum.trained += so_far.tokens;
    return sum;
  };
  command.train.enough = [&](std::int64_t used, const TrainSummary& so_far) { return cut = used < all && w.over(total(so_far)); };
  const Result<TrainSummary> summary = train(command.train);
  if (summary) w.spent += total(*summary);
  return conclude(w, summary, cut);
}

Status sft_stage(Work& w) {
  auto command = command_of(w, w.method.sft, "sl");
  if (!command) return tl::unexpected(command.error());
  const auto files = load_matching_tokenizer(command->train.from);
  if (!files) return tl::unexpected(files.error());
  const auto set = load_sft_set(w.before.answers, *files);
  if (!set) return tl::unexpected(set.error());
  if (const Status added = add_panel(*command, w.setting.constitution_file, w.setting.prompts); !added) return added;
  const auto sink = w.metrics.tee("sft", w.setting.events);
  return train_on_set(w, *command, set->count, {}, [&](const TrainOptions& train) { return w.setting.lm.train(train, *set, sink); });
}

Status dpo_stage(Work& w) {
  auto command = command_of(w, w.method.dpo, "dpo");
  if (!command) return tl::unexpected(command.error());
  const auto pairs = load_pairs(w.before.pairs);
  if (!pairs) return tl::unexpected(pairs.error());
  const auto files = load_matching_tokenizer(command->train.from);
  if (!files) return tl::unexpected(files.error());
  const auto set = pair_set(*pairs, *files);
  if (!set) return tl::unexpected(set.error());
  if (const Status added = add_panel(*command, w.setting.constitution_file, w.setting.prompts); !added) return added;
  const auto sink = w.metrics.tee("dpo", w.setting.events);
  const TokensSpent reference{0, tokens_of(*set), 0};
  return train_on_set(w, *command, set->count, reference, [&](const TrainOptions& train) {
    return w.setting.lm.train_preferences(train, w.method.preference, *set, sink);
  });
}

Status midtrain_stage(Work& w) {
  auto command = command_of(w, w.method.midtrain, "midtrain");
  if (!command) return tl::unexpected(command.error());
  const auto files = load_matching_tokenizer(command->train.from);
  if (!files) return tl::unexpected(files.error());
  const auto documents = pocket::charter_documents(w.setting.constitution, w.method.documents, w.setting.seed);
  if (!documents) return tl::unexpected(documents.error());
  std::string lines;
  for (const std::string& document : *documents) lines += Json{{"text", document}}.dump() + "\n";
  if (const Status written = write_file(w.path("documents.jsonl"), lines); !written) return written;
  const TrainSet set = text_set(*documents, *files);
  if (const Status added = add_panel(*command, w.setting.constitution_file, w.setting.prompts); !added) return added;
  const auto sink = w.metrics.tee("midtrain", w.setting.events);
  return train_on_set(w, *command, set.count, {}, [&](const TrainOptions& train) { return w.setting.lm.train(train, set, sink); });
}

// What reinforcement learning took up to each step, so that a resumed training counts on from there.
class SpentFile {
 public:
  SpentFile(std::string path, TokenMeter& meter) : path_(std::move(path)), meter_(meter) {}

  // Before the first step of a session: back to where `used` items were used up. False: this is not known.
  bool restore(std::int64_t used) {
    if (used == 0) return true;
    const auto text = read_file(path_);
    if (!text) return false;
    std::vector<std::uint64_t> questions;
    bool found = false;
    TokensSpent at;
    std::size_t begin = 0, end = 0;
    for (; (end = text->find('\n', begin)) != std::string::npos; begin = end + 1) {
      const auto line = Json::parse(text->substr(begin, end - begin), nullptr, false);
      const auto then = json::get_integer(line, "used");
      if (!then || *then > used) break;
      for (const auto& question : line.value("asked", Json::array())) {
        if (question.is_number_unsigned()) questions.push_back(question.get<std::uint64_t>());
      }
      at = {json::get_integer(line, "generated").value_or(0), json::get_integer(line, "read").value_or(0), 0};
      found = *then == used;
      lines_.append(*text, begin, end - begin + 1);
    }
    meter_.restore(at, questions);
    return found;
  }
  Status add(std::int64_t used) {
    const TokensSpent& now = meter_.count();
    lines_ += Json{{"used", used}, {"generated", now.generated}, {"read", now.read}, {"asked", meter_.take_fresh()}}.dump() + "\n";
    return write_file(path_, lines_);
  }

 private:
  std::string path_;
  TokenMeter& meter_;
  std::string lines_;
};

Status grpo_stage(Work& w) {
  auto command = command_of(w, w.method.grpo, "rl");
  if (!command) return tl::unexpected(command.error());
  const auto files = load_matching_tokenizer(command->train.from);
  if (!files) return tl::unexpected(files.error());
  std::map<std::string, std::int64_t> prompt_tokens;
  for (const Prompt& prompt : w.setting.prompts) {
    const auto tokens = files->chat.render(files->tokenizer, prompt.messages, true);
    if (!tokens) return tl::unexpected(tokens.error());
    prompt_tokens[prompt.id] = static_cast<std::int64_t>(tokens->size());
  }
  TokenMeter meter;
  SpentFile kept(w.path("spent.jsonl"), meter);
  GrpoStage stage;
  stage.grpo = w.method.rl;
  stage.grpo.max_new_tokens += w.before.reasoning;
  stage.reward = w.method.reward;
  stage.judge = w.setting.base;
  stage.constitution_file = w.setting.constitution_file;
  stage.batch = w.setting.batch;
  stage.around_judge = [&](std::unique_ptr<Model> judge) { return meter.around(std::move(judge)); };
  stage.around_rewards = [&](RewardFunction rewards) -> RewardFunction {
    return [&, rewards = std::move(rewards)](const std::vector<Rollout>& rollouts) {
      meter.pause(rollouts.empty() || prompt_tokens.count(rollouts.front().prompt.id) == 0);  // the guards ask others
      for (const Rollout& rollout : rollouts) meter.add({rollout.tokens, prompt_tokens[rollout.prompt.id], 0});
      if (w.before.reasoning == 0) return rewards(rollouts);
      std::vector<Rollout> answers = rollouts;
      for (Rollout& rollout : answers) rollout.text = answer_in(rollout.text, rollout.cut);
      return rewards(answers);
    };
  };
  const auto total = [&](const TrainSummary& so_far) {
    TokensSpent sum = meter.count();
    sum.trained += so_far.tokens * stage.grpo.updates;
    if (stage.grpo.kl_coef > 0) sum.read += so_far.tokens;  // by the reference
    return sum;
  };
  const auto all = static_cast<std::int64_t>(w.setting.prompts.size()) * command->train.epochs;
  bool cut = false;
  std::optional<std::int64_t> told;  // how far it is known what was taken
  Status fine;
  command->train.enough = [&](std::int64_t used, const TrainSummary& so_far) {
    if (!told && !kept.restore(used)) {
      fine = failed("spent.jsonl does not say what this training took so far", "remove this folder, and the stage is done anew", w.folder);
    } else if (fine && told.value_or(used) != used) {
      fine = kept.add(used);
    }
    told = used;
    cut = used < all && w.over(total(so_far));
    return cut || !fine;
  };
  const auto summary = run_grpo_stage(w.setting.lm, *command, stage, w.setting.prompts, w.metrics.tee("rl", w.setting.events));
  if (!fine) return fine;
  if (summary) w.spent += total(*summary);
  return conclude(w, summary, cut);
}

Status do_stage(Work& w, StageKind kind) {
  switch (kind) {
    case StageKind::kRevise: return revise_stage(w);
    case StageKind::kDeliberate: return deliberate_stage(w);
    case StageKind::kSft: return sft_stage(w);
    case StageKind::kDpo: return dpo_stage(w);
    case StageKind::kGrpo: return grpo_stage(w);
    case StageKind::kMidtrain: return midtrain_stage(w);
  }
  return {};
}

Json done_json(const Work& w, StageKind kind) {
  return {{"stage", stage_name(kind)}, {"generated", w.spent.generated}, {"read", w.spent.read}, {"trained", w.spent.trained},
          {"trains", w.trains}, {"answers", w.answers}, {"pairs", w.pairs}, {"halted", w.halted}, {"notes", w.notes}};
}

// What a stage that is done left, into the state.
Status take_done(const std::string& folder, const Method& method, StageKind kind, MethodState& state) {
  const auto done = json::load(folder + "/done.json");
  if (!done) return tl::unexpected(done.error());
  const auto number = [&](const char* key) { return json::get_integer(*done, key).value_or(0); };
  state.halted = state.halted || json::get_bool(*done, "halted").value_or(false);
  state.spent += {number("generated"), number("read"), number("trained")};
  if (json::get_bool(*done, "trains").value_or(false)) {
    state.model = folder + "/model";
    if (kind == StageKind::kSft) state.reasoning = state.answers_reason ? method.deliberate.reasoning_max_tokens : 0;
  }
  if (json::get_bool(*done, "answers").value_or(false)) {
    state.answers = folder + "/answers.jsonl";
    state.answers_reason = kind == StageKind::kDeliberate && method.deliberate.reasoning;
  }
  if (json::get_bool(*done, "pairs").value_or(false)) state.pairs = folder + "/pairs.jsonl";
  for (const auto& note : done->value("notes", Json::array())) {
    if (note.is_string()) state.notes.push_back(std::string(stage_name(kind)) + ": " + note.get<std::string>());
  }
  return {};
}

bool is_empty(const std::string& path) {
  std::error_code none;
  return fs::file_size(path, none) == 0;
}

std::string texts_of(const std::vector<Prompt>& prompts) {
  std::string all;
  for (const Prompt& prompt : prompts) all += prompt.id + "\n" + prompt.messages.back().content + "\n";
  return all;
}

}  // namespace

std::string key_of_round(const MethodState& state, const MethodSetting& setting, int round) {
  return sha256(state.key + "\nround " + std::to_string(round) + "\n" + texts_of(setting.prompts));
}

MethodState start_of(const MethodSetting& s) {
  std::string all = s.base_digest + "\n" + s.constitution.digest + "\n" + std::to_string(s.seed) + " " + std::to_string(s.budget) + " " + s.precision + "\n";
  all += texts_of(s.prompts);
  MethodState state;
  state.model = s.base;
  state.key = sha256(all);
  return state;
}

Result<MethodState> run_stage(const MethodSetting& setting, Method& method, StageKind kind, MethodState state) {
  const std::string name = stage_name(kind);
  state.key = sha256(state.key + "\n" + recipe_text(method.section(kind), name));
  if (setting.budget > 0 && state.spent.passes() >= setting.budget) {
    state.notes.push_back(name + ": left out, for the budget was spent");
    return state;
  }
  const std::string nothing = kind == StageKind::kSft && is_empty(state.answers) ? "no answers" : kind == StageKind::kDpo && is_empty(state.pairs) ? "no pairs" : "";
  if (!nothing.empty()) {
    state.notes.push_back(name + ": left out, for there were " + nothing + " to learn from");
    return state;
  }
  const std::string folder = setting.folder + "/" + name + "-" + state.key.substr(0, 12);
  if (!fs::exists(folder + "/done.json")) {
    if (const Status made = make_folder(folder); !made) return tl::unexpected(made.error());
    Work work{setting, method, state, folder, MetricsLog(folder)};
    if (const Status done = do_stage(work, kind); !done) return tl::unexpected(done.error());
    if (const Status written = write_file(folder + "/done.json", json::dump(done_json(work, kind)) + "\n"); !written) return tl::unexpected(written.error());
    std::error_code ignored;
    fs::remove_all(folder + "/model.state", ignored);  // resumable no more
    fs::remove(folder + "/spent.jsonl", ignored);
  }
  if (const Status taken = take_done(folder, method, kind, state); !taken) return tl::unexpected(taken.error());
  return state;
}

}  // namespace precept
