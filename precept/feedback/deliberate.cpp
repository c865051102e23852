#include "precept/feedback/deliberate.h"

#include <algorithm>
#include <map>

#include "precept/core/quote.h"
#include "precept/feedback/judge_reward.h"
#include "precept/model/pump.h"
#include "precept/revise/templates.h"
#include "precept/revise/verdicts.h"

namespace precept {
namespace {

constexpr std::uint32_t kAnswerStream = 0x44454c49, kReasoningStream = 0x44454c52;  // RngKey::step
constexpr int kInFlight = 512;

using Slots = std::map<std::string, std::string>;

// What is filled in is not looked at again.
std::string filled(const std::string& pattern, const Slots& slots) {
  std::string out;
  for (std::size_t at = 0; at < pattern.size();) {
    const auto slot = std::find_if(slots.begin(), slots.end(), [&](const auto& one) { return pattern.compare(at, one.first.size(), one.first) == 0; });
    if (slot == slots.end()) {
      out += pattern[at++];
    } else {
      out += slot->second;
      at += slot->first.size();
    }
  }
  return out;
}

// The request about a prompt with these rules before it.
Conversation asked(const std::string& pattern, const Conversation& messages, const Principles& rules, const std::string& reasoning) {
  std::string joined;
  for (const Principle* rule : rules) joined += (joined.empty() ? "" : "\nRule: ") + rule->text;
  return {{"user", filled(pattern, {{"{prompt}", render_conversation(messages)}, {"{rules}", joined}, {"{reasoning}", reasoning}})}};
}

Status check_slots(const char* name, const std::string& pattern, const std::vector<std::string>& needed, const std::vector<std::string>& allowed) {
  const auto count = [&](const std::string& slot) {
    int n = 0;
    for (std::size_t at = pattern.find(slot); at != std::string::npos; at = pattern.find(slot, at + 1)) ++n;
    return n;
  };
  for (const std::string& slot : needed) {
    if (count(slot) == 0) return bad_input(std::string(name) + " has no " + slot, "it is where that is filled in");
  }
  for (const std::string slot : {"{prompt}", "{rules}", "{reasoning}"}) {
    if (count(slot) > 1) return bad_input(std::string(name) + " has " + slot + " twice", "name it once");
    if (count(slot) == 1 && std::find(allowed.begin(), allowed.end(), slot) == allowed.end()) {
      return bad_input(std::string(name) + " has " + slot, "that is not known yet when this is asked");
    }
  }
  return {};
}

bool blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

// One sample of one prompt on its way.
struct Attempt {
  std::string reasoning;
  bool unfinished = false;  // cut, blank, or reasoning that holds the mark of the answer
  RewardInput answer;
};

class AllAttempts {
 public:
  AllAttempts(const std::vector<Prompt>& prompts, Model& policy, const DeliberateOptions& options, std::uint64_t seed, const EventSink& events)
      : prompts_(prompts), policy_(policy), options_(options), seed_(seed), events_(events), samples_(static_cast<std::size_t>(options.samples)),
        attempts_(prompts.size() * samples_) {}

  // First all reasonings, then all answers.
  Status write(const std::vector<Principles>& rules) {
    for (std::size_t k = 0; options_.reasoning && k < attempts_.size(); ++k) attempts_[k].reasoning = rules[k / samples_].empty() ? options_.no_rule : "";
    if (options_.reasoning) {
      const Status reasoned = ask("reasonings", [&](std::size_t k, GenerateRequest& request) {
        if (rules[k / samples_].empty()) return false;
        request.messages = asked(options_.reasoning_request, prompts_[k / samples_].messages, rules[k / samples_], "");
        request.sampling.max_tokens = options_.reasoning_max_tokens;
        request.key.step = kReasoningStream;
        return true;
      }, [&](Attempt& attempt, const Generation& said) {
        attempt.reasoning = said.text;
        attempt.unfinished = said.finish == Finish::kLength || blank(said.text) || said.text.find(kAnswerMark) != std::string::npos;
      });
      if (!reasoned) return reasoned;
    }
    return ask("answers", [&](std::size_t k, GenerateRequest& request) {
      const Prompt& prompt = prompts_[k / samples_];
      const Principles& with = rules[k / samples_];
      if (attempts_[k].unfinished) return false;
      request.messages = with.empty() ? prompt.messages : asked(options_.request, prompt.messages, with, attempts_[k].reasoning);
      request.sampling.max_tokens = options_.max_tokens;
      request.key.step = kAnswerStream;
      return true;
    }, [&](Attempt& attempt, const Generation& said) {
      // A policy that learnt to reason before may do so again.
      attempt.answer.reply = options_.reasoning ? answer_in(said.text, false) : said.text;
      attempt.unfinished = said.finish == Finish::kLength || blank(attempt.answer.reply);
      attempt.answer.tokens = said.usage.output_tokens;
    });
  }

