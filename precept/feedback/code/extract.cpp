#include "precept/feedback/code/extract.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <vector>

#include "precept/feedback/code/code_task.h"

namespace precept {
namespace {

bool starts(std::string_view text, std::string_view prefix) { return text.substr(0, prefix.size()) == prefix; }
bool is_name_char(char c) { return c == '_' || std::isalnum(static_cast<unsigned char>(c)) != 0; }
bool is_blank_line(std::string_view line) { return line.find_first_not_of(" \t\r\f\v") == std::string_view::npos; }
bool is_indented(std::string_view line) { return !line.empty() && (line[0] == ' ' || line[0] == '\t'); }

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::string joined(const std::vector<std::string_view>& lines, std::size_t from, std::size_t to) {
  std::string text;
  for (std::size_t i = from; i < to; ++i) text.append(lines[i]).push_back('\n');
  return text;
}

// A fence: three or more of ` or ~ after any indentation (fences stand in lists).
struct Fence {
  char mark = 0;
  std::size_t length = 0, indentation = 0;
  bool bare = false;  // nothing after the marks: only such a fence ends a block
};
std::optional<Fence> fence_of(std::string_view line) {
  const std::size_t at = line.find_first_not_of(" \t");
  if (at == std::string_view::npos || (line[at] != '`' && line[at] != '~')) return std::nullopt;
  const std::size_t end = std::min(line.find_first_not_of(line[at], at), line.size());
  if (end - at < 3) return std::nullopt;
  return Fence{line[at], end - at, at, is_blank_line(line.substr(end))};
}

// The content of each fenced block; the fence's own indentation is taken off its lines.
std::vector<std::string> fenced_blocks(const std::vector<std::string_view>& lines) {
  std::vector<std::string> blocks;
  std::optional<Fence> open;
  for (const std::string_view line : lines) {
    const std::optional<Fence> fence = fence_of(line);
    if (!open) {
      if (!fence) continue;
      open = fence;
      blocks.emplace_back();
    } else if (fence && fence->bare && fence->mark == open->mark && fence->length >= open->length) {
      open.reset();
    } else {
      const std::size_t margin = std::min(line.find_first_not_of(" \t"), line.size());
      blocks.back().append(line.substr(std::min(margin, open->indentation))).push_back('\n');
    }
  }
  return blocks;
}

// The first word of a line at the left margin that begins a statement. An expression or an assignment is told from prose by
// what follows its first name.
bool is_code_line(std::string_view line) {
  if (is_blank_line(line) || is_indented(line)) return true;
  for (const char* word : {"def ", "async def ", "class ", "@", "import ", "from ", "#", "if ", "elif ", "else:", "for ", "while ", "try:",
                           "except", "finally:", "with ", "return ", "raise ", "assert ", ")", "]", "}", "\"\"\"", "'''"}) {
    if (starts(line, word)) return true;
  }
  std::size_t at = 0;
  while (at < line.size() && (is_name_char(line[at]) || line[at] == '.')) ++at;
  if (at == 0) return false;
  const std::string_view rest = line.substr(std::min(line.find_first_not_of(' ', at), line.size()));
  return starts(line.substr(at), "(") || starts(line.substr(at), "[") || starts(rest, "=") || starts(rest, ": ") ||
         (rest.size() > 1 && rest[1] == '=' && std::string_view("+-*/%|&^").find(rest[0]) != std::string_view::npos);
}

// An answer in plain text that holds the function `name`: without the prose before, after and between its pieces of code.
std::string without_prose(const std::vector<std::string_view>& lines, std::string_view name) {
  const auto begins = [](std::string_view line) {
    for (const char* word : {"def ", "async def ", "class ", "@", "import ", "from "}) {
      // "from the list we take..." is no import.
      if (starts(line, word)) return word != std::string_view("from ") || line.find(" import ") != std::string_view::npos;
    }
    return false;
  };
  std::string code;
  for (std::size_t from = 0, to = 0; from < lines.size() && definition_of(code, name) == std::string::npos; from = std::max(from + 1, to)) {
    if (!begins(lines[from])) continue;
    for (to = from; to < lines.size() && is_code_line(lines[to]);) ++to;
    code += joined(lines, from, to);
  }
  return code;
}

// What goes on where a prompt ends: the body of its function.
std::string body_of(const std::vector<std::string_view>& lines) {
  std::size_t from = 0;
  while (from < lines.size() && is_blank_line(lines[from])) ++from;
  std::string body;
  for (std::size_t i = from; i < lines.size(); ++i) {
    const bool margin = !is_blank_line(lines[i]) && !is_indented(lines[i]);
    if (margin && i > from) break;
    if (margin) body += "    ";  // models leave out the white space that a text would begin with
    body.append(lines[i]).push_back('\n');
  }
  return body;
}

std::string with_prelude(const CodeTask& task, const std::string& code) {
  const std::size_t definition = definition_of(task.prompt, task.entry_point);
  std::string program = task.prompt.substr(0, definition == std::string::npos ? 0 : definition);
  if (!program.empty() && program.back() != '\n') program += '\n';
  return program + code;
}

std::string continued(const CodeTask& task, std::string_view text) {
  std::string program = task.prompt;
  if (!program.empty() && program.back() != '\n') program += '\n';
  return program + body_of(lines_of(text));
}

}  // namespace

bool is_python_name(std::string_view text) {
  if (text.empty() || std::isdigit(static_cast<unsigned char>(text[0])) != 0) return false;
  return std::all_of(text.begin(), text.end(), is_name_char);
}

std::size_t definition_of(std::string_view source, std::string_view name) {
  for (std::size_t at = 0; at < source.size();) {
    const std::size_t end = std::min(source.find('\n', at), source.size());
    std::string_view line = source.substr(at, end - at);
    if (starts(line, "async ")) line.remove_prefix(6);
    if (starts(line, "def ")) {
      line.remove_prefix(std::min(line.find_first_not_of(' ', 4), line.size()));
      if (starts(line, name)) {
        line.remove_prefix(name.size());
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        if (starts(line, "(")) return at;
      }
    }
    at = end + 1;
  }
  return std::string::npos;
}

std::string program_of_answer(const CodeTask& task, std::string_view answer) {
  constexpr std::string_view kThought = "</think>";
  if (const std::size_t thought = answer.rfind(kThought); thought != std::string_view::npos) {
    answer.remove_prefix(thought + kThought.size());
  }
  const std::vector<std::string_view> lines = lines_of(answer);
  const std::vector<std::string> blocks = fenced_blocks(lines);
  for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) {
    if (definition_of(*block, task.entry_point) != std::string::npos) return with_prelude(task, *block);
  }
  if (!blocks.empty()) return continued(task, blocks.back());
  if (definition_of(answer, task.entry_point) != std::string::npos) return with_prelude(task, without_prose(lines, task.entry_point));
  return continued(task, answer);
}

}  // namespace precept
