#include "precept/model/http_model.h"

#include <utility>

#include "precept/model/http_requests.h"
#include "precept/model/http_score.h"
#include "precept/model/http_stream.h"
#include "precept/model/request_check.h"

namespace precept {
namespace {

// An answer of so many tokens needs no more, also as JSON with log-probs; a flood ends there.
std::size_t most_bytes(int max_tokens) {
  return (std::size_t{1} << 20) + (std::size_t{1} << 10) * static_cast<std::size_t>(max_tokens);
}

}  // namespace

Error http_error(const std::string& url, const HttpProblem& problem) {
  return Error{url + ": " + problem.what, problem.hint, {}, 0, ErrorKind::kFailed};
}

HttpModel::HttpModel(std::vector<HttpAddress> addresses, const HttpOptions& options, ModelInfo info)
    : options_(options), info_(std::move(info)), client_(options, std::move(addresses)) {}

Served HttpModel::served(std::size_t endpoint, std::string fingerprint) const {
  return {info_.endpoints[endpoint].url, std::move(fingerprint)};
}

void HttpModel::submit(GenerateRequest request, GenerateDone done) {
  if (Status status = check_request(request); !status) {
    refused_.push_back([done = std::move(done), error = status.error()] { done(tl::unexpected<Error>(error)); });
    return;
  }
  struct Pending {
    GenerateRequest request;
    GenerateDone done;
    Generation answer;
    std::optional<AnswerStream> stream;  // where the text is wanted as it comes
  };
  auto state = std::make_shared<Pending>();
  state->request = std::move(request);
  state->done = std::move(done);
  HttpClient::Call call;
  call.path = state->request.raw ? "/completions" : "/chat/completions";
  call.key = state->request.key;
  call.max_bytes = most_bytes(state->request.sampling.max_tokens);
  const bool parts = wants_parts(state->request);
  call.body = [state, parts, this] {
    if (parts) state->stream.emplace(state->request, long_secrets(options_));
    return request_body(state->request, info_.name);
  };
  if (parts) {
    call.on_part = [state](std::string_view bytes) { state->stream->feed(bytes); };
    call.may_repeat = [state] { return !state->stream || !state->stream->begun(); };
  }
  call.read = [state, this](std::string_view body) {
    if (state->stream) return state->stream->finish(body, state->answer);
    auto problem = parse_answer(body, state->request, state->answer);
    state->answer.text = without_secrets(std::move(state->answer.text), options_);  // also one that was escaped
    return problem;
  };
  call.done = [state, this](std::optional<HttpProblem> problem, std::size_t endpoint) {
    if (problem) {
      state->done(tl::unexpected<Error>(http_error(info_.endpoints[endpoint].url, *problem)));
      return;
    }
    state->answer.by = served(endpoint, std::move(state->answer.by.fingerprint));
    if (!state->stream && state->request.on_text && !state->answer.text.empty()) state->request.on_text(state->answer.text);
    state->done(std::move(state->answer));
  };
  client_.submit(std::move(call));
}

// One score request: a call for each question, an answer when all are there.
struct HttpModel::Scoring {
  ScoreRequest request;
  ScoreDone done;
  Scores answer;
  std::size_t open = 0;  // questions without an answer
  std::optional<std::pair<std::size_t, Error>> failure;  // of the first question that has one
};

void HttpModel::submit(ScoreRequest request, ScoreDone done) {
  Status status = check_request(request);
  if (status && !info_.can_score) {
    status = bad_input("this model cannot score: " + info_.uri,
                       "its endpoint gives no log-probs of candidates; let its answers be parsed instead");
  }
  if (status && request.raw) status = bad_input("an endpoint scores no raw text", "give messages");
  for (const ScoreQuestion& question : request.questions) {
    for (const std::string& option : question.options) {
      if (status && !is_word(option)) {
        status = bad_input("an endpoint scores only options of one short word, not \"" + one_line(option, 40) + "\"",
                           "use a checkpoint folder or the built-in model");
      }
    }
  }
  if (!status) {
    refused_.push_back([done = std::move(done), error = status.error()] { done(tl::unexpected<Error>(error)); });
    return;
  }
  auto scoring = std::make_shared<Scoring>();
  scoring->open = request.questions.size();
  scoring->answer.logprobs.resize(request.questions.size());
  scoring->request = std::move(request);
  scoring->done = std::move(done);
  for (std::size_t i = 0; i < scoring->request.questions.size(); ++i) ask(scoring, i);
}

void HttpModel::ask(const std::shared_ptr<Scoring>& scoring, std::size_t question) {
  auto first = std::make_shared<FirstToken>();
  HttpClient::Call call;
  call.path = "/chat/completions";
  call.key = RngKey{.seed = 0, .item = hash64(scoring->request.questions[question].tail), .step = 1, .round = 0};
  call.max_bytes = most_bytes(kTopLogprobs);
  call.body = [scoring, question, this] {
    return score_body(scoring->request.messages, scoring->request.questions[question].tail, info_.name);
  };
  call.read = [first](std::string_view body) -> std::optional<HttpProblem> {
    if (auto problem = parse_first_token(body, *first)) return problem;
    if (!first->candidates.empty()) return std::nullopt;
    HttpProblem problem;
    problem.what = "the server's answer has no log-probs, which it gave before";
    problem.hint = "are all servers behind this address of the same kind?";
    problem.transient = true;
    return problem;
  };
  call.done = [scoring, question, first, this](std::optional<HttpProblem> problem, std::size_t endpoint) {
    if (problem) {
      if (!scoring->failure || question < scoring->failure->first) {
        scoring->failure.emplace(question, http_error(info_.endpoints[endpoint].url, *problem));
      }
    } else {
      scoring->answer.logprobs[question] = option_logprobs(*first, scoring->request.questions[question].options);
      scoring->answer.usage += first->usage;
      scoring->answer.by = served(endpoint, first->fingerprint);
    }
    if (--scoring->open > 0) return;
    if (scoring->failure) {
      scoring->done(tl::unexpected<Error>(scoring->failure->second));
    } else {
      scoring->done(std::move(scoring->answer));
    }
  };
  client_.submit(std::move(call));
}

std::size_t HttpModel::advance(std::chrono::milliseconds wait) {
  auto refused = std::exchange(refused_, {});
  if (!refused.empty()) wait = std::chrono::milliseconds(0);
  for (const auto& complete : refused) complete();
  const std::size_t calls = client_.advance(wait);
  return calls + refused_.size();
}

}  // namespace precept
