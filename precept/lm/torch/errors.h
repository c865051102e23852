#pragma once
// What libtorch says went wrong, on one line: its texts have a stack of calls behind them.

#include <string>

namespace precept {

inline std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

}  // namespace precept
