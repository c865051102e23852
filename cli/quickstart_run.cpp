#include "cli/quickstart_run.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/locate.h"
#include "cli/metrics_log.h"
#include "cli/open_model.h"
#include "cli/pocket_judge.h"
#include "cli/run_report.h"
#include "cli/train_set.h"
#include "precept/checkpoint/safetensors.h"
#include "precept/core/io.h"
#include "precept/evaluate/judge.h"
#include "precept/report/summary_json.h"
#include "precept/revise/export.h"
#include "precept/revise/summary.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// The held-out prompts come from another seed than those of the loop, and from the held-out split.
constexpr std::uint64_t kHeldOutSeed = 1'000'003;

// What the stages share.
struct Session {
  const LmApi& lm;
  const QuickstartOptions& options;
  const EventSink& events;
  std::string out;
  Constitution constitution;
  std::vector<Prompt> prompts, held_out;

  std::string path(const std::string& name) const { return out + "/" + name; }
  Result<std::unique_ptr<Model>> open(const std::string& folder) const {
    EngineOptions engine;
    engine.threads = options.threads;
    engine.max_batch = options.batch;
    return lm.open_checkpoint(folder, engine);
  }
};

Status write_prompts(const std::vector<Prompt>& prompts, const std::string& path) {
  std::string lines;
  for (const Prompt& prompt : prompts) {
    nlohmann::ordered_json line;
    line["id"] = prompt.id;
    line["prompt"] = prompt.messages[0].content;
    line["tags"] = prompt.tags;
    lines += line.dump() + "\n";
  }
  return write_file(path, lines);
}

// One evaluation of the policy on the held-out prompts; one that is there already for this model is taken as it is.
Result<Evaluation> evaluate(Session& s, Model& model, const std::string& label) {
  const std::string path = s.path("eval-" + label + ".json");
  if (fs::exists(path)) {
    auto stored = load_evaluation(path);
    if (stored && stored->model_digest == model.info().digest && stored->outcomes.size() == s.held_out.size()) return stored;
  }
  EvalOptions options;
  options.seed = s.options.seed;
  options.label = label;
  const pocket::PocketOracle oracle(s.constitution);
  auto evaluation = evaluate_policy(model, s.held_out, s.constitution, oracle, options, s.events);
  if (!evaluation) return evaluation;
  if (const auto written = write_file(path, to_json(*evaluation)); !written) return tl::unexpected(written.error());
  return evaluation;
}

Result<JudgeQuality> measure_judge(Session& s, Model& model, const Evaluation& base) {
  const std::string path = s.path("judge.json");
  if (fs::exists(path)) {
    if (auto stored = load_judge_quality(path)) return stored;
  }
  std::vector<JudgeCase> cases;
  for (std::size_t i = 0; i < s.held_out.size() && i < static_cast<std::size_t>(s.options.judge_cases); ++i) {
    cases.push_back({s.held_out[i], base.outcomes[i].answer});
  }
  const auto templates = resolve_templates(s.constitution);
  if (!templates) return tl::unexpected(templates.error());
  const pocket::PocketOracle oracle(s.constitution);
  auto quality = evaluate_judge(model, cases, s.constitution, oracle, judge_requests(*templates), s.events);
  if (!quality) return quality;
  if (const auto written = write_file(path, to_json(*quality)); !written) return tl::unexpected(written.error());
  return quality;
}

Status run_loop(Session& s, Model& model) {
  ReviseOptions options;
  options.seed = s.options.seed;
  options.selection = s.options.selection;
  options.revise_compliant = s.options.revise_compliant;
  options.max_rounds = s.options.max_rounds;
  options.draft_max_tokens = 96;
  options.critique_max_tokens = 48;
  options.revision_max_tokens = 96;
  auto store = RunStore::open(s.out, revise_recipe(options, s.constitution, model.info(), model.info()));
  if (!store) return tl::unexpected(store.error());
  std::vector<RunItem> items;
  for (const Prompt& prompt : s.prompts) {
    RunItem item;
    item.id = prompt.id;
    item.messages = prompt.messages;
    item.tags = prompt.tags;
    items.push_back(std::move(item));
  }
  if (const auto set = store->set_items(items); !set) return set;
  const auto result = revise(s.constitution, options, model, model, *store, s.events);
  if (!result) return tl::unexpected(result.error());
  if (result->failed > 0) {
    return failed(std::to_string(result->failed) + " items failed, the first: " + result->first_failure, "run the same command again to retry them");
  }
  std::string lines;
  const auto counts = export_run(*store, {}, [&](std::string_view line) {
    lines += line;
    return true;
  });
  if (!counts) return tl::unexpected(counts.error());
  return write_file(s.path("sft.jsonl"), lines);
}

Status train_sl(Session& s, const std::string& base_folder, MetricsLog& metrics) {
  const auto files = load_tokenizer_files(base_folder);
  if (!files) return tl::unexpected(files.error());
  const auto set = load_sft_set(s.path("sft.jsonl"), *files);
  if (!set) return tl::unexpected(set.error());
  TrainOptions options;
  options.from = base_folder;
  options.out = s.path("models/sl");
  options.state = s.path("models/sl.state");
  options.epochs = s.options.epochs;
  options.lr = s.options.lr;
  options.batch_tokens = s.options.batch_tokens;
  options.checkpoint_every = 50;
  options.seed = s.options.seed;
  options.threads = s.options.threads;
  const auto summary = s.lm.train(options, *set, metrics.tee("sft", s.events));
  if (!summary) return tl::unexpected(summary.error());
  std::error_code ignored;
  fs::remove_all(options.state, ignored);  // resumable no more: the checkpoint is there
  return {};
}

