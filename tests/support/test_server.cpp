#include "tests/support/test_server.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_map>

#include <sys/socket.h>

#include <httplib.h>
#include <nlohmann/json.hpp>

#include "precept/core/rng.h"

namespace precept {
namespace {

using nlohmann::json;

constexpr std::array<const char*, 12> kTroubleNames = {
    "none", "slow", "too_many", "internal", "html", "half_json", "drop", "flood", "garbage",
    "too_many_bare", "unavailable", "stall"};

std::string words_for(const json& request) {
  static const std::array<const char*, 16> kWords = {
      "the", "fox", "walks", "to", "a", "river", "and", "finds", "small", "stone",
      "under", "green", "water", "while", "birds", "sing"};
  const std::string asked =
      request.contains("messages") ? request["messages"].dump() : request.value("prompt", "");
  const bool greedy = request.value("temperature", 1.0) == 0.0;
  Rng rng({.seed = greedy ? 0 : request.value("seed", std::uint64_t{0}), .item = hash64(asked)});
  std::string text;
  const std::uint64_t count = 8 + rng.below(30);
  for (std::uint64_t i = 0; i < count; ++i) {
    text += (i == 0 ? "" : " ") + std::string(kWords[rng.below(kWords.size())]);
  }
  return text;
}

// Spellings of yes and no, and others, with probabilities from a hash of the request.
std::vector<std::pair<std::string, double>> yes_or_no(const json& request) {
  Rng rng({.seed = 11, .item = hash64(request["messages"].dump())});
  const double yes = 0.05 + 0.85 * rng.uniform(), no = 0.95 - yes;
  return {{"Yes", std::log(yes * 0.75)}, {" yes", std::log(yes * 0.25)}, {"No", std::log(no * 0.5)},
          {"no", std::log(no * 0.5)}, {"Maybe", std::log(0.03)}, {"The", std::log(0.02)}};
}

json first_token(const std::vector<std::pair<std::string, double>>& candidates) {
  json top = json::array();
  for (const auto& [token, logprob] : candidates) top.push_back({{"token", token}, {"logprob", logprob}});
  json first = candidates.empty() ? json{{"token", "x"}, {"logprob", -0.5}} : top.front();
  first["top_logprobs"] = top;
  return first;
}

// Words stand for tokens: cuts at max_tokens and at stop strings as a real server would.
json answer_of(const json& request, std::string text, const TestServerOptions& options) {
  std::string finish = "stop";
  for (const json& stop : request.value("stop", json::array())) {
    text.resize(std::min(text.size(), text.find(stop.get<std::string>())));
  }
  const int limit = request.value("max_tokens", 256);
  std::vector<std::string> words;
  std::size_t begin = 0;
  while (begin < text.size()) {
    std::size_t end = text.find(' ', begin + 1);
    if (end == std::string::npos) end = text.size();
    if (static_cast<int>(words.size()) == limit) {
      text.resize(begin);
      finish = "length";
      break;
    }
    words.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  json choice = {{"index", 0}, {"finish_reason", finish}};
  const bool chat = request.contains("messages");
  if (chat) {
    choice["message"] = {{"role", "assistant"}, {"content", text}};
  } else {
    choice["text"] = text;
  }
  if (chat && request.value("logprobs", false)) {
    json tokens = json::array();
    for (const std::string& word : words) tokens.push_back({{"token", word}, {"logprob", -0.5}});
    if (options.top_logprobs && request.contains("top_logprobs")) {
      const auto candidates = options.first_tokens ? options.first_tokens(request) : yes_or_no(request);
      tokens = json::array({first_token(candidates)});
    }
    choice["logprobs"] = {{"content", tokens}};
  }
  const std::size_t prompt_bytes =
      chat ? request["messages"].dump().size() : request["prompt"].get<std::string>().size();
  json answer = {{"id", "answer"},
          {"object", chat ? "chat.completion" : "text_completion"},
          {"model", request.value("model", "")},
          {"choices", json::array({choice})},
          {"usage",
           {{"prompt_tokens", 1 + prompt_bytes / 4}, {"completion_tokens", words.size()}}}};
  if (!options.fingerprint.empty()) answer["system_fingerprint"] = options.fingerprint;
  return answer;
}

// The same as server-sent events, a word each.
std::string events_of(json answer) {
  json choice = answer["choices"][0];
  const bool chat = choice.contains("message");
  const std::string text = chat ? choice["message"]["content"] : choice["text"];
  const json usage = answer["usage"];
  answer.erase("usage");
  std::string out = ": a comment\n\n";
  const auto put = [&](const std::string& part, const json& reason) {
    json one = {{"index", 0}, {"finish_reason", reason}};
    if (chat) one["delta"] = {{"content", part}};
    else one["text"] = part;
    answer["choices"] = json::array({one});
    out += "data: " + answer.dump() + "\n\n";
  };
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin + 1), text.size());
    put(text.substr(begin, end - begin), nullptr);
    begin = end;
  }
  put("", choice["finish_reason"]);
  answer["choices"] = json::array();
  answer["usage"] = usage;
  return out + "data: " + answer.dump() + "\n\ndata: [DONE]\n\n";
}

