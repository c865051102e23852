#include "cli/dry_run.h"

#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "cli/open_model.h"
#include "precept/evaluate/json.h"
#include "precept/model/http_model.h"
#include "precept/model/scripted_model.h"
#include "precept/revise/forecast.h"
#include "precept/text/tokenizer.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;
constexpr const char* kNotCounted = "requests that fail and are tried again are not counted";

// What can be known of a model without asking it.
struct Known {
  CountTokens tokens;
  bool tokenizer = false, endpoint = false;
  std::vector<JudgeWay> ways;
};

Result<Known> known_of(const std::string& uri) {
  Known known;
  known.tokens = tokens_by_bytes;
  if (is_endpoint(uri)) {
    if (const auto addresses = parse_http_addresses(uri); !addresses) return tl::unexpected(addresses.error());
    known.endpoint = true;
    known.ways = {JudgeWay::kWords, JudgeWay::kList};
    return known;
  }
  if (uri.rfind("scripted:", 0) == 0) {
    const auto model = open_model(uri, {});
    if (!model) return tl::unexpected(model.error());
    known.ways = {(*model)->info().can_score ? JudgeWay::kScores : JudgeWay::kList};
    return known;
  }
  Result<std::string> folder = uri;
  if (uri == "pocket") folder = pocket_folder();
  if (!folder) return tl::unexpected(folder.error());
  known.ways = {JudgeWay::kScores};
  std::error_code error;
  if (!std::filesystem::is_directory(*folder, error)) {
    if (std::filesystem::exists(*folder, error)) return known;  // a GGUF file: counted by its bytes
    return tl::unexpected(open_model(uri, {}).error());         // the list of what a model may be
  }
  if (std::filesystem::exists(*folder + "/adapter_config.json", error)) return known;
  const auto tokenizer = load_tokenizer(*folder);
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  known.tokens = [tokenizer = *tokenizer](std::string_view text) {
    const auto count = static_cast<std::int64_t>(tokenizer.encode(text).size());
    return TokenBounds{count, count};
  };
  known.tokenizer = true;
  return known;
}

// How tokens are counted.
void add_counting(std::vector<std::string>& out, bool tokenizers) {
  if (!tokenizers) {
    out.push_back("without a tokenizer here: " + std::to_string(kManyBytesPerToken) + " bytes (about as many characters of English) a token at the lower end, " +
                  std::to_string(kFewBytesPerToken) + " at the upper");
  }
  out.push_back("upper: the chat format adds " + std::to_string(kChatTokens) + " tokens to a request");
}

std::vector<std::string> assumptions_of(const Known& policy, const Known& judge, const ReviseOptions& options) {
  std::vector<std::string> out;
  out.push_back("of every prompt, from the beginning: what the run folder holds already is not subtracted");
  out.push_back("lower: no principle applies, and answers have one token; upper: all apply, every reply violates for " +
                std::to_string(options.max_rounds) + " rounds, and answers are as long as they may be");
  add_counting(out, policy.tokenizer && judge.tokenizer);
  if (judge.ways.size() > 1) {
    out.push_back("the judge's endpoint is asked one principle a request if it gives log-probs, else for lists: the bounds hold for both; "
                  "finding out takes one request of one token");
  }
  out.push_back(kNotCounted);
  return out;
}

Json to_json(const ForecastBounds& low, const ForecastBounds& high) {
  const auto pair = [](std::int64_t a, std::int64_t b) { return Json{{"low", a}, {"high", b}}; };
  return {{"calls", pair(low.calls, high.calls)},
          {"prompt_tokens", pair(low.prompt_tokens, high.prompt_tokens)},
          {"output_tokens", pair(low.output_tokens, high.output_tokens)}};
}

void print_row(const char* name, const ForecastBounds& low, const ForecastBounds& high) {
  const auto range = [](std::int64_t a, std::int64_t b) { return std::to_string(a) + " - " + std::to_string(b); };
  std::printf("  %-9s %20s %24s %24s\n", name, range(low.calls, high.calls).c_str(),
              range(low.prompt_tokens, high.prompt_tokens).c_str(), range(low.output_tokens, high.output_tokens).c_str());
}

int show(const DryRun& command, const Forecast& made, bool policy_paid, bool judge_paid, const std::vector<std::string>& assumptions);

}  // namespace

