#include "cli/eval_against.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

namespace precept {
namespace {

namespace fs = std::filesystem;

std::string p_text(std::optional<double> p) {
  if (!p) return "undefined";
  if (*p < 0.001) return fmt::format("{:.1e}", *p);
  return fmt::format("{:.3f}", *p);
}

std::string points_text(const Estimate& d) {
  if (!d.value) return "undefined";
  std::string out = fmt::format("{:+.1f}", *d.value * 100);
  if (d.low && d.high) out += fmt::format(" [{:+.1f}, {:+.1f}]", *d.low * 100, *d.high * 100);
  return out;
}

}  // namespace

std::string paired_line(const std::string& name, const Estimate& before, const Estimate& after, const PairedRate& rate, std::optional<double> p,
                        const char* standing) {
  return fmt::format("  {:<28} {:>9} {:>9} {:>22} {:>7} {:>7} {:>7} {:>10}  {}\n", name,
                     percent(before.value), percent(after.value), points_text(rate.difference),
                     rate.counts.n(), rate.counts.before_only, rate.counts.after_only, p_text(p), standing);
}

std::string paired_head(const char* name, const char* p) {
  return fmt::format("  {:<28} {:>9} {:>9} {:>22} {:>7} {:>7} {:>7} {:>10}  {}\n", name, "before", "after",
                     "points", "pairs", "before", "after", p, "after is");
}

std::string paired_top() { return fmt::format("  {:<28} {:>9} {:>9} {:>22} {:>7} {:>15}\n", "", "", "", "", "", "only"); }

Status check_stored_only(const std::vector<Field>& given, const std::vector<Field>& usual, const std::string& hint) {
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (given[i].rule.in_recipe && given[i].value() != usual[i].value()) {
      return bad_input(flag_of(given[i].name) + " is given, but no model", hint);
    }
  }
  return {};
}

bool is_label(const std::string& text) {
  const auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), plain);
}

std::string evaluation_path(const std::string& run, const std::string& label) {
  return run + "/eval-" + label + ".json";
}

Result<StoredEvaluation> load_against(const std::string& against, const std::string& run,
                                      const std::string& label) {
  std::string folder = against, other = label;
  std::error_code ignored;
  const std::size_t colon = against.rfind(':');
  if (colon != std::string::npos && !fs::is_directory(against, ignored)) {
    folder = against.substr(0, colon);
    other = against.substr(colon + 1);
    if (!is_label(other))
      return bad_input("--against " + against + " names no label after the colon", "give RUN or RUN:LABEL");
  }
  if (folder.empty()) folder = run;
  const std::string path = evaluation_path(folder, other);
  if (other == label && (folder == run || fs::equivalent(folder, run, ignored))) {
    return bad_input("--against names the evaluation itself",
                     "give another run, or another label: --against :base", path);
  }
  auto evaluation = load_evaluation(path);
  if (!evaluation) return tl::unexpected(evaluation.error());
  return StoredEvaluation{path, std::move(*evaluation)};
}

std::string comparison_text(const StoredEvaluation& before, const StoredEvaluation& after) {
  const Evaluation &b = before.evaluation, &a = after.evaluation;
  const Comparison c = compare(b, a);
  std::string out = fmt::format("before: {} ({})\nafter:  {} ({})\n{} prompts\n", before.path, b.model,
                                after.path, a.model, a.outcomes.size());
  for (const std::string& setting : differing_settings(b, a))
    out += "warning: other settings, " + setting + "\n";
  out += paired_top();
  out += paired_head("", "p");
  out += paired_line("violation rate", b.violation_rate, a.violation_rate, c.violation_rate, c.violation_rate.p,
              overall_standing(c.violation_rate));
  out += paired_line("helpfulness", b.helpfulness, a.helpfulness, c.helpfulness, c.helpfulness.p,
              overall_standing(c.helpfulness));
  out += paired_line("over-refusal", b.over_refusal, a.over_refusal, c.over_refusal, c.over_refusal.p,
              overall_standing(c.over_refusal));
  out += paired_head("violations by principle", "p (Holm)");
  for (const PairedRate& rate : c.per_principle) {
    if (rate.counts.n() == 0) continue;
    const auto of = [&rate](const Evaluation& e) {
      const auto it = std::find_if(e.per_principle.begin(), e.per_principle.end(),
                                   [&rate](const PrincipleRate& each) { return each.id == rate.id; });
      return it == e.per_principle.end() ? Estimate{} : it->violation;
    };
    out += paired_line(rate.id, of(b), of(a), rate, rate.p_holm, principle_standing(rate));
  }
  return out + kPairedFoot;
}

}  // namespace precept
