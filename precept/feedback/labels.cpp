#include "precept/feedback/labels.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/estimate.h"
#include "precept/revise/item_steps.h"
#include "precept/revise/summary.h"

namespace precept {
namespace {

constexpr double kSurest = 1e-4;         // probabilities of verdicts are kept this far from 0 and 1
constexpr double kWithoutLogprobs = 0.05;  // of "violates", where a judge only says that it complies
constexpr std::uint32_t kPrincipleStream = 230;  // RngKey::step of random principles

ReviseOptions loop_options(const LabelOptions& o) {
  ReviseOptions loop;
  loop.select_threshold = o.select_threshold;
  loop.seed = o.seed;
  loop.draft_temperature = o.temperature;
  loop.draft_max_tokens = o.max_tokens;
  loop.critique_max_tokens = o.reason_max_tokens;
  loop.concurrency = o.concurrency;
  return loop;
}

std::size_t tier_of(const Constitution& constitution, const std::string& id) {
  const Principle* principle = constitution.find(id);
  const auto& tiers = constitution.priorities;
  return principle ? static_cast<std::size_t>(std::find(tiers.begin(), tiers.end(), principle->priority) - tiers.begin()) : tiers.size() + 1;
}

// A random one of `count`, by prompt and pair.
std::size_t random_one(const LabelOptions& options, const RunItem& item, std::size_t pair, std::size_t count) {
  Rng rng({options.seed, hash64(item.id), kPrincipleStream, static_cast<std::uint32_t>(pair)});
  return static_cast<std::size_t>(rng.below(count));
}

// Pairs (i, j), i < j, in their order; the number of a pair is its place.
template <class Visit>
void each_pair(std::size_t samples, const Visit& visit) {
  std::size_t pair = 0;
  for (std::size_t i = 0; i < samples; ++i) {
    for (std::size_t j = i + 1; j < samples; ++j) visit(pair++, i, j);
  }
}

// Log-odds of "complies".
double strength(const Verdict& verdict) {
  double violates = verdict.value == Verdict::Value::kYes ? 1 - kWithoutLogprobs : kWithoutLogprobs;
  if (verdict.probability) violates = std::clamp(*verdict.probability, kSurest, 1 - kSurest);
  return std::log1p(-violates) - std::log(violates);
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

const Verdict* find(const std::vector<Verdict>& verdicts, const std::string& id) {
  for (const Verdict& verdict : verdicts) {
    if (verdict.principle == id) return &verdict;
  }
  return nullptr;
}

const StepRecord* find(const std::vector<StepRecord>& steps, StepKind kind, int round) {
  for (const StepRecord& step : steps) {
    if (step.kind == kind && step.round == round) return &step;
  }
  return nullptr;
}

// The principle of a pair that is judged: one on which both have a readable verdict.
std::string judged_principle(const LabelOptions& options, const Constitution& constitution, const RunItem& item, std::size_t pair,
                             const std::vector<Verdict>& first, const std::vector<Verdict>& second) {
  std::vector<std::string> readable, telling;
  for (const Verdict& a : first) {
    const Verdict* b = find(second, a.principle);
    if (!b || a.value == Verdict::Value::kUnparseable || b->value == Verdict::Value::kUnparseable) continue;
    readable.push_back(a.principle);
    if (a.value != b->value) telling.push_back(a.principle);
  }
  if (readable.empty()) return {};
  if (options.principle == "deciding" && !telling.empty()) {
    const auto rank = [&](const std::string& id) {
      const Principle* principle = constitution.find(id);
      return std::tuple(!(principle && principle->hard), tier_of(constitution, id));
    };
    return *std::min_element(telling.begin(), telling.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  }
  return readable[random_one(options, item, pair, readable.size())];
}

// --- asking ---

Task<Result<Ending>> label(ItemSteps& steps, const RunItem& item, const LabelOptions& options, const GivenPairs& given) {
  const Result<Principles> selected = co_await steps.select();
  if (!selected) co_return tl::unexpected<Error>(selected.error());
  const auto pair = given.find(item.id);
  const int samples = pair == given.end() ? options.samples : 2;
  std::vector<std::string> replies;
  for (int s = 0; s < samples; ++s) {
    Status said;
    if (pair != given.end()) said = steps.given(s, s == 0 ? pair->second.first : pair->second.second);
    else said = co_await steps.draft(s);
    if (!said) co_return tl::unexpected<Error>(said.error());
    replies.push_back(steps.reply());
    if (options.compare == "judge" && !selected->empty()) {
      const Result<Judgment> judged = co_await steps.judge(s, *selected);
      if (!judged) co_return tl::unexpected<Error>(judged.error());
    }
  }
  if (options.compare == "judge" || selected->empty()) co_return Ending::kComplied;
  std::vector<std::tuple<std::size_t, std::size_t, std::size_t>> pairs;
  each_pair(replies.size(), [&](std::size_t p, std::size_t i, std::size_t j) { pairs.emplace_back(p, i, j); });
  for (const auto& [p, i, j] : pairs) {
    if (replies[i] == replies[j]) continue;
    const Principle& principle = *(*selected)[random_one(options, item, p, selected->size())];
    for (int order = 0; order < 2; ++order) {
      const std::string &first = replies[order == 0 ? i : j], &second = replies[order == 0 ? j : i];
      const Result<Verdict> verdict = co_await steps.compare(static_cast<int>(2 * p) + order, principle, first, second, options.reasoning);
      if (!verdict) co_return tl::unexpected<Error>(verdict.error());
    }
  }
  co_return Ending::kComplied;
}

Task<ItemTrace> label_item(ReviseRun& run, ItemTrace trace, const LabelOptions& options, const GivenPairs& given) {
  ItemSteps steps(run, trace);
  trace.end(co_await label(steps, trace.item, options, given));
  co_return std::move(trace);
}

// --- reading ---

// Probability that sample i is better than j; nullopt: it cannot be said.
std::optional<PairLabel> judged_pair(const LabelOptions& options, const Constitution& constitution, const RunItem& item, std::size_t pair,
                                     const std::vector<StepRecord>& steps, std::size_t i, std::size_t j) {
  const StepRecord *first = find(steps, StepKind::kJudge, static_cast<int>(i)), *second = find(steps, StepKind::kJudge, static_cast<int>(j));
  if (!first || !second) return std::nullopt;
  PairLabel label;
  label.principle = judged_principle(options, constitution, item, pair, first->verdicts, second->verdicts);
  if (label.principle.empty()) return std::nullopt;
  const Verdict &a = *find(first->verdicts, label.principle), &b = *find(second->verdicts, label.principle);
  label.label = sigmoid(strength(a) - strength(b));
  label.decided = a.value != b.value;
  return label;
}

std::optional<PairLabel> compared_pair(const LabelOptions& options, std::size_t pair, const std::vector<StepRecord>& steps) {
  const StepRecord *first = find(steps, StepKind::kCompare, static_cast<int>(2 * pair)), *second = find(steps, StepKind::kCompare, static_cast<int>(2 * pair) + 1);
  if (!first || !second || first->verdicts.size() != 1 || second->verdicts.size() != 1) return std::nullopt;
  const Verdict &a = first->verdicts[0], &b = second->verdicts[0];
  if (!a.probability || !b.probability) return std::nullopt;
  PairLabel label;
  label.principle = a.principle;
  label.shown_first = *a.probability;
  label.shown_second = 1 - *b.probability;
  label.label = (*label.shown_first + *label.shown_second) / 2;
  label.decided = !is_uncertain(label.label);
  if (options.reasoning) label.label = std::clamp(label.label, options.clamp_low, options.clamp_high);
  return label;
}

void turn_round(PairLabel& label) {
  std::swap(label.chosen, label.rejected);
  label.label = 1 - label.label;
  if (!label.shown_first) return;
  const double first = 1 - *label.shown_second;  // of the other one, when it stood first
  label.shown_second = 1 - *label.shown_first;
  label.shown_first = first;
}

}  // namespace

Status check(const LabelOptions& options) {
  LabelOptions copy = options;
  if (Status fine = check_fields(fields_of(copy)); !fine) return fine;
  if (options.reasoning && options.compare != "ab") return bad_input("reasoning belongs to comparing two answers in one request", "add --compare ab");
  return {};
}

std::string label_recipe(const LabelOptions& options, const Constitution& constitution, const ModelInfo& policy, const ModelInfo& judge,
                         const GivenPairs& given) {
  std::string recipe;
  LabelOptions copy = options;
  for (const Field& field : fields_of(copy)) {
    if (field.rule.in_recipe) recipe += std::string("label_") + field.name + " = " + toml_value(field.value()) + '\n';
  }
  if (!given.empty()) {
    Sha256 digest;
    for (const auto& [id, pair] : given) {
      for (const std::string& part : {id, pair.first, pair.second}) digest.update(std::to_string(part.size()) + ' ' + part);
    }
    recipe += "given = " + toml_value(digest.finish()) + '\n';
  }
  return recipe + revise_recipe(loop_options(options), constitution, policy, judge);
}

Result<WalkResult> label_items(const Constitution& constitution, const LabelOptions& options, const GivenPairs& given, Model& policy,
                                 Model& judge, RunStore& store, const EventSink& events) {
  if (Status fine = check(options); !fine) return tl::unexpected<Error>(fine.error());
  if (options.compare == "ab" && !judge.info().can_score) {
    return bad_input("this judge gives no log-probabilities, and soft labels are made of them", "use --compare judge, or another --judge");
  }
  if (constitution.principles.empty()) return bad_input("the constitution has no principles", "add a [[principle]]", constitution.file);
  const auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  const ReviseOptions loop = loop_options(options);
  ReviseRun run{loop, constitution, *templates, policy, judge, {store}};
  return walk(run, "label", [&](ItemTrace trace) { return label_item(run, std::move(trace), options, given); }, events);
}

std::vector<PairLabel> pair_labels(const LabelOptions& options, const Constitution& constitution, bool given, const RunItem& item,
                                   const std::vector<StepRecord>& steps, LabelCounts& counts) {
  std::vector<const StepRecord*> samples;
  for (int s = 0; const StepRecord* step = find(steps, StepKind::kDraft, s); ++s) samples.push_back(step);
  const StepRecord* select = find(steps, StepKind::kSelect, 0);
  const bool guided = select && std::any_of(select->verdicts.begin(), select->verdicts.end(), [](const Verdict& v) { return v.value != Verdict::Value::kNo; });
  if (!guided) ++counts.unguided;
  std::vector<PairLabel> labels;
  if (!guided) return labels;
  each_pair(samples.size(), [&](std::size_t pair, std::size_t i, std::size_t j) {
    if (samples[i]->text == samples[j]->text) {
      ++counts.identical;
      return;
    }
    auto label = options.compare == "judge" ? judged_pair(options, constitution, item, pair, steps, i, j) : compared_pair(options, pair, steps);
    if (!label) {
      ++counts.unparseable;
      return;
    }
    label->id = item.id;
    label->messages = item.messages;
    label->chosen = samples[i]->text;
    label->rejected = samples[j]->text;
    label->source = given ? "given" : "samples";
    if (!given && label->label < 0.5) turn_round(*label);
    ++counts.pairs;
    labels.push_back(std::move(*label));
  });
  return labels;
}

Result<LabelCounts> visit_labels(const LabelOptions& options, const Constitution& constitution, bool given, const RunStore& store,
                                 const std::function<void(PairLabel)>& visitor) {
  LabelCounts counts;
  const Status visited = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    ++counts.items;
    if (item.ending == Ending::kPending || item.ending == Ending::kFailed) {
      ++(item.ending == Ending::kFailed ? counts.failed : counts.pending);
      return true;
    }
    for (PairLabel& label : pair_labels(options, constitution, given, item, steps, counts)) visitor(std::move(label));
    return true;
  });
  if (!visited) return tl::unexpected<Error>(visited.error());
  return counts;
}

Result<LabelCounts> visit_revisions(const RunStore& run, const std::function<void(PairLabel)>& visitor) {
  LabelCounts counts;
  const Status visited = run.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    ++counts.items;
    const TraceView trace = view(item, steps);
    if (item.ending != Ending::kRevised || !trace.draft || !trace.final) return true;
    if (trace.draft->text == trace.final->text || trace.final->text.empty() || trace.draft->text.empty()) {
      ++counts.identical;
      return true;
    }
    PairLabel label;
    label.id = item.id;
    label.messages = item.messages;
    label.chosen = trace.final->text;
    label.rejected = trace.draft->text;
    label.source = "revision";
    // The first revision addressed what was worst in the draft.
    const StepRecord *revision = find(steps, StepKind::kRevision, 1), *before = find(steps, StepKind::kJudge, 0), *after = find(steps, StepKind::kJudge, trace.final->round);
    if (revision && !revision->principles.empty()) {
      label.principle = revision->principles[0];
      const Verdict *draft = before ? find(before->verdicts, label.principle) : nullptr, *final = after ? find(after->verdicts, label.principle) : nullptr;
      if (draft && final && draft->probability && final->probability) label.label = sigmoid(strength(*final) - strength(*draft));
    }
    ++counts.pairs;
    visitor(std::move(label));
    return true;
  });
  if (!visited) return tl::unexpected<Error>(visited.error());
  return counts;
}

std::string label_line(const PairLabel& pair) {
  using Json = nlohmann::ordered_json;
  Json line;
  line["id"] = pair.id;
  const bool plain = pair.messages.size() == 1 && pair.messages[0].role == "user";
  const auto turn = [](const Message& message) { return Json{{"role", message.role}, {"content", message.content}}; };
  if (plain) {
    line["prompt"] = pair.messages[0].content;
    line["chosen"] = pair.chosen;
    line["rejected"] = pair.rejected;
  } else {
    line["prompt"] = Json::array();
    for (const Message& message : pair.messages) line["prompt"].push_back(turn(message));
    line["chosen"] = Json::array({turn({"assistant", pair.chosen})});
    line["rejected"] = Json::array({turn({"assistant", pair.rejected})});
  }
  line["label"] = pair.label;
  line["principle"] = pair.principle;
  line["source"] = pair.source;
  return line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace precept
