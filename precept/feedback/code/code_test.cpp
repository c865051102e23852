#include "precept/feedback/code/code_test.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include <sys/random.h>

#include "precept/core/digest.h"
#include "precept/core/io.h"

namespace precept {
namespace {

// Not "__main__": what a program does only as a script stays undone. The proof goes straight to the descriptor, since tests
// replace sys.stdout; os._exit, because threads and exit handlers of the program have no say any more.
constexpr const char* kRunner = R"py(
import os
with open("program.py", encoding="utf-8") as file:
    source = file.read()
exec(compile(source, "program.py", "exec"), {"__name__": "solution"})
os.write(1, os.read(0, 64))
os._exit(0)
)py";

constexpr std::size_t kDetailBytes = 1500;

std::string drawn_number() {
  unsigned char bytes[16];
  for (std::size_t at = 0; at < sizeof bytes;) {
    const ssize_t got = getrandom(bytes + at, sizeof bytes - at, 0);
    if (got > 0) at += static_cast<std::size_t>(got);
  }
  std::string text = "\npassed ";
  char digits[3];
  for (const unsigned char byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", byte);
    text += digits;
  }
  return text + '\n';
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// The last kDetailBytes, from the beginning of a line on, with what is not UTF-8 replaced.
std::string tail_of(const std::string& text) {
  std::size_t from = text.size() > kDetailBytes ? text.size() - kDetailBytes : 0;
  if (from > 0) {
    const std::size_t line = text.find('\n', from);
    if (line != std::string::npos && line + 1 < text.size()) from = line + 1;
  }
  return valid_utf8(std::string_view(text).substr(from));
}

std::string last_line(const std::string& text) {
  const std::size_t end = text.find_last_not_of(" \t\r\n");
  if (end == std::string::npos) return {};
  const std::size_t before = text.rfind('\n', end);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  std::string line(utf8_prefix(std::string_view(text).substr(begin, end - begin + 1), 200));
  std::replace_if(line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return line;
}

CodeVerdict verdict_of(const SandboxRun& run, const std::string& proof) {
  CodeVerdict verdict;
  verdict.outcome = run.outcome;
  if (run.outcome == SandboxOutcome::kNotStarted) {
    verdict.why = "not run: " + run.reason;
    return verdict;
  }
  if (run.outcome == SandboxOutcome::kPassed && ends_with(run.out, proof)) {
    verdict.value = CodeVerdict::Value::kPassed;
    return verdict;
  }
  verdict.value = CodeVerdict::Value::kFailed;
  verdict.detail = tail_of(run.err);
  if (run.outcome == SandboxOutcome::kPassed) {
    verdict.why = "it ended before its tests did";
  } else if (run.outcome == SandboxOutcome::kFailed) {
    const std::string said = last_line(verdict.detail);
    verdict.why = said.empty() ? run.reason : said;
  } else {
    verdict.why = std::string(outcome_name(run.outcome)) + ": " + run.reason;
  }
  return verdict;
}

}  // namespace

SandboxLimits code_limits() {
  SandboxLimits limits;
  limits.keep_bytes = std::uint64_t{16} << 10;
  return limits;
}

void test_code(Sandbox& sandbox, const CodeTask& task, std::string program, const SandboxLimits& limits,
               std::function<void(CodeVerdict)> done) {
  SandboxProgram run;
  run.argv = {"/usr/bin/python3", "-I", "-S", "-E", "-B", "-c", kRunner};
  program += "\n\n" + task.test + "\n\ncheck(" + task.entry_point + ")\n";
  run.files = {{"program.py", std::move(program)}};
  const std::string proof = drawn_number();
  run.standard_input = proof;
  run.limits = limits;
  sandbox.submit(std::move(run), [proof, done = std::move(done)](const SandboxRun& ran) {
    done(verdict_of(ran, proof));
  });
}

std::string code_runner_digest() { return sha256(kRunner); }

}  // namespace precept
