#pragma once
// The options of every command that takes --model, for models behind endpoints. One list; none of them changes a result,
// so that none stands in the recipe of a run, and no secret gets there.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/model/http_options.h"
#include "precept/store/metered_model.h"

namespace precept {

struct EndpointOptions {
  std::string api_key_env;  // empty: PRECEPT_API_KEY, else OPENAI_API_KEY
  std::string header;       // lines
  std::string proxy, ca_file;
  int max_in_flight = 0;    // 0: PRECEPT_HTTP_IN_FLIGHT, else 64
  double connect_timeout = 10;  // seconds, like the next two
  double request_timeout = 0;   // 0: PRECEPT_HTTP_TIMEOUT, else 120
  double stall_timeout = 30;
  int retries = -1;             // -1: PRECEPT_HTTP_RETRIES, else 5
  std::uint64_t max_total_tokens = 0;
  double max_spend = 0, price_input = 0, price_output = 0;
};

template <class Visit>
void for_each_field(EndpointOptions& o, Visit visit) {
  visit("api_key_env", o.api_key_env,
        "environment variable that holds the endpoint's API key (default: PRECEPT_API_KEY, else OPENAI_API_KEY)", beside());
  visit("header", o.header, "'Name: value', sent to the endpoint; $VAR is taken from the environment; may be repeated", beside());
  visit("proxy", o.proxy, "address of a proxy, or $VAR (default: http_proxy, https_proxy, all_proxy and no_proxy)", beside());
  visit("ca_file", o.ca_file, "certificates to trust, in PEM (default: the system's)", beside());
  visit("max_in_flight", o.max_in_flight,
        "requests on the wire at most, at each endpoint; fewer where it complains; 0: PRECEPT_HTTP_IN_FLIGHT, else 64",
        beside(between(0, 4096)));
  visit("connect_timeout", o.connect_timeout, "seconds to connect", beside(between(0.01, 86400)));
  visit("request_timeout", o.request_timeout, "seconds that one attempt may take; 0: PRECEPT_HTTP_TIMEOUT, else 120",
        beside(between(0, 86400)));
  visit("stall_timeout", o.stall_timeout, "seconds without a byte, once an answer has begun", beside(between(0.01, 86400)));
  visit("retries", o.retries, "attempts after the first; -1: PRECEPT_HTTP_RETRIES, else 5", beside(between(-1, 100)));
  visit("max_total_tokens", o.max_total_tokens, "stop asking endpoints at so many tokens, over all sessions of the run; 0: never",
        beside());
  visit("max_spend", o.max_spend, "stop asking endpoints at this cost by the prices below; 0: never", beside(between(0, 1e9)));
  visit("price_input", o.price_input, "of a million prompt tokens", beside(between(0, 1e9)));
  visit("price_output", o.price_output, "of a million output tokens", beside(between(0, 1e9)));
}

// --header may stand several times: its values become lines. After add_fields.
void repeat_headers(CLI::App& command);

// Does a --model or --judge name endpoints?
bool is_endpoint(const std::string& uri);

// Environment and options together. kBadInput for a variable, header, proxy or file that is not what it should be.
Result<HttpOptions> http_options(const EndpointOptions& options, const EventSink& events);

// The meter of a command over `models`, which keeps answers in the run folder `run`; null where no model is an endpoint.
// kBadInput: a ceiling without an endpoint, a cost without prices.
Result<std::shared_ptr<Meter>> open_meter(const EndpointOptions& options, const std::vector<std::string>& models,
                                          const std::string& run, const EventSink& events);
Status check_ceiling(const EndpointOptions& options, const std::vector<std::string>& models);

}  // namespace precept
