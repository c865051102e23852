// precept pocket: the built-in world and model.

#include <cstdio>
#include <memory>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "cli/lm_library.h"
#include "cli/pocket_build.h"
#include "precept/core/io.h"
#include "precept/feedback/solve.h"
#include "worlds/pocket/documents.h"
#include "worlds/pocket/oracle.h"
#include "worlds/pocket/rules.h"
#include "worlds/pocket/tasks.h"

namespace precept {
namespace {

struct PocketPromptsOptions {
  std::string out;
  std::string split = "train";
  int count = 2000;
  std::uint64_t seed = 1;
};

template <class Visit>
void for_each_field(PocketPromptsOptions& o, Visit visit) {
  visit("out", o.out, "file to write (default: stdout)");
  visit("split", o.split, "train or held-out");
  visit("count", o.count, "prompts");
  visit("seed", o.seed, "seed");
}

struct PocketTasksOptions {
  std::string out;
  std::string form = "tasks";
  std::string split = "train";
  int count = 200;
  std::uint64_t seed = 1;
};

template <class Visit>
void for_each_field(PocketTasksOptions& o, Visit visit) {
  visit("out", o.out, "file to write (default: stdout)");
  visit("form", o.form, "tasks (HumanEval's shape), sft (right answers) or pairs (right before nearly right)", one_of({"tasks", "sft", "pairs"}));
  visit("split", o.split, "train or held-out: the numbers that tasks are about are never in both", one_of({"train", "held-out"}));
  visit("count", o.count, "tasks", between(1, 1e6));
  visit("seed", o.seed, "seed", any_seed());
}

Status put(const std::string& path, const std::string& text) {
  if (!path.empty()) return write_file(path, text);
  std::fwrite(text.data(), 1, text.size(), stdout);
  return {};
}

Result<int> build(const PocketBuildOptions& options, const EventSink& events) {
  const auto lm = lm_library();
  if (!lm) return tl::unexpected(lm.error());
  const auto summary = build_pocket(**lm, options, events);
  if (!summary) return tl::unexpected(summary.error());
  std::printf("%s: %lld tokens in %lld steps, loss %.4f, %.0f tokens/s\n", options.out.c_str(),
              static_cast<long long>(summary->tokens), static_cast<long long>(summary->steps), summary->last_loss,
              summary->tokens_per_s);
  return 0;
}

Result<int> write_prompts(const PocketPromptsOptions& options) {
  if (options.split != "train" && options.split != "held-out") {
    return bad_input("unknown split '" + options.split + "'", "use train or held-out");
  }
  if (options.count < 1 || options.count > 10'000'000) return bad_input("--count is out of range", "1 to 10,000,000");
  const auto split = options.split == "train" ? pocket::Split::kTrain : pocket::Split::kHeldOut;
  std::string lines;
  for (const Prompt& prompt : pocket::pocket_prompts(split, options.count, options.seed)) {
    const nlohmann::ordered_json line = {{"id", prompt.id}, {"prompt", prompt.messages[0].content}, {"tags", prompt.tags}};
    lines += line.dump() + "\n";
  }
  if (const auto written = put(options.out, lines); !written) return tl::unexpected(written.error());
  return 0;
}

Result<int> write_corpus(const PocketPromptsOptions& options) {
  if (options.count < 1 || options.count > 10'000'000) return bad_input("--count is out of range", "1 to 10,000,000");
  std::string lines;
  for (int i = 0; i < options.count; ++i) {
    nlohmann::ordered_json messages;
    for (const Message& m : pocket::make_document(options.seed, static_cast<std::uint64_t>(i)).messages) {
      messages.push_back({{"role", m.role}, {"content", m.content}});
    }
    lines += nlohmann::ordered_json{{"messages", messages}}.dump() + "\n";
  }
  if (const auto written = put(options.out, lines); !written) return tl::unexpected(written.error());
  return 0;
}

std::string fenced(const std::string& program) { return "```python\n" + program + "```"; }

// Tasks as `precept solve` takes them, or what teaches to answer as it asks.
Result<int> write_tasks(PocketTasksOptions options) {
  if (const Status fine = check_fields(fields_of(options), true); !fine) return tl::unexpected(fine.error());
  const auto split = options.split == "train" ? pocket::Split::kTrain : pocket::Split::kHeldOut;
  std::string lines;
  for (int i = 0; i < options.count; ++i) {
    const pocket::TinyTask tiny = pocket::make_task(split, options.seed, static_cast<std::uint64_t>(i));
    const CodeTask task{tiny.id, tiny.prompt, tiny.entry_point, tiny.solution, tiny.test, 0};
    const std::string right = fenced(pocket::function_of(tiny, tiny.solution));
    nlohmann::ordered_json line;
    if (options.form == "tasks") {
      line = {{"task_id", task.id}, {"prompt", task.prompt}, {"entry_point", task.entry_point}, {"canonical_solution", task.canonical_solution}, {"test", task.test}};
      lines += line.dump() + "\n";
      continue;
    }
    line["prompt"] = asked_for(task)[0].content;
    if (options.form == "sft") {
      line["completion"] = right;
      lines += line.dump() + "\n";
      continue;
    }
    line["chosen"] = right;
    for (const std::string& body : tiny.wrong) {
      line["rejected"] = fenced(pocket::function_of(tiny, body));
      lines += line.dump() + "\n";
    }
  }
  if (const auto written = put(options.out, lines); !written) return tl::unexpected(written.error());
  return 0;
}

// A constitution whose principles are the world's rules in the wordings of one split.
Result<int> write_rules(const PocketPromptsOptions& options) {
  if (options.split != "train" && options.split != "held-out") {
    return bad_input("unknown split '" + options.split + "'", "use train or held-out");
  }
  const auto split = options.split == "train" ? pocket::Split::kTrain : pocket::Split::kHeldOut;
  std::string text = "[constitution]\nname = \"Pocket rules, " + options.split +
                     " wordings\"\nversion = \"1.0.0\"\nlanguage = \"en\"\nlicense = \"CC0-1.0\"\npriorities = [\"rules\"]\n";
  for (const pocket::Rule& rule : pocket::rules()) {
    Rng rng({options.seed, hash64(rule.id), 300, 0});
    text += "\n[[principle]]\nid = \"" + std::string(rule.id) + "\"\ntext = \"" + pocket::word_rule(rule, split, rng) +
            "\"\nwhy = \"One of its wordings in the pocket world.\"\npriority = \"rules\"\nsource = { name = \"The pocket world\" }\n";
  }
  if (const auto written = put(options.out, text); !written) return tl::unexpected(written.error());
  return 0;
}

}  // namespace

void add_pocket(CLI::App& app, Context& context) {
  CLI::App* pocket = app.add_subcommand("pocket", "the built-in world and model (a synthetic test bed)");
  pocket->require_subcommand(1);

  CLI::App* build_command = pocket->add_subcommand("build", "make the corpus, train the tokenizer, pretrain the model");
  const auto build_options = std::make_shared<PocketBuildOptions>();
  add_recipe_command(*build_command, context, "pocket_build", build_options, build);

  const auto add_writer = [&](const char* name, const char* help, Result<int> (*write)(const PocketPromptsOptions&)) {
    CLI::App* command = pocket->add_subcommand(name, help);
    const auto options = std::make_shared<PocketPromptsOptions>();
    add_fields(*command, *options);
    command->callback([&context, options, write] { context.action = [options, write] { return write(*options); }; });
  };
  add_writer("prompts", "write prompts of the world as JSONL", write_prompts);
  add_writer("corpus", "write documents of the pretraining corpus as JSONL (--split is ignored)", write_corpus);
  CLI::App* tasks_command = pocket->add_subcommand("tasks", "write tiny programming tasks as JSONL, for precept solve and the trainers");
  const auto tasks_options = std::make_shared<PocketTasksOptions>();
  add_fields(*tasks_command, *tasks_options);
  tasks_command->callback([&context, tasks_options] { context.action = [tasks_options] { return write_tasks(*tasks_options); }; });
  add_writer("rules", "write the rules of the world, worded for one split, as a constitution (--count is ignored)", write_rules);
}

}  // namespace precept
