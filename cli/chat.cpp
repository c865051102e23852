// precept chat: a conversation with a model in the terminal, and on request what a constitution says of each answer.

#include <unistd.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/typed_lines.h"
#include "cli/locate.h"
#include "cli/open_model.h"
#include "precept/constitution/constitution.h"
#include "precept/core/io.h"
#include "precept/revise/review.h"

namespace precept {
namespace {

struct ChatOptions {
  CommonOptions common;
  EndpointOptions endpoint;
  std::string system;
  bool judged = false;
  Sampling sampling;
};

constexpr const char* kCommands =
    "/system TEXT  another system prompt, and a new conversation\n"
    "/reset        a new conversation\n"
    "/undo         forget the last exchange\n"
    "/save FILE    the conversation as a line of JSONL\n"
    "/exit         or Ctrl-D; Ctrl-C ends an answer\n"
    "\"\"\"           before and after a message of several lines";

// What judges, where something does.
struct Bench {
  Constitution constitution;
  Templates templates;
};

using OpenModel = std::function<Result<std::unique_ptr<Model>>()>;

// A model that forgets what is in flight when it is opened again.
class Reopened {
 public:
  explicit Reopened(OpenModel open) : open_(std::move(open)) {}
  Status open() {
    model_.reset();
    auto model = open_();
    if (!model) return tl::unexpected<Error>(model.error());
    model_ = std::move(*model);
    return {};
  }
  Model& operator*() const { return *model_; }

 private:
  OpenModel open_;
  std::unique_ptr<Model> model_;
};

// What a terminal would take for a command is shown as ^X: no answer may move the cursor or worse.
std::string harmless(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const unsigned char next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0;
    if ((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f) {
      out += '^';
      out += static_cast<char>(byte ^ 0x40);
    } else if (byte == 0xC2 && next >= 0x80 && next < 0xA0) {  // U+0080 to U+009F
      out += '^';
      ++i;
    } else {
      out += text[i];
    }
  }
  return out;
}

class Chat {
 public:
  Chat(const ChatOptions& options, Reopened model, std::optional<Reopened> judge, std::optional<Bench> bench, bool terminal)
      : options_(options), model_(std::move(model)), judge_(std::move(judge)), bench_(std::move(bench)), lines_(terminal), terminal_(terminal) {}

  Result<int> run() {
    reset(options_.system);
    if (terminal_) {
      interrupts_end_only_answers();
      std::printf("%s\n%s\n", one_line((*model_).info().name).c_str(), kCommands);
    }
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
      if (const Status answered = exchange(line); !answered) {
        if (!terminal_) return tl::unexpected<Error>(answered.error());
        std::fputs(error_text(answered.error()).c_str(), stderr);
      }
      if (std::ferror(stdout) != 0) return failed("cannot write to the standard output", "is the disk full, or the reader gone?");
    }
    if (terminal_) std::printf("\n");
    return 0;
  }

 private:
  // The next message or command; false at the end.
  bool ask(std::string& line) {
    constexpr std::string_view kQuotes = "\"\"\"";
    if (!one_more(terminal_ ? "> " : "", line)) return false;
    if (line.substr(0, kQuotes.size()) != kQuotes) return true;
    line.erase(0, kQuotes.size());
    std::string next;
    while (line.size() < kQuotes.size() || line.substr(line.size() - kQuotes.size()) != kQuotes) {
      if (!one_more(terminal_ ? ". " : "", next)) return false;
      line += "\n" + next;
    }
    line.resize(line.size() - kQuotes.size());
    if (!line.empty() && line[0] == '/') line.insert(0, " ");  // a message, whatever it begins with
    return true;
  }

