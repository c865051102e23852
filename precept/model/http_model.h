#pragma once
// A model behind an OpenAI-compatible server (vLLM, SGLang, llama-server, Ollama, hosted ones), or behind several.
//
// URI: http(s)://host[:port][/path]#name, for example http://127.0.0.1:8000/v1#qwen. Requests go to PATH/chat/completions,
// raw ones to PATH/completions. Without a name the server's only model is used. Several endpoints of one model,
// separated by commas, all named: they share the load, and one that is down is left out (model/endpoints.h).
//
// One thread; many requests in flight, as many as the servers bear (InFlightWindow); the others wait in a queue. Trouble
// that may pass (no connection, 408, 425, 429, 5xx, a timeout, a cut, stalled, oversized or unreadable body) is retried
// with exponential backoff; Retry-After holds back that endpoint. What will not pass (other 4xx, redirects, a certificate
// that cannot be verified) is reported at once with the server's words.
// Once a request has given up on connecting, others that cannot connect fail without retries until a server answers
// again. Redirects are never followed. Nothing is sent but to the hosts of the URI, by way of proxies.
//
// What is not known of such a server: token ids (Generation::tokens stays empty), and whether it honours the seed that
// goes with each request. Log-probs are passed on where it gives them.
// Scores: where every server gives candidates of first tokens (asked once, by one request each; http_score.h), questions
// with options of one word are scored, one request a question; ModelInfo::words_only says so.
// Digest: of one endpoint the SHA-256 of URL, name and the lasting fields of its entry in /models (id, root, parent,
// owner, context length, meta); a server without /models is known by URL and name alone. Of several: of all URLs in
// order, the name, and context length and meta, on which they must agree.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/http_options.h"
#include "precept/model/http_wire.h"
#include "precept/model/model.h"

namespace precept {

struct HttpOpen {
  bool scores = false;  // find out whether the servers give log-probs: else the model cannot score
  // What is known of an endpoint from before (`url` and `serves` are set), so that it is not asked again.
  std::function<std::optional<bool>(const EndpointInfo&)> known = {};
};

// Asks every server for its models (blocking, with retries), so that a wrong address shows at once. Of several, one that
// answers is enough.
// kBadInput: a malformed URI, no name where the server has several, endpoints of different models. kFailed: anything else.
Result<std::unique_ptr<Model>> open_http_model(const std::string& uri, const HttpOptions& options, const HttpOpen& how = {});

// The addresses of a URI. kBadInput for what is not a list of http(s) addresses of one name, each once.
Result<std::vector<HttpAddress>> parse_http_addresses(const std::string& uri);

}  // namespace precept
