#pragma once
// Names of modules by a regular expression, as PEFT's target_modules, rank_pattern and alpha_pattern have them.
//
// The part of Python's `re` that such patterns use: literals, `.`, \d \w \b and escaped punctuation, [classes], (groups),
// (?:groups), alternatives, * + ? {0,} {1,} (also lazy, which matches the same names), ^ at the start and $ at the end. All else
// is refused. Matching takes time in proportion to pattern times name squared at most: no pattern runs away.

#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"

namespace precept {

class ModulePattern {
 public:
  // Errors name what of the pattern is not supported; `file` is for them.
  static Result<ModulePattern> parse(std::string_view pattern, const std::string& file);

  bool matches(std::string_view name) const;      // the whole name (re.fullmatch)
  bool matches_end(std::string_view name) const;  // the whole name, or what follows some dot: "(.*\.)?(PATTERN)"

  struct Node {
    enum class Kind { kSet, kSequence, kEither, kRepeat, kBoundary };
    Kind kind = Kind::kSequence;
    std::bitset<128> set;
    std::vector<Node> parts;
    bool none = true, many = true;  // of a repeat: may it be left out, may it come again?
  };

 private:
  Node root_;
};

}  // namespace precept
