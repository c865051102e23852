// Any bytes as what an endpoint sends: bodies of answers, of scores, of lists, of errors, and a Retry-After. The first byte
// says which. An answer, or a problem in one line of UTF-8.
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/io.h"
#include "precept/model/http_score.h"
#include "precept/model/http_stream.h"
#include "precept/model/http_wire.h"

namespace {

void check_line(const std::string& text, std::size_t most) {
  if (text.size() > most || text.find('\n') != std::string::npos || precept::find_invalid_utf8(text)) std::abort();
}

void check(const precept::HttpProblem& problem) {
  if (problem.what.empty() || problem.hint.empty()) std::abort();
  check_line(problem.what, 600);
  check_line(problem.hint, 600);
}

void check(const precept::Usage& usage) {
  constexpr std::int64_t kMost = 1'000'000'000'000;
  if (usage.prompt_tokens < 0 || usage.prompt_tokens > kMost || usage.output_tokens < 0 || usage.output_tokens > kMost ||
      usage.cached_tokens < 0 || usage.cached_tokens > usage.prompt_tokens) {
    std::abort();
  }
}

void check_answer(std::string_view body, bool raw) {
  precept::GenerateRequest request;
  request.messages = {{"user", "q"}};
  request.raw = raw;
  request.logprobs = true;
  request.sampling.stop = {"END", "\xE2\x96\x81"};
  precept::Generation answer;
  if (const auto problem = precept::parse_answer(body, request, answer)) return check(*problem);
  if (precept::find_invalid_utf8(answer.text) || answer.text.find("END") != std::string::npos) std::abort();
  check_line(answer.by.fingerprint, 200);
  check(answer.usage);
}

// Fed in parts of one to eight bytes, as the second byte says.
void check_stream(std::string_view body, bool raw) {
  if (body.empty()) return;
  const std::size_t step = 1 + static_cast<unsigned char>(body[0]) % 8;
  body.remove_prefix(1);
  std::string joined;
  precept::GenerateRequest request;
  request.messages = {{"user", "q"}};
  request.raw = raw;
  request.sampling.stop = {"END", "\xE2\x96\x81"};
  request.on_text = [&joined](std::string_view part) { joined += part; };
  precept::AnswerStream stream(request, {"sk-secret-1"});
  for (std::size_t at = 0; at < body.size(); at += step) stream.feed(body.substr(at, step));
  precept::Generation answer;
  if (joined.find("END") != std::string::npos || joined.find("sk-secret-1") != std::string::npos || stream.begun() == joined.empty()) std::abort();
  if (const auto problem = stream.finish(body, answer)) return check(*problem);
  if (answer.text != joined || precept::find_invalid_utf8(joined)) std::abort();
  check_line(answer.by.fingerprint, 200);
  check(answer.usage);
}

void check_scores(std::string_view body) {
  precept::FirstToken first;
  if (const auto problem = precept::parse_first_token(body, first)) return check(*problem);
  check(first.usage);
  check_line(first.fingerprint, 200);
  double total = 0;
  for (const double logprob : precept::option_logprobs(first, {"yes", "No", "x"})) {
    if (std::isnan(logprob) || logprob > 0) std::abort();
    total += std::exp(logprob);
  }
  if (first.candidates.empty() && total > 0) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0]) {
    case 'a': check_answer(body, false); break;
    case 'r': check_answer(body, true); break;
    case 'p': check_stream(body, false); break;
    case 'q': check_stream(body, true); break;
    case 's': check_scores(body); break;
    case 'l': {
      std::vector<precept::ServedModel> models;
      if (const auto problem = precept::parse_model_list(body, models)) check(*problem);
      for (const precept::ServedModel& model : models) {
        if (model.context_tokens < 0 || model.parameters < 0) std::abort();
      }
      break;
    }
    case 'e': check_line(precept::server_words(body), 300); break;
    case 't': {
      const auto wait = precept::parse_retry_after(body, std::chrono::system_clock::from_time_t(784111777));
      if (wait && (wait->count() < 0 || *wait > std::chrono::hours(24))) std::abort();
      break;
    }
    default: break;
  }
  return 0;
}
