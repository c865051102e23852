#pragma once
// The constitution of a run, kept in its folder for the report.

#include <string>

#include "precept/constitution/constitution.h"
#include "precept/core/result.h"

namespace precept {

// Copies the file of `constitution` to RUN/constitution.toml (or .md), and those that it extends to constitution-base-1.toml
// and so on, nearest first; each copy extends the next. A constitution that the folder has already stays.
Status keep_constitution(const Constitution& constitution, const std::string& run);

}  // namespace precept
