#include "precept/core/result.h"

namespace precept {

std::string Error::message() const {
  std::string out;
  if (!file.empty()) {
    out += file;
    out += ':';
    if (line > 0) out += std::to_string(line) + ':';
    out += ' ';
  }
  return out + what;
}

}  // namespace precept
