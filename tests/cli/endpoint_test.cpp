// The program against endpoints: keys stay secret, ceilings stop and go on, nothing is asked twice.

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/byte_alphabet.h"
#include "tests/cli/program.h"
#include "tests/support/test_server.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class Endpoint : public ProgramTest {
 protected:
  void SetUp() override {
    ProgramTest::SetUp();
    std::string prompts;
    for (int i = 0; i < 12; ++i) prompts += "{\"id\":\"p" + std::to_string(i) + "\",\"prompt\":\"Say number " + std::to_string(i) + ".\"}\n";
    put("many.jsonl", prompts);
  }
  static TestServerOptions steady() {
    TestServerOptions options;
    options.content = [](const nlohmann::json& request) -> Result<std::string> {
      const std::string asked = request["messages"].back()["content"].get<std::string>();
      return asked.find("Answer with one line per rule") != std::string::npos ? "1: no" : "I say it.";
    };
    return options;
  }
  static std::string revise(const TestServer& server, const std::string& rest = "", const std::string& folder = "r") {
    return "revise --quiet --model '" + server.base() + "#test' --prompts many.jsonl --constitution good.toml --draft-max-tokens 16 --run " +
           folder + " " + rest;
  }
  // Bytes of all files below the folder of the test.
  void expect_nowhere(const std::string& secret) const {
    int files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder_)) {
      if (!entry.is_regular_file()) continue;
      ++files;
      EXPECT_EQ(slurp(entry.path()).find(secret), std::string::npos) << "the secret is in " << entry.path();
    }
    EXPECT_GT(files, 5);
  }
  void expect_fine(const std::string& arguments, const std::string& before = "") const {
    const Ran ran = run(arguments, before);
    ASSERT_EQ(ran.code, 0) << arguments << "\n" << ran.err;
  }
};

TEST_F(Endpoint, TheKeyAndSecretHeadersAreSentAndStandNowhere) {
  TestServer server(steady());
  const std::string before = "MY_KEY=sk-0123456789-live TENANT=tenant-98765 ";
  expect_fine(revise(server, "--api-key-env MY_KEY --header 'X-Tenant: $TENANT' --header 'X-Team: red'"), before);
  const TestServerStats stats = server.stats();
  EXPECT_EQ(stats.authorizations, std::vector<std::string>{"Bearer sk-0123456789-live"});
  const auto sent = [&](const std::string& line) { return std::count(stats.headers.begin(), stats.headers.end(), line); };
  EXPECT_EQ(sent("X-Tenant: tenant-98765"), 1);
  EXPECT_EQ(sent("X-Team: red"), 1);
  // Also where the server refuses and repeats what it was given.
  TestServer rude({.always_status = 401, .always_body = R"({"error":{"message":"sk-0123456789-live and tenant-98765 are wrong"}})"});
  const Ran refused = run(revise(rude, "--api-key-env MY_KEY --header 'X-Tenant: $TENANT'", "rude"), before);
  expect_error(refused, 3, "*** and *** are wrong");
  expect_nowhere("sk-0123456789-live");
  expect_nowhere("tenant-98765");
  const std::string recipe = slurp(path("r/recipe.toml"));
  for (const char* key : {"api_key_env", "header", "MY_KEY", "max_spend"}) EXPECT_EQ(recipe.find(key), std::string::npos) << key;
  EXPECT_NE(recipe.find("draft_max_tokens = 16"), std::string::npos);
}

