#pragma once
// Programming tasks with tests, in HumanEval's shape (Chen et al. 2021, arXiv 2107.03374): JSONL, one task a line.

#include <string>
#include <vector>

#include "precept/constitution/lines.h"
#include "precept/core/result.h"

namespace precept {

struct CodeTask {
  std::string id;           // task_id; unique in its file
  std::string prompt;       // Python up to the body of the function to write: imports, helpers, signature, docstring
  std::string entry_point;  // the function's name
  std::string canonical_solution;  // the body that the task's author wrote; may be empty
  std::string test;         // Python that defines check(candidate), which raises where the candidate is wrong
  int line = 0;             // in the file
};

// Reads a tasks file, plain or gzipped. Errors name file and line: keys other than task_id, prompt, entry_point,
// canonical_solution and test, missing ones, an entry point that is no name of Python, a prompt that does not define it, a
// test without "def check(", an id that stood before.
Result<std::vector<CodeTask>> load_code_tasks(const std::string& path);
Result<std::vector<CodeTask>> read_code_tasks(ByteSource source, const std::string& file);

// SHA-256 over all of a set of tasks.
std::string digest_of(const std::vector<CodeTask>& tasks);

}  // namespace precept
