// What reinforcement learning added to fine-tuning.
#include <fmt/format.h>

#include "precept/report/html.h"
#include "precept/report/sections.h"

namespace precept::section {
namespace {

std::string cell(const Estimate& e) {
  return fmt::format("<td class=\"r\">{}<span class=\"sub\">{}</span></td>", e.value ? percent(e.value) : "\u2013", html::interval(e));
}

}  // namespace

std::string reinforced(const ReportInput& input) {
  if (!input.rl) return {};
  const Evaluation *b = input.base ? &*input.base : nullptr, *s = input.sl ? &*input.sl : nullptr;
  const Evaluation& r = *input.rl;
  // A difference is stated only where both answered the same prompts, ruled on by the same constitution and scorer.
  std::optional<Comparison> change;
  if (s && comparable(*s, "sl", r, "rl")) change = compare(*s, r);
  std::string out =
      "<section id=\"reinforced\"><h2>After reinforcement learning</h2>\n<p class=\"lead\">The fine-tuned model went on to learn from "
      "verdicts on its own answers. This is the model that the run ends with; all other sections compare the first two.</p>\n"
      "<div class=\"scroll\"><table><thead><tr><th></th>";
  if (b) out += "<th class=\"r\">before</th>";
  if (s) out += "<th class=\"r\">fine-tuned</th>";
  out += "<th class=\"r\">reinforced</th>";
  if (change) out += "<th class=\"r\">against fine-tuned</th>";
  out += "</tr></thead><tbody>\n";
  const auto row = [&](const char* name, Estimate Evaluation::*rate, PairedRate Comparison::*difference) {
    out += fmt::format("<tr><td>{}</td>", name);
    if (b) out += cell(b->*rate);
    if (s) out += cell(s->*rate);
    out += cell(r.*rate);
    if (change) {
      const PairedRate& paired = (*change).*difference;
      out += fmt::format("<td class=\"r\">{}<span class=\"sub\">{}</span></td>", html::points(paired.difference), html::p_value(paired.p));
    }
    out += "</tr>\n";
  };
  row("violation rate", &Evaluation::violation_rate, &Comparison::violation_rate);
  row("helpfulness", &Evaluation::helpfulness, &Comparison::helpfulness);
  row("over-refusal", &Evaluation::over_refusal, &Comparison::over_refusal);
  out += "</tbody></table></div>\n";
  if (change) out += "<p class=\"fine\">p-values: exact McNemar on the answers to the same prompts.</p>\n";
  return out + "</section>\n";
}

}  // namespace precept::section