TEST_F(Endpoint, WhatIsWrongIsOneLineAndCodeTwo) {
  TestServer server(steady());
  const auto wrong = [&](const std::string& flags, const std::string& words) {
    SCOPED_TRACE(flags);
    expect_error(run(revise(server, flags)), 2, words);
    expect_error(run("generate --model '" + server.base() + "#test' --prompt Hi " + flags), 2, words);
    expect_error(run("eval --held-out 3 --model '" + server.base() + "#test' " + flags), 2, words);
  };
  wrong("--api-key-env NOT_SET_HERE", "NOT_SET_HERE");
  wrong("--header 'Authorization: Bearer sk-1'", "writes out the secret");
  wrong("--header 'no colon'", "--header is not a header");
  wrong("--proxy nowhere", "--proxy is not the address");
  wrong("--ca-file missing.pem", "missing.pem");
  wrong("--ca-file good.toml", "holds no certificate");
  wrong("--max-in-flight 5000", "--max-in-flight is 5000");
  wrong("--retries 101", "--retries is 101");
  wrong("--max-spend 1", "no prices");
  expect_error(run("revise --model scripted:script.jsonl --prompts prompts.jsonl --constitution good.toml --run q --max-total-tokens 5"), 2,
               "no model is an endpoint");
  expect_error(run(revise(server, "--model 'http://127.0.0.1:1/v1#a,http://127.0.0.1:2/v1#b'", "never")), 2, "--model");
  EXPECT_EQ(server.stats().requests, 0);
  EXPECT_FALSE(fs::exists(path("r"))) << "nothing was begun";
}

TEST_F(Endpoint, NothingIsSentTwiceAlsoWithAnotherRecipe) {
  TestServer server(steady());
  expect_fine(revise(server));
  const std::int64_t sent = server.stats().requests;
  EXPECT_GT(sent, 24);
  expect_fine(revise(server));
  EXPECT_EQ(server.stats().requests, sent) << "a finished run asks nothing";
  expect_error(run(revise(server, "--max-rounds 1")), 2, "another recipe");
  expect_fine(revise(server, "--max-rounds 1 --restart"));
  EXPECT_NE(slurp(path("r/recipe.toml")).find("max_rounds = 1"), std::string::npos);
  EXPECT_EQ(server.stats().repeated, 0);
  const std::int64_t now = server.stats().requests;
  fs::remove(path("r/run.db"));
  expect_fine(revise(server, "--max-rounds 1"));
  EXPECT_EQ(server.stats().requests, now) << "the answers are in answers.db";
  fs::remove(path("r/run.db"));
  fs::remove(path("r/answers.db"));
  expect_fine(revise(server, "--max-rounds 1"));
  EXPECT_GT(server.stats().repeated, 0) << "the count that the others rest on sees repetitions";
}

TEST_F(Endpoint, BenchLoopAsksForLogprobsToo) {
  TestServerOptions options;
  options.content = [](const nlohmann::json&) -> Result<std::string> { return "I say it."; };  // no verdict, read as text
  TestServer server(options);
  const Ran ran = run("bench loop --quiet --json --model '" + server.base() + "#test' --prompts many.jsonl --constitution good.toml");
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["endings"]["failed"], 0) << ran.out;
  EXPECT_EQ(json["endings"]["unparseable"], 0) << ran.out;
}

TEST_F(Endpoint, VerdictsAreProbabilitiesWhereThereAreLogprobsElseText) {
  TestServer with(steady());
  TestServerOptions plain = steady();
  plain.top_logprobs = false;
  TestServer without(plain);
  const Ran scored = run("revise --model '" + with.base() + "#test' --prompts many.jsonl --constitution good.toml --run with");
  ASSERT_EQ(scored.code, 0) << scored.err;
  EXPECT_NE(scored.err.find("gives log-probs"), std::string::npos) << scored.err;
  const Ran parsed = run("revise --model '" + without.base() + "#test' --prompts many.jsonl --constitution good.toml --run without");
  ASSERT_EQ(parsed.code, 0) << parsed.err;
  EXPECT_NE(parsed.err.find("gives no log-probs"), std::string::npos) << parsed.err;
  const auto traces = [&](const std::string& folder) { return run("export --what traces --run " + folder).out; };
  EXPECT_NE(traces("with").find("\"p\":0."), std::string::npos);
  EXPECT_EQ(traces("without").find("\"p\":"), std::string::npos);
  EXPECT_NE(traces("without").find("1: no"), std::string::npos);
}