std::string garbage(Rng& rng) {
  static const std::array<const char*, 12> kWrong = {
      "", "[]", "null", "42", R"({"choices":[]})", R"({"choices":"none"})",
      R"({"choices":[{"message":{"content":null},"finish_reason":"stop"}]})",
      R"({"choices":[{"message":{"content":[1,2]},"finish_reason":"stop"}]})",
      R"({"choices":[{"message":"text","finish_reason":7}]})",
      R"({"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":-4}})",
      R"({"choices":[{"message":{"content":"\ud800"}}]})",
      R"({"error":{"message":"out\nof memory","code":7}})"};
  const std::uint64_t which = rng.below(kWrong.size() + 2);
  if (which < kWrong.size()) return kWrong[which];
  if (which == kWrong.size()) return std::string(100'000, '[');
  std::string bytes;
  for (int i = 0; i < 2000; ++i) bytes += static_cast<char>(rng.below(256));
  return bytes;
}

}  // namespace

const char* name_of(Trouble trouble) { return kTroubleNames[static_cast<std::size_t>(trouble)]; }

struct TestServer::Impl {
  TestServerOptions options;
  std::unique_ptr<httplib::Server> owned;
  std::thread thread;
  int port = -1;
  int listener = -1;
  std::atomic<bool> stopping{false};

  mutable std::mutex mutex;
  TestServerStats stats;
  std::int64_t at_once = 0;
  std::set<int> ports;
  std::set<std::string> authorizations, headers;
  std::set<std::uint64_t> answered;  // hashes of bodies
  std::unordered_map<std::uint64_t, std::uint32_t> seen;  // by hash of the body

  void install();
  void on_post(const httplib::Request& request, httplib::Response& response);
  Trouble draw(Rng& rng) const;
  void reply(Trouble trouble, Rng& rng, const std::string& good, httplib::Response& response);
  std::uint32_t note(const httplib::Request& request, bool& too_many);
  void note_headers(const httplib::Request& request);
  void list(httplib::Response& response);
};

// Under the lock.
void TestServer::Impl::note_headers(const httplib::Request& request) {
  for (const auto& [name, value] : request.headers) headers.insert(name + ": " + value);
}

std::uint32_t TestServer::Impl::note(const httplib::Request& request, bool& too_many) {
  const std::lock_guard lock(mutex);
  ++stats.requests;
  too_many = options.capacity > 0 && at_once >= options.capacity;
  note_headers(request);
  stats.repeated += answered.count(hash64(request.body)) > 0 ? 1 : 0;
  stats.most_at_once = std::max(stats.most_at_once, ++at_once);
  ports.insert(request.remote_port);
  authorizations.insert(request.get_header_value("Authorization"));
  stats.last_body = request.body;
  return ++seen[hash64(request.body)];
}

Trouble TestServer::Impl::draw(Rng& rng) const {
  const std::lock_guard lock(mutex);
  double u = rng.uniform();
  for (const auto& [trouble, share] : options.share) {
    if (u < share) return trouble;
    u -= share;
  }
  return Trouble::kNone;
}

void TestServer::Impl::reply(Trouble trouble, Rng& rng, const std::string& good,
                             httplib::Response& response) {
  const char* const kJson = good.rfind(": a comment", 0) == 0 ? "text/event-stream" : "application/json";
  switch (trouble) {
    case Trouble::kSlow: {
      const auto until = std::chrono::steady_clock::now() + options.slow;
      while (!stopping && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      }
      response.set_content(good, kJson);
      return;
    }
    case Trouble::kTooMany:
      response.status = 429;
      response.set_header("Retry-After",
                          options.retry_after_text.empty() ? std::to_string(options.retry_after) : options.retry_after_text);
      response.set_content(R"({"error":{"message":"too many requests"}})", kJson);
      return;
    case Trouble::kTooManyBare:
      response.status = 429;
      response.set_content(R"({"error":{"message":"too many requests"}})", kJson);
      return;
    case Trouble::kUnavailable:
      response.status = 503;
      response.set_content("<html><h1>503 Service Unavailable</h1></html>", "text/html");
      return;
    case Trouble::kStall:
      response.set_content_provider(
          good.size(), kJson, [this, good](std::size_t offset, std::size_t, httplib::DataSink& sink) {
            if (offset == 0) return sink.write(good.data(), good.size() / 2);
            for (int i = 0; i < 400 && !stopping && sink.is_writable(); ++i) {
              std::this_thread::sleep_for(std::chrono::milliseconds(5));
            }
            return false;
          });
      return;
    case Trouble::kInternal:
      response.status = 500;
      response.set_content("internal server error", "text/plain");
      return;
    case Trouble::kHtml:
      response.set_content("<html><head><title>Sign in</title></head><body>Hi</body></html>",
                           "text/html");
      return;
    case Trouble::kHalfJson:
      response.set_content(good.substr(0, good.size() / 2), kJson);
      return;
    case Trouble::kDrop:
      response.set_content_provider(
          good.size() + 100, kJson, [good](std::size_t offset, std::size_t, httplib::DataSink& sink) {
            if (offset > 0) return false;
            return sink.write(good.data(), good.size() / 2);
          });
      return;
    case Trouble::kFlood:
      response.set_chunked_content_provider(
          kJson, [this, chunk = std::string(1 << 16, 'x')](std::size_t offset,
                                                           httplib::DataSink& sink) {
            if (stopping || offset > (std::size_t{64} << 20)) return false;
            return sink.write(chunk.data(), chunk.size());
          });
      return;
    case Trouble::kGarbage:
      response.set_content(garbage(rng), kJson);
      return;
    case Trouble::kNone:
      if (options.between_parts.count() == 0 && !options.before_the_end) {
        response.set_content(good, kJson);
        return;
      }
      response.set_chunked_content_provider(kJson, [this, good](std::size_t offset, httplib::DataSink& sink) {
        const std::size_t end = std::min(good.find("\n\n", offset), good.size() - 2) + 2;
        std::this_thread::sleep_for(options.between_parts);
        if (end == good.size() && options.before_the_end) options.before_the_end();
        if (stopping || !sink.write(good.data() + offset, end - offset)) return false;
        if (end == good.size()) sink.done();
        return true;
      });
      return;
  }
}

void TestServer::Impl::on_post(const httplib::Request& request, httplib::Response& response) {
  bool too_many = false;
  const std::uint32_t time = note(request, too_many);
  Rng rng({.seed = options.seed, .item = hash64(request.body), .step = time});
  const json asked = json::parse(request.body, nullptr, false);
  if (too_many) {
    {
      const std::lock_guard lock(mutex);
      ++stats.troubles[Trouble::kTooManyBare];
    }
    reply(Trouble::kTooManyBare, rng, "", response);
  } else if (options.always_status != 0) {
    response.status = options.always_status;
    response.set_content(options.always_body, "application/json");
  } else if (!asked.is_object() || (!asked.contains("messages") && !asked.contains("prompt"))) {
    response.status = 400;
    response.set_content(R"({"error":{"message":"no messages"}})", "application/json");
  } else if (Result<std::string> text =
                 options.content ? options.content(asked) : Result<std::string>(words_for(asked));
             !text) {
    response.status = 400;
    response.set_content(json{{"error", {{"message", text.error().message()}}}}.dump(),
                         "application/json");
  } else {
    const Trouble trouble = draw(rng);
    std::string good;
    {
      const std::lock_guard lock(mutex);
      ++stats.troubles[trouble];
      if (trouble == Trouble::kNone || trouble == Trouble::kSlow) answered.insert(hash64(request.body));
      const json answer = answer_of(asked, std::move(*text), options);
      good = asked.value("stream", false) && !options.whole_always ? events_of(answer) : answer.dump();
    }
    reply(trouble, rng, good, response);
  }
  const std::lock_guard lock(mutex);
  --at_once;
}

void TestServer::Impl::install() {
  if (options.certificate.empty()) {
    owned = std::make_unique<httplib::Server>();
  } else {
    owned = std::make_unique<httplib::SSLServer>(options.certificate.c_str(), options.private_key.c_str());
  }
  httplib::Server& server = *owned;
  const auto threads = static_cast<std::size_t>(options.threads);
  server.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
  server.set_keep_alive_max_count(1'000'000);
  server.set_keep_alive_timeout(1);
  server.set_tcp_nodelay(true);
  server.set_socket_options([this](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    listener = socket;
  });
  server.set_payload_max_length(std::size_t{64} << 20);
  // As to a proxy: the whole address stands where the path does.
  server.set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    if (request.path.rfind("http://", 0) != 0) return httplib::Server::HandlerResponse::Unhandled;
    {
      const std::lock_guard lock(mutex);
      ++stats.proxied;
    }
    if (request.method == "GET") {
      list(response);
      return httplib::Server::HandlerResponse::Handled;
    }
    response.status = 502;
    return httplib::Server::HandlerResponse::Handled;
  });
  const auto post = [this](const httplib::Request& request, httplib::Response& response) {
    on_post(request, response);
  };
  server.Post("/v1/chat/completions", post);
  server.Post("/v1/completions", post);
  server.Get("/v1/models", [this](const httplib::Request& request, httplib::Response& response) {
    {
      const std::lock_guard lock(mutex);
      note_headers(request);
    }
    list(response);
  });
}

