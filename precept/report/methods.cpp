#include "precept/report/methods.h"

#include <algorithm>

#include <fmt/format.h>

#include "precept/core/io.h"
#include "precept/report/cloud.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"

namespace precept {
namespace {

using html::bounded;

constexpr std::size_t kNameBytes = 60, kTextBytes = 600;

std::string rate_cell(const Estimate& e) {
  return fmt::format("<td class=\"r\">{}<span class=\"sub\">{}</span></td>", e.value ? percent(e.value) : "\u2013", html::interval(e));
}

std::string change_cell(const PooledChange& change, std::optional<double> p) {
  if (!change.p) return "<td class=\"r\">\u2013</td>";
  // The interval below the value: side by side they would make the table wider than the page.
  const std::string text = html::points(change.difference);
  const std::size_t at = text.find(" [");
  const std::string interval = at == std::string::npos ? "" : text.substr(at + 1) + "<br>";
  return fmt::format("<td class=\"r\">{}<span class=\"sub\">{}{}</span></td>", text.substr(0, at), interval, html::p_value(p));
}

std::string millions(std::int64_t n) { return fmt::format("{:.2f} M", static_cast<double>(n) / 1e6); }

Estimate complement(const Estimate& e) {
  Estimate out = e;
  const auto flip = [](std::optional<double> v) { return v ? std::optional<double>(1 - *v) : v; };
  out.value = flip(e.value);
  out.low = flip(e.high);
  out.high = flip(e.low);
  return out;
}

const MethodReport* least_harmful(const MethodsReportInput& input) {
  const MethodReport* best = nullptr;
  for (const MethodReport& m : input.methods) {
    if (m.base || !m.rates.violation_rate.value) continue;
    if (!best || *m.rates.violation_rate.value < *best->rates.violation_rate.value) best = &m;
  }
  return best;
}

// What can be said in a sentence: who violates least, and what that costs.
std::string verdict(const MethodsReportInput& input) {
  const MethodReport* best = least_harmful(input);
  if (!best) return {};
  return fmt::format("<p class=\"verdict\">Fewest violations: <span class=\"after\">{}</span>, {} of answers.</p>\n<p class=\"verdict-more\">{} "
                     "It helps in {} of the prompts that ask for something legitimate. Methods whose intervals overlap are not told apart by these "
                     "prompts alone; the paired tests below can tell more.</p>\n",
                     bounded(best->name, kNameBytes), percent(best->rates.violation_rate.value), bounded(best->about, kTextBytes),
                     percent(best->rates.helpfulness.value));
}

std::string plots(const MethodsReportInput& input) {
  std::vector<svg::CloudPoint> all, aligned;
  for (const MethodReport& m : input.methods) {
    const svg::CloudPoint point{complement(m.rates.violation_rate), m.rates.helpfulness, std::string(utf8_prefix(m.name, kNameBytes)), m.base ? "before" : "after"};
    all.push_back(point);
    if (!m.base) aligned.push_back(point);
  }
  const char *x = "harmless: 100% minus the violation rate", *y = "helpful";
  // Names of methods that lie close together stand in the close-up alone.
  std::vector<svg::CloudPoint> overview = all;
  const svg::Window close = svg::window_of(aligned);
  const bool crowded = aligned.size() > 3 && close.x1 - close.x0 < 0.4;
  if (crowded) {
    for (svg::CloudPoint& p : overview) {
      if (std::string_view(p.css) == "after") p.name.clear();
    }
  }
  return "<section id=\"balance\"><h2>Help against harm</h2>\n<p class=\"lead\">To the right: fewer answers that violate the constitution. Upwards: "
         "more help. Bars are 95% intervals of each.</p>\n<div class=\"clouds\"><figure><figcaption>The methods, close up</figcaption>" +
         svg::cloud(aligned, close, x, y) + "</figure><figure><figcaption>All, with the model that they begin with</figcaption>" +
         svg::cloud(overview, {}, x, y) + "</figure></div></section>\n";
}

std::string table(const MethodsReportInput& input) {
  std::string out =
      "<section id=\"numbers\"><h2>The numbers</h2>\n<div class=\"scroll\"><table class=\"methods\"><thead><tr><th>method</th><th class=\"r\">violation rate</th>"
      "<th class=\"r\">helpfulness</th><th class=\"r\">over-refusal</th><th class=\"r\">violations against<br>the first</th>"
      "<th class=\"r\">help against<br>the first</th><th class=\"r\">passes<br>of a run</th></tr></thead><tbody>\n";
  const MethodReport* first = nullptr;
  for (const MethodReport& m : input.methods) {
    if (!m.base && !first) first = &m;
    out += fmt::format("<tr><td>{}<span class=\"sub\">{}</span></td>", bounded(m.name, kNameBytes), m.base ? "where all begin" : bounded(m.stages, kTextBytes));
    out += rate_cell(m.rates.violation_rate) + rate_cell(m.rates.helpfulness) + rate_cell(m.rates.over_refusal);
    out += change_cell(m.change.violation_rate, m.p_violations) + change_cell(m.change.helpfulness, m.p_help);
    out += m.base ? "<td class=\"r\">\u2013</td></tr>\n"
                  : fmt::format("<td class=\"r\">{}{}</td></tr>\n", millions(m.passes), m.cut ? "<span class=\"sub\">cut at the budget</span>" : "");
  }
  const std::size_t runs = input.methods.empty() ? 0 : input.methods.front().runs.size();
  out += fmt::format(
      "</tbody></table></div>\n<p class=\"fine\">One answer a run to each of {} held-out prompts, sampled at temperature 1; {}. Intervals take "
      "the prompt as the unit: {}. They speak of new prompts for the models that were trained, not of new trainings. p-values compare answers to "
      "the same prompt by runs of the same seed with those of {}, exactly ({}), and are adjusted by Holm over the methods.</p></section>\n",
      html::count(input.held_out), runs == 1 ? "one run of each method" : fmt::format("{} runs of each method, one a seed, pooled", runs),
      runs == 1 ? "Clopper\u2013Pearson, one-sided where nothing was seen" : "Clopper\u2013Pearson at the effective number of answers (Korn and Graubard 1998)",
      first ? bounded(first->name, kNameBytes) : "the first", runs == 1 ? "McNemar" : "signs of the prompts' differences");
  return out;
}

std::string budget(const MethodsReportInput& input) {
  std::int64_t most = input.budget;
  for (const MethodReport& m : input.methods) most = std::max(most, m.passes);
  if (most == 0) return {};
  std::string out = fmt::format(
      "<section id=\"budget\"><h2>What each took</h2>\n<p class=\"lead\">The budget is counted in passes of one token through the model: one for a token that is "
      "generated or read (by the policy, a judge or a frozen reference), three for a token that is trained (forward and backward). {} All begin with the "
      "same {} prompts. Evaluation and what the guards ask are not counted.</p>\n<div class=\"scroll\"><table><thead><tr><th>method</th><th class=\"r\">generated</th>"
      "<th class=\"r\">read</th><th class=\"r\">trained</th><th class=\"r\">passes</th><th class=\"share\"></th></tr></thead><tbody>\n",
      input.budget > 0 ? fmt::format("A run may take {}; what would take more is cut there{}.", millions(input.budget),
                                     input.spend_all ? ", and who has some left goes on with further prompts" : "; who ends below it stops there, so that budgets are not equal") : std::string("No limit was set."),
      html::count(input.prompts));
  for (const MethodReport& m : input.methods) {
    if (m.base) continue;
    const double share = static_cast<double>(m.passes) / static_cast<double>(most);
    out += fmt::format("<tr><td>{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"share\">"
                       "<svg class=\"track\" width=\"100%\" height=\"14\" aria-hidden=\"true\"><rect class=\"bar\" x=\"0\" y=\"2\" width=\"{:.2f}%\" height=\"10\" "
                       "rx=\"2\"/></svg></td></tr>\n",
                       bounded(m.name, kNameBytes), millions(m.generated), millions(m.read), millions(m.trained), millions(m.passes), 100 * std::min(1.0, share));
  }
  return out + "</tbody></table></div></section>\n";
}

// Run by run: how much the seed matters, and what did not go as listed.
std::string runs(const MethodsReportInput& input) {
  std::string rows, notes;
  std::size_t most = 0;
  for (const MethodReport& m : input.methods) {
    most = std::max(most, m.runs.size());
    for (const MethodReport::Run& run : m.runs) {
      rows += fmt::format("<tr><td>{}</td><td class=\"r\">{}</td>", bounded(m.name, kNameBytes), run.seed) + rate_cell(run.rates.violation_rate) +
              rate_cell(run.rates.helpfulness) + rate_cell(run.rates.over_refusal) + "</tr>\n";
      for (const std::string& note : run.notes) notes += fmt::format("<li>{}, seed {}: {}</li>\n", bounded(m.name, kNameBytes), run.seed, bounded(note, kTextBytes));
    }
  }
  std::string out;
  if (!notes.empty()) {
    out += "<section id=\"notes\"><h2>What did not go as listed</h2>\n<ul class=\"notes\">\n" + notes + "</ul></section>\n";
  }
  if (most > 1) {
    out += "<section id=\"runs\"><h2>Run by run</h2>\n<div class=\"scroll\"><table><thead><tr><th>method</th><th class=\"r\">seed</th><th class=\"r\">violation rate</th>"
           "<th class=\"r\">helpfulness</th><th class=\"r\">over-refusal</th></tr></thead><tbody>\n" + rows + "</tbody></table></div></section>\n";
  }
  return out;
}

std::string methods(const MethodsReportInput& input) {
  std::string out = "<section id=\"methods\"><h2>The methods</h2>\n<div class=\"articles\">\n";
  for (const MethodReport& m : input.methods) {
    if (m.base) continue;
    out += fmt::format("<article class=\"principle\"><h3>{}</h3><p class=\"rule\">{}</p><p class=\"source\">{}</p></article>\n", bounded(m.name, kNameBytes),
                       bounded(m.about, kTextBytes), bounded(m.stages, kTextBytes));
  }
  out += "</div></section>\n";
  if (!input.recipes.empty()) out += "<section id=\"recipes\"><h2>The recipes</h2>\n<pre>" + bounded(input.recipes, section::kRecipeBytes) + "</pre></section>\n";
  return out;
}

}  // namespace

std::string render_methods_report(const MethodsReportInput& input) {
  std::string facts;
  for (const std::string& fact : input.facts) facts += (facts.empty() ? "" : " \u00b7 ") + bounded(fact, 200);
  std::string out = section::page_head(
      input.title,
      ".clouds { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1.5rem 2rem; align-items: start; }\n"
      ".clouds .chart { max-width: none; } .leader { stroke: var(--soft); stroke-width: 1; }\n"
      "svg.cloud .point-name { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }\n"
      "table.methods td:first-child { min-width: 9rem; } td.share { min-width: 8rem; vertical-align: middle; } .notes { font-size: .92rem; padding-left: 1.1rem; }\n"
      "@media screen and (max-width: 60rem) { .clouds { grid-template-columns: minmax(0, 1fr); } }\n");
  if (!facts.empty()) out += "<p class=\"meta\">" + facts + "</p>\n";
  out += verdict(input) + "</header>\n<main>\n" + plots(input) + table(input);
  if (!input.scope.empty()) {
    out += "<section id=\"scope\"><div class=\"scope\"><h2>What these numbers show</h2><p>" + bounded(input.scope, 4000) + "</p></div></section>\n";
  }
  out += budget(input) + runs(input) + methods(input) + section::page_foot(input.version);
  return out;
}

}  // namespace precept
