// Whether the text of this run is text that the model knows, and how readable and sure its verdicts were.
#include <algorithm>

#include <fmt/format.h>

#include "precept/core/estimate.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"
#include "precept/report/svg.h"

namespace precept::section {
namespace {

using html::bounded;
using html::count;

constexpr double kMostBits = 8;  // of a byte: what a model needs that knows nothing at all

std::string texts_of(const Perplexity& p) {
  std::string out = count(p.texts - p.unscored) + " texts";
  if (p.unscored > 0) out += ", " + count(p.unscored) + " too short or too long to score";
  return out;
}

std::string bits_row(const std::string& name, const std::string& meaning, const Perplexity& p, double limit, const char* css) {
  const std::string bits = p.bits_per_byte ? fmt::format("{:.2f} bits", *p.bits_per_byte) : std::string("\u2013");
  const std::optional<double> share = p.bits_per_byte ? std::optional<double>(*p.bits_per_byte / kMostBits) : std::nullopt;
  return fmt::format("<div class=\"prow\"><div class=\"pname\"><span class=\"pid\">{}</span><span class=\"ptext\">{}</span></div>"
                     "<div class=\"ptrack\">{}</div><div class=\"pnums one\"><span class=\"num\">{}</span><span class=\"n\">{}</span>"
                     "</div></div>\n",
                     name, meaning, svg::level(share, limit / kMostBits, css, name + ": " + bits_text(p)), bits, texts_of(p));
}

std::string bits_rows(const Familiarity& f) {
  const bool sampled = f.text.texts < f.prompts;
  const double limit = f.threshold();
  std::string out = "<div class=\"prows\">\n";
  out += bits_row("this run\u2019s prompts",
                  sampled ? fmt::format("the last turn of {} of {} prompts", count(f.text.texts), count(f.prompts))
                          : std::string("the last turn of every prompt"),
                  f.text, limit, f.far_outside().value_or(false) ? "far" : "near");
  if (f.own) out += bits_row("the model\u2019s own world", "text of it that no training saw", *f.own, limit, "near");
  out += "<div class=\"prow paxis\"><div class=\"pname\"></div><div class=\"ptrack\">" + svg::track_axis({"0", "2", "4", "6", "8 bits"}) +
         "</div><div class=\"pnums\"></div></div>\n</div>\n";
  return out + fmt::format("<p class=\"fine\">Bits that the model needs for one byte of text, without a chat template: the less, the "
                           "better it knows such text. The dashed line, {:.2f}, is where far outside begins: {}. Asked: {}.</p>\n",
                           limit,
                           f.own && f.own->bits_per_byte
                               ? fmt::format("{:g} times what its own world costs, which other text of that world never does", kFarFromOwn)
                               : "what a general-purpose compressor, which knows no language, needs for English prose",
                           bounded(f.model, kIdBytes));
}

std::string verdict_table(const ReportLoop& l) {
  if (l.select.n + l.judge.n == 0) return {};
  const auto share = [](std::int64_t part, std::int64_t whole) {
    return whole > 0 ? percent(static_cast<double>(part) / static_cast<double>(whole)) : std::string("\u2013");
  };
  std::string out =
      "<div class=\"scroll\"><table><thead><tr><th>verdicts</th><th class=\"r\">given</th><th class=\"r\">unparseable</th>"
      "<th class=\"r\">uncertain</th></tr></thead><tbody>\n";
  for (const bool selecting : {true, false}) {
    const VerdictCount& v = selecting ? l.select : l.judge;
    if (v.n == 0) continue;
    out += fmt::format("<tr><td>{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td><td class=\"r\">{}</td></tr>\n",
                       selecting ? "select: does it apply?" : "judge: does it violate?", count(v.n),
                       share(v.unparseable, v.n), share(v.uncertain, v.scored));
  }
  return out + fmt::format("</tbody></table></div>\n<p class=\"fine\">Uncertain: a probability between {:g} and {:g}{}. Few uncertain "
                           "verdicts are no proof of knowledge: outside of its world a model is often sure and wrong.</p>\n",
                           kUncertainLow, kUncertainHigh, l.select.scored + l.judge.scored == 0 ? "; this judge gives none" : "");
}

std::string box(const char* title, const std::string& text) {
  if (text.empty()) return {};
  return fmt::format("<aside class=\"warning\"><h2>{}</h2>{}</aside>\n", title, html::paragraph(text, kShortBytes));
}

}  // namespace

std::string warnings(const ReportInput& input, const std::string& not_compared) {
  std::string out = box("Before and after are not compared", not_compared);
  if (input.familiarity) out += box("Outside of the model\u2019s world", familiarity_warning(*input.familiarity));
  if (input.loop) out += box("Verdicts that decide little", verdict_warning(input.loop->judge));
  return out;
}

std::string familiarity(const ReportInput& input) {
  std::string inside;
  if (input.familiarity) inside += bits_rows(*input.familiarity);
  if (input.loop) inside += verdict_table(*input.loop);
  if (inside.empty()) return {};
  return "<section id=\"familiarity\"><h2>Does the model know such text?</h2>\n<p class=\"lead\">A judge that reads what it never "
         "learnt to read still answers. " +
         std::string(input.familiarity ? "So this is measured in every run."
                                       : "Here it could not be measured, for no model of this run gives log-probs of whole texts: whether "
                                         "such text is foreign to it is not known, and only its verdicts can be looked at.") +
         "</p>\n" + inside + "</section>\n";
}

}  // namespace precept::section
