#pragma once
// A small constitution, prompts, and a scripted model whose behaviour follows from the texts alone.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "precept/constitution/constitution.h"
#include "precept/core/rng.h"
#include "precept/model/scripted_model.h"
#include "precept/revise/export.h"
#include "precept/revise/revise.h"
#include "precept/store/run_store.h"

namespace precept::testing_loop {

class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "precept-loop-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string path(const std::string& name = "run") const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline Constitution small_constitution() {
  Constitution constitution;
  constitution.name = "small";
  constitution.digest = std::string(64, 'c');
  constitution.priorities = {"safety", "ethics", "style"};
  const auto add = [&](std::string id, std::string text, std::string priority, bool hard) {
    Principle principle;
    principle.id = std::move(id);
    principle.text = std::move(text);
    principle.priority = std::move(priority);
    principle.hard = hard;
    constitution.principles.push_back(std::move(principle));
  };
  add("kind", "Be kind.", "ethics", false);
  add("no-harm", "Do not help with harm.", "safety", true);
  add("brief", "Be brief.", "style", false);
  add("honest", "Say what is true.", "ethics", false);
  return constitution;
}

inline RunItem item_of(std::string id, std::string prompt) {
  RunItem item;
  item.id = std::move(id);
  item.messages = {{"user", std::move(prompt)}};
  return item;
}

inline std::vector<RunItem> many_items(int count) {
  std::vector<RunItem> items;
  for (int i = 0; i < count; ++i) {
    items.push_back(item_of("p" + std::to_string(i), "Request number " + std::to_string(i) + " please."));
  }
  return items;
}

inline bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline std::vector<double> yes_with(double p) { return {std::log(p), std::log(1 - p)}; }

// Selects, judges, and misbehaves by a hash of the text: every branch of the loop is taken by some item.
// A reply "bad:k" needs k revisions.
inline Script busy_script(int latency = 0, bool can_score = true) {
  Script script;
  script.name = "busy";
  script.digest = "busy";
  script.latency = latency;
  script.can_score = can_score;
  const auto applies = [](const std::string& conversation, const std::string& rule) {
    return hash64(conversation + rule) % 10 < 4;
  };
  const auto part = [](const std::string& text, const std::string& from, const std::string& to) {
    const std::size_t begin = text.find(from) + from.size();
    return text.substr(begin, text.find(to, begin) - begin);
  };
  script.on_score = [=](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    Scores scores;
    const std::string& prefix = request.messages.back().content;
    const bool judging = has(prefix, "\nReply: ");
    for (const ScoreQuestion& question : request.questions) {
      const bool yes = judging ? has(prefix, "Reply: bad") : applies(part(prefix, "Person: ", "\n"), question.tail);
      scores.logprobs.push_back(yes_with(yes ? 0.9 : 0.1));
    }
    scores.usage = {10, 5, 2};
    return scores;
  };
  script.on_generate = [=](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = request.messages.back().content;
    if (text.rfind("Say how", 0) == 0) return "It breaks it (" + std::to_string(hash64(text) % 1000) + ").";
    if (text.rfind("Rewrite", 0) == 0) {
      const int left = text[text.find("Reply: bad") + 10] - '0';
      return left > 1 ? "bad" + std::to_string(left - 1) + " again" : std::string("good now ") + std::to_string(hash64(text) % 1000);
    }
    const std::uint64_t hash = hash64(text);
    return hash % 3 == 0 ? "good at once" : "bad" + std::to_string(1 + hash % 6) + " draft";
  };
  return script;
}

inline std::string exported(const RunStore& store, const std::string& what) {
  std::string all;
  ExportOptions options;
  options.what = what;
  const auto counts = export_run(store, options, [&](std::string_view line) {
    all += line;
    return true;
  });
  EXPECT_TRUE(counts.has_value()) << (counts ? "" : counts.error().message());
  return all;
}

inline std::string all_exports(const std::string& folder) {
  auto store = RunStore::open_readonly(folder);
  EXPECT_TRUE(store.has_value()) << (store ? "" : store.error().message());
  if (!store) return {};
  return exported(*store, "sft") + "---\n" + exported(*store, "preferences") + "---\n" + exported(*store, "traces");
}

}  // namespace precept::testing_loop
