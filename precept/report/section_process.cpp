// How it came about: the loop, the judge, the training, and whether variety was lost.
#include <cmath>

#include <fmt/format.h>

#include "precept/core/io.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"
#include "precept/report/svg.h"

namespace precept::section {
namespace {

using html::bounded;
using html::count;
using html::decimal;

std::string share_of(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? percent(static_cast<double>(part) / static_cast<double>(whole)) : std::string("\u2013");
}

double per(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

std::string flow(const ReportLoop& l) {
  struct Part {
    const char* css;
    const char* name;
    std::int64_t n;
  };
  const Part parts[] = {{"kept", "complied at once", l.complied_at_once},
                        {"revised", "revised", l.revised},
                        {"unsettled", "still violating", l.unsettled},
                        {"unread", "verdict unreadable", l.unparseable},
                        {"failed", "failed", l.failed}};
  std::string bar, legend;
  for (const Part& part : parts) {
    if (part.n <= 0) continue;
    bar += fmt::format("<span class=\"{}\" style=\"flex-grow:{}\"></span>", part.css, part.n);
    legend += fmt::format("<li><span class=\"key {}\"></span>{} <b>{}</b> <span class=\"n\">{}</span></li>", part.css,
                          part.name, count(part.n), share_of(part.n, l.items));
  }
  return fmt::format("<div class=\"flow\" aria-hidden=\"true\">{}</div><ul class=\"flow-legend\">{}</ul>\n", bar, legend);
}

std::string fact(const std::string& value, const char* name) {
  return fmt::format("<div class=\"fact\"><b>{}</b><span>{}</span></div>", value, name);
}

std::string step_table(const ReportLoop& l) {
  if (l.steps.empty()) return {};
  std::string out =
      "<div class=\"scroll\"><table class=\"loop-steps\"><thead><tr><th>step</th><th class=\"r\">calls</th><th class=\"r\">calls per item</th>"
      "<th class=\"r\">prompt tokens</th><th class=\"r\">of them reused</th><th class=\"r\">output tokens</th></tr></thead>"
      "<tbody>\n";
  ReportLoopStep total;
  total.name = "all";
  const auto row = [&l](const ReportLoopStep& s, const char* css) {
    return fmt::format("<tr{}><td>{}</td><td class=\"r\">{}</td><td class=\"r\">{:.2f}</td><td class=\"r\">{}</td>"
                       "<td class=\"r\">{}</td><td class=\"r\">{}</td></tr>\n",
                       css, bounded(s.name, kIdBytes), count(s.calls), per(s.calls, l.items),
                       count(s.usage.prompt_tokens), share_of(s.usage.cached_tokens, s.usage.prompt_tokens),
                       count(s.usage.output_tokens));
  };
  for (const ReportLoopStep& s : l.steps) {
    out += row(s, "");
    total.calls += s.calls;
    total.usage += s.usage;
  }
  return out + row(total, " class=\"total\"") + "</tbody></table></div>\n";
}

std::string quality_row(const char* name, const Estimate& e, const char* meaning) {
  return fmt::format("<tr><td>{}<span class=\"sub\">{}</span></td><td class=\"r\"><b>{}</b></td><td class=\"r ci\">{}</td>"
                     "<td class=\"r n\">{}</td></tr>\n",
                     name, meaning, e.value ? percent(e.value) : "\u2013", html::interval(e), count(e.n));
}

std::string step_quality(const char* title, const char* question, const StepQuality& q, bool selection) {
  std::string out = fmt::format("<article class=\"panel\"><h3>{}</h3><p class=\"lead\">{}</p>\n", title, question);
  out += "<div class=\"scroll\"><table><thead><tr><th></th><th class=\"r\">value</th><th class=\"r\">95% interval</th>"
         "<th class=\"r\">n</th></tr></thead><tbody>\n";
  out += quality_row("accuracy", q.accuracy, "right answers");
  out += quality_row("recall", q.recall, selection ? "applicable ones that it selects" : "violations that it sees");
  out += quality_row("precision", q.precision, selection ? "selected ones that apply" : "alarms that are real");
  out += quality_row("false alarms", q.false_alarms,
                     selection ? "others that it selects" : "good answers that it faults");
  const std::string uncertain = fmt::format("probability between {:g} and {:g}", kUncertainLow, kUncertainHigh);
  out += quality_row("uncertain", q.uncertain, uncertain.c_str());
  out += quality_row("unparseable", q.unparseable, "answers that could not be read");
  out += "</tbody></table></div>\n";
  out += fmt::format("<p class=\"facts-line\">calibration error <b>{}</b> \u00b7 Brier score <b>{}</b> \u00b7 area under "
                     "the ROC curve <b>{}</b></p>\n",
                     decimal(q.ece, 3), decimal(q.brier, 3), decimal(q.auroc, 3));
  bool any = false;
  for (const ReliabilityBin& bin : q.reliability) any = any || bin.n > 0;
  if (any) out += "<figure>" + svg::reliability(q.reliability, std::string("Reliability of ") + title) + "</figure>\n";
  return out + "</article>\n";
}

struct CurveName {
  std::string name, axis;
};

// What a trainer's names mean; others speak for themselves.
CurveName curve_name(const std::string& name) {
  if (name == "loss") return {"loss", "nats per token"};
  if (name == "grad_norm") return {"gradient norm", "norm before clipping"};
  if (name == "lr") return {"learning rate", "learning rate"};
  return {name, name};
}

}  // namespace

std::string loop(const ReportInput& input) {
  if (!input.loop) return {};
  const ReportLoop& l = *input.loop;
  std::string out =
      "<section id=\"loop\"><h2>What the loop did</h2>\n<p class=\"lead\">Each prompt: select the principles that apply, "
      "draft an answer, judge it; only where it violates one, critique and revise, then judge again.</p>\n";
  out += flow(l);
  Usage usage;
  for (const ReportLoopStep& s : l.steps) usage += s.usage;
  out += "<div class=\"facts\">";
  out += fact(count(l.items), "items");
  if (l.calls_per_item) {
    out += fact(fmt::format("{:.2f}", *l.calls_per_item), "model calls per item");
    out += fact(count(std::llround(per(usage.prompt_tokens, l.items))), "prompt tokens per item");
    out += fact(count(std::llround(per(usage.output_tokens, l.items))), "output tokens per item");
  }
  if (l.selected_per_item > 0) out += fact(fmt::format("{:.1f}", l.selected_per_item), "principles selected per item");
  out += "</div>\n";
  std::vector<svg::Column> columns;
  for (std::size_t r = 0; r < l.rounds.size() && r < 12; ++r) {
    columns.push_back({std::to_string(r), static_cast<double>(l.rounds[r]), count(l.rounds[r])});
  }
  if (!columns.empty()) {
    out += "<div class=\"split\"><figure>" + svg::columns(columns, "revisions until the item was done", "items") +
           "</figure><div class=\"wide\">" + step_table(l) + "</div></div>\n";
  } else {
    out += step_table(l);
  }
  return out + "</section>\n";
}

std::string time(const ReportInput& input) {
  if (input.stages.empty()) return {};
  std::string out =
      "<section id=\"time\"><h2>How long it took</h2>\n<p class=\"lead\">All sessions together, where the run was "
      "interrupted and resumed.</p>\n<div class=\"scroll\"><table><thead><tr><th>stage</th><th class=\"r\">time</th>"
      "<th class=\"r\">share</th></tr></thead><tbody>\n";
  double total = 0;
  for (const auto& stage : input.stages) total += stage.second;
  const auto row = [total](const std::string& name, double seconds, const char* css) {
    return fmt::format("<tr{}><td>{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td></tr>\n", css, bounded(name, kIdBytes),
                       html::duration(seconds), percent(total > 0 ? std::optional<double>(seconds / total) : std::nullopt));
  };
  for (const auto& stage : input.stages) out += row(stage.first, stage.second, "");
  return out + row("all", total, " class=\"total\"") + "</tbody></table></div></section>\n";
}

std::string judge(const ReportInput& input) {
  if (!input.judge) return {};
  const JudgeQuality& q = *input.judge;
  std::string out =
      "<section id=\"judge\"><h2>Can the judge be trusted?</h2>\n<p class=\"lead\">The loop is no better than its judge. "
      "Here its answers are held against the world's own ruling, which the loop never sees.</p>\n<div class=\"panels\">\n";
  out += step_quality("Selection", "Does this principle apply to this prompt?", q.selection, true);
  out += step_quality("Judgment", "Does this answer violate this principle?", q.judgment, false);
  out += fmt::format("</div>\n<p class=\"fine\">{} answers judged{}. Questions about one answer are not independent, so "
                     "these intervals are somewhat too narrow. Dots off the diagonal: stated probabilities that do not "
                     "come true as often as stated.</p></section>\n",
                     count(q.cases), q.unscored > 0 ? ", " + count(q.unscored) + " of them outside the world and left out" : "");
  return out;
}

std::string training(const ReportInput& input) {
  std::string figures;
  std::size_t shown = 0;
  for (const ReportCurve& curve : input.curves) {
    if (curve.points.empty() || ++shown > kMostCurves) continue;
    const CurveName known = curve_name(curve.name);
    const std::string name = curve.stage + (curve.stage.empty() ? "" : ": ") + known.name;
    figures += fmt::format("<figure><figcaption>{} <span class=\"n\">last {}</span></figcaption>{}</figure>\n",
                           bounded(name, kIdBytes), fmt::format("{:.4g}", curve.points.back().second),
                           svg::curve(curve.points, std::string(utf8_prefix(name, kIdBytes)),
                                      std::string(utf8_prefix(known.axis, 40))));
  }
  if (figures.empty()) return {};
  return "<section id=\"training\"><h2>Training</h2>\n<div class=\"figures\">" + figures + "</div></section>\n";
}

std::string collapse(const ReportInput& input) {
  if (!input.base && !input.sl) return {};
  const CollapseSigns* b = input.base ? &input.base->collapse : nullptr;
  const CollapseSigns* s = input.sl ? &input.sl->collapse : nullptr;
  std::string out =
      "<section id=\"collapse\"><h2>Signs of collapse</h2>\n<p class=\"lead\">A model that always says the same is "
      "harmless too. These would show it.</p>\n<div class=\"scroll\"><table><thead><tr><th></th>";
  if (b) out += "<th class=\"r\">before</th>";
  if (s) out += "<th class=\"r\">after</th>";
  out += "</tr></thead><tbody>\n";
  const auto row = [&](const char* name, const char* meaning, auto&& cell) {
    out += fmt::format("<tr><td>{}<span class=\"sub\">{}</span></td>", name, meaning);
    if (b) out += "<td class=\"r\">" + cell(*b) + "</td>";
    if (s) out += "<td class=\"r\">" + cell(*s) + "</td>";
    out += "</tr>\n";
  };
  const auto with_interval = [](const Estimate& e) {
    return fmt::format("<b>{}</b> <span class=\"ci\">{}</span>", e.value ? percent(e.value) : "\u2013", html::interval(e));
  };
  row("distinct words", "distinct 1-grams / 1-grams", [](const CollapseSigns& c) { return decimal(c.distinct_1, 3); });
  row("distinct pairs", "distinct 2-grams / 2-grams", [](const CollapseSigns& c) { return decimal(c.distinct_2, 3); });
  row("distinct triples", "distinct 3-grams / 3-grams", [](const CollapseSigns& c) { return decimal(c.distinct_3, 3); });
  row("repeated endings", "last five words shared with another answer",
      [&](const CollapseSigns& c) { return with_interval(c.repeated_endings); });
  row("loops", "end in one phrase said over and over", [&](const CollapseSigns& c) { return with_interval(c.looping); });
  row("empty answers", "without a word", [&](const CollapseSigns& c) { return with_interval(c.empty); });
  row("cut off", "stopped by the token limit", [&](const CollapseSigns& c) { return with_interval(c.truncated); });
  row("mean length", "words per answer", [](const CollapseSigns& c) {
    const Estimate& e = c.mean_words;
    std::string text = "<b>" + decimal(e.value, 1) + "</b>";
    if (e.low && e.high) text += fmt::format(" <span class=\"ci\">{:.1f}\u2013{:.1f}</span>", *e.low, *e.high);
    return text;
  });
  return out + "</tbody></table></div>\n<p class=\"fine\">Distinct shares fall as more text is looked at: compare them "
               "only between evaluations on the same prompts.</p></section>\n";
}

}  // namespace precept::section
