#pragma once
// A constitution: principles in natural language, with reasons, tiers, hard constraints and sources.
// File formats: docs/formats.md.

#include <map>
#include <string>
#include <vector>

#include "precept/core/result.h"

namespace precept {

struct Source {
  std::string name;
  std::string article;
  std::string url;
};

struct Principle {
  std::string id;          // stable, kebab-case
  std::string text;        // the rule, in natural language
  std::string why;         // the reason
  std::string priority;    // tier; one of Constitution::priorities
  bool hard = false;       // a hard constraint: nothing outweighs it
  std::string applies_to;  // when it is relevant; may be empty
  Source source;
  std::string critique, revision, preference;  // optional wordings of the three requests
  int line = 0;            // where it begins in its file
};

// Templates of the requests, overridable in [templates]; keys and placeholders in placeholders.h.
using Templates = std::map<std::string, std::string>;

struct Constitution {
  std::string name, version, language, license;
  std::vector<std::string> priorities;  // most important tier first
  std::vector<Principle> principles;
  Templates templates;                  // only those the file overrides
  std::string file;
  std::vector<std::string> extended;    // paths of the files behind `extends`, nearest first
  std::string digest;                   // SHA-256 of the file's bytes; with `extends`, of both digests

  const Principle* find(const std::string& id) const;
};

struct Finding {
  enum class Severity { kError, kWarning } severity = Severity::kError;
  std::string what, hint, file;
  int line = 0;
};

// Reads TOML (*.toml) or prose Markdown (*.md). The first error ends it; see check for all of them.
Result<Constitution> load_constitution(const std::string& path);

// Every finding of a file, errors and warnings, in order of line.
std::vector<Finding> check_constitution(const std::string& path);

}  // namespace precept
