// Opening: who is there, which model it serves, whether it gives log-probs.

#include <algorithm>
#include <optional>
#include <utility>

#include "precept/core/digest.h"
#include "precept/model/http_requests.h"
#include "precept/model/http_score.h"

namespace precept {
namespace {

// Runs one call to one server to its end.
std::optional<HttpProblem> call_once(const HttpAddress& address, const HttpOptions& options, HttpClient::Call call) {
  // Without an answer to this nothing can begin: a server that stumbles now and then gets some more attempts.
  constexpr int kLeastRetries = 5;
  HttpOptions patient = options;
  patient.retries = std::max(options.retries, kLeastRetries);
  HttpClient client(patient, {address});
  std::optional<HttpProblem> problem;
  call.key = RngKey{.seed = 0, .item = hash64(address.base), .step = 0, .round = 0};
  call.connect_retries = 2;  // a wrong address should show soon
  call.done = [&](std::optional<HttpProblem> last, std::size_t) { problem = std::move(last); };
  client.submit(std::move(call));
  while (client.advance(std::chrono::milliseconds(1000)) > 0) {
  }
  return problem;
}

// GET /models. No list (nullopt) where the server does not offer one.
Result<std::optional<std::vector<ServedModel>>> list_models(const HttpAddress& address, const HttpOptions& options) {
  std::vector<ServedModel> models;
  HttpClient::Call call;
  call.path = "/models";
  call.read = [&](std::string_view body) { return parse_model_list(body, models); };
  const auto problem = call_once(address, options, std::move(call));
  if (!problem) return std::optional(std::move(models));
  const int status = problem->status;
  if (!problem->transient && status >= 400 && status != 401 && status != 403 && status != 407) {
    return std::optional<std::vector<ServedModel>>();
  }
  return tl::unexpected<Error>(http_error(address.base + "/models", *problem));
}

std::string names_of(const std::vector<ServedModel>& models) {
  std::string names;
  for (std::size_t i = 0; i < models.size() && i < 8; ++i) {
    names += (i == 0 ? "" : ", ") + one_line(models[i].id, 80);
  }
  if (models.size() > 8) names += ", ... (" + std::to_string(models.size()) + " in all)";
  return names;
}

Result<std::string> only_name(const HttpAddress& address, const std::optional<std::vector<ServedModel>>& models) {
  const std::string example = "write it as " + address.base + "#name";
  if (!models) return bad_input(address.base + ": no model's name, and the server lists none", example);
  if (models->empty()) return bad_input(address.base + ": the server serves no model", example);
  if (models->size() > 1) {
    return bad_input(address.base + ": the server has several models: " + names_of(*models), example);
  }
  return models->front().id;
}

// Does the server give candidates of first tokens? Its first answer tells.
Result<bool> ask_for_logprobs(const HttpAddress& address, const HttpOptions& options, const std::string& name,
                              EndpointInfo& endpoint) {
  FirstToken first;
  HttpClient::Call call;
  call.path = "/chat/completions";
  call.body = [&] { return score_body({{"user", "Is water wet? Answer yes or no."}}, "", name); };
  call.read = [&](std::string_view body) { return parse_first_token(body, first); };
  const auto problem = call_once(address, options, std::move(call));
  endpoint.asked = true;
  if (problem) {
    // Some servers refuse requests for log-probs; whether they answer others shows soon enough.
    const bool refused = problem->status == 400 || problem->status == 422 || problem->status == 501;
    if (refused) return false;
    return tl::unexpected<Error>(http_error(endpoint.url, *problem));
  }
  endpoint.usage = first.usage;
  return !first.candidates.empty();
}

struct Opened {
  ModelInfo info;
  std::string name, lasting, alike;  // the last: what all endpoints must agree on; empty: nobody tells
  std::size_t reached = 0;
  std::optional<Error> first_error;
};

Status add_endpoint(const HttpAddress& address, const HttpOptions& options, bool several, Opened& opened) {
  EndpointInfo endpoint;
  endpoint.url = address.base + "#" + opened.name;
  auto models = list_models(address, options);
  if (!models) {
    if (!several || models.error().kind == ErrorKind::kBadInput) return tl::unexpected<Error>(models.error());
    if (!opened.first_error) opened.first_error = models.error();
    opened.info.endpoints.push_back(std::move(endpoint));
    return {};
  }
  ++opened.reached;
  if (opened.name.empty()) {
    auto name = only_name(address, *models);
    if (!name) return tl::unexpected<Error>(name.error());
    opened.name = *name;
    endpoint.url = address.base + "#" + opened.name;
  }
  std::string lasting, alike;
  if (*models) {
    for (const ServedModel& model : **models) {
      if (model.id != opened.name) continue;
      lasting = model.lasting;
      alike = model.alike;
      opened.info.context_tokens = model.context_tokens;
      opened.info.parameters = model.parameters;
    }
  }
  if (!opened.alike.empty() && !alike.empty() && alike != opened.alike) {
    return bad_input(endpoint.url + " serves another model than the endpoints before it",
                     "give endpoints that serve the same model in the same way (context length, meta in /models)");
  }
  if (opened.alike.empty()) opened.alike = alike;
  opened.lasting = lasting;
  endpoint.serves = sha256(endpoint.url + "\n" + lasting);
  opened.info.endpoints.push_back(std::move(endpoint));
  return {};
}

Status find_scores(const std::vector<HttpAddress>& addresses, const HttpOptions& options, const HttpOpen& how, Opened& opened) {
  bool all = true;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    EndpointInfo& endpoint = opened.info.endpoints[i];
    if (endpoint.serves.empty()) continue;  // taken to be like the others
    if (how.known) endpoint.scores = how.known(endpoint);
    if (!endpoint.scores) {
      const auto found = ask_for_logprobs(addresses[i], options, opened.name, endpoint);
      if (!found) return tl::unexpected<Error>(found.error());
      endpoint.scores = *found;
    }
    all = all && *endpoint.scores;
  }
  opened.info.can_score = opened.info.words_only = all;
  return {};
}

}  // namespace

