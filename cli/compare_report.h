#pragma once
// What a comparison says: one table as text and as JSON, and the report.

#include <string>

#include "cli/compare_run.h"
#include "precept/constitution/constitution.h"

namespace precept {

std::string comparison_table(const CompareResult& result, const CompareOptions& options);
std::string comparison_summary(const CompareResult& result, const CompareOptions& options);  // summary.json: without times
// report.html and summary.json. `recipes`: text of all, for the report.
Status write_comparison(const CompareResult& result, const CompareOptions& options, const Constitution& constitution, const std::string& recipes);

}  // namespace precept
