#pragma once
// Findings as text, one a line, for goldens: "3 error: what (hint)".

#include <string>
#include <vector>

#include "precept/constitution/parse.h"

namespace precept {

inline std::string text_of(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& f : findings) {
    out += std::to_string(f.line) + (f.severity == Finding::Severity::kError ? " error: " : " warning: ") + f.what +
           " (" + f.hint + ")\n";
  }
  return out;
}

inline std::string findings_of(const std::string& bytes, const std::string& file = "a.toml") {
  return text_of(parse_bytes(bytes, file).findings);
}

}  // namespace precept
