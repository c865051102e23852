#include "precept/model/scripted_model.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"
#include "precept/core/strict_json.h"
#include "precept/model/request_check.h"

namespace precept {
namespace {

using Json = nlohmann::json;

// The reply's units are words with the white space before them; the last unit may be white space.
std::size_t unit_end(std::string_view text, std::size_t begin) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t word = text.find_first_not_of(kSpace, begin);
  if (word == std::string_view::npos) return text.size();
  const std::size_t end = text.find_first_of(kSpace, word);
  return end == std::string_view::npos ? text.size() : end;
}

std::int64_t count_units(std::string_view text) {
  std::int64_t units = 0;
  for (std::size_t at = 0; at < text.size(); at = unit_end(text, at)) ++units;
  return units;
}

std::string joined(const Conversation& messages) {
  std::string all;
  for (const Message& message : messages) {
    if (!all.empty()) all += '\n';
    all += message.content;
  }
  return all;
}

bool matches(const ScriptedRule& rule, std::string_view text) {
  return std::all_of(rule.match.begin(), rule.match.end(),
                     [&](const std::string& part) { return text.find(part) != std::string_view::npos; });
}

tl::unexpected<Error> no_rule(const char* what) {
  return bad_input(std::string("no rule of the script ") + what + " this request",
                   "add a last rule with \"match\": \"\"");
}

Generation shaped(std::string text, const GenerateRequest& request) {
  Generation answer;
  std::size_t end = text.size();
  for (const std::string& stop : request.sampling.stop) end = std::min(end, text.find(stop));
  text.resize(std::min(end, text.size()));
  std::size_t at = 0;
  int units = 0;
  while (at < text.size() && units < request.sampling.max_tokens) {
    at = unit_end(text, at);
    ++units;
  }
  if (at < text.size()) answer.finish = Finish::kLength;
  text.resize(at);
  answer.text = std::move(text);
  for (const Message& message : request.messages) answer.usage.prompt_tokens += count_units(message.content);
  answer.usage.output_tokens = units;
  return answer;
}

Result<Generation> answer_generate(const Script& script, const GenerateRequest& request) {
  if (Status status = check_request(request); !status) return tl::unexpected<Error>(status.error());
  if (script.on_generate) {
    if (auto text = script.on_generate(request)) {
      if (!*text) return tl::unexpected<Error>(text->error());
      return shaped(std::move(**text), request);
    }
  }
  const std::string all = joined(request.messages);
  for (const ScriptedRule& rule : script.rules) {
    if (rule.kind == ScriptedRule::Kind::kScores || !matches(rule, all)) continue;
    if (rule.kind == ScriptedRule::Kind::kFail) return failed(rule.text);
    std::string text = rule.text;
    if (const std::size_t at = text.find("{last}"); at != std::string::npos) {
      text.replace(at, 6, request.messages.back().content);
    }
    return shaped(std::move(text), request);
  }
  return no_rule("answers");
}

Result<Scores> answer_score(const Script& script, const ScoreRequest& request) {
  if (!script.can_score) return bad_input("this model cannot score", "ask it to generate");
  if (Status status = check_request(request); !status) return tl::unexpected<Error>(status.error());
  if (script.on_score) {
    if (auto scores = script.on_score(request)) return std::move(*scores);
  }
  Scores scores;
  const std::string prefix = joined(request.messages);
  for (const ScoreQuestion& question : request.questions) {
    const std::string all = prefix + question.tail;
    const auto rule = std::find_if(script.rules.begin(), script.rules.end(), [&](const ScriptedRule& each) {
      return each.kind != ScriptedRule::Kind::kReply && matches(each, all);
    });
    if (rule == script.rules.end()) return no_rule("scores");
    if (rule->kind == ScriptedRule::Kind::kFail) return failed(rule->text);
    std::vector<double>& row = scores.logprobs.emplace_back();
    for (const std::string& option : question.options) {
      const auto found = rule->scores.find(option);
      row.push_back(found == rule->scores.end() ? -std::numeric_limits<double>::infinity() : found->second);
      scores.usage.output_tokens += count_units(option);
    }
    scores.usage.prompt_tokens += count_units(all);
  }
  return scores;
}

std::uint64_t hash_of(const Conversation& messages, std::uint64_t salt) {
  std::uint64_t hash = salt;
  for (const Message& message : messages) hash = hash * 0x9E3779B97F4A7C15U + hash64(message.content);
  return hash ^ (hash >> 29);
}

// A line of a script as an object; nesting is bounded before the parser sees it.
Result<Json> parse_line(std::string_view line, const std::string& file, int number) {
  if (nested_too_deeply(line)) return bad_input("nested deeper than 64", "a rule is one flat object", file, number);
  Json json = Json::parse(line, nullptr, false);
  if (json.is_discarded() || !json.is_object()) {
    return bad_input("not a JSON object", "one object a line, such as {\"match\": \"\", \"reply\": \"Yes.\"}",
                     file, number);
  }
  return json;
}

Result<ScriptedRule> rule_of(const Json& json, const std::string& file, int number) {
  ScriptedRule rule;
  const auto fault = [&](std::string what) {
    return bad_input(std::move(what), "a rule has \"match\" and one of \"reply\", \"scores\", \"fail\"", file, number);
  };
  int kinds = 0;
  for (const auto& [key, value] : json.items()) {
    if (key == "match") {
      const Json list = value.is_array() ? value : Json::array({value});
      for (const Json& part : list) {
        if (!part.is_string()) return fault("\"match\" is neither a string nor a list of strings");
        rule.match.push_back(part.get<std::string>());
      }
    } else if (key == "reply" || key == "fail") {
      if (!value.is_string()) return fault("\"" + key + "\" is not a string");
      rule.kind = key == "reply" ? ScriptedRule::Kind::kReply : ScriptedRule::Kind::kFail;
      rule.text = value.get<std::string>();
      ++kinds;
    } else if (key == "scores") {
      if (!value.is_object()) return fault("\"scores\" is not an object");
      rule.kind = ScriptedRule::Kind::kScores;
      for (const auto& [option, score] : value.items()) {
        if (!score.is_number()) return fault("a score is not a number");
        rule.scores[option] = score.get<double>();
      }
      ++kinds;
    } else {
      return fault("unknown key \"" + std::string(utf8_prefix(key, 40)) + "\"");
    }
  }
  if (!json.contains("match")) return fault("a rule without \"match\"");
  if (kinds != 1) return fault("a rule needs exactly one of \"reply\", \"scores\", \"fail\"");
  return rule;
}

Status read_options(Script& script, const Json& json, const std::string& file, int number) {
  for (const auto& [key, value] : json.items()) {
    const bool whole = value.is_number_integer() && value.get<std::int64_t>() >= 0 &&
                       value.get<std::int64_t>() <= (std::int64_t{1} << 30);
    if (key == "name" && value.is_string()) {
      script.name = value.get<std::string>();
    } else if (key == "can_score" && value.is_boolean()) {
      script.can_score = value.get<bool>();
    } else if (key == "latency" && whole) {
      script.latency = static_cast<int>(std::min<std::int64_t>(value.get<std::int64_t>(), 1 << 20));
    } else if (key == "context_tokens" && whole) {
      script.context_tokens = value.get<int>();
    } else {
      return bad_input("unknown option \"" + std::string(utf8_prefix(key, 40)) + "\", or a value of the wrong type",
                       "options are name, can_score, latency, context_tokens", file, number);
    }
  }
  return {};
}

}  // namespace

