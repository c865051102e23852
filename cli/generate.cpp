// precept generate: answers of a model to prompts.

#include <chrono>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/dry_run.h"
#include "cli/interrupt.h"
#include "cli/open_model.h"
#include "precept/constitution/prompts.h"
#include "precept/core/io.h"
#include "precept/model/model.h"
#include "precept/model/request_check.h"

namespace precept {
namespace {

struct GenerateOptions {
  CommonOptions common;
  EndpointOptions endpoint;
  std::string prompt;
  std::string system;
  bool raw = false, dry_run = false;
  Sampling sampling;
};

struct Question {
  std::string id;
  GenerateRequest request;
};

Result<std::vector<Prompt>> prompts_of(const GenerateOptions& options) {
  if (!options.common.prompts.empty()) return load_prompts(options.common.prompts);
  if (options.prompt.empty()) {
    return bad_input("there is no prompt", "give --prompt TEXT or --prompts FILE");
  }
  return std::vector<Prompt>{{"prompt", {{"user", options.prompt}}, {}}};
}

// Everything that can be refused is refused here, before a model is opened.
Result<std::vector<Question>> questions_of(const GenerateOptions& options) {
  auto prompts = prompts_of(options);
  if (!prompts) return tl::unexpected<Error>(prompts.error());
  std::vector<Question> questions;
  for (Prompt& prompt : *prompts) {
    Question question{std::move(prompt.id), {}};
    GenerateRequest& request = question.request;
    request.messages = std::move(prompt.messages);
    if (!options.system.empty()) {
      if (!request.messages.empty() && request.messages.front().role == "system") {
        return bad_input("prompt \"" + question.id + "\" has a system message already",
                         "leave out --system, or the system message", options.common.prompts);
      }
      request.messages.insert(request.messages.begin(), {"system", options.system});
    }
    request.raw = options.raw;
    request.sampling = options.sampling;
    request.logprobs = options.common.json;
    request.key = {.seed = options.common.seed, .item = hash64(question.id), .step = 0, .round = 0};
    if (Status status = check_request(request); !status) {
      Error error = status.error();
      if (!options.common.prompts.empty()) {
        error.what = "prompt \"" + question.id + "\": " + error.what;
        error.file = options.common.prompts;
      }
      return tl::unexpected<Error>(std::move(error));
    }
    questions.push_back(std::move(question));
  }
  return questions;
}

nlohmann::json to_json(const std::string& id, const Generation& answer) {
  return {{"id", id},
          {"text", answer.text},
          {"finish", answer.finish == Finish::kStop ? "stop" : "length"},
          {"tokens", answer.tokens},
          {"logprobs", answer.logprobs},
          {"usage",
           {{"prompt_tokens", answer.usage.prompt_tokens},
            {"cached_tokens", answer.usage.cached_tokens},
            {"output_tokens", answer.usage.output_tokens}}}};
}

// Prints answers in the order of the prompts, whatever order they arrive in.
class Printer {
 public:
  Printer(const std::vector<Question>& questions, bool json) : questions_(questions), json_(json) {}

  void put(std::size_t index, const Result<Generation>& answer) {
    waiting_.emplace(index, text_of(questions_[index].id, answer));
    while (!waiting_.empty() && waiting_.begin()->first == next_) {
      const std::string& text = waiting_.begin()->second;
      if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) broken_ = true;
      waiting_.erase(waiting_.begin());
      ++next_;
    }
    if (std::fflush(stdout) != 0) broken_ = true;
  }
  bool broken() const { return broken_; }

 private:
  std::string text_of(const std::string& id, const Result<Generation>& answer) const {
    if (json_) {
      const nlohmann::json line =
          answer ? to_json(id, *answer) : nlohmann::json{{"id", id}, {"error", answer.error().message()}};
      return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    }
    if (!answer) return "";
    if (questions_.size() == 1) return answer->text + "\n";
    return "[" + id + "]\n" + answer->text + "\n\n";
  }

