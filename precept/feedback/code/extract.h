#pragma once
// From what a model answered to the program that it means. Form is taken as it comes; a program is never mended.

#include <cstddef>
#include <string>
#include <string_view>

namespace precept {

struct CodeTask;

// Letters, digits and _, no digit first; ASCII.
bool is_python_name(std::string_view text);

// Where a line begins that defines the function `name` at the left margin ("def name(" or "async def name("); npos: none.
std::size_t definition_of(std::string_view source, std::string_view name);

// The whole program of an answer: imports and helpers of the task, and the function.
// - What comes before a last "</think>" is not part of the answer.
// - Fenced blocks (``` or ~~~; the last may lack its end): the last one that defines the entry point, else the last one.
// - No fence, but a definition of the entry point: the runs of lines of code, up to the end of the one that defines it.
// - Otherwise the answer goes on where the prompt ends: its lines up to the first one at the left margin (as the stop
//   sequences of Chen et al. 2021 have it).
// A block or answer that defines the entry point gets what stands before the definition in the prompt put in front.
std::string program_of_answer(const CodeTask& task, std::string_view answer);

}  // namespace precept
