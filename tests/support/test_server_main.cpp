// The misbehaving test server as a program: precept_test_server --port N [--script FILE]
// [--trouble NAME=SHARE]... Runs until SIGINT or SIGTERM, then prints what it did.

#include <csignal>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "precept/model/scripted_model.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

Result<GenerateRequest> request_from(const nlohmann::json& body) {
  GenerateRequest request;
  try {
    request.raw = body.contains("prompt");
    if (request.raw) {
      request.messages = {{"user", body.at("prompt").get<std::string>()}};
    } else {
      for (const auto& message : body.at("messages")) {
        request.messages.push_back(
            {message.at("role").get<std::string>(), message.at("content").get<std::string>()});
      }
    }
    request.sampling.max_tokens = body.value("max_tokens", 256);
    request.sampling.temperature = body.value("temperature", 1.0);
    request.key.seed = body.value("seed", std::uint64_t{0});
  } catch (const nlohmann::json::exception& error) {
    return bad_input(error.what());
  }
  return request;
}

// A scripted model behind a lock: one request at a time.
class ScriptedContent {
 public:
  explicit ScriptedContent(Script script) : model_(std::move(script)) {}

  Result<std::string> operator()(const nlohmann::json& body) {
    auto request = request_from(body);
    if (!request) return tl::unexpected<Error>(request.error());
    const std::lock_guard lock(mutex_);
    Result<std::string> text = failed("the script gave no answer");
    model_.submit(std::move(*request), [&text](Result<Generation> answer) {
      if (answer) {
        text = std::move(answer->text);
      } else {
        text = tl::unexpected<Error>(answer.error());
      }
    });
    while (model_.advance(std::chrono::milliseconds(10)) > 0) {
    }
    return text;
  }

 private:
  std::mutex mutex_;
  ScriptedModel model_;
};

// "slow=0.1" into the map of shares.
bool add_trouble(const std::string& text, TestServerOptions& options) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos) return false;
  char* end = nullptr;
  const double share = std::strtod(text.c_str() + equals + 1, &end);
  if (*end != '\0' || !(share >= 0 && share <= 1)) return false;
  for (int i = 0; i <= static_cast<int>(kLastTrouble); ++i) {
    const auto trouble = static_cast<Trouble>(i);
    if (text.substr(0, equals) != name_of(trouble)) continue;
    options.share[trouble] = share;
    return true;
  }
  return false;
}

int fail(const std::string& what, const std::string& hint) {
  std::fprintf(stderr, "precept_test_server: error: %s\nhint: %s\n", what.c_str(), hint.c_str());
  return 2;
}

int serve(TestServerOptions options) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // before any thread starts, so that all inherit it
  const TestServer server(std::move(options));
  if (!server.listening()) return fail("the port is taken", "choose another one, or 0 for any");
  std::printf("listening on %s\n", server.base().c_str());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  const TestServerStats stats = server.stats();
  nlohmann::json troubles = nlohmann::json::object();
  for (const auto& [trouble, count] : stats.troubles) troubles[name_of(trouble)] = count;
  const nlohmann::json summary = {{"requests", stats.requests},
                                  {"connections", stats.connections},
                                  {"most_at_once", stats.most_at_once},
                                  {"troubles", troubles}};
  std::printf("%s\n", summary.dump().c_str());
  return 0;
}

}  // namespace
}  // namespace precept

int main(int argc, char** argv) {
  using namespace precept;
  TestServerOptions options;
  std::string script;
  std::vector<std::string> troubles;
  std::int64_t slow_ms = 300, between_ms = 0;
  CLI::App app("An OpenAI-compatible server that misbehaves on purpose (for tests).");
  app.add_option("--port", options.port, "port on 127.0.0.1; 0: any free one")->check(CLI::Range(0, 65535));
  app.add_option("--script", script, "answers, in the format of scripted: models");
  app.add_option("--model", options.models, "names listed under /models");
  app.add_option("--trouble", troubles,
                 "NAME=SHARE of the requests; slow, too_many, too_many_bare, internal, unavailable, html, half_json, drop, stall, "
                 "flood, garbage");
  app.add_flag("--troubled-list", options.troubled_list, "/models misbehaves as well");
  app.add_option("--slow-ms", slow_ms, "how late a slow answer is")->check(CLI::Range(0, 3'600'000));
  app.add_option("--between-ms", between_ms, "between two parts of an answer that is asked for in parts")->check(CLI::Range(0, 3'600'000));
  app.add_option("--retry-after", options.retry_after, "seconds, sent with 429")->check(CLI::Range(0, 86400));
  app.add_option("--capacity", options.capacity, "more requests at once get 429; 0: any number")->check(CLI::Range(0, 10'000));
  app.add_option("--fingerprint", options.fingerprint, "system_fingerprint of the answers");
  app.add_flag("!--no-logprobs", options.top_logprobs, "give no candidates of first tokens");
  app.add_option("--seed", options.seed, "decides which request meets which trouble");
  CLI11_PARSE(app, argc, argv);
  options.slow = std::chrono::milliseconds(slow_ms);
  options.between_parts = std::chrono::milliseconds(between_ms);
  for (const std::string& text : troubles) {
    if (!add_trouble(text, options)) return fail("not a trouble: " + text, "write it like slow=0.1");
  }
  if (!script.empty()) {
    auto loaded = load_script(script);
    if (!loaded) return fail(loaded.error().message(), loaded.error().hint);
    auto content = std::make_shared<ScriptedContent>(std::move(*loaded));
    options.content = [content](const nlohmann::json& body) { return (*content)(body); };
  }
  return serve(std::move(options));
}
