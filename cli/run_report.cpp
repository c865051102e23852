#include "cli/run_report.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "cli/run_traces.h"
#include "cli/time_log.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/report/report.h"
#include "precept/report/summary_json.h"
#include "precept/revise/summary.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr const char* kOtherScope =
    "These numbers say what one scorer ruled on one set of prompts. They hold for prompts like these and for violations that "
    "this scorer can see, and for nothing else.";

constexpr std::size_t kTraces = 10;
constexpr const char* kTracesNote = "They are the first items of each kind of ending, in the order of the prompts; nobody picked them.";

// Everything a run folder may hold.
struct RunFiles {
  std::optional<Evaluation> base, sl, rl;
  std::optional<JudgeQuality> judge;
  std::optional<Familiarity> familiarity;
  std::optional<ReportLoop> loop;
  std::vector<ReportTrace> traces;
  std::string store_recipe;
  TimeSpent time;  // of time.jsonl, or of the summary that is there
  std::vector<std::string> notes;
};

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

ReportLoop loop_of(const RunSummary& s) {
  ReportLoop loop;
  loop.items = s.items - s.pending;
  loop.complied_at_once = s.complied_at_once;
  loop.revised = s.revised;
  loop.unsettled = s.unsettled;
  loop.unparseable = s.unparseable;
  loop.failed = s.failed;
  loop.rounds = s.by_rounds;
  std::int64_t selected = 0;
  for (const auto& entry : s.principles) selected += entry.second.selected;
  if (const std::int64_t finished = loop.items - loop.failed; finished > 0) {
    loop.selected_per_item = static_cast<double>(selected) / static_cast<double>(finished);
  }
  if (const double calls = s.calls_per_item(); std::isfinite(calls)) loop.calls_per_item = calls;
  for (int k = 0; k < kStepKinds; ++k) {  // in the order of the loop
    const std::string name = step_name(static_cast<StepKind>(k));
    const auto calls = s.calls.find(name);
    if (calls == s.calls.end() || calls->second == 0) continue;
    const auto tokens = s.tokens.find(name);
    loop.steps.push_back({name, calls->second, tokens == s.tokens.end() ? Usage{} : tokens->second});
  }
  const auto verdicts = [&s](StepKind kind) {
    const auto found = s.verdicts.find(step_name(kind));
    return found == s.verdicts.end() ? VerdictCount{} : found->second;
  };
  loop.select = verdicts(StepKind::kSelect);
  loop.judge = verdicts(StepKind::kJudge);
  return loop;
}

Status read_store(const std::string& run, bool with_traces, RunFiles& files) {
  if (!exists(run + "/run.db")) return {};
  const auto store = RunStore::open_readonly(run);
  if (!store) return tl::unexpected(store.error());
  const auto summary = summarize(*store);
  if (!summary) return tl::unexpected(summary.error());
  files.loop = loop_of(*summary);
  files.store_recipe = store->recipe();
  if (summary->pending > 0) {
    files.notes.push_back("The loop is not finished: " + std::to_string(summary->pending) + " of " +
                          std::to_string(summary->items) + " items are still open.");
  }
  if (!with_traces) return {};
  auto traces = pick_traces(*store, kTraces);
  if (!traces) return tl::unexpected(traces.error());
  files.traces = std::move(*traces);
  return {};
}

Result<RunFiles> read_run(const std::string& run, bool with_traces) {
  std::error_code ignored;
  if (!fs::is_directory(run, ignored)) return bad_input("no such run folder", "name the folder given as --run before", run);
  RunFiles files;
  const std::pair<const char*, std::optional<Evaluation>*> evaluations[] = {{"base", &files.base}, {"sl", &files.sl}, {"rl", &files.rl}};
  for (const auto& [label, place] : evaluations) {
    const std::string path = run + "/eval-" + label + ".json";
    if (!exists(path)) continue;
    auto evaluation = load_evaluation(path);
    if (!evaluation) return tl::unexpected(evaluation.error());
    *place = std::move(*evaluation);
  }
  if (exists(run + "/judge.json")) {
    auto judge = load_judge_quality(run + "/judge.json");
    if (!judge) return tl::unexpected(judge.error());
    files.judge = std::move(*judge);
  }
  if (exists(run + "/familiarity.json")) {
    auto familiarity = load_familiarity(run + "/familiarity.json");
    if (!familiarity) return tl::unexpected(familiarity.error());
    files.familiarity = std::move(*familiarity);
  }
  if (const auto stored = read_store(run, with_traces, files); !stored) return tl::unexpected(stored.error());
  auto time = read_time_log(run);
  if (!time) return tl::unexpected(time.error());
  files.time = std::move(*time);
  if (files.time.stages.empty() && exists(run + "/summary.json")) {
    const auto facts = load_summary_facts(run + "/summary.json");
    if (!facts) return tl::unexpected(facts.error());
    files.time.seconds = facts->seconds;
    files.time.peak_rss_mb = facts->peak_rss_mb;
  }
  return files;
}

