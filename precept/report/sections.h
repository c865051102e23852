#pragma once
// The parts of the report, each a piece of HTML, empty when there is nothing to say.

#include <string>

#include "precept/evaluate/compare.h"
#include "precept/report/report.h"

namespace precept::section {

// How much of a text is shown.
inline constexpr std::size_t kAnswerBytes = 6000;
inline constexpr std::size_t kShortBytes = 2000;
inline constexpr std::size_t kIdBytes = 120;
inline constexpr std::size_t kRecipeBytes = 100000;
inline constexpr std::size_t kMostTraces = 10;
inline constexpr std::size_t kMostSteps = 40;
inline constexpr std::size_t kMostPrinciples = 300;
inline constexpr std::size_t kMostCurves = 24;

const char* style();  // the CSS
// A page up to its heading. Nothing may be fetched or run, whatever a model wrote: the policy in it says so to the browser as well.
std::string page_head(const std::string& title, const std::string& more_style = "");
std::string page_foot(const std::string& version);  // from the end of <main> on

std::string verdict(const ReportInput& input, const Comparison* comparison);
std::string headline(const ReportInput& input, const Comparison* comparison);
std::string reinforced(const ReportInput& input);
std::string principles(const ReportInput& input, const Comparison* comparison);
std::string balance(const ReportInput& input);
// Above everything else. `not_compared`: why before and after say nothing about each other; may be empty.
std::string warnings(const ReportInput& input, const std::string& not_compared);
std::string familiarity(const ReportInput& input);
std::string time(const ReportInput& input);
std::string loop(const ReportInput& input);
std::string judge(const ReportInput& input);
std::string traces(const ReportInput& input);
std::string training(const ReportInput& input);
std::string collapse(const ReportInput& input);
std::string constitution(const ReportInput& input);
std::string recipe(const ReportInput& input);
std::string scope(const ReportInput& input);

}  // namespace precept::section
