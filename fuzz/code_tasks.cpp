// Any bytes as tasks, and as an answer to a task: an error with file and message, or usable tasks; a program from any answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "precept/core/io.h"
#include "precept/feedback/code/code_task.h"
#include "precept/feedback/code/extract.h"

namespace {

void check_tasks(std::string_view bytes) {
  const auto tasks = precept::read_code_tasks(precept::memory_bytes(bytes), "fuzz.jsonl");
  if (!tasks) {
    const precept::Error& e = tasks.error();
    if (e.what.empty() || e.what.find('\n') != std::string::npos || e.file.empty()) std::abort();
    if (precept::find_invalid_utf8(e.what + e.hint)) std::abort();
    return;
  }
  std::set<std::string> ids;
  for (const precept::CodeTask& task : *tasks) {
    if (!ids.insert(task.id).second || !precept::is_python_name(task.entry_point)) std::abort();
    if (precept::definition_of(task.prompt, task.entry_point) == std::string::npos) std::abort();
    if (task.line < 1 || task.test.empty()) std::abort();
    precept::program_of_answer(task, task.canonical_solution);
  }
}

// Whatever the answer: the program defines the function, since either the answer or the prompt does.
void check_answer(std::string_view bytes) {
  precept::CodeTask task;
  task.prompt = "import os\n\ndef f(x):\n    \"\"\"F.\"\"\"\n";
  task.entry_point = "f";
  const std::string program = precept::program_of_answer(task, bytes);
  if (program.rfind("import os\n\n", 0) != 0 || precept::definition_of(program, "f") == std::string::npos) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check_tasks(bytes);
  check_answer(bytes);
  return 0;
}
