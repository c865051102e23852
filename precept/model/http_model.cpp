#include "precept/model/http_model.h"

#include <cstdlib>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/model/http_client.h"
#include "precept/model/http_wire.h"
#include "precept/model/request_check.h"

namespace precept {
namespace {

Error to_error(const std::string& url, const HttpProblem& problem) {
  return Error{url + ": " + problem.what, problem.hint, {}, 0, ErrorKind::kFailed};
}

class HttpModel final : public Model {
 public:
  HttpModel(const HttpAddress& address, const HttpOptions& options, ModelInfo info)
      : base_(address.base), info_(std::move(info)), client_(options, address.loopback) {}

  const ModelInfo& info() const override { return info_; }

  void submit(GenerateRequest request, GenerateDone done) override {
    if (Status status = check_request(request); !status) {
      refused_.push_back([done = std::move(done), error = status.error()] {
        done(tl::unexpected<Error>(error));
      });
      return;
    }
    auto state = std::make_shared<Pending>();
    state->request = std::move(request);
    state->done = std::move(done);
    state->url = base_ + (state->request.raw ? "/completions" : "/chat/completions");
    HttpClient::Call call;
    call.url = state->url;
    call.key = state->request.key;
    call.body = [state, this] { return request_body(state->request, info_.name); };
    call.read = [state](std::string_view body) {
      return parse_answer(body, state->request, state->answer);
    };
    call.done = [state](std::optional<HttpProblem> problem) {
      if (problem) {
        state->done(tl::unexpected<Error>(to_error(state->url, *problem)));
      } else {
        if (state->request.on_text && !state->answer.text.empty()) state->request.on_text(state->answer.text);
        state->done(std::move(state->answer));
      }
    };
    client_.submit(std::move(call));
  }

  void submit(ScoreRequest request, ScoreDone done) override {
    Status status = check_request(request);
    if (status) {
      status = bad_input("this model cannot score: " + info_.uri,
                         "an HTTP endpoint gives no log-probs of given text; let its answers be "
                         "parsed instead");
    }
    refused_.push_back([done = std::move(done), error = status.error()] {
      done(tl::unexpected<Error>(error));
    });
  }

  std::size_t advance(std::chrono::milliseconds wait) override {
    auto refused = std::exchange(refused_, {});
    if (!refused.empty()) wait = std::chrono::milliseconds(0);
    for (const auto& complete : refused) complete();
    const std::size_t calls = client_.advance(wait);
    return calls + refused_.size();
  }

 private:
  struct Pending {
    GenerateRequest request;
    GenerateDone done;
    Generation answer;
    std::string url;
  };

  std::string base_;
  ModelInfo info_;
  HttpClient client_;
  std::deque<std::function<void()>> refused_;  // answered with an error by the next advance()
};

// GET /models. No list (nullopt) where the server does not offer one.
Result<std::optional<std::vector<ServedModel>>> list_models(const HttpAddress& address,
                                                            const HttpOptions& options) {
  HttpClient client(options, address.loopback);
  std::vector<ServedModel> models;
  std::optional<HttpProblem> problem;
  HttpClient::Call call;
  call.url = address.base + "/models";
  call.key = RngKey{.seed = 0, .item = hash64(address.base), .step = 0, .round = 0};
  call.connect_retries = 2;  // a wrong address should show soon
  call.read = [&](std::string_view body) { return parse_model_list(body, models); };
  call.done = [&](std::optional<HttpProblem> last) { problem = std::move(last); };
  client.submit(std::move(call));
  while (client.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  if (!problem) return std::optional(std::move(models));
  const int status = problem->status;
  if (!problem->transient && status >= 400 && status != 401 && status != 403) {
    return std::optional<std::vector<ServedModel>>();
  }
  return tl::unexpected<Error>(to_error(address.base + "/models", *problem));
}

std::string names_of(const std::vector<ServedModel>& models) {
  std::string names;
  for (std::size_t i = 0; i < models.size() && i < 8; ++i) {
    names += (i == 0 ? "" : ", ") + one_line(models[i].id, 80);
  }
  if (models.size() > 8) names += ", ... (" + std::to_string(models.size()) + " in all)";
  return names;
}

Result<std::string> only_name(const HttpAddress& address,
                              const std::optional<std::vector<ServedModel>>& models) {
  const std::string example = "write it as " + address.base + "#name";
  if (!models) return bad_input(address.base + ": no model's name, and the server lists none", example);
  if (models->empty()) return bad_input(address.base + ": the server serves no model", example);
  if (models->size() > 1) {
    return bad_input(address.base + ": the server has several models: " + names_of(*models), example);
  }
  return models->front().id;
}

// A number in [low, high] from the environment; `value` stays where the variable is not set.
Status read_number(const char* variable, double low, double high, double& value) {
  const char* text = std::getenv(variable);
  if (text == nullptr || *text == '\0') return {};
  char* end = nullptr;
  const double number = std::strtod(text, &end);
  if (*end != '\0' || !(number >= low && number <= high)) {
    return bad_input(std::string(variable) + " is not a number in range: " + one_line(text, 60),
                     "use a value from " + one_line(std::to_string(low), 20) + " to " +
                         one_line(std::to_string(high), 20));
  }
  value = number;
  return {};
}

}  // namespace

Result<HttpOptions> http_options_from_environment() {
  HttpOptions options;
  for (const char* variable : {"PRECEPT_API_KEY", "OPENAI_API_KEY"}) {
    const char* key = std::getenv(variable);
    if (key == nullptr || *key == '\0') continue;
    options.api_key = key;
    for (const char c : options.api_key) {
      if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7f) {
        return bad_input(std::string(variable) + " holds a character that no key has",
                         "check it for spaces and line ends");
      }
    }
    break;
  }
  double in_flight = options.max_in_flight;
  double retries = options.retries;
  double seconds = static_cast<double>(options.timeout.count()) / 1000;
  Status status = read_number("PRECEPT_HTTP_IN_FLIGHT", 1, 4096, in_flight);
  if (status) status = read_number("PRECEPT_HTTP_RETRIES", 0, 100, retries);
  if (status) status = read_number("PRECEPT_HTTP_TIMEOUT", 0.01, 86400, seconds);
  if (!status) return tl::unexpected<Error>(status.error());
  options.max_in_flight = static_cast<int>(in_flight);
  options.retries = static_cast<int>(retries);
  options.timeout = std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
  return options;
}

Result<std::unique_ptr<Model>> open_http_model(const std::string& uri, const HttpOptions& options) {
  auto address = parse_http_address(uri);
  if (!address) return tl::unexpected<Error>(address.error());
  auto models = list_models(*address, options);
  if (!models) return tl::unexpected<Error>(models.error());
  ModelInfo info;
  info.name = address->name;
  if (info.name.empty()) {
    auto name = only_name(*address, *models);
    if (!name) return tl::unexpected<Error>(name.error());
    info.name = *name;
  }
  info.uri = address->base + "#" + info.name;
  std::string lasting;
  if (*models) {
    for (const ServedModel& model : **models) {
      if (model.id != info.name) continue;
      lasting = model.lasting;
      info.context_tokens = model.context_tokens;
      info.parameters = model.parameters;
    }
  }
  info.digest = sha256(info.uri + "\n" + lasting);
  return std::make_unique<HttpModel>(*address, options, std::move(info));
}

}  // namespace precept