  // The first of each prompt's attempts that counts; `judge` null: what is whole counts.
  Result<std::vector<DeliberatedAnswer>> choose(JudgeReward* judge) {
    std::vector<RewardInput> whole;
    std::vector<std::size_t> of;
    for (std::size_t k = 0; k < attempts_.size(); ++k) {
      if (attempts_[k].unfinished) continue;
      const Prompt& prompt = prompts_[k / samples_];
      whole.push_back({prompt.id, prompt.messages, attempts_[k].answer.reply, attempts_[k].answer.tokens, false, static_cast<int>(k % samples_)});
      of.push_back(k);
    }
    std::vector<bool> fine(whole.size(), true);
    if (judge != nullptr && !whole.empty()) {
      const auto verdicts = judge->score(whole);
      if (!verdicts) return tl::unexpected(verdicts.error());
      for (std::size_t i = 0; i < whole.size(); ++i) fine[i] = (*verdicts)[i][0].value == 1.0;
    }
    std::vector<DeliberatedAnswer> out;
    std::size_t last = prompts_.size();
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const std::size_t prompt = of[i] / samples_;
      if (!fine[i] || prompt == last) continue;
      last = prompt;
      out.push_back({whole[i].id, whole[i].messages, attempts_[of[i]].reasoning, whole[i].reply});
    }
    return out;
  }

 private:
  template <class Fill, class Take>
  Status ask(const char* unit, const Fill& fill, const Take& take) {
    const auto submit = [&](std::size_t k, const std::function<void(Status)>& done) {
      GenerateRequest request;
      request.sampling.temperature = options_.temperature;
      request.key = {seed_, hash64(prompts_[k / samples_].id), 0, static_cast<std::uint32_t>(k % samples_)};
      if (!fill(k, request)) return done({});
      policy_.submit(std::move(request), [&, k, done](Result<Generation> said) {
        if (!said) return done(tl::unexpected(said.error()));
        take(attempts_[k], *said);
        done({});
      });
    };
    return pump(policy_, attempts_.size(), kInFlight, submit, events_, "deliberate", unit);
  }