// The options that decide the results, as TOML.
std::string recipe_text(QuickstartOptions options) {
  std::string out;
  for_each_field(options, [&](const char* name, const auto& value, const char* help) {
    const std::string key = name;
    if (key == "out" || key == "threads" || key == "batch") return;
    out += key + " = " + nlohmann::json(value).dump() + "  # " + help + "\n";
  });
  return out;
}

// A folder remembers the recipe it began with; another one is refused with what differs.
Status keep_recipe(const QuickstartOptions& options) {
  const std::string path = options.out + "/recipe.toml";
  const std::string now = recipe_text(options);
  if (!fs::exists(path)) return write_file(path, now);
  const auto was = read_file(path);
  if (!was) return tl::unexpected(was.error());
  const auto lines = recipe_difference(*was, now);
  if (lines.empty()) return {};
  std::string what = "this run began with another recipe:";
  for (const auto& line : lines) what += " [" + line + "]";
  return bad_input(what, "use another --out, or the options it began with", path);
}

// The constitution as it was, for the report; with it the file beside it that it extends.
Status keep_constitution(const std::string& file, const std::string& out) {
  const auto text = read_file(file);
  if (!text) return tl::unexpected(text.error());
  const std::size_t key = text->find("\nextends = \"");
  if (key != std::string::npos) {
    const std::size_t begin = key + 12;
    const std::string base = text->substr(begin, text->find('"', begin) - begin);
    const auto base_text = read_file((fs::path(file).parent_path() / base).string());
    if (!base_text) return tl::unexpected(base_text.error());
    if (const auto written = write_file(out + "/" + fs::path(base).filename().string(), *base_text); !written) return written;
  }
  const bool prose = fs::path(file).extension() == ".md";
  return write_file(out + (prose ? "/constitution.md" : "/constitution.toml"), *text);
}

Result<Session> begin(const LmApi& lm, const QuickstartOptions& options, const EventSink& events) {
  Session s{lm, options, events, options.out, {}, {}, {}};
  if (options.prompts < 1 || options.held_out < 1) return bad_input("--prompts and --held-out must be at least 1", "2000 and 1200, for example");
  const std::string file = options.constitution.empty() ? data_path("constitutions/default.toml") : options.constitution;
  auto constitution = load_constitution(file);
  if (!constitution) return tl::unexpected(constitution.error());
  s.constitution = std::move(*constitution);
  if (const auto made = make_folder(s.path("models")); !made) return tl::unexpected(made.error());
  if (const auto kept = keep_recipe(options); !kept) return tl::unexpected(kept.error());
  if (const auto kept = keep_constitution(file, s.out); !kept) return tl::unexpected(kept.error());
  s.prompts = pocket::pocket_prompts(pocket::Split::kTrain, options.prompts, options.seed);
  s.held_out = pocket::pocket_prompts(pocket::Split::kHeldOut, options.held_out, options.seed + kHeldOutSeed);
  if (const auto written = write_prompts(s.prompts, s.path("prompts.jsonl")); !written) return tl::unexpected(written.error());
  if (const auto written = write_prompts(s.held_out, s.path("held-out.jsonl")); !written) return tl::unexpected(written.error());
  return s;
}

}  // namespace

Result<QuickstartResult> run_quickstart(const LmApi& lm, const QuickstartOptions& options, const EventSink& events) {
  const auto started = std::chrono::steady_clock::now();
  auto session = begin(lm, options, events);
  if (!session) return tl::unexpected(session.error());
  Session& s = *session;
  MetricsLog metrics(s.out);
  const auto base = pocket_folder();
  if (!base) return tl::unexpected(base.error());
  const std::string base_folder = *base;

  auto model = s.open(base_folder);
  if (!model) return tl::unexpected(model.error());
  auto before = evaluate(s, **model, "base");
  if (!before) return tl::unexpected(before.error());
  const auto judge = measure_judge(s, **model, *before);
  if (!judge) return tl::unexpected(judge.error());
  if (const auto looped = run_loop(s, **model); !looped) return tl::unexpected(looped.error());
  model->reset();

  if (!fs::exists(s.path("models/sl/model.safetensors"))) {
    if (const auto trained = train_sl(s, base_folder, metrics); !trained) return tl::unexpected(trained.error());
  }
  auto aligned = s.open(s.path("models/sl"));
  if (!aligned) return tl::unexpected(aligned.error());
  auto sl = evaluate(s, **aligned, "sl");
  if (!sl) return tl::unexpected(sl.error());

  QuickstartResult result{std::move(*before), std::move(*sl), s.path("report.html"), 0};
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (const auto written = write_run_summary(s.out, result.seconds); !written) return tl::unexpected(written.error());
  if (const auto written = write_run_report(s.out, result.report); !written) return tl::unexpected(written.error());
  return result;
}

}  // namespace precept
