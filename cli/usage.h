#pragma once
// What is wrong with a command line, as an Error with a suggestion.

#include <CLI/CLI.hpp>

#include "precept/core/result.h"

namespace precept {

Error usage_error(const CLI::App& app, const CLI::ParseError& error);
Error missing_command(const CLI::App& app);

}  // namespace precept