  const std::vector<Prompt>& prompts_;
  Model& policy_;
  const DeliberateOptions& options_;
  std::uint64_t seed_;
  const EventSink& events_;
  std::size_t samples_;
  std::vector<Attempt> attempts_;
};

// The principles that the judge says apply to each prompt, and those of which it is not known.
Result<std::vector<Principles>> applying(const std::vector<Prompt>& prompts, Model& judge, const Constitution& constitution, const Templates& templates,
                                         const EventSink& events) {
  Principles every;
  for (const Principle& principle : constitution.principles) every.push_back(&principle);
  std::vector<Principles> rules(prompts.size());
  const auto ask = [&](std::size_t i, const std::function<void(Status)>& done) {
    judge.submit(yes_no_questions(select_request(templates, prompts[i].messages, every)), [&, i, done](Result<Scores> scores) {
      if (!scores) return done(tl::unexpected(scores.error()));
      const auto verdicts = read_scores(*scores, every, ReviewOptions().select_threshold);
      if (!verdicts) return done(tl::unexpected(verdicts.error()));
      for (std::size_t p = 0; p < every.size(); ++p) {
        if ((*verdicts)[p].value != Verdict::Value::kNo) rules[i].push_back(every[p]);
      }
      done({});
    });
  };
  if (const Status done = pump(judge, prompts.size(), kInFlight, ask, events, "deliberate", "prompts"); !done) return tl::unexpected(done.error());
  return rules;
}

class AnswersAlone : public Model {
 public:
  AnswersAlone(std::unique_ptr<Model> model, int reasoning_tokens) : model_(std::move(model)), more_(reasoning_tokens) {}
  const ModelInfo& info() const override { return model_->info(); }
  void submit(GenerateRequest request, GenerateDone done) override {
    request.sampling.max_tokens += more_;
    // Which part is the answer is known in the end.
    const auto listener = std::exchange(request.on_text, nullptr);
    model_->submit(std::move(request), [listener, done = std::move(done)](Result<Generation> said) {
      if (said) {
        said->text = answer_in(said->text, said->finish == Finish::kLength);
        if (listener && !said->text.empty()) listener(said->text);
      }
      done(std::move(said));
    });
  }
  void submit(ScoreRequest request, ScoreDone done) override { model_->submit(std::move(request), std::move(done)); }
  std::size_t advance(std::chrono::milliseconds wait) override { return model_->advance(wait); }

 private:
  std::unique_ptr<Model> model_;
  int more_;
};

}  // namespace

Status check(const DeliberateOptions& o) {
  std::vector<std::string> needed = {"{prompt}", "{rules}"};
  if (o.reasoning) needed.emplace_back("{reasoning}");
  if (Status fine = check_slots("request", o.request, needed, {"{prompt}", "{rules}", "{reasoning}"}); !fine) return fine;
  if (Status fine = check_slots("reasoning_request", o.reasoning_request, {"{prompt}", "{rules}"}, {"{prompt}", "{rules}"}); !fine) return fine;
  if (o.reasoning && (blank(o.no_rule) || o.no_rule.find(kAnswerMark) != std::string::npos)) {
    return bad_input("no_rule is empty or holds the mark of the answer, " + in_quotes(kAnswerMark), "write a short sentence");
  }
  return {};
}

std::string DeliberatedAnswer::completion() const { return reasoning.empty() ? reply : reasoning + kAnswerMark + reply; }

Result<std::vector<DeliberatedAnswer>> deliberate(const std::vector<Prompt>& prompts, Model& policy, Model& judge, const Constitution& constitution,
                                                  const DeliberateOptions& options, std::uint64_t seed, const EventSink& events) {
  if (const Status fine = check(options); !fine) return tl::unexpected(fine.error());
  const auto templates = resolve_templates(constitution);
  if (!templates) return tl::unexpected(templates.error());
  std::vector<Principles> rules(prompts.size());
  if (options.rules == "all") {
    for (Principles& each : rules) {
      for (const Principle& principle : constitution.principles) each.push_back(&principle);
    }
  } else {
    auto applicable = applying(prompts, judge, constitution, *templates, events);
    if (!applicable) return tl::unexpected(applicable.error());
    rules = std::move(*applicable);
  }
  AllAttempts attempts(prompts, policy, options, seed, events);
  if (const Status written = attempts.write(rules); !written) return tl::unexpected(written.error());
  JudgeReward by_verdict(judge, constitution, *templates, JudgeWorth::kVerdict);
  return attempts.choose(options.filter ? &by_verdict : nullptr);
}

std::string answer_in(const std::string& text, bool cut) {
  const std::size_t mark = text.find(kAnswerMark);
  if (mark != std::string::npos) return text.substr(mark + std::string_view(kAnswerMark).size());
  return cut ? "" : text;
}

std::unique_ptr<Model> answers_alone(std::unique_ptr<Model> model, int reasoning_tokens) {
  return std::make_unique<AnswersAlone>(std::move(model), reasoning_tokens);
}

}  // namespace precept
