// The tries of one sample: stored steps are taken as they are, others are made and stored.

#include "precept/feedback/solve_item.h"

#include <algorithm>
#include <utility>

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/feedback/await_test.h"
#include "precept/feedback/code/extract.h"
#include "precept/model/await.h"

namespace precept {
namespace {

constexpr const char* kAsk =
    "Complete this Python function. Answer with one fenced block of Python that holds the whole function and what it imports.\n\n```python\n";
constexpr const char* kFailedTry = "This program fails its tests.\n\n";
constexpr const char* kAskAgain = "\n\nFind the mistake and write the whole function again, in one fenced block of Python.";
constexpr const char* kAskNotes =
    "\n\nDo not write a program now. In a few sentences, for someone who cannot see this program: what was tried, why it failed, "
    "and what to do differently?";
constexpr const char* kNotes = "\n\nEarlier programs failed. Notes on them:\n";
// Where a continued prompt has left its function (Chen et al. 2021, section 2.1).
const char* const kStops[] = {"\nclass", "\ndef", "\n#", "\nif", "\nprint"};

tl::unexpected<Error> fail(const Error& error) { return tl::unexpected<Error>(error); }

std::string said_of(const TestResult& test) {
  return "```\n" + (test.detail.empty() ? test.why : test.detail) + (test.detail.empty() || test.detail.back() != '\n' ? "\n```" : "```");
}

// What happened in one try.
struct Try {
  std::string answer;
  TestResult test;
};

class Sample {
 public:
  Sample(SolveRun& run, ItemTrace& trace)
      : run_(run),
        trace_(trace),
        which_(sample_of(trace.item.ordinal, run.strategies, run.tasks.size(), run.options.samples)),
        task_(run.tasks[which_.task]) {}

  Task<Result<Ending>> work() {
    for (int round = 0;; ++round) {
      if (round > 0 && which_.strategy == Strategy::kSummary) {
        const Status noted = co_await note(round);
        if (!noted) co_return fail(noted.error());
        if (left() < 1) co_return Ending::kUnsettled;
      }
      Result<std::string> answer = co_await write(round == 0 ? StepKind::kDraft : StepKind::kRevision, round, request(round));
      if (!answer) co_return fail(answer.error());
      Result<TestResult> test = co_await this->test(round, program_of_answer(task_, *answer));
      if (!test) co_return fail(test.error());
      if (test->passed) co_return round == 0 ? Ending::kComplied : Ending::kRevised;
      last_ = Try{std::move(*answer), std::move(*test)};
      if (which_.strategy == Strategy::kOne || round + 1 >= run_.options.max_tries || left() < 1) co_return Ending::kUnsettled;
    }
  }

 private:
  // Tokens that the next request may write: what is left of the budget once it has read its prompt, of which at least this
  // much is known.
  std::int64_t left() const {
    const bool persist = which_.strategy == Strategy::kPersist;
    const std::uint64_t again = persist ? count_.last_prompt() + count_.last_output() : count_.first_prompt();
    return static_cast<std::int64_t>(run_.budget) - static_cast<std::int64_t>(count_.spent() + again);
  }

  GenerateRequest request(int round) {
    GenerateRequest next = first_request(run_.options, task_);
    if (which_.strategy == Strategy::kPersist) {
      if (round > 0) {
        history_.push_back({"assistant", last_.answer});
        history_.push_back({"user", kFailedTry + said_of(last_.test) + kAskAgain});
      } else {
        history_ = next.messages;
      }
      next.messages = history_;
    }
    if (which_.strategy == Strategy::kSummary && !notes_.empty()) next.messages.back().content += kNotes + notes_;
    const std::int64_t most = which_.strategy == Strategy::kOne ? std::int64_t{1'000'000} : run_.options.max_tokens;
    next.sampling.max_tokens = static_cast<int>(std::clamp<std::int64_t>(left(), 1, most));
    return next;
  }

  Task<Status> note(int round) {
    GenerateRequest ask = first_request(run_.options, task_);
    ask.messages.push_back({"assistant", last_.answer});
    ask.messages.push_back({"user", kFailedTry + said_of(last_.test) + kAskNotes});
    ask.sampling.max_tokens = static_cast<int>(std::clamp<std::int64_t>(left(), 1, run_.options.summary_tokens));
    Result<std::string> text = co_await write(StepKind::kCritique, round, std::move(ask));
    if (!text) co_return fail(text.error());
    notes_ += "- " + *text + "\n";
    co_return Status{};
  }

  Task<Result<std::string>> write(StepKind kind, int round, GenerateRequest ask) {
    // Samples of one number begin alike in every strategy: differences between strategies are then not those of luck.
    ask.key = {run_.options.seed, hash64(task_.id + '\n' + std::to_string(which_.sample)), static_cast<std::uint32_t>(kind),
               static_cast<std::uint32_t>(round)};
    std::string inputs = request_digest(ask, run_.model.info().digest);
    const Result<const StepRecord*> stored = run_.log.recall(trace_, kind, round, inputs);
    if (!stored) co_return fail(stored.error());
    if (*stored) {
      count_.add((*stored)->usage);
      co_return (*stored)->text;
    }
    const Conversation messages = ask.messages;
    Result<Generation> answer = co_await generate(run_.model, std::move(ask));
    if (!answer) co_return fail(answer.error());
    StepRecord step;
    step.text = valid_utf8(answer->text);
    step.cut = answer->finish == Finish::kLength;
    step.usage = counted(answer->usage, step.text, messages);
    step.model = run_.model.info().digest;
    count_.add(step.usage);
    std::string text = step.text;
    const Status kept = keep(std::move(step), kind, round, std::move(inputs));
    if (!kept) co_return fail(kept.error());
    co_return text;
  }

