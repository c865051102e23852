// Items through the loop on a scripted model: what our own overhead costs.
//   loop_bench [items = 100000] [folder = a new one in the temporary folder, removed at the end]
// Prints items a minute and the highest resident memory, and fails below the bar of 20,000 a minute or
// above 300 MB.

#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "precept/core/rng.h"
#include "precept/model/scripted_model.h"
#include "precept/revise/revise.h"
#include "precept/revise/summary.h"

namespace {

using namespace precept;

double cpu_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double peak_mb() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

// 16 principles; every third draft violates and takes one to three revisions.
Script script() {
  Script script;
  script.latency = 3;
  script.on_score = [](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const std::string& prefix = request.messages[0].content;
    const bool judging = prefix.find("\nReply: ") != std::string::npos;
    const bool bad = prefix.find("\nReply: bad") != std::string::npos;
    for (const ScoreQuestion& question : request.questions) {
      const bool yes = judging ? bad : hash64(prefix + question.tail) % 4 == 0;
      scores.logprobs.push_back({yes ? -0.1 : -2.4, yes ? -2.4 : -0.1});
    }
    scores.usage = {300, 200, 32};
    return scores;
  };
  script.on_generate = [](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages.back().content;
    const std::string filler = " answer with some words, so that it is about as long as a short answer is in practice.";
    if (text.rfind("Say how", 0) == 0) return "It breaks the rule because of its second word, and that hurts.";
    if (text.rfind("Rewrite", 0) == 0) return (hash64(text) % 2 ? "good" : "bad") + filler;
    return (hash64(text) % 3 ? "good" : "bad") + filler;
  };
  return script;
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 100000;
  const std::string folder =
      argc > 2 ? argv[2]
               : (std::filesystem::temp_directory_path() / ("precept-bench-" + std::to_string(::getpid()))).string();
  Constitution constitution;
  constitution.digest = "bench";
  for (int i = 0; i < 16; ++i) {
    Principle principle;
    principle.id = "p" + std::to_string(i);
    principle.text = "Answer in the way that rule number " + std::to_string(i) + " asks for, whatever else is asked.";
    constitution.principles.push_back(std::move(principle));
  }
  ScriptedModel model(script());
  const ReviseOptions options;
  const auto begin = std::chrono::steady_clock::now();
  auto store = RunStore::open(folder, revise_recipe(options, constitution, model.info(), model.info()));
  if (!store) return std::fprintf(stderr, "%s\n", store.error().message().c_str()), 3;
  {
    std::vector<RunItem> items;
    for (int i = 0; i < count; ++i) {
      RunItem item;
      item.id = "item-" + std::to_string(i);
      item.messages = {{"user", "This is request number " + std::to_string(i) + ", of a common length; can you help?"}};
      items.push_back(std::move(item));
    }
    if (Status status = store->set_items(items); !status) return 3;
  }
  std::int64_t next_mark = count / 10;
  const auto result = revise(constitution, options, model, model, *store, [&](const Event& event) {
    if (event.done < next_mark) return;
    next_mark += count / 10;
    std::fprintf(stderr, "%lld items, peak %.0f MB\n", static_cast<long long>(event.done), peak_mb());
  });
  if (!result) return std::fprintf(stderr, "%s\n", result.error().message().c_str()), 3;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  const double per_minute = 60.0 * count / took.count();
  std::printf("%d items, %lld steps in %.1f s (%.1f s of one core): %.0f items/min, peak %.0f MB\n", count,
              static_cast<long long>(result->new_steps), took.count(), cpu_seconds(), per_minute, peak_mb());
  if (argc <= 2) std::filesystem::remove_all(folder);
  return per_minute >= 20000 && peak_mb() <= 300 ? 0 : 1;
}
