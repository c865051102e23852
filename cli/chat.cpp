// precept chat: a conversation with a model in the terminal, and on request what a constitution says of each answer.

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "precept/constitution/constitution.h"
#include "precept/core/io.h"
#include "precept/revise/review.h"

namespace precept {
namespace {

struct ChatOptions {
  CommonOptions common;
  std::string system;
  bool judged = false;
  Sampling sampling;
};

constexpr const char* kCommands =
    "/system TEXT  another system prompt, and a new conversation    /reset  a new conversation\n"
    "/undo         forget the last exchange                         /save FILE  the conversation as a line of JSONL\n"
    "/exit         or Ctrl-D";

// What judges, where something does.
struct Bench {
  Constitution constitution;
  Templates templates;
  std::unique_ptr<Model> other;  // --judge; empty: the model itself
};

class Chat {
 public:
  Chat(const ChatOptions& options, Model& model, std::optional<Bench> bench)
      : options_(options), model_(model), bench_(std::move(bench)), terminal_(::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0) {}

  Result<int> run() {
    reset(options_.system);
    if (terminal_) std::printf("%s\n%s\n", one_line(model_.info().name).c_str(), kCommands);
    std::string line;
    while (ask(line)) {
      if (line.empty()) continue;
      if (line[0] == '/') {
        if (line == "/exit") break;
        command(line);
        continue;
      }
      if (const auto bad = find_invalid_utf8(line)) {
        if (!terminal_) return bad_input("byte " + std::to_string(*bad + 1) + " of a line is not UTF-8", "save the text as UTF-8", "standard input");
        std::printf("that line is not UTF-8\n");
        continue;
      }
      messages_.push_back({"user", line});
      if (const Status answered = answer(); !answered) {
        messages_.pop_back();
        if (!terminal_) return tl::unexpected<Error>(answered.error());
        std::fputs(error_text(answered.error()).c_str(), stderr);
      }
      if (std::ferror(stdout) != 0) return failed("cannot write to the standard output", "is the disk full, or the reader gone?");
    }
    if (terminal_) std::printf("\n");
    return 0;
  }

 private:
  bool ask(std::string& line) const {
    if (terminal_) {
      std::printf("> ");
      std::fflush(stdout);
    }
    return !interrupted() && static_cast<bool>(std::getline(std::cin, line));
  }

  void reset(const std::string& system) {
    messages_.clear();
    if (!system.empty()) messages_.push_back({"system", system});
  }

  void command(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string name = line.substr(0, space);
    const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
    if (name == "/reset") {
      reset(messages_.empty() || messages_[0].role != "system" ? "" : messages_[0].content);
    } else if (name == "/system") {
      reset(rest);
    } else if (name == "/undo") {
      if (!messages_.empty() && messages_.back().role == "assistant") messages_.resize(messages_.size() - 2);
    } else if (name == "/save" && !rest.empty()) {
      save(rest);
    } else {
      std::printf("%s\n", kCommands);
    }
  }

  void save(const std::string& path) const {
    nlohmann::ordered_json turns = nlohmann::ordered_json::array();
    for (const Message& message : messages_) turns.push_back({{"role", message.role}, {"content", message.content}});
    const nlohmann::ordered_json line = {{"messages", std::move(turns)}};
    const Status written = write_file(path, line.dump() + "\n");
    if (!written) std::fputs(error_text(written.error()).c_str(), stderr);
  }

  // Until nothing is in flight. A request that was sent is waited for, whatever the user pressed.
  static void finish(Model& model) {
    while (model.advance(std::chrono::milliseconds(200)) > 0) {
      if (interrupted()) leave_interrupted();
    }
  }

