#include "precept/feedback/code/code_task.h"

#include <unordered_map>
#include <utility>

#include "precept/constitution/gzip.h"
#include "precept/constitution/json_line.h"
#include "precept/core/digest.h"
#include "precept/core/quote.h"
#include "precept/feedback/code/extract.h"

namespace precept {
namespace {

const std::vector<std::string> kKeys = {"task_id", "prompt", "entry_point", "canonical_solution", "test"};
constexpr std::size_t kMaxId = 256;

class TaskLine {
 public:
  TaskLine(const nlohmann::json& object, const std::string& file, int line) : object_(object), file_(file), line_(line) {}

  tl::unexpected<Error> wrong(std::string what, std::string hint) const {
    return bad_input(std::move(what), std::move(hint), file_, line_);
  }

  // A string that says something; an optional one may be missing or empty.
  Status read(const char* key, std::string& into, bool optional = false) const {
    const auto found = object_.find(key);
    if (found == object_.end()) {
      if (optional) return {};
      return wrong(std::string("no ") + key, "a task has task_id, prompt, entry_point and test");
    }
    if (!found->is_string()) return wrong(std::string(key) + " must be a string, found " + found->type_name(), "put the text in quotes");
    into = found->get<std::string>();
    if (!optional && is_blank(into)) return wrong(std::string(key) + " is empty", "give it a text");
    if (into.find('\0') != std::string::npos) return wrong(std::string(key) + " holds a NUL character", "remove \\u0000");
    return {};
  }

 private:
  const nlohmann::json& object_;
  const std::string& file_;
  int line_;
};

Result<CodeTask> read_task(const nlohmann::json& object, const std::string& file, int line) {
  if (Status known = check_keys(object, kKeys, file, line); !known) return tl::unexpected(known.error());
  const TaskLine at(object, file, line);
  CodeTask task;
  task.line = line;
  const std::pair<const char*, std::string*> fields[] = {
      {"task_id", &task.id}, {"prompt", &task.prompt}, {"entry_point", &task.entry_point}, {"test", &task.test}};
  for (const auto& [key, into] : fields) {
    if (Status read = at.read(key, *into); !read) return tl::unexpected(read.error());
  }
  if (Status read = at.read("canonical_solution", task.canonical_solution, true); !read) return tl::unexpected(read.error());
  if (task.id.size() > kMaxId) return at.wrong("task_id is longer than 256 bytes", "shorten it");
  for (const char c : task.id) {
    if (static_cast<unsigned char>(c) < 0x20) return at.wrong("task_id holds a control character", "keep it on one line");
  }
  if (!is_python_name(task.entry_point)) {
    return at.wrong("entry_point " + in_quotes(task.entry_point) + " is no name of a function", "letters, digits and _");
  }
  if (definition_of(task.prompt, task.entry_point) == std::string::npos) {
    return at.wrong("the prompt does not define " + in_quotes(task.entry_point), "it needs a line that begins with def and the entry point");
  }
  if (definition_of(task.test, "check") == std::string::npos) {
    return at.wrong("the test does not define check", "it needs a line that begins with def check(");
  }
  return task;
}

}  // namespace

Result<std::vector<CodeTask>> read_code_tasks(ByteSource source, const std::string& file) {
  std::vector<CodeTask> tasks;
  std::unordered_map<std::string, int> lines;  // by id
  LineReader reader(std::move(source), file);
  std::string_view line;
  while (true) {
    const auto more = reader.next(line);
    if (!more) return tl::unexpected(more.error());
    if (!*more) break;
    if (is_blank(line)) continue;
    const auto object = parse_json_line(line, file, reader.number());
    if (!object) return tl::unexpected(object.error());
    auto task = read_task(*object, file, reader.number());
    if (!task) return tl::unexpected(task.error());
    const auto [first, fresh] = lines.emplace(task->id, task->line);
    if (!fresh) {
      return bad_input("task_id " + in_quotes(task->id) + " is already that of line " + std::to_string(first->second),
                       "give each task its own id", file, task->line);
    }
    tasks.push_back(std::move(*task));
  }
  if (tasks.empty()) return bad_input("no tasks in the file", R"(write one {"task_id", "prompt", "entry_point", "test"} a line)", file);
  return tasks;
}

Result<std::vector<CodeTask>> load_code_tasks(const std::string& path) {
  auto source = open_gzip(path);
  if (!source) return tl::unexpected(source.error());
  return read_code_tasks(std::move(*source), path);
}

std::string digest_of(const std::vector<CodeTask>& tasks) {
  Sha256 hash;
  for (const CodeTask& task : tasks) {
    for (const std::string* part : {&task.id, &task.prompt, &task.entry_point, &task.test}) {
      hash.update(std::to_string(part->size()) + ' ' + *part + '\n');
    }
  }
  return hash.finish();
}

}  // namespace precept