  Task<Result<TestResult>> test(int round, std::string program) {
    const SandboxLimits& limits = run_.limits;
    const std::string inputs = sha256(code_runner_digest() + ' ' + std::to_string(limits.wall_seconds) + ' ' +
                                      std::to_string(limits.memory_bytes) + '\n' + task_.entry_point + '\n' +
                                      std::to_string(task_.test.size()) + '\n' + task_.test + program);
    const Result<const StepRecord*> stored = run_.log.recall(trace_, StepKind::kJudge, round, inputs);
    if (!stored) co_return fail(stored.error());
    if (*stored) co_return read_test(**stored);
    const CodeVerdict verdict = co_await tested(run_.sandbox, task_, std::move(program), limits);
    if (verdict.value == CodeVerdict::Value::kUnscored) co_return failed("the sandbox could not run a program: " + verdict.why);
    TestResult result{verdict.value == CodeVerdict::Value::kPassed, outcome_name(verdict.outcome), verdict.why, verdict.detail};
    if (verdict.outcome == SandboxOutcome::kPassed && !result.passed) result.outcome = outcome_name(SandboxOutcome::kFailed);
    StepRecord step;
    step.principles = {"tests"};
    step.text = nlohmann::ordered_json({{"outcome", result.outcome}, {"why", result.why}, {"detail", result.detail}})
                    .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    step.verdicts = {{"tests", result.passed ? Verdict::Value::kNo : Verdict::Value::kYes, std::nullopt}};
    step.model = "sandbox";
    const Status kept = keep(std::move(step), StepKind::kJudge, round, inputs);
    if (!kept) co_return fail(kept.error());
    co_return result;
  }

  Status keep(StepRecord step, StepKind kind, int round, std::string inputs) {
    step.round = round;
    step.kind = kind;
    step.inputs = std::move(inputs);
    step.seed = run_.options.seed;
    return run_.log.keep(trace_, std::move(step));
  }

  SolveRun& run_;
  ItemTrace& trace_;
  const SampleOf which_;
  const CodeTask& task_;
  TokenCount count_;
  Try last_;
  Conversation history_;  // persist
  std::string notes_;     // summary
};

}  // namespace

SampleOf sample_of(std::int64_t ordinal, const std::vector<Strategy>& strategies, std::size_t tasks, int samples) {
  const auto each = static_cast<std::int64_t>(tasks) * samples;
  const std::int64_t within = ordinal % each;
  return {strategies[static_cast<std::size_t>(ordinal / each)], static_cast<std::size_t>(within / samples), static_cast<int>(within % samples)};
}

Usage counted(const Usage& usage, std::string_view answer, const Conversation& messages) {
  if (usage.prompt_tokens != 0 || usage.output_tokens != 0) return usage;
  std::size_t bytes = 0;
  for (const Message& message : messages) bytes += message.content.size();
  return {static_cast<std::int64_t>(bytes / 4 + 1), 0, static_cast<std::int64_t>(answer.size() / 4 + 1)};
}

void TokenCount::add(const Usage& usage) {
  last_prompt_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, usage.prompt_tokens));
  last_output_ = static_cast<std::uint64_t>(std::max<std::int64_t>(0, usage.output_tokens));
  spent_ += last_output_ + (first_ ? 0 : last_prompt_);
  if (first_) first_prompt_ = last_prompt_;
  first_ = false;
}

Conversation asked_for(const CodeTask& task) { return {{"user", kAsk + task.prompt + (task.prompt.back() == '\n' ? "```" : "\n```")}}; }

GenerateRequest first_request(const SolveOptions& options, const CodeTask& task) {
  GenerateRequest request;
  request.raw = options.completion;
  if (options.completion) {
    request.messages = {{"user", task.prompt}};
    request.sampling.stop.assign(std::begin(kStops), std::end(kStops));
  } else {
    request.messages = asked_for(task);
  }
  request.sampling.temperature = options.temperature;
  request.sampling.top_p = options.top_p;
  return request;
}

std::string solve_wording_digest() {
  std::string all = std::string(kAsk) + '\n' + kFailedTry + '\n' + kAskAgain + '\n' + kAskNotes + '\n' + kNotes;
  for (const char* stop : kStops) all += std::string("\n") + stop;
  return sha256(all);
}

Result<TestResult> read_test(const StepRecord& step) {
  const auto json = nlohmann::json::parse(step.text, nullptr, false);
  const bool whole = json.is_object() && json.contains("outcome") && json["outcome"].is_string() && json.contains("why") &&
                     json["why"].is_string() && json.contains("detail") && json["detail"].is_string();
  if (!whole || step.verdicts.size() != 1 || step.verdicts[0].principle != "tests" ||
      step.verdicts[0].value == Verdict::Value::kUnparseable) {
    return bad_input("damaged run database: a test without outcome", "restore the file from a copy, or give another run folder");
  }
  TestResult test;
  test.passed = step.verdicts[0].value == Verdict::Value::kNo;
  test.outcome = json["outcome"].get<std::string>();
  test.why = json["why"].get<std::string>();
  test.detail = json["detail"].get<std::string>();
  return test;
}

Task<ItemTrace> solve_item(SolveRun& run, ItemTrace trace) {
  Sample sample(run, trace);
  trace.end(co_await sample.work());
  co_return std::move(trace);
}

}  // namespace precept