Result<int> dry_run(const DryRun& command, const Constitution& constitution, const ReviseOptions& options,
                    const std::vector<RunItem>& items) {
  const auto policy = known_of(command.model);
  if (!policy) return tl::unexpected(policy.error());
  const auto judge = command.judge.empty() ? policy : known_of(command.judge);
  if (!judge) return tl::unexpected(judge.error());
  if (const Status fine = check_ceiling(command.endpoint, {command.model, command.judge}); !fine) return tl::unexpected(fine.error());
  const auto made = forecast(constitution, options, items, judge->ways, policy->tokens, judge->tokens);
  if (!made) return tl::unexpected(made.error());
  return show(command, *made, policy->endpoint, judge->endpoint, assumptions_of(*policy, *judge, options));
}

Result<int> dry_run(const DryRun& command, const std::vector<GenerateRequest>& requests) {
  const auto known = known_of(command.model);
  if (!known) return tl::unexpected(known.error());
  if (const Status fine = check_ceiling(command.endpoint, {command.model}); !fine) return tl::unexpected(fine.error());
  Forecast made;
  made.items = static_cast<std::int64_t>(requests.size());
  ForecastStep step;
  for (const GenerateRequest& request : requests) {
    ++step.low.calls;
    ++step.high.calls;
    for (const Message& message : request.messages) {
      const TokenBounds tokens = known->tokens(message.content);
      step.low.prompt_tokens += tokens.low;
      step.high.prompt_tokens += tokens.high;
    }
    step.high.prompt_tokens += kChatTokens;
    step.low.output_tokens += 1;
    step.high.output_tokens += request.sampling.max_tokens;
  }
  made.steps.push_back(step);
  std::vector<std::string> assumptions = {"lower: answers have one token; upper: they are as long as they may be"};
  add_counting(assumptions, known->tokenizer);
  assumptions.push_back(kNotCounted);
  return show(command, made, known->endpoint, false, assumptions);
}

namespace {

int show(const DryRun& command, const Forecast& made, bool policy_paid, bool judge_paid, const std::vector<std::string>& assumptions) {
  ForecastBounds low, high;
  double spend_low = 0, spend_high = 0;
  const auto add = [&](ForecastBounds& total, double& spend, const ForecastBounds& step, bool paid) {
    total.calls += step.calls;
    total.prompt_tokens += step.prompt_tokens;
    total.output_tokens += step.output_tokens;
    if (!paid) return;
    spend += (static_cast<double>(step.prompt_tokens) * command.endpoint.price_input +
              static_cast<double>(step.output_tokens) * command.endpoint.price_output) / 1e6;
  };
  for (const ForecastStep& step : made.steps) {
    const bool paid = step.judge ? judge_paid : policy_paid;
    add(low, spend_low, step.low, paid);
    add(high, spend_high, step.high, paid);
  }
  const bool prices = command.endpoint.price_input > 0 || command.endpoint.price_output > 0;
  if (command.json) {
    Json steps = Json::array();
    for (const ForecastStep& step : made.steps) {
      Json one = {{"step", step_name(step.kind)}, {"model", step.judge ? "judge" : "policy"}};
      one.update(to_json(step.low, step.high));
      steps.push_back(std::move(one));
    }
    Json out = {{"items", made.items}, {"steps", steps}, {"total", to_json(low, high)}};
    out["spend"] = prices ? Json{{"low", spend_low}, {"high", spend_high}} : Json();
    out["assumptions"] = assumptions;
    std::printf("%s\n", json::dump(out).c_str());
    return 0;
  }
  std::printf("%lld items; nothing is sent, nothing is written\n", static_cast<long long>(made.items));
  std::printf("  %-9s %20s %24s %24s\n", "step", "calls", "prompt tokens", "output tokens");
  for (const ForecastStep& step : made.steps) print_row(step_name(step.kind), step.low, step.high);
  print_row("total", low, high);
  if (prices) std::printf("spend: %.4f - %.4f, by the prices given\n", spend_low, spend_high);
  std::printf("assumptions:\n");
  for (const std::string& line : assumptions) std::printf("  - %s\n", line.c_str());
  return 0;
}

}  // namespace

}  // namespace precept
