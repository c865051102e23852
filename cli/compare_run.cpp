#include "cli/compare_run.h"

#include <filesystem>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "cli/compare_report.h"
#include "cli/familiarity.h"
#include "cli/keep_constitution.h"
#include "cli/locate.h"
#include "cli/method_stages.h"
#include "precept/checkpoint/save.h"
#include "precept/core/io.h"
#include "precept/evaluate/compare.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// What the runs share.
struct Comparing {
  const LmApi& lm;
  const CompareOptions& options;
  EventSink events;
  Constitution constitution;
  std::vector<Prompt> prompts, held_out;
  std::string base, base_digest;
  std::vector<Method> methods;
  std::unique_ptr<RunStore> lock;  // of the folder, while this lives; it refuses another base and other settings

  std::string path(const std::string& name) const { return options.out + "/" + name; }
  MethodSetting setting(std::uint64_t seed, const std::vector<Prompt>& learnt) const {
    MethodSetting s{lm, constitution, options.constitution, learnt};
    s.base = base;
    s.base_digest = base_digest;
    s.seed = seed;
    s.budget = static_cast<std::int64_t>(options.budget * 1e6);
    s.precision = options.precision;
    s.threads = options.threads;
    s.batch = options.batch;
    s.folder = path("stages");
    s.events = events;
    return s;
  }
  Result<std::unique_ptr<Model>> open(const std::string& folder) const {
    EngineOptions engine;
    engine.threads = options.threads;
    engine.max_batch = options.batch;
    return lm.open_checkpoint(folder, engine);
  }
};

// On the held-out prompts, the answers alone where the model reasons first; what is there of the same weights, prompts and seed is taken as it is.
Result<Evaluation> evaluate(Comparing& c, const std::string& folder, const std::string& name, std::uint64_t seed, const std::string& label, int reasoning = 0) {
  const std::string path = c.path("evaluations/" + name + ".json");
  auto model = c.open(folder);
  if (!model) return tl::unexpected(model.error());
  if (reasoning > 0) model = answers_alone(std::move(*model), reasoning);
  EvalOptions options;
  options.seed = seed;
  options.label = label;
  const pocket::PocketOracle oracle(c.constitution);
  if (fs::exists(path)) {
    const Evaluation planned = planned_evaluation((*model)->info(), c.held_out, c.constitution, oracle, options);
    auto stored = load_evaluation(path);
    if (stored && stored->model_digest == planned.model_digest && comparable(*stored, path, planned, path) && differing_settings(*stored, planned).empty()) {
      return stored;
    }
  }
  auto evaluation = evaluate_policy(**model, c.held_out, c.constitution, oracle, options, c.events);
  if (!evaluation) return evaluation;
  if (const Status written = write_file(path, to_json(*evaluation)); !written) return tl::unexpected(written.error());
  return evaluation;
}

void note(const Comparing& c, const std::string& text) {
  Event event;
  event.kind = Event::Kind::kNote;
  event.stage = "compare";
  event.text = text;
  if (c.events) c.events(event);
}

constexpr double kLeftOver = 0.02;  // of the budget: so close to it a run is done
constexpr int kMostRounds = 50;

// The stages in their order. `again`: a further round, in which the documents of midtraining are known already.
Status run_round(const MethodSetting& setting, Method& method, bool again, MethodState& state) {
  for (const StageKind kind : method.stages) {
    if (again && kind == StageKind::kMidtrain) continue;
    auto next = run_stage(setting, method, kind, std::move(state));
    if (!next) return tl::unexpected(next.error());
    state = std::move(*next);
  }
  return {};
}

