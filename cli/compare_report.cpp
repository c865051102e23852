#include "cli/compare_report.h"

#include <algorithm>

#include <fmt/format.h>

#include "cli/run_report.h"
#include "precept/core/io.h"
#include "precept/evaluate/json.h"
#include "precept/report/methods.h"

namespace precept {
namespace {

using json::Json;

std::string millions(std::int64_t n) { return fmt::format("{:.2f}", static_cast<double>(n) / 1e6); }

Json tokens(const TokensSpent& t) {
  return {{"generated", t.generated}, {"read", t.read}, {"trained", t.trained}, {"passes", t.passes()}};
}

void add_rates(Json& out, const PooledRates& r) {
  out["violation_rate"] = json::estimate(r.violation_rate);
  out["helpfulness"] = json::estimate(r.helpfulness);
  out["over_refusal"] = json::estimate(r.over_refusal);
}

Json change(const PooledChange& c, std::optional<double> p_holm) {
  return {{"difference", json::estimate(c.difference)}, {"better", c.better}, {"worse", c.worse}, {"p", json::number(c.p)}, {"p_holm", json::number(p_holm)}};
}

// Of one rate, adjusted over the methods that are compared with the first.
std::vector<std::optional<double>> adjusted(const CompareResult& result, PooledChange PooledComparison::*rate) {
  std::vector<std::optional<double>> p;
  for (const MethodResult& method : result.methods) p.push_back((method.change.*rate).p);
  return holm(p);
}

std::string p_text(std::optional<double> p) {
  if (!p) return "";
  return *p < 0.001 ? fmt::format("p = {:.1e}", *p) : fmt::format("p = {:.3f}", *p);
}

std::string points(const Estimate& e) {
  if (!e.value) return "";
  std::string out = fmt::format("{:+.1f}", 100 * *e.value);
  if (e.low && e.high) out += fmt::format(" [{:+.1f}, {:+.1f}]", 100 * *e.low, 100 * *e.high);
  return out;
}

}  // namespace

std::string comparison_table(const CompareResult& result, const CompareOptions& options) {
  struct Row {
    std::vector<std::string> cells;
  };
  std::vector<Row> rows = {{{"method", "violation rate", "helpfulness", "over-refusal", "violations against first", "help against first", "passes (M)"}}};
  const auto violations = adjusted(result, &PooledComparison::violation_rate), help = adjusted(result, &PooledComparison::helpfulness);
  const auto against = [](const PooledChange& c, std::optional<double> p) {
    return c.p ? points(c.difference) + ", " + p_text(p) : std::string("-");
  };
  const auto share = [&](const MethodResult& method) {
    return options.budget > 0 ? fmt::format(", {:.0f}%", static_cast<double>(method.spent.passes()) / (1e4 * options.budget)) : std::string();
  };
  const auto rate = [](const Estimate& e) {
    std::string text = percent_text(e);
    return text.substr(0, text.find(", n = "));
  };
  for (std::size_t m = 0; m < result.methods.size(); ++m) {
    const MethodResult& method = result.methods[m];
    rows.push_back({{method.id, rate(method.rates.violation_rate), rate(method.rates.helpfulness), rate(method.rates.over_refusal),
                     against(method.change.violation_rate, violations[m]), against(method.change.helpfulness, help[m]),
                     method.id == "base" ? "-" : millions(method.spent.passes()) + share(method) + (method.cut() ? " (cut)" : "")}});
  }
  std::vector<std::size_t> widths(rows[0].cells.size());
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) widths[i] = std::max(widths[i], row.cells[i].size());
  }
  std::string out;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.cells.size(); ++i) line += fmt::format("{:<{}}  ", row.cells[i], widths[i]);
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  out += fmt::format("{} held-out prompts, {}; 95% intervals over prompts; p: paired with the first method, by Holm over the methods.\n", options.held_out,
                     options.seeds == 1 ? "one seed" : std::to_string(options.seeds) + " seeds pooled");
  out += options.budget > 0 ? fmt::format("Budget of a run: {:g} million passes of a token through a model (generated or read 1, trained 3); {}.\n", options.budget,
                                          options.spend_all ? "who had some left went on with further prompts" : "who ends below it stops there: budgets are not equal")
                            : std::string("No budget was set; passes of a token through a model: generated or read 1, trained 3.\n");
  for (const MethodResult& method : result.methods) {
    for (const MethodRun& run : method.runs) {
      for (const std::string& note : run.notes) out += fmt::format("{}, seed {}: {}\n", method.id, run.seed, note);
    }
  }
  return out;
}

