#include "precept/model/http_score.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include <nlohmann/json.hpp>

#include "precept/core/rng.h"
#include "precept/model/http_json.h"

namespace precept {
namespace {

using nlohmann::json;
using namespace http_json;

constexpr double kImpossible = -std::numeric_limits<double>::infinity();
constexpr double kLeastTotal = 0.01;  // of all options: below it the first token is no answer

bool read_candidate(const json& entry, FirstToken::Candidate& out) {
  const json* token = find(entry, "token");
  const json* logprob = find(entry, "logprob");
  if (token == nullptr || !token->is_string() || logprob == nullptr || !logprob->is_number()) return false;
  out.token = token->get<std::string>();
  out.logprob = std::min(logprob->get<double>(), 0.0);  // rounding may leave it above
  return !std::isnan(out.logprob);
}

// False: not of the shape. No list at all is fine: the server offers none.
bool read_candidates(const json& choice, std::vector<FirstToken::Candidate>& out) {
  const json* logprobs = find(choice, "logprobs");
  if (logprobs == nullptr) return true;
  const json* content = find(*logprobs, "content");
  if (content == nullptr) return logprobs->is_object();
  if (!content->is_array()) return false;
  if (content->empty()) return true;
  const json& first = content->front();
  const json* top = find(first, "top_logprobs");
  if (top == nullptr) return first.is_object();
  if (!top->is_array()) return false;
  for (const json& entry : *top) {
    FirstToken::Candidate candidate;
    if (!read_candidate(entry, candidate)) return false;
    out.push_back(std::move(candidate));
  }
  if (out.size() < 2) {  // the token that was written is not a choice between options
    out.clear();
    return true;
  }
  FirstToken::Candidate written;  // need not be among the most probable ones
  if (read_candidate(first, written) && std::none_of(out.begin(), out.end(), [&](const auto& each) {
        return each.token == written.token;
      })) {
    out.push_back(std::move(written));
  }
  return true;
}

bool starts(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

std::string plain(std::string_view text) {
  constexpr std::string_view kSpaces[] = {" ", "\t", "\r", "\n", "\xE2\x96\x81", "\xC4\xA0"};
  for (bool again = true; again;) {
    again = false;
    for (const std::string_view space : kSpaces) {
      if (starts(text, space)) {
        text.remove_prefix(space.size());
        again = true;
      }
    }
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r' || text.back() == '\n')) {
    text.remove_suffix(1);
  }
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string score_body(const Conversation& messages, const std::string& tail, const std::string& name) {
  json list = json::array();
  std::string all;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const std::string content = messages[i].content + (i + 1 == messages.size() ? tail : "");
    list.push_back({{"role", messages[i].role}, {"content", content}});
    all += content + '\n';
  }
  const RngKey key{.seed = 0, .item = hash64(all), .step = 0, .round = 0};
  const json body = {{"model", name},
                     {"messages", std::move(list)},
                     {"max_tokens", 1},
                     {"temperature", 1.0},
                     {"top_p", 1.0},
                     {"stream", false},
                     {"logprobs", true},
                     {"top_logprobs", kTopLogprobs},
                     {"seed", static_cast<std::int64_t>(Rng(key).next() >> 33)}};
  return body.dump();
}

std::optional<HttpProblem> parse_first_token(std::string_view body, FirstToken& out) {
  out = FirstToken{};
  json root;
  if (auto problem = parse_body(body, root)) return problem;
  const json* choices = find(root, "choices");
  if (choices == nullptr || !choices->is_array() || choices->empty() || !choices->front().is_object()) {
    return unreadable("has no choices");
  }
  if (!read_usage(root, out.usage)) return unreadable("has a usage that is not counts");
  if (!read_candidates(choices->front(), out.candidates)) return unreadable("has log-probs of a wrong type");
  out.fingerprint = read_fingerprint(root);
  return std::nullopt;
}

bool is_word(std::string_view option) {
  return !option.empty() && option.size() <= 16 && option.find_first_of(" \t\r\n") == std::string_view::npos;
}

std::vector<double> option_logprobs(const FirstToken& first, const std::vector<std::string>& options) {
  std::vector<double> sums(options.size(), 0);
  double total = 0;
  std::vector<std::string> wanted;
  wanted.reserve(options.size());
  for (const std::string& option : options) wanted.push_back(plain(option));
  for (const FirstToken::Candidate& candidate : first.candidates) {
    const std::string token = plain(candidate.token);
    const double p = std::exp(candidate.logprob);
    bool any = false;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      if (token != wanted[i]) continue;
      sums[i] += p;
      any = true;
    }
    if (any) total += p;
  }
  for (double& sum : sums) {
    sum = total >= kLeastTotal && sum > 0 ? std::min(std::log(sum), 0.0) : kImpossible;
  }
  return sums;
}

}  // namespace precept