// One curve for each stage and name: of the last training. Where it was resumed, the last value of a step counts.
Status read_metrics(const std::string& path, ReportInput& input) {
  if (!exists(path)) return {};
  const auto text = read_file(path, std::size_t{128} << 20);
  if (!text) return tl::unexpected(text.error());
  std::map<std::pair<std::string, std::string>, std::map<double, double>> curves;
  std::int64_t unread = 0;
  std::istringstream lines(*text);
  std::string line;
  while (std::getline(lines, line)) {
    if (line.empty()) continue;
    const auto value = nested_too_deeply(line) ? nlohmann::json() : nlohmann::json::parse(line, nullptr, false);
    const auto has = [&value](const char* key) { return value.is_object() && value.contains(key); };
    if (!has("stage") || !has("name") || !has("step") || !has("value") || !value["stage"].is_string() ||
        !value["name"].is_string() || !value["step"].is_number() || !value["value"].is_number()) {
      ++unread;  // a run that was killed may have left half a line
      continue;
    }
    auto& curve = curves[{value["stage"].get<std::string>(), value["name"].get<std::string>()}];
    const double step = value["step"].get<double>();
    if (step == 1) curve.clear();  // another training begins
    curve[step] = value["value"].get<double>();
  }
  if (unread > 0) input.notes.push_back(std::to_string(unread) + " lines of metrics.jsonl could not be read.");
  for (const auto& entry : curves) {
    input.curves.push_back({entry.first.first, entry.first.second, {entry.second.begin(), entry.second.end()}});
  }
  // The loss first: it is what people look for.
  std::stable_sort(input.curves.begin(), input.curves.end(), [](const ReportCurve& x, const ReportCurve& y) {
    return (x.name == "loss") > (y.name == "loss");
  });
  return {};
}

bool in_pocket_world(const RunFiles& files) {
  for (const auto* e : {&files.base, &files.sl}) {
    if (*e && !(*e)->outcomes.empty()) return (*e)->outcomes.front().id.rfind("pocket-", 0) == 0;
  }
  return false;
}

}  // namespace

Status write_run_summary(const std::string& run) {
  const auto files = read_run(run, false);
  if (!files) return tl::unexpected(files.error());
  SummaryInput input;
  if (files->base) input.base = &*files->base;
  if (files->sl) input.sl = &*files->sl;
  if (files->rl) input.rl = &*files->rl;
  if (files->judge) input.judge = &*files->judge;
  if (files->familiarity) input.familiarity = &*files->familiarity;
  if (files->loop) input.loop = &*files->loop;
  input.stages = files->time.stages;
  input.seconds = files->time.seconds;
  input.peak_rss_mb = files->time.peak_rss_mb > 0 ? files->time.peak_rss_mb : peak_rss_mb();
  return write_file(run + "/summary.json", summary_json(input));
}

Status write_run_report(const std::string& run, const std::string& out) {
  auto files = read_run(run, true);
  if (!files) return tl::unexpected(files.error());
  if (!files->base && !files->sl && !files->loop && !files->judge) {
    return bad_input("there is nothing to report: neither run.db nor an evaluation",
                     "run precept revise --run or precept eval --run with this folder first", run);
  }
  ReportInput input;
  input.run = run;
  input.notes = files->notes;
  if (const auto read = read_metrics(run + "/metrics.jsonl", input); !read) return read;
  if (exists(run + "/recipe.toml")) {
    auto recipe = read_text(run + "/recipe.toml", std::size_t{4} << 20);
    if (!recipe) return tl::unexpected(recipe.error());
    input.recipe = std::move(*recipe);
  } else {
    input.recipe = files->store_recipe;
  }
  for (const char* name : {"/constitution.toml", "/constitution.md"}) {
    if (!exists(run + name) || input.constitution) continue;
    auto constitution = load_constitution(run + name);
    if (constitution) {
      input.constitution = std::move(*constitution);
    } else {
      input.notes.push_back("The copy of the constitution could not be read: " + constitution.error().what + ".");
    }
  }
  if (input.constitution && !input.constitution->name.empty()) {
    input.title = "Aligned to \u201c" + input.constitution->name + "\u201d";
  }
  if (files->base || files->sl) input.scope = in_pocket_world(*files) ? kPocketScope : kOtherScope;
  input.base = std::move(files->base);
  input.sl = std::move(files->sl);
  input.rl = std::move(files->rl);
  input.judge = std::move(files->judge);
  input.familiarity = std::move(files->familiarity);
  input.loop = std::move(files->loop);
  input.traces = std::move(files->traces);
  input.traces_note = kTracesNote;
  input.stages = std::move(files->time.stages);
  input.seconds = files->time.seconds;
  input.peak_rss_mb = files->time.peak_rss_mb;
  return write_report(input, out);
}

}  // namespace precept
