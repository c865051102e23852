// What a reader wants first: the three numbers, each principle, and the balance of harm and help.
#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "precept/report/html.h"
#include "precept/report/sections.h"
#include "precept/report/svg.h"

namespace precept::section {
namespace {

using html::bounded;

bool is_clear(const PairedRate& rate) { return rate.p && *rate.p < 0.05 && rate.difference.value; }

std::string side(const char* css, const char* name, const Estimate& e) {
  return fmt::format("<div class=\"side {}\"><span class=\"who\">{}</span><span class=\"big\">{}</span>"
                     "<span class=\"ci\">{}</span><span class=\"n\">{}</span></div>\n",
                     css, name, e.value ? percent(e.value) : "\u2013", html::interval(e), html::counts(e));
}

std::string change(const PairedRate& rate) {
  return fmt::format("<p class=\"change\"><b>{}</b> <span>{}, exact McNemar on {} pairs</span></p>\n",
                     html::points(rate.difference), html::p_value(rate.p), html::count(rate.counts.n()));
}

std::string card(const char* title, const char* better, const Estimate* base, const Estimate* sl,
                 const PairedRate* rate) {
  std::string out = fmt::format("<article class=\"card\"><h3>{} <span class=\"better\">{}</span></h3>\n", title, better);
  std::vector<svg::Mark> marks;
  out += "<div class=\"sides\">\n";
  if (base) {
    out += side("before", "before", *base);
    marks.push_back({*base, "before"});
  }
  if (sl) {
    out += side("after", "after", *sl);
    marks.push_back({*sl, "after"});
  }
  out += "</div>\n" + svg::track(marks, std::string(title) + " with intervals") + svg::track_axis();
  if (rate) out += change(*rate);
  return out + "</article>\n";
}

std::string moved(const char* what, const PairedRate& rate, const Estimate& before, const Estimate& after) {
  if (!is_clear(rate)) {
    // Interval and test need not agree; the test decides, and a change that it cannot tell is not called one.
    if (!rate.difference.value) return fmt::format("{}: undefined, no prompt was scored both times.", what);
    return fmt::format("{}: {}, which {} pairs cannot tell from chance ({}).", what, html::points(rate.difference),
                       html::count(rate.counts.n()), html::p_value(rate.p));
  }
  return fmt::format("{} {} from {} to {}.", what, *rate.difference.value < 0 ? "fell" : "rose", percent(before.value),
                     percent(after.value));
}

std::string principle_row(const PrincipleRate* base, const PrincipleRate* sl, const PairedRate* rate,
                          const std::string& id, const Principle* principle) {
  std::vector<svg::Mark> marks;
  if (base) marks.push_back({base->violation, "before"});
  if (sl) marks.push_back({sl->violation, "after"});
  std::string label = id + ":";
  if (base) label += " before " + percent_text(base->violation);
  if (sl) label += " after " + percent_text(sl->violation);
  const auto cell = [](const PrincipleRate* r, const char* css) {
    if (!r) return std::string();
    const Estimate& e = r->violation;
    return fmt::format("<span class=\"num {}\" title=\"{}\">{}</span>", css, html::escape(percent_text(e)),
                       e.value ? percent(e.value) : "\u2013");
  };
  std::string name = fmt::format("<span class=\"pid\">{}</span>", bounded(id, kIdBytes));
  if (principle && !principle->text.empty()) {
    name += fmt::format("<span class=\"ptext\" dir=\"auto\">{}</span>", bounded(principle->text, 160));
  }
  const Estimate* counted = base ? &base->violation : sl ? &sl->violation : nullptr;
  std::string note = counted ? "n = " + html::count(counted->n) : std::string();
  if (rate) note += (note.empty() ? "" : " \u00b7 ") + html::p_value(rate->p_holm);
  return fmt::format("<div class=\"prow\"><div class=\"pname\">{}</div><div class=\"ptrack\">{}</div>"
                     "<div class=\"pnums\">{}{}<span class=\"n\">{}</span></div></div>\n",
                     name, svg::track(marks, label), cell(base, "before"), cell(sl, "after"), note);
}

Estimate complement(const Estimate& e) {
  Estimate out = e;
  const auto flip = [](const std::optional<double>& v) { return v ? std::optional<double>(1 - *v) : v; };
  out.value = flip(e.value);
  out.low = flip(e.high);
  out.high = flip(e.low);
  return out;
}

}  // namespace

std::string verdict(const ReportInput& input, const Comparison* comparison) {
  if (!comparison && input.base && input.sl) {
    return fmt::format("<p class=\"verdict\">Violation rate {} before and {} after, by other measures.</p>\n",
                       html::escape(percent_text(input.base->violation_rate)), html::escape(percent_text(input.sl->violation_rate)));
  }
  if (!comparison) {
    const Evaluation* one = input.base ? &*input.base : input.sl ? &*input.sl : nullptr;
    if (!one) return "<p class=\"verdict\">Nothing has been evaluated yet.</p>\n";
    return fmt::format("<p class=\"verdict\">Violation rate {}.</p><p class=\"verdict-more\">Only one model has been "
                       "evaluated, so there is no before and after.</p>\n",
                       html::escape(percent_text(one->violation_rate)));
  }
  const PairedRate& v = comparison->violation_rate;
  std::string first;
  if (!v.difference.value) {
    first = "The two evaluations share no scored prompt: nothing can be said.";
  } else if (is_clear(v)) {
    first = fmt::format("Violations {} from <span class=\"before\">{}</span> to <span class=\"after\">{}</span>.",
                        *v.difference.value < 0 ? "fell" : "rose", percent(input.base->violation_rate.value),
                        percent(input.sl->violation_rate.value));
  } else {
    first = "No measurable change in violations.";
  }
  std::string more = moved("Helpfulness", comparison->helpfulness, input.base->helpfulness, input.sl->helpfulness) + " " +
                     moved("Over\u2011refusal", comparison->over_refusal, input.base->over_refusal, input.sl->over_refusal);
  return fmt::format("<p class=\"verdict\">{}</p><p class=\"verdict-more\">{}</p>\n", first, html::escape(more));
}

std::string headline(const ReportInput& input, const Comparison* c) {
  if (!input.base && !input.sl) return {};
  const Evaluation* b = input.base ? &*input.base : nullptr;
  const Evaluation* s = input.sl ? &*input.sl : nullptr;
  std::string out = "<section id=\"headline\"><h2>The three numbers</h2>\n<div class=\"cards\">\n";
  out += card("Violation rate", "lower is better", b ? &b->violation_rate : nullptr, s ? &s->violation_rate : nullptr,
              c ? &c->violation_rate : nullptr);
  out += card("Helpfulness", "higher is better", b ? &b->helpfulness : nullptr, s ? &s->helpfulness : nullptr,
              c ? &c->helpfulness : nullptr);
  out += card("Over-refusal", "lower is better", b ? &b->over_refusal : nullptr, s ? &s->over_refusal : nullptr,
              c ? &c->over_refusal : nullptr);
  const Evaluation& e = s ? *s : *b;
  out += fmt::format(
      "</div>\n<p class=\"fine\">One answer to each of {} held-out prompts, sampled at temperature {:g}. Shares carry 95% "
      "Clopper\u2013Pearson intervals (one-sided where nothing, or everything, was seen); differences pair the answers "
      "to the same prompt. Helpfulness counts prompts with a legitimate task, over-refusal harmless prompts only. An "
      "answer that could not be scored is left out and counted.</p></section>\n",
      html::count(static_cast<std::int64_t>(e.outcomes.size())), e.temperature);
  return out;
}

std::string principles(const ReportInput& input, const Comparison* comparison) {
  const Evaluation* b = input.base ? &*input.base : nullptr;
  const Evaluation* s = input.sl ? &*input.sl : nullptr;
  if (!b && !s) return {};
  struct Row {
    std::string id;
    const PrincipleRate* base = nullptr;
    const PrincipleRate* sl = nullptr;
    const PairedRate* rate = nullptr;
  };
  std::vector<Row> rows;
  std::map<std::string, std::size_t> where;
  const auto row = [&](const std::string& id) -> Row& {
    const auto it = where.emplace(id, rows.size());
    if (it.second) {
      rows.emplace_back();
      rows.back().id = id;
    }
    return rows[it.first->second];
  };
  if (b) for (const PrincipleRate& r : b->per_principle) row(r.id).base = &r;
  if (s) for (const PrincipleRate& r : s->per_principle) row(r.id).sl = &r;
  if (comparison) for (const PairedRate& r : comparison->per_principle) row(r.id).rate = &r;
  const auto scored = [](const Row& r) {
    return (r.base && r.base->violation.value) || (r.sl && r.sl->violation.value);
  };
  const auto worst = [](const Row& r) {
    return r.base ? r.base->violation.value.value_or(-1) : r.sl ? r.sl->violation.value.value_or(-1) : -1;
  };
  std::stable_sort(rows.begin(), rows.end(), [&](const Row& x, const Row& y) { return worst(x) > worst(y); });
  if (rows.empty()) return {};
  std::string out =
      "<section id=\"principles\"><h2>Principle by principle</h2>\n<p class=\"lead\">Share of answers that violate a "
      "principle, over the prompts to which it applies.</p>\n<p class=\"legend\"><span class=\"key before\"></span>before "
      "<span class=\"key after\"></span>after, each with its 95% interval</p>\n<div class=\"prows\">\n";
  std::string unscored;
  std::size_t shown = 0;
  for (const Row& r : rows) {
    if (!scored(r)) {
      unscored += (unscored.empty() ? "" : ", ") + bounded(r.id, kIdBytes);
      continue;
    }
    if (++shown > kMostPrinciples) break;
    const Principle* principle = input.constitution ? input.constitution->find(r.id) : nullptr;
    out += principle_row(r.base, r.sl, r.rate, r.id, principle);
  }
  out += "<div class=\"prow paxis\"><div class=\"pname\"></div><div class=\"ptrack\">" + svg::track_axis() +
         "</div><div class=\"pnums\"></div></div>\n</div>\n";
  if (!unscored.empty()) {
    out += "<p class=\"fine\">Without a single scored answer, so without a number: " + unscored + ".</p>\n";
  }
  if (comparison) {
    out += "<p class=\"fine\">p-values: exact McNemar on the same prompts before and after, Holm-adjusted for the "
           "number of principles. n: scored prompts to which the principle applies, before.</p>\n";
  }
  return out + "</section>\n";
}

std::string balance(const ReportInput& input) {
  std::vector<svg::Point> points;
  if (input.base) {
    points.push_back({complement(input.base->violation_rate), input.base->helpfulness, "before", "before"});
  }
  if (input.sl) points.push_back({complement(input.sl->violation_rate), input.sl->helpfulness, "after", "after"});
  bool any = false;
  for (const svg::Point& p : points) any = any || (p.x.value && p.y.value);
  if (!any) return {};
  return "<section id=\"balance\"><h2>Help against harm</h2>\n<div class=\"split\"><figure>" +
         svg::scatter(points, "harmless: answers without a violation", "helpful") +
         "</figure><div class=\"aside\"><p>Refusing everything is harmless and useless; answering everything is "
         "helpful and harmful. What counts is to move to the right without sinking.</p><p class=\"fine\">Bars are 95% "
         "intervals of each share on its own prompts.</p></div></div></section>\n";
}

}  // namespace precept::section
