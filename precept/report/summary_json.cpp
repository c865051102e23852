#include "precept/report/summary_json.h"

#include <sys/resource.h>

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

const Estimate* principle_rate(const Evaluation* e, const std::string& id) {
  if (!e) return nullptr;
  for (const PrincipleRate& rate : e->per_principle) {
    if (rate.id == id) return &rate.violation;
  }
  return nullptr;
}

}  // namespace

std::string summary_json(const SummaryInput& in) {
  const Evaluation* b = in.base;
  const Evaluation* s = in.sl;
  std::optional<Comparison> c;
  if (b && s) c = compare(*b, *s);
  Json out;
  out["violation_rate"] = before_after(b ? &b->violation_rate : nullptr, s ? &s->violation_rate : nullptr,
                                       c ? &c->violation_rate : nullptr);
  out["helpfulness"] =
      before_after(b ? &b->helpfulness : nullptr, s ? &s->helpfulness : nullptr, c ? &c->helpfulness : nullptr);
  out["over_refusal"] =
      before_after(b ? &b->over_refusal : nullptr, s ? &s->over_refusal : nullptr, c ? &c->over_refusal : nullptr);
  Json principles = Json::object();
  const Evaluation* any = b ? b : s;
  if (any) {
    for (std::size_t i = 0; i < any->per_principle.size(); ++i) {
      const std::string& id = any->per_principle[i].id;
      const PairedRate* rate = c && i < c->per_principle.size() && c->per_principle[i].id == id ? &c->per_principle[i] : nullptr;
      principles[id] = before_after(principle_rate(b, id), principle_rate(s, id), rate);
    }
  }
  out["per_principle"] = principles;
  Usage total = in.usage;
  const bool given = total.prompt_tokens > 0 || total.cached_tokens > 0 || total.output_tokens > 0;
  if (!given) {
    if (b) total += b->usage;
    if (s) total += s->usage;
  }
  out["calls_per_item"] = nullptr;
  if (in.loop) {
    std::int64_t calls = 0;
    for (const ReportLoopStep& step : in.loop->steps) {
      calls += step.calls;
      if (!given) total += step.usage;
    }
    if (in.loop->items > 0) out["calls_per_item"] = static_cast<double>(calls) / static_cast<double>(in.loop->items);
  }
  out["tokens"] = json::usage(total);
  out["seconds"] = json::number(in.seconds);
  out["peak_rss_mb"] = json::number(in.peak_rss_mb);
  if (in.loop) {
    out["loop"] = {{"items", in.loop->items},
                   {"complied_at_once", in.loop->complied_at_once},
                   {"revised", in.loop->revised},
                   {"unresolved", in.loop->unresolved},
                   {"unparseable", in.loop->unparseable},
                   {"failed", in.loop->failed},
                   {"rounds", in.loop->rounds},
                   {"selected_per_item", json::number(in.loop->selected_per_item)},
                   {"seconds", json::number(in.loop->seconds)}};
  }
  out["judge"] = in.judge ? json::judge_quality(*in.judge) : Json(nullptr);
  out["collapse"] = {{"base", b ? json::collapse(b->collapse) : Json(nullptr)},
                     {"sl", s ? json::collapse(s->collapse) : Json(nullptr)}};
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