Result<std::vector<HttpAddress>> parse_http_addresses(const std::string& uri) {
  std::vector<HttpAddress> addresses;
  const std::string example = "write it like http://a:8000/v1#name,http://b:8000/v1#name";
  for (std::size_t at = 0; at <= uri.size();) {
    const std::size_t end = std::min(uri.find(',', at), uri.size());
    auto address = parse_http_address(uri.substr(at, end - at));
    if (!address) return tl::unexpected<Error>(address.error());
    for (const HttpAddress& other : addresses) {
      if (other.name != address->name) {
        return bad_input("the endpoints have different models: " + one_line(other.name, 80) + " and " + one_line(address->name, 80), example);
      }
      if (other.base == address->base) return bad_input("an endpoint stands twice: " + other.base, "leave one out");
    }
    addresses.push_back(std::move(*address));
    at = end + 1;
  }
  if (addresses.size() > 1 && addresses.front().name.empty()) {
    return bad_input("several endpoints, and no model's name", example);
  }
  if (addresses.size() > 64) return bad_input("more than 64 endpoints", "give fewer");
  return addresses;
}

Result<std::unique_ptr<Model>> open_http_model(const std::string& uri, const HttpOptions& options, const HttpOpen& how) {
  auto addresses = parse_http_addresses(uri);
  if (!addresses) return tl::unexpected<Error>(addresses.error());
  const bool several = addresses->size() > 1;
  Opened opened;
  opened.name = addresses->front().name;
  for (const HttpAddress& address : *addresses) {
    if (Status status = add_endpoint(address, options, several, opened); !status) return tl::unexpected<Error>(status.error());
  }
  if (opened.reached == 0) return tl::unexpected<Error>(*opened.first_error);
  if (how.scores) {
    if (Status status = find_scores(*addresses, options, how, opened); !status) return tl::unexpected<Error>(status.error());
  }
  ModelInfo& info = opened.info;
  info.name = opened.name;
  std::vector<std::string> urls;
  for (const EndpointInfo& endpoint : info.endpoints) {
    urls.push_back(endpoint.url);
    info.uri += (info.uri.empty() ? "" : ",") + endpoint.url;
  }
  std::sort(urls.begin(), urls.end());
  std::string known;
  for (const std::string& url : urls) known += url + "\n";
  info.digest = sha256(known + (several ? opened.alike : opened.lasting));
  std::vector<std::size_t> down;
  for (std::size_t i = 0; i < info.endpoints.size(); ++i) {
    if (info.endpoints[i].serves.empty()) down.push_back(i);
  }
  auto model = std::make_unique<HttpModel>(std::move(*addresses), options, std::move(info));
  for (const std::size_t endpoint : down) {
    model->leave_out(endpoint);
    if (!options.events) continue;
    Event event;
    event.kind = Event::Kind::kWarning;
    event.stage = "endpoints";
    event.text = model->info().endpoints[endpoint].url + " does not answer and is left out for now";
    options.events(event);
  }
  return model;
}

}  // namespace precept
