// Constitutions in prose.
#include "precept/constitution/parse.h"

namespace precept {

Parsed parse_markdown(std::string_view, const std::string& file) {
  Parsed parsed;
  parsed.constitution.file = file;
  parsed.prose = true;
  parsed.error(0, "prose is not read yet", "");
  return parsed;
}

}  // namespace precept