Result<Script> load_script(const std::string& path) {
  auto text = read_text(path);
  if (!text) return tl::unexpected<Error>(text.error());
  Script script;
  script.name = path;
  script.digest = sha256(*text);
  int number = 0;
  bool first = true;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    auto json = parse_line(line, path, number);
    if (!json) return tl::unexpected<Error>(json.error());
    const bool is_rule = json->contains("match") || json->contains("reply") || json->contains("scores") ||
                         json->contains("fail");
    if (first && !is_rule) {
      if (Status status = read_options(script, *json, path, number); !status) {
        return tl::unexpected<Error>(status.error());
      }
    } else {
      auto rule = rule_of(*json, path, number);
      if (!rule) return tl::unexpected<Error>(rule.error());
      script.rules.push_back(std::move(*rule));
    }
    first = false;
  }
  if (script.rules.empty()) {
    return bad_input("a script without rules", "add a line such as {\"match\": \"\", \"reply\": \"Yes.\"}", path);
  }
  return script;
}

ScriptedModel::ScriptedModel(Script script) : script_(std::move(script)) {
  info_.uri = "scripted:" + script_.name;
  info_.name = script_.name;
  info_.digest = script_.digest.size() == 64 ? script_.digest : sha256(script_.digest + script_.name);
  info_.can_score = script_.can_score;
  info_.context_tokens = script_.context_tokens;
}

void ScriptedModel::enqueue(std::uint64_t hash, std::function<void()> complete) {
  const auto span = static_cast<std::uint64_t>(std::max(script_.latency, 0)) + 1;
  due_[now_ + 1 + static_cast<std::int64_t>(hash % span)].push_back(std::move(complete));
  ++in_flight_;
}

void ScriptedModel::submit(GenerateRequest request, GenerateDone done) {
  ++generate_calls_;
  const std::uint64_t hash = script_.latency > 0 ? hash_of(request.messages, request.key.step) : 0;
  enqueue(hash, [answer = answer_generate(script_, request), on_text = std::move(request.on_text), done = std::move(done)]() mutable {
    if (on_text && answer && !answer->text.empty()) on_text(answer->text);
    done(std::move(answer));
  });
}

void ScriptedModel::submit(ScoreRequest request, ScoreDone done) {
  ++score_calls_;
  const std::uint64_t hash = script_.latency > 0 ? hash_of(request.messages, request.questions.size()) : 0;
  enqueue(hash, [answer = answer_score(script_, request), done = std::move(done)]() mutable {
    done(std::move(answer));
  });
}

std::size_t ScriptedModel::advance(std::chrono::milliseconds) {
  ++now_;
  while (!due_.empty() && due_.begin()->first <= now_) {
    const auto ready = std::move(due_.begin()->second);
    due_.erase(due_.begin());
    for (const auto& complete : ready) {
      --in_flight_;
      complete();
    }
  }
  return in_flight_;
}

Result<std::unique_ptr<Model>> open_scripted(const std::string& path) {
  auto script = load_script(path);
  if (!script) return tl::unexpected<Error>(script.error());
  return std::unique_ptr<Model>(std::make_unique<ScriptedModel>(std::move(*script)));
}

}  // namespace precept
