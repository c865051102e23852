#pragma once
// Tiny programming tasks: functions of one line (or three) of one or two integers or of a short list, in a small part of Python,
// small enough that a model of the pocket world's size can learn to write them.

#include <cstdint>
#include <string>
#include <vector>

#include "worlds/pocket/world.h"

namespace precept::pocket {

// In HumanEval's shape (precept/feedback/code/code_task.h), and what is wrong but nearly right.
struct TinyTask {
  std::string id;           // "train/17/at-most": split, index, kind; seeds give different tasks under one id
  std::string kind;
  std::string entry_point;
  std::string prompt;       // definition and docstring
  std::string solution;     // a body that is right: lines with their indentation and line breaks
  std::vector<std::string> wrong;  // bodies that fail the test
  std::string test;         // check(candidate); what it expects was computed here, not by the solution
};

// The kinds, each once.
std::vector<std::string> task_kinds();

// Task `index` of a split: a pure function of its arguments. Kinds, wordings and names are those of both splits; the numbers that a
// kind is about are in one of them only: a fifth of them, by their hash, is held out.
TinyTask make_task(Split split, std::uint64_t seed, std::uint64_t index);

// The whole function with another body: what an answer should hold.
std::string function_of(const TinyTask& task, const std::string& body);

}  // namespace precept::pocket
