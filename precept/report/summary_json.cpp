#include "precept/report/summary_json.h"

#include <sys/resource.h>

#include "precept/evaluate/compare.h"
#include "precept/evaluate/json.h"

namespace precept {
namespace {

using json::Json;

Json before_after(const Estimate* base, const Estimate* sl, const PairedRate* rate) {
  Json out = {{"base", base ? json::estimate(*base) : Json(nullptr)}, {"sl", sl ? json::estimate(*sl) : Json(nullptr)}};
  if (rate) {
    out["difference"] = json::estimate(rate->difference);
    out["p"] = json::number(rate->p);
    out["p_holm"] = json::number(rate->p_holm);
  }
  return out;
}

// From `before` to `after` by reinforcement learning, on the same prompts.
Json by_rl(const Evaluation* before, const Evaluation* after) {
  if (!before || !after || !comparable(*before, "before", *after, "after")) return nullptr;
  const Comparison c = compare(*before, *after);
  Json out;
  const std::pair<const char*, const PairedRate*> rates[] = {
      {"violation_rate", &c.violation_rate}, {"helpfulness", &c.helpfulness}, {"over_refusal", &c.over_refusal}};
  for (const auto& [name, rate] : rates) out[name] = {{"difference", json::estimate(rate->difference)}, {"p", json::number(rate->p)}};
  return out;
}

// Times and sizes are unknown when they are 0.
Json known(double value) { return value > 0 ? json::number(value) : Json(nullptr); }

const Estimate* principle_rate(const Evaluation* e, const std::string& id) {
  if (!e) return nullptr;
  for (const PrincipleRate& rate : e->per_principle) {
    if (rate.id == id) return &rate.violation;
  }
  return nullptr;
}

Json per_principle(const Evaluation* b, const Evaluation* s, const Comparison* c) {
  Json out = Json::object();
  const Evaluation* any = b ? b : s;
  if (!any) return out;
  for (std::size_t i = 0; i < any->per_principle.size(); ++i) {
    const std::string& id = any->per_principle[i].id;
    const bool paired = c && i < c->per_principle.size() && c->per_principle[i].id == id;
    out[id] = before_after(principle_rate(b, id), principle_rate(s, id), paired ? &c->per_principle[i] : nullptr);
  }
  return out;
}

Json loop_json(const ReportLoop& loop) {
  return {{"items", loop.items},
          {"complied_at_once", loop.complied_at_once},
          {"revised", loop.revised},
          {"unsettled", loop.unsettled},
          {"unparseable", loop.unparseable},
          {"failed", loop.failed},
          {"rounds", loop.rounds},
          {"selected_per_item", json::number(loop.selected_per_item)},
          {"verdicts", {{"select", json::verdicts(loop.select)}, {"judge", json::verdicts(loop.judge)}}}};
}

}  // namespace

std::string summary_json(const SummaryInput& in) {
  const Evaluation* b = in.base;
  const Evaluation* s = in.sl;
  std::optional<Comparison> c;
  if (b && s && comparable(*b, "base", *s, "sl")) c = compare(*b, *s);
  Json out;
  out["violation_rate"] = before_after(b ? &b->violation_rate : nullptr, s ? &s->violation_rate : nullptr,
                                       c ? &c->violation_rate : nullptr);
  out["helpfulness"] =
      before_after(b ? &b->helpfulness : nullptr, s ? &s->helpfulness : nullptr, c ? &c->helpfulness : nullptr);
  out["over_refusal"] =
      before_after(b ? &b->over_refusal : nullptr, s ? &s->over_refusal : nullptr, c ? &c->over_refusal : nullptr);
  out["per_principle"] = per_principle(b, s, c ? &*c : nullptr);
  if (const Evaluation* r = in.rl) {
    out["violation_rate"]["rl"] = json::estimate(r->violation_rate);
    out["helpfulness"]["rl"] = json::estimate(r->helpfulness);
    out["over_refusal"]["rl"] = json::estimate(r->over_refusal);
    for (const PrincipleRate& rate : r->per_principle) out["per_principle"][rate.id]["rl"] = json::estimate(rate.violation);
    out["rl_against_base"] = by_rl(b, r);
    out["rl_against_sl"] = by_rl(s, r);
  }
  Usage total;
  if (b) total += b->usage;
  if (s) total += s->usage;
  if (in.rl) total += in.rl->usage;
  if (in.loop) {
    for (const ReportLoopStep& step : in.loop->steps) total += step.usage;
  }
  out["calls_per_item"] = in.loop ? json::number(in.loop->calls_per_item) : Json(nullptr);
  out["tokens"] = json::usage(total);
  out["seconds"] = known(in.seconds);
  out["stages"] = Json::object();
  for (const auto& stage : in.stages) out["stages"][stage.first] = json::number(stage.second);
  out["peak_rss_mb"] = known(in.peak_rss_mb);
  out["loop"] = in.loop ? loop_json(*in.loop) : Json(nullptr);
  out["familiarity"] = in.familiarity ? json::familiarity(*in.familiarity) : Json(nullptr);
  out["judge"] = in.judge ? json::judge_quality(*in.judge) : Json(nullptr);
  out["collapse"] = {{"base", b ? json::collapse(b->collapse) : Json(nullptr)},
                     {"sl", s ? json::collapse(s->collapse) : Json(nullptr)}};
  if (in.rl) out["collapse"]["rl"] = json::collapse(in.rl->collapse);
  return json::dump(out) + "\n";
}

Result<SummaryFacts> load_summary_facts(const std::string& path) {
  const auto value = json::load(path);
  if (!value) return tl::unexpected(value.error());
  if (!value->is_object()) return bad_input("not a summary", "name a summary.json that precept wrote", path);
  SummaryFacts facts;
  facts.seconds = json::get_number(*value, "seconds").value_or(0);
  facts.peak_rss_mb = json::get_number(*value, "peak_rss_mb").value_or(0);
  return facts;
}

double peak_rss_mb() {
  struct rusage usage {};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  return static_cast<double>(usage.ru_maxrss) * 1024 / 1e6;  // Linux counts KiB
}

}  // namespace precept
