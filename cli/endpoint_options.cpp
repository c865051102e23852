#include "cli/endpoint_options.h"

#include <algorithm>
#include <chrono>

#include "precept/core/io.h"
#include "precept/model/http_model.h"

namespace precept {
namespace {

std::chrono::milliseconds milliseconds_of(double seconds) {
  return std::chrono::milliseconds(std::max<std::int64_t>(1, static_cast<std::int64_t>(seconds * 1000)));
}

}  // namespace

void repeat_headers(CLI::App& command) { command.get_option("--header")->join(); }

bool is_endpoint(const std::string& uri) { return uri.rfind("http://", 0) == 0 || uri.rfind("https://", 0) == 0; }

Result<HttpOptions> http_options(const EndpointOptions& options, const EventSink& events) {
  auto http = http_options_from_environment();
  if (!http) return http;
  if (!options.api_key_env.empty()) {
    auto key = api_key_from(options.api_key_env);
    if (!key) return tl::unexpected<Error>(key.error());
    http->api_key = std::move(*key);
  }
  if (Status status = add_headers(options.header, "--header", *http); !status) return tl::unexpected<Error>(status.error());
  if (!options.proxy.empty()) {
    if (Status status = set_proxy(options.proxy, "--proxy", *http); !status) return tl::unexpected<Error>(status.error());
  }
  if (!options.ca_file.empty()) {
    const auto certificates = read_file(options.ca_file, std::size_t{16} << 20);
    if (!certificates) return tl::unexpected<Error>(certificates.error());
    if (certificates->find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
      return bad_input("holds no certificate", "give a file in PEM: it has lines -----BEGIN CERTIFICATE-----", options.ca_file);
    }
    http->ca_file = options.ca_file;
  }
  if (options.max_in_flight > 0) http->max_in_flight = options.max_in_flight;
  if (options.request_timeout > 0) http->timeout = milliseconds_of(options.request_timeout);
  if (options.retries >= 0) http->retries = options.retries;
  http->connect_timeout = milliseconds_of(options.connect_timeout);
  http->stall_timeout = milliseconds_of(options.stall_timeout);
  http->events = events;
  return http;
}

Status check_ceiling(const EndpointOptions& options, const std::vector<std::string>& models) {
  const bool prices = options.price_input > 0 || options.price_output > 0;
  if (options.max_spend > 0 && !prices) {
    return bad_input("--max-spend is given, but no prices", "give --price-input and --price-output, each of a million tokens");
  }
  const bool ceiling = options.max_total_tokens > 0 || options.max_spend > 0;
  if (ceiling && std::none_of(models.begin(), models.end(), is_endpoint)) {
    return bad_input(std::string(options.max_total_tokens > 0 ? "--max-total-tokens" : "--max-spend") + " is given, but no model is an endpoint",
                     "leave it out: models in this process cost nothing");
  }
  return {};
}

Result<std::shared_ptr<Meter>> open_meter(const EndpointOptions& options, const std::vector<std::string>& models,
                                          const std::string& run, const EventSink& events) {
  if (Status status = check_ceiling(options, models); !status) return tl::unexpected<Error>(status.error());
  bool any = false;
  for (const std::string& model : models) {
    if (!is_endpoint(model)) continue;
    any = true;  // what is written wrong shows before a folder is made
    if (const auto addresses = parse_http_addresses(model); !addresses) return tl::unexpected<Error>(addresses.error());
  }
  if (!any) return std::shared_ptr<Meter>();
  if (const auto http = http_options(options, {}); !http) return tl::unexpected<Error>(http.error());
  const Ceiling ceiling{options.max_total_tokens, options.max_spend, options.price_input, options.price_output};
  return Meter::open(run, ceiling, events);
}

}  // namespace precept