  const std::vector<Question>& questions_;
  bool json_;
  std::map<std::size_t, std::string> waiting_;
  std::size_t next_ = 0;
  bool broken_ = false;
};

Result<int> generate_all(Model& model, const std::vector<Question>& questions, bool json,
                         const EventSink& events) {
  Printer printer(questions, json);
  std::size_t failures = 0;
  std::optional<Error> first;
  std::size_t done = 0;
  for (std::size_t i = 0; i < questions.size(); ++i) {
    model.submit(questions[i].request, [&, i](Result<Generation> answer) {
      printer.put(i, answer);
      Event event;
      event.stage = "generate";
      if (!answer) {
        ++failures;
        if (!first) first = answer.error();
        if (questions.size() > 1 && answer.error().kind != ErrorKind::kLimit) {
          event.kind = Event::Kind::kWarning;
          event.text = "prompt \"" + questions[i].id + "\": " + answer.error().message();
          if (events) events(event);
        }
      }
      event.text.clear();
      event.kind = Event::Kind::kProgress;
      event.done = static_cast<std::int64_t>(++done);
      event.total = static_cast<std::int64_t>(questions.size());
      event.unit = "prompts";
      if (events && questions.size() > 1) events(event);
    });
  }
  while (model.advance(std::chrono::milliseconds(200)) > 0) {
    if (printer.broken()) break;
    if (interrupted()) leave_interrupted();
  }
  if (printer.broken()) {
    return failed("cannot write to the standard output", "is the disk full?");
  }
  if (!first) return 0;
  if (questions.size() == 1 || first->kind == ErrorKind::kLimit) return tl::unexpected<Error>(*first);
  return failed(std::to_string(failures) + " of " + std::to_string(questions.size()) +
                    " prompts failed; the first: " + first->message(),
                first->hint);
}

Result<int> run_generate(const GenerateOptions& options, const EventSink& events) {
  if (options.common.model.empty()) {
    return bad_input("no model is given", "give --model, for example --model pocket");
  }
  EndpointOptions endpoint = options.endpoint;
  if (const Status fine = check_fields(fields_of(endpoint), true); !fine) return tl::unexpected<Error>(fine.error());
  if (const Status fine = check_ceiling(endpoint, {options.common.model}); !fine) return tl::unexpected<Error>(fine.error());
  auto questions = questions_of(options);
  if (!questions) return tl::unexpected<Error>(questions.error());
  if (options.dry_run) {
    std::vector<GenerateRequest> requests;
    for (Question& question : *questions) requests.push_back(std::move(question.request));
    return dry_run({options.common.model, "", endpoint, options.common.json}, requests);
  }
  OpenOptions open;
  open.engine = engine_options(options.common);
  open.endpoint = endpoint;
  open.events = events;
  auto model = open_model(options.common.model, open);
  if (!model) return tl::unexpected<Error>(model.error());
  return generate_all(**model, *questions, options.common.json, events);
}

}  // namespace

void add_generate(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("generate", "answers of a model to prompts");
  const auto options = std::make_shared<GenerateOptions>();
  add_model_option(*command, options->common);
  CLI::Option* prompts = add_prompts_option(*command, options->common);
  command->add_option("--prompt", options->prompt, "one prompt")->excludes(prompts);
  CLI::Option* raw = command->add_flag("--raw", options->raw, "continue the text as it stands: no chat template");
  command->add_option("--system", options->system, "system message before each prompt")->excludes(raw);
  command->add_option("--temperature", options->sampling.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-p", options->sampling.top_p, "sample from the most probable tokens of this total")
      ->capture_default_str();
  command->add_option("--max-tokens", options->sampling.max_tokens, "longest answer")->capture_default_str();
  command->add_option("--stop", options->sampling.stop, "the answer ends before this text; may be repeated")
      ->allow_extra_args(false);
  command->add_flag("--dry-run", options->dry_run, "only say how many calls and tokens it would take; nothing is sent");
  add_seed_option(*command, options->common);
  add_json_option(*command, options->common);
  add_engine_options(*command, options->common);
  add_fields(*command, options->endpoint);
  repeat_headers(*command);
  command->callback([options, &context] {
    context.action = [options, &context] { return run_generate(*options, context.events); };
  });
}

}  // namespace precept
