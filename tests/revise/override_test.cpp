// Templates of a constitution are what the models see, at every step; and what `check` finds wrong with them is what
// keeps the loop from starting, in the same words.

#include <fstream>

#include "tests/revise/fixture.h"

namespace precept::testing_loop {
namespace {

constexpr const char* kHead =
    "[constitution]\nname = \"n\"\n[[principle]]\nid = \"kind\"\ntext = \"Be kind.\"\nwhy = \"w\"\nsource = \"us\"\n"
    "[templates]\n";

std::string write_toml(const Folder& folder, const std::string& templates) {
  std::ofstream(folder.path("c.toml"), std::ios::binary) << kHead << templates;
  return folder.path("c.toml");
}

// All that the model was asked, in order.
std::vector<std::string> asked(const std::string& run, const Constitution& constitution, bool can_score) {
  std::vector<std::string> seen;
  Script script;
  script.can_score = can_score;
  script.on_score = [&](const ScoreRequest& request) -> std::optional<Result<Scores>> {
    seen.push_back(request.messages.back().content + request.questions.at(0).tail);
    Scores scores;
    scores.logprobs.push_back(yes_with(0.9));
    return scores;
  };
  script.on_generate = [&](const GenerateRequest& request) -> std::optional<Result<std::string>> {
    const std::string& text = seen.emplace_back(request.messages.back().content);
    if (has(text, "MY-SELECT-LIST")) return "1: yes";
    if (has(text, "MY-JUDGE-LIST")) return "1: violates";
    return has(text, "MY-CRITIQUE") ? "C" : has(text, "MY-REVISE") ? "V" : "D";
  };
  ScriptedModel model(std::move(script));
  ReviseOptions options;
  options.max_rounds = 1;
  auto store = RunStore::open(run, revise_recipe(options, constitution, model.info(), model.info()));
  EXPECT_TRUE(store && store->set_items({item_of("a", "Q")}));
  const auto result = revise(constitution, options, model, model, *store, {});
  EXPECT_TRUE(result.has_value()) << (result ? "" : result.error().message());
  return seen;
}

TEST(Overrides, EveryStepAsksInTheConstitutionsWords) {
  const Folder folder;
  const auto constitution = load_constitution(write_toml(
      folder,
      "select = \"MY-SELECT {conversation}\\n{principle}\"\ndraft = \"MY-DRAFT {prompt}\"\n"
      "judge = \"MY-JUDGE {conversation} {reply}\\n{principle}\"\n"
      "critique = \"MY-CRITIQUE\\n{conversation} {reply} {principle} {why}\"\n"
      "revise = \"MY-REVISE\\n{conversation} {reply} {principle} {critique}\"\n"
      "select_list = \"MY-SELECT-LIST {conversation} {principles}\"\n"
      "judge_list = \"MY-JUDGE-LIST {conversation} {reply} {principles}\"\n"));
  ASSERT_TRUE(constitution.has_value()) << constitution.error().message();
  const std::vector<std::string> scored = {"MY-SELECT Q\nBe kind.",  "MY-DRAFT Q",
                                           "MY-JUDGE Q D\nBe kind.", "MY-CRITIQUE\nQ D Be kind. w",
                                           "MY-REVISE\nQ D Be kind. C", "MY-JUDGE Q V\nBe kind."};
  EXPECT_EQ(asked(folder.path("scored"), *constitution, true), scored);
  std::vector<std::string> listed = scored;
  listed[0] = "MY-SELECT-LIST Q 1. Be kind.";
  listed[2] = "MY-JUDGE-LIST Q D 1. Be kind.";
  listed[5] = "MY-JUDGE-LIST Q V 1. Be kind.";
  EXPECT_EQ(asked(folder.path("listed"), *constitution, false), listed);
  auto store = RunStore::open_readonly(folder.path("scored"));
  ASSERT_TRUE(store.has_value());
  ExportOptions all;
  all.include_unsettled = true;
  std::string lines;
  ASSERT_TRUE(export_run(*store, all, [&](std::string_view line) { return lines += line, true; }).has_value());
  EXPECT_EQ(lines, "{\"prompt\":\"Q\",\"completion\":\"V\"}\n") << "the prompt itself is trained, not the draft's request";
}

TEST(Overrides, CheckAndTheLoopSayTheSame) {
  for (const char* wrong : {"draft = \"{prompt} {promt}\"", "draft = \"Answer.\"", "judge = \"{principle}\\n{conversation}{reply}\"",
                            "critique = \"{conversation} {reply} {principle}\"", "judgement = \"x\""}) {
    SCOPED_TRACE(wrong);
    const Folder folder;
    const std::string file = write_toml(folder, wrong);
    const std::vector<Finding> findings = check_constitution(file);
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings[0].severity, Finding::Severity::kError);
    EXPECT_EQ(findings[0].line, 9);
    EXPECT_FALSE(findings[0].hint.empty());
    const auto loaded = load_constitution(file);
    ASSERT_FALSE(loaded.has_value());
    EXPECT_EQ(loaded.error().message(), file + ":9: " + findings[0].what);
    EXPECT_EQ(loaded.error().hint, findings[0].hint);
    // The same for a constitution that did not come from a file.
    Constitution made = small_constitution();
    const std::string text = wrong;
    const std::size_t equals = text.find(" = ");
    std::string pattern = text.substr(equals + 4, text.size() - equals - 5);
    if (const auto newline = pattern.find("\\n"); newline != std::string::npos) pattern.replace(newline, 2, "\n");
    made.templates[text.substr(0, equals)] = pattern;
    const auto templates = resolve_templates(made);
    ASSERT_FALSE(templates.has_value());
    EXPECT_EQ(templates.error().what, findings[0].what);
    EXPECT_EQ(templates.error().hint, findings[0].hint);
  }
}

}  // namespace
}  // namespace precept::testing_loop
