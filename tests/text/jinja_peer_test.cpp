// Every template of tests/text/templates over every conversation there, with and without a generation prompt: byte for
// byte what @huggingface/jinja makes of them (tests/peers/jinja; scripts/install-peers installs it).
//
// Where that package departs from Python's Jinja2 we follow Python; kDeviations lists what is then expected. Outside of
// these templates it also: prints booleans as true and false, drops what an iteration wrote before `continue`, strips
// white space around generation tags, ignores the arguments of strip, lstrip and rstrip, and writes 1.0 as 1 in JSON.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>

#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/text/chat_template.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

const std::string kTemplates = "tests/text/templates", kPeer = "tests/peers/jinja";

struct Deviation {
  const char* why;
  const char* expected;  // without a generation prompt
};
const std::map<std::pair<std::string, std::string>, Deviation>& deviations() {
  static const std::map<std::pair<std::string, std::string>, Deviation> kDeviations = {
      {{"llama2", "empty contents"},
       {"'' == false there", "<s>[INST] <<SYS>>\n\n<</SYS>> [/INST]\n  </s>\n<s>[INST]  [/INST]\n"}},
      {{"command_r", "empty contents"},
       {"'' == false there",
        "<s><|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|><|END_OF_TURN_TOKEN|>"
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|><|END_OF_TURN_TOKEN|>"}},
      {{"gemma", "an id that is too short"},
       {"none|trim is an error there, and \"None\" in Python", "<s><start_of_turn>user\nGo<end_of_turn>\n<start_of_turn>model\nNone<end_of_turn>\n"}},
      {{"smollm3", "several turns"},
       {"lstrip(\"\\n\") strips blanks too there",
        "<|im_start|>system\nMode: /think\n\nNothing special.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n Hello! <|im_end|>\n"
        "<|im_start|>user\nAnd\n\nnow?<|im_end|>\n<|im_start|>assistant\nStill here.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"}},
      {{"roles_and_numbers", "a tool is called"},
       {"what was written before continue is lost there",
        "2/6 system, assistant, tool, assistant\n1.0.5.4 first of 5: User r\n2.1.4.3  of 5: Assistant t\n3.2.3.2  of 5: Tool l\n"
        "4.3.2.1  of 5: Assistant t\n5.4.1.0 last of 5: User r\ndegrees. 3 1 32 3 9 3.5\n0,1,2 3\nx list not there odd even\n1 2 ba 2 13 5\n0 1 0 1 1"}},
      {{"roles_and_numbers", "two calls, content beside them"},
       {"what was written before continue is lost there",
        "1/4 assistant, tool, tool\n1.0.4.3 first of 4: User r\n2.1.3.2  of 4: Assistant t\n3.2.2.1  of 4: Tool l\n4.3.1.0 last of 4: Tool l\n"
        "Both 3 1 32 3 9 3.5\n0,1,2 3\nx list not there odd even\n1 2 ba 2 13 5\n0 1 0 1 1"}}};
  return kDeviations;
}

struct Case {
  std::string template_name, conversation, source;
  Json variables;
  std::string ours, error;  // one of them
};

void render(Case& one, const Json& conversation, bool generation_prompt) {
  ChatInput input;
  input.messages_json = conversation.at("messages").dump();
  if (conversation.contains("tools")) input.tools_json = conversation["tools"].dump();
  if (conversation.contains("documents")) input.documents_json = conversation["documents"].dump();
  if (conversation.contains("arguments")) input.arguments_json = conversation["arguments"].dump();
  input.add_generation_prompt = generation_prompt;
  input.now = std::tm{};  // as tests/peers/jinja/render.mjs
  input.now->tm_year = 124;
  input.now->tm_mon = 6;
  input.now->tm_mday = 26;
  input.now->tm_hour = 12;
  input.now->tm_min = 34;
  input.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  const auto parsed = ChatTemplate::parse(one.source, one.template_name);
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  const auto chat = parsed->render(input);
  if (chat) one.ours = chat->text;
  else one.error = chat.error().message();

  one.variables = conversation.value("arguments", Json::object());
  one.variables["messages"] = conversation.at("messages");
  one.variables["tools"] = conversation.value("tools", Json());
  one.variables["documents"] = conversation.value("documents", Json());
  one.variables["add_generation_prompt"] = generation_prompt;
  one.variables["bos_token"] = "<s>";
  one.variables["eos_token"] = "</s>";
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  std::map<std::string, std::string> sources;
  for (const auto& entry : fs::directory_iterator(kTemplates)) {
    if (entry.path().extension() == ".jinja") sources[entry.path().stem()] = read_text(entry.path()).value();
  }
  const char* data = std::getenv("PRECEPT_TESTDATA");
  const std::string qwen2 = std::string(data != nullptr ? data : "../shared/data") + "/tokenizers/qwen2/tokenizer_config.json";
  if (fs::exists(qwen2)) sources["Qwen2's own"] = Json::parse(read_text(qwen2).value()).at("chat_template").get<std::string>();
  const Json conversations = Json::parse(read_text(kTemplates + "/conversations.json").value());
  for (const auto& [name, source] : sources) {
    for (const Json& conversation : conversations) {
      for (const bool prompt : {false, true}) {
        Case& one = cases.emplace_back();
        one.template_name = name;
        one.conversation = conversation.at("name");
        one.source = source;
        render(one, conversation, prompt);
      }
    }
  }
  return cases;
}

bool installed() { return fs::exists(kPeer + "/node_modules/@huggingface/jinja") && std::system("node --version >/dev/null 2>&1") == 0; }

// One answer a line, in the order of the cases.
std::vector<Json> ask_peer(const std::vector<Case>& cases) {
  const std::string questions = testing::TempDir() + "precept-jinja-" + std::to_string(::getpid()), answers = questions + ".out";
  std::string lines;
  for (const Case& one : cases) lines += Json{{"template", one.source}, {"variables", one.variables}}.dump() + "\n";
  EXPECT_TRUE(write_file(questions, lines));
  EXPECT_EQ(std::system(("TZ=UTC LC_ALL=en_US.UTF-8 node " + kPeer + "/render.mjs <" + questions + " >" + answers).c_str()), 0);
  std::vector<Json> out;
  const std::string text = read_text(answers).value();
  for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) out.push_back(Json::parse(text.substr(at, text.find('\n', at) - at)));
  fs::remove(questions);
  fs::remove(answers);
  return out;
}

TEST(JinjaPeer, RendersTheSameBytes) {
  if (!installed()) GTEST_SKIP() << "node or " << kPeer << "/node_modules is missing: run scripts/install-peers";
  const std::vector<Case> cases = all_cases();
  const std::vector<Json> answers = ask_peer(cases);
  ASSERT_EQ(answers.size(), cases.size());
  std::map<std::string, int> templates;
  int texts = 0, errors = 0, deviating = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const Case& one = cases[i];
    const std::string label = one.template_name + ", " + one.conversation;
    if (deviations().count({one.template_name, one.conversation})) {
      EXPECT_NE(answers[i].value("text", ""), one.ours) << label << ": no deviation any more";
      ++deviating;
    } else if (answers[i].contains("text")) {
      EXPECT_EQ(one.ours, answers[i]["text"].get<std::string>()) << label << " " << one.error;
      ++texts;
      ++templates[one.template_name];
    } else {
      EXPECT_FALSE(one.error.empty()) << label << ": " << answers[i].dump() << " but we write " << one.ours;
      ++errors;
      // What the template itself refuses is refused in its words.
      if (one.error.find("refuses") != std::string::npos) {
        EXPECT_THAT(one.error, testing::HasSubstr(answers[i]["error"].get<std::string>()));
      }
    }
  }
  EXPECT_GE(templates.size(), 28u);
  EXPECT_GT(texts, 650);
  EXPECT_GT(errors, 20);
  EXPECT_EQ(deviating, 2 * static_cast<int>(deviations().size()));
}

TEST(JinjaPeer, WhereItDepartsFromPythonWeDoNot) {
  std::size_t seen = 0;
  for (const Case& one : all_cases()) {
    const auto deviation = deviations().find({one.template_name, one.conversation});
    if (deviation == deviations().end() || one.variables["add_generation_prompt"]) continue;
    EXPECT_EQ(one.ours, deviation->second.expected) << deviation->second.why;
    ++seen;
  }
  EXPECT_EQ(seen, deviations().size());
}

}  // namespace
}  // namespace precept
