#include "cli/run_report.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/report/report.h"
#include "precept/report/summary_json.h"
#include "precept/revise/summary.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPocketScope =
    "The pocket world is a synthetic test bed: a small closed world of generated prompts, and an oracle that knows the truth "
    "about each of them. It can show that the loop, the training and the measurements work from end to end, and that the text "
    "of the constitution decides what the model becomes. It cannot show how a large model would behave in real "
    "conversations: violations here are of a few known kinds, and the language is plain.";
constexpr const char* kOtherScope =
    "These numbers say what one scorer ruled on one set of prompts. They hold for prompts like these and for violations that "
    "this scorer can see, and for nothing else.";

// Everything a run folder may hold.
struct RunFiles {
  std::optional<Evaluation> base, sl;
  std::optional<JudgeQuality> judge;
  std::optional<ReportLoop> loop;
  std::vector<ReportTrace> traces;
  std::string store_recipe;
  SummaryFacts facts;
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
  loop.unresolved = s.unsettled;
  loop.unparseable = s.unparseable;
  loop.failed = s.failed;
  loop.rounds = s.by_rounds;
  std::int64_t selected = 0;
  for (const auto& entry : s.principles) selected += entry.second.selected;
  if (loop.items > 0) loop.selected_per_item = static_cast<double>(selected) / static_cast<double>(loop.items);
  for (int k = 0; k < kStepKinds; ++k) {  // in the order of the loop
    const std::string name = step_name(static_cast<StepKind>(k));
    const auto calls = s.calls.find(name);
    if (calls == s.calls.end() || calls->second == 0) continue;
    const auto tokens = s.tokens.find(name);
    loop.steps.push_back({name, calls->second, tokens == s.tokens.end() ? Usage{} : tokens->second});
  }
  return loop;
}

std::string joined(const std::vector<std::string>& ids) {
  std::string out;
  for (const std::string& id : ids) out += (out.empty() ? "" : ", ") + id;
  return out;
}

ReportTrace trace_of(const RunItem& item, const std::vector<StepRecord>& steps) {
  ReportTrace t;
  t.id = item.id;
  t.prompt = item.messages;
  const TraceView seen = view(item, steps);
  if (seen.draft) t.draft = seen.draft->text;
  if (seen.final) t.final_answer = seen.final->text;
  for (const StepRecord& step : steps) {
    switch (step.kind) {
      case StepKind::kDraft: break;
      case StepKind::kSelect:
        for (const Verdict& v : step.verdicts) {
          t.selections.push_back({v.principle, v.probability, v.value == Verdict::Value::kYes});
        }
        break;
      case StepKind::kJudge:
        for (const Verdict& v : step.verdicts) {
          t.steps.push_back({"judgment", step.round, v.principle, verdict_name(step.kind, v.value), v.probability, ""});
        }
        break;
      case StepKind::kCritique:
      case StepKind::kRevision:
        t.steps.push_back({step.kind == StepKind::kCritique ? "critique" : "revision", step.round, joined(step.principles),
                           "", std::nullopt, step.text});
        break;
    }
  }
  return t;
}

// The first items of each kind, in file order: nobody picked them.
Status read_traces(const RunStore& store, RunFiles& files) {
  struct Kind {
    Ending ending;
    bool long_way;  // more than one round
    std::size_t most;
    std::vector<ReportTrace> found;
  };
  std::array<Kind, 5> kinds = {{{Ending::kRevised, false, 4, {}},
                                {Ending::kRevised, true, 2, {}},
                                {Ending::kComplied, false, 3, {}},
                                {Ending::kUnsettled, false, 1, {}},
                                {Ending::kUnparseable, false, 1, {}}}};
  const auto status = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    int last = 0;
    for (const StepRecord& step : steps) last = std::max(last, step.round);
    bool wanting = false;
    for (Kind& kind : kinds) {
      const bool fits = kind.ending == item.ending && (item.ending != Ending::kRevised || kind.long_way == (last > 1));
      if (fits && kind.found.size() < kind.most) kind.found.push_back(trace_of(item, steps));
      wanting = wanting || kind.found.size() < kind.most;
    }
    return wanting;
  });
  if (!status) return status;
  for (Kind& kind : kinds) {
    for (ReportTrace& t : kind.found) files.traces.push_back(std::move(t));
  }
  if (files.traces.size() > 10) files.traces.resize(10);
  if (!files.traces.empty()) {
    files.notes.push_back("The traces are the first items of each kind of ending in the order of the prompts; none was picked.");
  }
  return {};
}

Status read_store(const std::string& run, RunFiles& files) {
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
  return read_traces(*store, files);
}

Result<RunFiles> read_run(const std::string& run) {
  std::error_code ignored;
  if (!fs::is_directory(run, ignored)) return bad_input("no such run folder", "name the folder given as --run before", run);
  RunFiles files;
  for (const bool base : {true, false}) {
    const std::string path = run + (base ? "/eval-base.json" : "/eval-sl.json");
    if (!exists(path)) continue;
    auto evaluation = load_evaluation(path);
    if (!evaluation) return tl::unexpected(evaluation.error());
    (base ? files.base : files.sl) = std::move(*evaluation);
  }
  if (exists(run + "/judge.json")) {
    auto judge = load_judge_quality(run + "/judge.json");
    if (!judge) return tl::unexpected(judge.error());
    files.judge = std::move(*judge);
  }
  if (const auto stored = read_store(run, files); !stored) return tl::unexpected(stored.error());
  if (exists(run + "/summary.json")) {
    const auto facts = load_summary_facts(run + "/summary.json");
    if (!facts) return tl::unexpected(facts.error());
    files.facts = *facts;
  }
  return files;
}

// One curve for each stage and name. Where training was resumed, the last value of a step counts.
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
    const auto brackets = std::count_if(line.begin(), line.end(), [](char c) { return c == '[' || c == '{'; });
    const auto value = brackets > 64 ? nlohmann::json() : nlohmann::json::parse(line, nullptr, false);
    const auto has = [&value](const char* key) { return value.is_object() && value.contains(key); };
    if (!has("stage") || !has("name") || !has("step") || !has("value") || !value["stage"].is_string() ||
        !value["name"].is_string() || !value["step"].is_number() || !value["value"].is_number()) {
      ++unread;  // a run that was killed may have left half a line
      continue;
    }
    curves[{value["stage"].get<std::string>(), value["name"].get<std::string>()}][value["step"].get<double>()] =
        value["value"].get<double>();
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

Status write_run_summary(const std::string& run, double seconds) {
  const auto files = read_run(run);
  if (!files) return tl::unexpected(files.error());
  SummaryInput input;
  if (files->base) input.base = &*files->base;
  if (files->sl) input.sl = &*files->sl;
  if (files->judge) input.judge = &*files->judge;
  if (files->loop) input.loop = &*files->loop;
  input.seconds = seconds > 0 ? seconds : files->facts.seconds;
  input.peak_rss_mb = seconds > 0 || files->facts.peak_rss_mb <= 0 ? peak_rss_mb() : files->facts.peak_rss_mb;
  return write_file(run + "/summary.json", summary_json(input));
}

Status write_run_report(const std::string& run, const std::string& out) {
  auto files = read_run(run);
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
  input.judge = std::move(files->judge);
  input.loop = std::move(files->loop);
  input.traces = std::move(files->traces);
  input.seconds = files->facts.seconds;
  input.peak_rss_mb = files->facts.peak_rss_mb;
  return write_report(input, out);
}

}  // namespace precept