// Further rounds while the budget lasts, each with new prompts, the same for all methods; the last with as many as what is left pays
// for, by what a prompt took in the round before.
Status spend_the_rest(Comparing& c, Method& method, std::uint64_t seed, MethodState& state, MethodRun& run) {
  const double budget = c.options.budget * 1e6;
  double before = 0, prompts = c.options.prompts;
  for (int round = 2; round <= kMostRounds; ++round) {
    const auto spent = static_cast<double>(state.spent.passes());
    const double left = budget - spent, each = (spent - before) / prompts;
    if (state.halted) return {};
    if (left < kLeftOver * budget || each <= 0) return {};
    const int count = std::min(c.options.prompts, static_cast<int>(left / each));
    if (count < 1) return {};
    const std::vector<Prompt> further = pocket::pocket_prompts(pocket::Split::kTrain, count, c.options.seed + (static_cast<std::uint64_t>(round) << 32));
    const MethodSetting setting = c.setting(seed, further);
    state.key = key_of_round(state, setting, round);
    before = spent;
    prompts = count;
    note(c, method.id + ", seed " + std::to_string(seed) + ", round " + std::to_string(round) + " with " + std::to_string(count) + " prompts");
    if (const Status done = run_round(setting, method, true, state); !done) return done;
    run.prompts += count;
  }
  return {};
}

// A method with one seed, from the base to its evaluation.
Result<Evaluation> run_method(Comparing& c, Method& method, std::uint64_t seed, MethodRun& run) {
  const MethodSetting setting = c.setting(seed, c.prompts);
  MethodState state = start_of(setting);
  if (const Status done = run_round(setting, method, false, state); !done) return tl::unexpected(done.error());
  run.prompts = c.options.prompts;
  if (c.options.spend_all) {
    if (const Status done = spend_the_rest(c, method, seed, state, run); !done) return tl::unexpected(done.error());
  }
  run.seed = seed;
  run.spent = state.spent;
  run.notes = state.notes;
  auto evaluation = evaluate(c, state.model, state.key.substr(0, 12), seed, method.id, state.reasoning);
  if (!evaluation) return evaluation;
  run.rates = pool({&*evaluation});
  return evaluation;
}

Result<std::vector<Method>> load_methods(const std::vector<std::string>& recipes) {
  if (recipes.empty()) return bad_input("no recipes are given", "name some, say recipes/sl.toml recipes/rl.toml");
  std::vector<Method> methods;
  std::set<std::string> ids;
  for (const std::string& path : recipes) {
    auto method = load_method(path);
    if (!method) return tl::unexpected(method.error());
    if (!ids.insert(method->id).second) return bad_input("two recipes are called " + method->id, "the file's name tells methods apart", path);
    methods.push_back(std::move(*method));
  }
  return methods;
}

// Settings that a folder began with stay; recipes may come and go, for what was done is known by what it was made of.
Status begin(Comparing& c, CompareOptions options) {
  if (options.spend_all && options.budget == 0) return bad_input("--spend-all needs a budget to spend", "give --budget, say --budget 3");
  const std::string file = options.constitution.empty() ? data_path("constitutions/default.toml") : options.constitution;
  auto constitution = load_constitution(file);
  if (!constitution) return tl::unexpected(constitution.error());
  c.constitution = std::move(*constitution);
  auto base = checkpoint_of(options.model);
  if (!base) return tl::unexpected(base.error());
  c.base = std::move(*base);
  auto model = c.open(c.base);
  if (!model) return tl::unexpected(model.error());
  c.base_digest = (*model)->info().digest;
  for (const char* folder : {"stages", "evaluations", "recipes"}) {
    if (const Status made = make_folder(c.path(folder)); !made) return made;
  }
  const RecipeSection now = {"compare", fields_of(options)};
  const std::string path = c.path("recipe.toml");
  if (fs::exists(path)) {
    CompareOptions began;
    const RecipeSection was = {now.name, fields_of(began)};
    if (const auto read = read_recipe(path, {was}, was.name); !read) return read;
    if (const Status same = same_recipe(was.fields, now.fields, path); !same) return same;
  } else if (const Status written = write_file(path, recipe_text(now, "What all methods of this comparison have in common, defaults included.")); !written) {
    return written;
  }
  auto lock = RunStore::open(options.out, "constitution = " + c.constitution.digest + "\nbase = " + c.base_digest + "\n");
  if (!lock) return tl::unexpected(lock.error());
  c.lock = std::make_unique<RunStore>(std::move(*lock));
  c.prompts = pocket::pocket_prompts(pocket::Split::kTrain, options.prompts, options.seed);
  c.held_out = unseen_pocket_prompts(options.held_out, options.seed);
  return keep_constitution(c.constitution, options.out);
}