TEST_F(Endpoint, ACeilingStopsAndAHigherOneGoesOn) {
  TestServer server(steady());
  const Ran stopped = run(revise(server, "--max-total-tokens 400"));
  expect_error(stopped, 3, "the ceiling of 400 tokens is reached");
  EXPECT_NE(stopped.err.find("repeat the command with a higher --max-total-tokens"), std::string::npos);
  const std::int64_t some = server.stats().requests;
  EXPECT_GT(some, 3);
  expect_error(run(revise(server, "--max-total-tokens 400")), 3, "the ceiling of 400 tokens is reached");
  EXPECT_EQ(server.stats().requests, some) << "what earlier sessions spent counts";
  expect_error(run(revise(server, "--max-spend 0.0001 --price-input 1 --price-output 1")), 3, "the ceiling of 0.0001 is reached");
  EXPECT_EQ(server.stats().requests, some);
  const Ran done = run(revise(server, "--max-total-tokens 100000 --json"));
  ASSERT_EQ(done.code, 0) << done.err;
  EXPECT_EQ(server.stats().repeated, 0);
  const auto json = nlohmann::json::parse(done.out);
  EXPECT_EQ(json["failed"], 0);
  EXPECT_GT(json["spent"]["prompt_tokens"], 400);
  // The same run without a stop gives the same.
  TestServer other(steady());
  expect_fine(revise(other, "", "whole"));
  EXPECT_EQ(run("export --run r").out, run("export --run whole").out);
  EXPECT_EQ(other.stats().requests, server.stats().requests);
}

TEST_F(Endpoint, ACeilingStopsAnEvaluationToo) {
  TestServer server(steady());
  const std::string eval = "eval --quiet --held-out 30 --model '" + server.base() + "#test' --run e ";
  expect_error(run(eval + "--max-total-tokens 200"), 3, "the ceiling of 200 tokens is reached");
  EXPECT_FALSE(fs::exists(path("e/eval-base.json")));
  const std::int64_t some = server.stats().requests;
  EXPECT_LT(some, 30);
  expect_fine(eval);
  EXPECT_EQ(server.stats().requests, 30);
  EXPECT_EQ(server.stats().repeated, 0);
  expect_error(run("generate --quiet --model '" + server.base() + "#test' --prompts many.jsonl --max-total-tokens 30"), 3, "the ceiling of 30");
}

