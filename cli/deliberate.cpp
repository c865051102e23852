#include "cli/deliberate.h"

#include <nlohmann/json.hpp>

#include "precept/evaluate/json.h"

namespace precept {

Result<Deliberation> Deliberation::begin(const MethodSetting& setting, const DeliberateOptions& options, const std::string& policy) {
  Deliberation out(setting, options);
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
  const auto answers = deliberate(prompts, *policy_, *judge_, setting_.constitution, options_, setting_.seed, setting_.events);
  if (!answers) return tl::unexpected(answers.error());
  DeliberatedSlice out;
  for (const DeliberatedAnswer& answer : *answers) {
    json::Json messages = json::Json::array();
    for (const Message& message : answer.messages) messages.push_back({{"role", message.role}, {"content", message.content}});
    const json::Json reply = json::Json::array({{{"role", "assistant"}, {"content", answer.completion()}}});
    out.lines += json::dump({{"prompt", messages}, {"completion", reply}}, -1) + "\n";
  }
  out.kept = static_cast<int>(answers->size());
  out.spent = meter_->count();
  return out;
}

}  // namespace precept