void TestServer::Impl::list(httplib::Response& response) {
  json models = json::array();
  for (const std::string& name : options.models) {
    models.push_back({{"id", name}, {"object", "model"}, {"owned_by", "tests"},
                      {"created", std::chrono::steady_clock::now().time_since_epoch().count()}});
  }
  std::uint32_t time = 0;
  {
    const std::lock_guard lock(mutex);
    ++stats.gets;
    time = ++seen[0];
  }
  Rng rng({.seed = options.seed, .item = 0, .step = time});
  const std::string good = json{{"object", "list"}, {"data", models}}.dump();
  reply(options.troubled_list ? draw(rng) : Trouble::kNone, rng, good, response);
}

TestServer::TestServer(TestServerOptions options) : impl_(std::make_unique<Impl>()) {
  impl_->options = std::move(options);
  impl_->install();
  if (impl_->options.port == 0) {
    impl_->port = impl_->owned->bind_to_any_port("127.0.0.1");
  } else if (impl_->owned->bind_to_port("127.0.0.1", impl_->options.port)) {
    impl_->port = impl_->options.port;
  }
  if (impl_->port <= 0) return;
  ::listen(impl_->listener, 1024);  // httplib asks for a queue of 5, too short for 64 clients at once
  impl_->thread = std::thread([impl = impl_.get()] { impl->owned->listen_after_bind(); });
  while (!impl_->owned->is_running()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

TestServer::~TestServer() {
  impl_->stopping = true;
  impl_->owned->stop();
  if (impl_->thread.joinable()) impl_->thread.join();
}

bool TestServer::listening() const { return impl_->port > 0; }
int TestServer::port() const { return impl_->port; }
std::string TestServer::base() const {
  return (impl_->options.certificate.empty() ? "http://127.0.0.1:" : "https://127.0.0.1:") + std::to_string(impl_->port) + "/v1";
}

TestServerStats TestServer::stats() const {
  const std::lock_guard lock(impl_->mutex);
  TestServerStats stats = impl_->stats;
  stats.connections = static_cast<std::int64_t>(impl_->ports.size());
  stats.authorizations.assign(impl_->authorizations.begin(), impl_->authorizations.end());
  stats.headers.assign(impl_->headers.begin(), impl_->headers.end());
  return stats;
}

void TestServer::set_fingerprint(const std::string& fingerprint) {
  const std::lock_guard lock(impl_->mutex);
  impl_->options.fingerprint = fingerprint;
}

void TestServer::set_share(const std::map<Trouble, double>& share) {
  const std::lock_guard lock(impl_->mutex);
  impl_->options.share = share;
}

void TestServer::forget_most_at_once() {
  const std::lock_guard lock(impl_->mutex);
  impl_->stats.most_at_once = 0;
}

}  // namespace precept