TEST_F(Endpoint, ADryRunSendsAndWritesNothing) {
  TestServer server(steady());
  const Ran text = run(revise(server, "--dry-run --price-input 1 --price-output 2"));
  ASSERT_EQ(text.code, 0) << text.err;
  for (const char* word : {"12 items", "select", "draft", "critique", "revision", "total", "spend: ", "bytes", "assumptions"}) {
    EXPECT_NE(text.out.find(word), std::string::npos) << word << "\n" << text.out;
  }
  const Ran machine = run(revise(server, "--dry-run --json"));
  ASSERT_EQ(machine.code, 0) << machine.err;
  EXPECT_FALSE(fs::exists(path("r")));
  EXPECT_EQ(server.stats().requests + server.stats().gets, 0);
  const auto json = nlohmann::json::parse(machine.out);
  EXPECT_EQ(json["items"], 12);
  EXPECT_TRUE(json["spend"].is_null());
  // What then happens lies within.
  const Ran ran = run(revise(server, "--json"));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto spent = nlohmann::json::parse(ran.out)["spent"];
  EXPECT_LE(json["total"]["prompt_tokens"]["low"], spent["prompt_tokens"]);
  EXPECT_GE(json["total"]["prompt_tokens"]["high"], spent["prompt_tokens"]);
  EXPECT_GE(json["total"]["calls"]["high"], server.stats().requests - 1) << "one finds out about log-probs";
  EXPECT_LE(json["total"]["calls"]["low"], server.stats().requests - 1);
  // The fixtures of a dry run need no run folder.
  const std::int64_t before = server.stats().requests, lists = server.stats().gets;
  const std::string generate = "generate --model '" + server.base() + "#test' --prompts many.jsonl --max-tokens 9 --json";
  const auto twelve = nlohmann::json::parse(run(generate + " --dry-run --price-output 1000000").out);
  EXPECT_EQ(server.stats().requests + server.stats().gets, before + lists) << "nothing is sent";
  EXPECT_EQ(twelve["total"]["calls"], (nlohmann::json{{"low", 12}, {"high", 12}}));
  EXPECT_EQ(twelve["total"]["output_tokens"], (nlohmann::json{{"low", 12}, {"high", 108}}));
  EXPECT_EQ(twelve["spend"]["high"], 108.0);
  std::int64_t prompt_tokens = 0;
  const Ran answered = run(generate);
  for (std::size_t at = 0, end = 0; (end = answered.out.find('\n', at)) != std::string::npos; at = end + 1) {
    prompt_tokens += nlohmann::json::parse(answered.out.substr(at, end - at))["usage"]["prompt_tokens"].get<std::int64_t>();
  }
  EXPECT_LE(twelve["total"]["prompt_tokens"]["low"], prompt_tokens);
  EXPECT_GE(twelve["total"]["prompt_tokens"]["high"], prompt_tokens);
  const std::string dry = " --prompts prompts.jsonl --constitution good.toml";
  expect_fine("revise --dry-run --model scripted:script.jsonl" + dry);
  // Models of files without a tokenizer.json are counted as well: one in a GGUF file by its bytes.
  put("some.gguf", "GGUF");
  EXPECT_NE(run("revise --dry-run --model some.gguf" + dry).out.find("without a tokenizer"), std::string::npos);
  fs::create_directories(path("folder"));
  nlohmann::json vocabulary;
  for (int i = 0; i < 256; ++i) vocabulary[to_byte_alphabet(std::string(1, static_cast<char>(i)))] = i;
  put("folder/vocab.json", vocabulary.dump());
  put("folder/merges.txt", "#version: 0.2\n");
  const Ran counted = run("revise --dry-run --model folder" + dry);
  EXPECT_EQ(counted.code, 0) << counted.err;
  EXPECT_EQ(counted.out.find("without a tokenizer"), std::string::npos);
  expect_error(run("revise --dry-run --model nowhere" + dry), 2, "no model nowhere");
}

TEST_F(Endpoint, TwoEndpointsDoOneRun) {
  TestServer one(steady()), two(steady());
  const std::string both = "revise --quiet --model '" + one.base() + "#test," + two.base() +
                           "#test' --prompts many.jsonl --constitution good.toml --draft-max-tokens 16 --max-in-flight 4 --run ";
  expect_fine(both + "both");
  EXPECT_GT(one.stats().requests, 5);
  EXPECT_GT(two.stats().requests, 5);
  TestServer alone(steady());
  expect_fine(revise(alone, "", "alone"));
  EXPECT_EQ(run("export --run both").out, run("export --run alone").out);
  const std::int64_t sent = one.stats().requests + two.stats().requests;
  fs::remove(path("both/run.db"));
  expect_fine(both + "both");
  EXPECT_EQ(one.stats().requests + two.stats().requests, sent) << "whoever answered: it is known";
}

TEST_F(Endpoint, AChangedFingerprintIsToldAndItsAnswersAreItsOwn) {
  TestServerOptions options = steady();
  options.fingerprint = "fp-one";
  TestServer server(options);
  expect_fine(revise(server));
  const std::int64_t sent = server.stats().requests;
  server.set_fingerprint("fp-two");
  const Ran changed = run(revise(server, "--restart --seed 5"));  // other drafts are asked for, and tell
  ASSERT_EQ(changed.code, 0) << changed.err;
  EXPECT_NE(changed.err.find("from fp-one to fp-two"), std::string::npos) << changed.err;
  EXPECT_GT(server.stats().requests, sent);
  const std::int64_t then = server.stats().requests;
  expect_fine(revise(server, "--restart"));
  EXPECT_GE(server.stats().requests, then + 12) << "drafts of fp-one are not those of fp-two";
}

}  // namespace
}  // namespace precept
