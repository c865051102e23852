#include "cli/deliberate.h"

#include <nlohmann/json.hpp>

#include "precept/evaluate/json.h"
#include "precept/evaluate/pump.h"
#include "precept/feedback/judge_reward.h"
#include "precept/revise/verdicts.h"

namespace precept {
namespace {

constexpr std::uint32_t kDeliberateStep = 0x44454c49;  // of the answers' random numbers
constexpr int kInFlight = 512;

// The request of a prompt with these rules before it; without any the prompt alone.
Conversation request_of(const DeliberateOptions& options, const Conversation& messages, const Principles& rules) {
  if (rules.empty()) return messages;
  std::string joined;
  for (const Principle* rule : rules) joined += (joined.empty() ? "" : "\nRule: ") + rule->text;
  std::string text = options.request;
  // From the back, so that nothing that is filled in is looked at again.
  const std::size_t prompt = text.find("{prompt}"), at = text.find("{rules}");
  const std::string conversation = render_conversation(messages);
  if (at > prompt) text.replace(at, 7, joined), text.replace(prompt, 8, conversation);
  else text.replace(prompt, 8, conversation), text.replace(at, 7, joined);
  return {{"user", text}};
}

}  // namespace

Result<Deliberation> Deliberation::begin(const MethodSetting& setting, const DeliberateOptions& options, const std::string& policy) {
  auto templates = resolve_templates(setting.constitution);
  if (!templates) return tl::unexpected(templates.error());
  Deliberation out(setting, options, std::move(*templates));
  EngineOptions engine;
  engine.threads = setting.threads;
  engine.max_batch = setting.batch;
  auto writer = setting.lm.open_checkpoint(policy, engine), reader = setting.lm.open_checkpoint(setting.base, engine);
  if (!writer || !reader) return tl::unexpected(writer ? reader.error() : writer.error());
  out.policy_ = out.meter_->around(std::move(*writer));
  out.judge_ = out.meter_->around(std::move(*reader));
  return out;
}

Result<DeliberatedSlice> Deliberation::answer(const std::vector<Prompt>& prompts) {
  meter_->restore({}, {});
  const auto& all = setting_.constitution.principles;
  std::vector<Principles> rules(prompts.size());
  const auto ask = [&](std::size_t i, const std::function<void(Status)>& done) {
    Principles every;
    for (const Principle& principle : all) every.push_back(&principle);
    judge_->submit(yes_no_questions(select_request(templates_, prompts[i].messages, every)), [&, i, every, done](Result<Scores> scores) {
      if (!scores) return done(tl::unexpected(scores.error()));
      const auto verdicts = read_scores(*scores, every, ReviewOptions().select_threshold);
      if (!verdicts) return done(tl::unexpected(verdicts.error()));
      for (std::size_t p = 0; p < every.size(); ++p) {
        if ((*verdicts)[p].value != Verdict::Value::kNo) rules[i].push_back(every[p]);
      }
      done({});
    });
  };
  if (options_.rules == "all") {
    for (Principles& each : rules) {
      for (const Principle& principle : all) each.push_back(&principle);
    }
  } else if (const Status asked = pump(*judge_, prompts.size(), kInFlight, ask, setting_.events, "deliberate", "prompts"); !asked) {
    return tl::unexpected(asked.error());
  }

  const auto samples = static_cast<std::size_t>(options_.samples);
  std::vector<RewardInput> answers(prompts.size() * samples);
  const auto write = [&](std::size_t k, const std::function<void(Status)>& done) {
    const Prompt& prompt = prompts[k / samples];
    GenerateRequest request;
    request.messages = request_of(options_, prompt.messages, rules[k / samples]);
    request.sampling.max_tokens = options_.max_tokens;
    request.sampling.temperature = options_.temperature;
    request.key = {setting_.seed, hash64(prompt.id), kDeliberateStep, static_cast<std::uint32_t>(k % samples)};
    policy_->submit(std::move(request), [&, k, done](Result<Generation> answer) {
      if (!answer) return done(tl::unexpected(answer.error()));
      answers[k] = {prompt.id, prompt.messages, answer->text, answer->usage.output_tokens, answer->finish == Finish::kLength, static_cast<int>(k % samples)};
      done({});
    });
  };
  if (const Status written = pump(*policy_, answers.size(), kInFlight, write, setting_.events, "deliberate", "answers"); !written) {
    return tl::unexpected(written.error());
  }

  std::vector<bool> fine(answers.size(), true);
  if (options_.filter) {
    JudgeReward judge(*judge_, setting_.constitution, templates_, JudgeWorth::kVerdict);
    const auto verdicts = judge.score(answers);
    if (!verdicts) return tl::unexpected(verdicts.error());
    for (std::size_t k = 0; k < answers.size(); ++k) fine[k] = (*verdicts)[k][0].value == 1.0;
  }
  DeliberatedSlice out;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    for (std::size_t k = i * samples; k < (i + 1) * samples; ++k) {
      if (!fine[k] || answers[k].cut || answers[k].reply.find_first_not_of(" \n\t") == std::string::npos) continue;
      json::Json messages = json::Json::array();
      for (const Message& message : prompts[i].messages) messages.push_back({{"role", message.role}, {"content", message.content}});
      const json::Json reply = json::Json::array({{{"role", "assistant"}, {"content", answers[k].reply}}});
      out.lines += json::dump({{"prompt", messages}, {"completion", reply}}, -1) + "\n";
      ++out.kept;
      break;
    }
  }
  out.spent = meter_->count();
  return out;
}

}  // namespace precept
