#include "precept/report/report.h"

#include <fmt/format.h>

#include "precept/core/io.h"
#include "precept/report/html.h"
#include "precept/report/sections.h"

namespace precept {
namespace {

std::string fact_line(const ReportInput& input) {
  std::vector<std::string> facts;
  if (!input.run.empty()) facts.push_back("run " + html::bounded(input.run, 200));
  const Evaluation* e = input.base ? &*input.base : input.sl ? &*input.sl : nullptr;
  if (e && !e->model.empty()) facts.push_back("model " + html::bounded(e->model, 200));
  if (input.constitution && !input.constitution->name.empty()) {
    facts.push_back("constitution " + html::bounded(input.constitution->name, 200));
  }
  if (input.seconds > 0) facts.push_back(html::duration(input.seconds));
  if (input.peak_rss_mb > 0) facts.push_back(fmt::format("{:.0f} MB at most", input.peak_rss_mb));
  std::string out;
  for (const std::string& fact : facts) out += (out.empty() ? "" : " \u00b7 ") + fact;
  return out.empty() ? out : "<p class=\"meta\">" + out + "</p>\n";
}

}  // namespace

std::string render_report(const ReportInput& input) {
  std::optional<Comparison> comparison;
  std::string not_compared;
  if (input.base && input.sl) {
    const Status fits = comparable(*input.base, "base", *input.sl, "sl");
    if (fits) comparison = compare(*input.base, *input.sl);
    else not_compared = fits.error().what;
  }
  const Comparison* c = comparison ? &*comparison : nullptr;

  struct Part {
    const char* id;
    const char* name;
    std::string html;
  };
  // What the numbers can show stands right below them.
  const Part parts[] = {{"headline", "Numbers", section::headline(input, c)},
                        {"reinforced", "RL", section::reinforced(input)},
                        {"scope", "Limits", section::scope(input)},
                        {"principles", "Principles", section::principles(input, c)},
                        {"balance", "Balance", section::balance(input)},
                        {"loop", "Loop", section::loop(input)},
                        {"time", "Time", section::time(input)},
                        {"familiarity", "Text", section::familiarity(input)},
                        {"judge", "Judge", section::judge(input)},
                        {"traces", "Traces", section::traces(input)},
                        {"training", "Training", section::training(input)},
                        {"collapse", "Collapse", section::collapse(input)},
                        {"constitution", "Constitution", section::constitution(input)},
                        {"recipe", "Recipe", section::recipe(input)}};
  std::string nav, body;
  for (const Part& part : parts) {
    if (part.html.empty()) continue;
    nav += fmt::format("<a href=\"#{}\">{}</a>", part.id, part.name);
    body += part.html;
  }
  std::string out = section::page_head(input.title) + fact_line(input) + section::verdict(input, c) + "</header>\n";
  if (!nav.empty()) out += "<nav aria-label=\"Sections\">" + nav + "</nav>\n";
  out += "<main>\n" + section::warnings(input, not_compared) + body + section::page_foot(input.version);
  return out;
}

Status write_report(const ReportInput& input, const std::string& path) {
  return write_file(path, render_report(input));
}

}  // namespace precept