std::string comparison_summary(const CompareResult& result, const CompareOptions& options) {
  Json out = {{"prompts", options.prompts}, {"held_out", options.held_out}, {"first_seed", options.seed}, {"seeds", options.seeds},
              {"spend_all", options.spend_all}, {"budget_passes", options.budget > 0 ? Json(static_cast<std::int64_t>(options.budget * 1e6)) : Json(nullptr)},
              {"methods", Json::array()}};
  const auto violations = adjusted(result, &PooledComparison::violation_rate), help = adjusted(result, &PooledComparison::helpfulness),
             refusals = adjusted(result, &PooledComparison::over_refusal);
  for (std::size_t m = 0; m < result.methods.size(); ++m) {
    const MethodResult& method = result.methods[m];
    Json entry = {{"id", method.id}, {"name", method.name}, {"about", method.about}, {"stages", method.stages}};
    add_rates(entry, method.rates);
    entry["spent"] = tokens(method.spent);
    entry["cut"] = method.cut();
    if (method.change.violation_rate.p) {
      entry["against_first"] = {{"violation_rate", change(method.change.violation_rate, violations[m])},
                                {"helpfulness", change(method.change.helpfulness, help[m])},
                                {"over_refusal", change(method.change.over_refusal, refusals[m])}};
    } else {
      entry["against_first"] = nullptr;
    }
    entry["runs"] = Json::array();
    for (const MethodRun& run : method.runs) {
      Json one = {{"seed", run.seed}};
      add_rates(one, run.rates);
      one["spent"] = tokens(run.spent);
      one["prompts"] = run.prompts;
      one["notes"] = run.notes;
      entry["runs"].push_back(std::move(one));
    }
    out["methods"].push_back(std::move(entry));
  }
  return json::dump(out) + "\n";
}

namespace {

MethodsReportInput report_input(const CompareResult& result, const CompareOptions& options, const Constitution& constitution, const std::string& recipes) {
  MethodsReportInput input;
  input.title = "Methods compared";
  input.facts = {"model " + options.model, "constitution " + constitution.name};
  input.scope = kPocketScope;
  input.prompts = options.prompts;
  input.held_out = options.held_out;
  input.budget = static_cast<std::int64_t>(options.budget * 1e6);
  input.spend_all = options.spend_all;
  input.recipes = recipes;
  const auto violations = adjusted(result, &PooledComparison::violation_rate), help = adjusted(result, &PooledComparison::helpfulness),
             refusals = adjusted(result, &PooledComparison::over_refusal);
  for (std::size_t m = 0; m < result.methods.size(); ++m) {
    const MethodResult& method = result.methods[m];
    MethodReport one{method.name, method.about, method.stages, m == 0, method.rates, method.change, violations[m], help[m], refusals[m],
                     method.spent.generated, method.spent.read, method.spent.trained, method.spent.passes(), method.cut(), {}};
    for (const MethodRun& run : method.runs) one.runs.push_back({run.seed, run.rates, run.notes});
    input.methods.push_back(std::move(one));
  }
  return input;
}

}  // namespace

Status write_comparison(const CompareResult& result, const CompareOptions& options, const Constitution& constitution, const std::string& recipes) {
  if (const Status written = write_file(result.report, render_methods_report(report_input(result, options, constitution, recipes))); !written) return written;
  return write_file(result.summary, comparison_summary(result, options));
}

}  // namespace precept
