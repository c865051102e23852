#pragma once
// Inside of load_constitution and check_constitution: both formats give the same structure and findings.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "precept/constitution/constitution.h"

namespace precept {

inline constexpr std::size_t kMaxConstitutionBytes = std::size_t{4} << 20;

struct Parsed {
  Constitution constitution;
  std::vector<Finding> findings;
  bool whole = false;  // the file parsed; only then do the rules of check_rules say anything
  bool prose = false;  // Markdown
  std::string extends;   // the file it builds on, as written
  int extends_line = 0;
  int priorities_line = 0;  // where the file itself gives priorities
  std::size_t inherited = 0;        // the first so many principles come from there
  std::vector<int> priority_lines;  // of the own principles, where given (0: not)

  void error(int line, std::string what, std::string hint);
  void warn(int line, std::string what, std::string hint);
};

// `text` is valid UTF-8 without byte-order mark and NUL; see parse_bytes.
Parsed parse_toml(std::string_view text, const std::string& file);
Parsed parse_markdown(std::string_view text, const std::string& file);

// Encoding, size, then the format by the file's extension, then check_rules; findings in order of line.
// `extends` is an error here: only a file has neighbours.
Parsed parse_bytes(std::string_view bytes, const std::string& file);

// The same for a file, whose `extends` is followed at most four deep. Findings of the file itself come
// first, then those of the file it extends.
Parsed parse_file(const std::string& path);

// What is wrong with the principles themselves: ids, texts, tiers, sources, reasons.
void check_rules(Parsed& parsed);

// Lower-case letters and digits in words joined by single hyphens.
bool is_kebab_case(std::string_view id);
std::string kebab_case(std::string_view text);  // empty when text has no ASCII letter or digit

}  // namespace precept