  bool one_more(const std::string& prompt, std::string& line) {
    while (true) {
      switch (lines_.next(prompt, line)) {
        case TypedLines::Got::kLine: return true;
        case TypedLines::Got::kEnd: return false;
        case TypedLines::Got::kInterrupted:
          if (!terminal_ || !take_interrupt()) leave_interrupted();
          std::printf("^C (Ctrl-D or /exit leaves)\n");
      }
    }
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

  // Until nothing is in flight, or the user wants no more of it: false. Then the model forgets it.
  Result<bool> finish(Reopened& model) {
    while ((*model).advance(std::chrono::milliseconds(50)) > 0) {
      if (!interrupted()) continue;
      if (!terminal_ || !take_interrupt()) leave_interrupted();
      std::printf(" ^C\n");
      if (const Status open = model.open(); !open) return tl::unexpected<Error>(open.error());
      return false;
    }
    return true;
  }

  // One question and its answer. What fails or is interrupted leaves the conversation as it was.
  Status exchange(const std::string& question) {
    Conversation asked = messages_;
    asked.push_back({"user", question});
    GenerateRequest request;
    request.messages = asked;
    request.sampling = options_.sampling;
    request.key = {.seed = options_.common.seed, .item = static_cast<std::uint64_t>(asked.size()), .step = 0, .round = 0};
    bool any = false;
    request.on_text = [this, &any](std::string_view part) {
      any = true;
      const std::string text = terminal_ ? harmless(part) : std::string(part);
      std::fwrite(text.data(), 1, text.size(), stdout);
      std::fflush(stdout);
    };
    std::optional<Result<Generation>> got;
    (*model_).submit(std::move(request), [&](Result<Generation> answer) { got = std::move(answer); });
    const auto whole = finish(model_);
    if (!whole) return tl::unexpected<Error>(whole.error());
    if (!*whole) return {};
    if (!*got) {
      if (any) std::printf("\n");
      return tl::unexpected<Error>(got->error());
    }
    const Generation& answer = **got;
    std::printf("%s\n", answer.finish == Finish::kLength ? " [cut]" : "");
    std::fflush(stdout);
    messages_ = asked;
    messages_.push_back({"assistant", answer.text});
    return bench_ ? judge(asked, answer.text) : Status{};
  }

  Status judge(const Conversation& before, const std::string& reply) {
    Reopened& judge = judge_ ? *judge_ : model_;
    auto task = review(*judge, bench_->constitution, bench_->templates, before, reply);
    task.start();
    const auto whole = finish(judge);
    if (!whole) return tl::unexpected<Error>(whole.error());
    if (!*whole) return {};
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
  Reopened model_;
  std::optional<Reopened> judge_;  // --judge; empty: the model itself
  std::optional<Bench> bench_;
  TypedLines lines_;
  Conversation messages_;
  const bool terminal_;
};

bool is_judged(const ChatOptions& options) {
  return options.judged || !options.common.constitution.empty() || !options.common.judge.empty();
}

Result<std::optional<Bench>> open_bench(const ChatOptions& options) {
  if (!is_judged(options)) return std::optional<Bench>();
  const CommonOptions& common = options.common;
  const std::string path = common.constitution.empty() ? data_path("constitutions/default.toml") : common.constitution;
  Result<Constitution> constitution = load_constitution(path);
  if (!constitution) return tl::unexpected<Error>(constitution.error());
  Result<Templates> templates = resolve_templates(*constitution);
  if (!templates) return tl::unexpected<Error>(templates.error());
  return std::optional<Bench>(Bench{std::move(*constitution), std::move(*templates)});
}

Result<int> run_chat(const ChatOptions& options, const EventSink& events) {
  const CommonOptions& common = options.common;
  if (common.model.empty()) return bad_input("no model is given", "give --model, for example --model pocket");
  OpenOptions open;
  open.endpoint = options.endpoint;
  if (const Status fine = check_fields(fields_of(open.endpoint), true); !fine) return tl::unexpected<Error>(fine.error());
  open.engine = engine_options(common);
  open.events = events;
  auto bench = open_bench(options);
  if (!bench) return tl::unexpected<Error>(bench.error());
  auto meter = open_meter(open.endpoint, {common.model, common.judge}, "", events);  // one, however often models are opened again
  if (!meter) return tl::unexpected<Error>(meter.error());
  open.meter = std::move(*meter);
  const auto opened = [&open](const std::string& uri, bool judges) {
    return Reopened([uri, judges, open]() mutable {
      open.scores = judges;
      return open_model(uri, open);
    });
  };
  std::optional<Reopened> judge;
  if (!common.judge.empty()) judge = opened(common.judge, true);
  Reopened model = opened(common.model, is_judged(options) && !judge);
  if (judge) {
    if (const Status fine = judge->open(); !fine) return tl::unexpected<Error>(fine.error());
  }
  if (const Status fine = model.open(); !fine) return tl::unexpected<Error>(fine.error());
  const bool terminal = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
  return Chat(options, std::move(model), std::move(judge), std::move(*bench), terminal).run();
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
  command->add_option("--threads", common.threads, kThreadsHelp)->capture_default_str();
  add_fields(*command, options->endpoint);
  repeat_headers(*command);
  command->callback([options, &context] {
    context.action = [options, &context] { return run_chat(*options, context.events); };
  });
}

}  // namespace precept