  Status answer() {
    GenerateRequest request;
    request.messages = messages_;
    request.sampling = options_.sampling;
    request.key = {.seed = options_.common.seed, .item = static_cast<std::uint64_t>(messages_.size()), .step = 0, .round = 0};
    request.on_text = [](std::string_view part) {
      std::fwrite(part.data(), 1, part.size(), stdout);
      std::fflush(stdout);
    };
    std::optional<Result<Generation>> got;
    model_.submit(std::move(request), [&](Result<Generation> answer) { got = std::move(answer); });
    finish(model_);
    if (!*got) return tl::unexpected<Error>(got->error());
    const Generation& answer = **got;
    std::printf("%s\n", answer.finish == Finish::kLength ? " [cut]" : "");
    const Conversation before = messages_;
    messages_.push_back({"assistant", answer.text});
    return bench_ ? judge(before, answer.text) : Status{};
  }

  Status judge(const Conversation& before, const std::string& reply) {
    Model& judge = bench_->other ? *bench_->other : model_;
    auto task = review(judge, bench_->constitution, bench_->templates, before, reply);
    task.start();
    finish(judge);
    const Result<Review> said = task.take();
    if (!said) return tl::unexpected<Error>(said.error());
    std::string text = said->verdicts.empty() ? "  no principle applies\n" : "";
    for (const Verdict& verdict : said->verdicts) {
      text += "  " + std::string(verdict_name(StepKind::kJudge, verdict.value)) + ": " + one_line(verdict.principle);
      if (verdict.probability) {
        char p[32];
        std::snprintf(p, sizeof p, " (violates with p = %.2f)", *verdict.probability);
        text += p;
      }
      text += "\n";
    }
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    return {};
  }

  const ChatOptions& options_;
  Model& model_;
  std::optional<Bench> bench_;
  Conversation messages_;
  const bool terminal_;
};

Result<std::optional<Bench>> open_bench(const ChatOptions& options, const OpenOptions& open) {
  const CommonOptions& common = options.common;
  if (!options.judged && common.constitution.empty() && common.judge.empty()) return std::optional<Bench>();
  const std::string path = common.constitution.empty() ? data_path("constitutions/default.toml") : common.constitution;
  Result<Constitution> constitution = load_constitution(path);
  if (!constitution) return tl::unexpected<Error>(constitution.error());
  Result<Templates> templates = resolve_templates(*constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  Bench bench{std::move(*constitution), std::move(*templates), nullptr};
  if (!common.judge.empty()) {
    auto judge = open_model(common.judge, open);
    if (!judge) return tl::unexpected<Error>(judge.error());
    bench.other = std::move(*judge);
  }
  return std::optional<Bench>(std::move(bench));
}

Result<int> run_chat(const ChatOptions& options) {
  if (options.common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  OpenOptions open;
  open.engine = engine_options(options.common);
  auto bench = open_bench(options, open);
  if (!bench) return tl::unexpected<Error>(bench.error());
  auto model = open_model(options.common.model, open);
  if (!model) return tl::unexpected<Error>(model.error());
  return Chat(options, **model, std::move(*bench)).run();
}

}  // namespace

void add_chat(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("chat", "talk with a model; on request a constitution judges each answer");
  const auto options = std::make_shared<ChatOptions>();
  CommonOptions& common = options->common;
  add_model_option(*command, common);
  command->add_option("--system", options->system, "system prompt");
  command->add_flag("--judged", options->judged, "show what the constitution says of each answer");
  command->add_option("--constitution", common.constitution, std::string(kConstitutionHelp) + "; judges the answers");
  command->add_option("--judge", common.judge, kJudgeHelp);
  command->add_option("--temperature", options->sampling.temperature, "0: greedy")->capture_default_str();
  command->add_option("--top-p", options->sampling.top_p, "sample from the most probable tokens of this total")->capture_default_str();
  command->add_option("--max-tokens", options->sampling.max_tokens, "longest answer")->capture_default_str();
  add_seed_option(*command, common);
  add_engine_options(*command, common);
  command->callback([options, &context] { context.action = [options] { return run_chat(*options); }; });
}

}  // namespace precept