std::vector<const Evaluation*> pointers(const std::vector<Evaluation>& all) {
  std::vector<const Evaluation*> out;
  for (const Evaluation& each : all) out.push_back(&each);
  return out;
}

void sum_up(MethodResult& result, const std::vector<Evaluation>& evaluations) {
  result.rates = pool(pointers(evaluations));
  for (const MethodRun& run : result.runs) result.spent += run.spent;
  const auto n = static_cast<std::int64_t>(result.runs.size());
  result.spent = {result.spent.generated / n, result.spent.read / n, result.spent.trained / n};
}

}  // namespace

bool MethodResult::cut() const {
  for (const MethodRun& run : runs) {
    for (const std::string& note : run.notes) {
      if (note.find("budget") != std::string::npos) return true;
    }
  }
  return false;
}

Result<CompareResult> run_compare(const LmApi& lm, const CompareOptions& options, const std::vector<std::string>& recipes, const EventSink& events) {
  auto methods = load_methods(recipes);
  if (!methods) return tl::unexpected(methods.error());
  Comparing c{lm, options, events, {}, {}, {}, {}, {}, std::move(*methods), {}};
  if (const Status begun = begin(c, options); !begun) return tl::unexpected(begun.error());
  const auto seeds = static_cast<std::uint64_t>(options.seeds);
  CompareResult result;
  result.report = c.path("report.html");
  result.summary = c.path("summary.json");

  MethodResult base;
  base.id = base.name = "base";
  base.about = "The model that all begin with.";
  std::vector<Evaluation> of_base, of_first;
  for (std::uint64_t seed = options.seed; seed < options.seed + seeds; ++seed) {
    auto evaluation = evaluate(c, c.base, "base-" + std::to_string(seed), seed, "base");
    if (!evaluation) return tl::unexpected(evaluation.error());
    base.runs.push_back({seed, {}, 0, {}, pool({&*evaluation})});
    of_base.push_back(std::move(*evaluation));
  }
  sum_up(base, of_base);
  result.methods.push_back(std::move(base));
  for (Method& method : c.methods) {
    MethodResult one;
    one.id = method.id;
    one.name = method.name;
    one.about = method.about;
    one.stages = method.listed;
    std::vector<Evaluation> evaluations;
    for (std::uint64_t seed = options.seed; seed < options.seed + seeds; ++seed) {
      note(c, method.id + ", seed " + std::to_string(seed));
      one.runs.emplace_back();
      auto evaluation = run_method(c, method, seed, one.runs.back());
      if (!evaluation) return tl::unexpected(evaluation.error());
      evaluations.push_back(std::move(*evaluation));
    }
    sum_up(one, evaluations);
    if (of_first.empty()) of_first = std::move(evaluations);
    else one.change = compare_pooled(pointers(of_first), pointers(evaluations));
    result.methods.push_back(std::move(one));
  }
  std::string texts;
  for (const std::string& path : recipes) {
    const auto text = read_text(path);
    if (!text) return tl::unexpected(text.error());
    texts += "# " + fs::path(path).filename().string() + "\n" + *text + "\n";
    if (const Status kept = write_file(c.path("recipes/" + fs::path(path).filename().string()), *text); !kept) return tl::unexpected(kept.error());
  }
  if (const Status written = write_comparison(result, options, c.constitution, texts); !written) return tl::unexpected(written.error());
  return result;
}

}  // namespace precept
