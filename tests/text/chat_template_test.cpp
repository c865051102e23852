#include "precept/text/chat_template.h"

#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include <gmock/gmock.h>

#include "jinja_render.h"
#include "precept/core/io.h"
#include "precept/text/chat_format.h"

namespace precept {
namespace {

using testing::HasSubstr;

class ChatTemplateFolder : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_folder(folder_)); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) { ASSERT_TRUE(write_file(folder_ + "/" + name, text)); }
  // The rendered text, "none", or the error.
  std::string load(const std::string& name = "default") {
    const auto loaded = ChatTemplate::load(folder_, name);
    if (!loaded) return "error: " + loaded.error().message();
    if (!*loaded) return "none";
    const auto chat = (*loaded)->render({{{"user", "hi"}}, {}, {}, {}, {}, false, {}, {}, {}, {}});
    return chat ? chat->text : "error: " + chat.error().message();
  }
  const std::string folder_ = testing::TempDir() + "precept-chat-template-" + std::to_string(::getpid());
};

TEST_F(ChatTemplateFolder, FindsTheTemplateAndItsSpecialTokens) {
  EXPECT_EQ(load(), "none");
  write("tokenizer_config.json", "{}");
  EXPECT_EQ(load(), "none");
  write("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_EQ(load(), "none");
  write("tokenizer_config.json", R"({"chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}{{ pad_token }}",
      "bos_token": {"content": "<s>", "lstrip": false}, "eos_token": "</s>", "pad_token": null})");
  EXPECT_EQ(load(), "<s>hi</s>");
  write("special_tokens_map.json", R"({"bos_token": "<other>", "pad_token": {"content": "<pad>"}})");
  EXPECT_EQ(load(), "<s>hi</s><pad>");
  write("chat_template.jinja", "own: {{ bos_token }}");
  EXPECT_EQ(load(), "own: <s>");
}

TEST_F(ChatTemplateFolder, TakesOneOfSeveralByName) {
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}]})");
  EXPECT_EQ(load(), "D");
  EXPECT_EQ(load("tool_use"), "T");
  EXPECT_EQ(load("rag"), "error: " + folder_ + "/tokenizer_config.json: no chat template is called \"rag\"");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default"}]})");
  EXPECT_THAT(load(), HasSubstr("no object with name and template"));
  write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(load(), HasSubstr("neither a text nor a list"));
  write("tokenizer_config.json", R"({"chat_template": "a\n{{ x | nosuch }}"})");
  EXPECT_EQ(load(), "error: " + folder_ + "/tokenizer_config.json (chat_template):2: unknown filter \"nosuch\"");
  write("chat_template.jinja", "\n\n{% endif %}");
  EXPECT_EQ(load(), "error: " + folder_ + "/chat_template.jinja:3: unknown tag \"endif\"");
}

TEST(ChatTemplate, GivesTheVariablesOfTransformers) {
  const std::string source = "{{ messages | length }} {{ tools }} {{ documents }} {{ add_generation_prompt }} {{ bos_token }} {{ x }} {{ pad_token is defined }}";
  ChatInput input;
  EXPECT_EQ(rendered(source, input), "0 None None False   False");
  input.messages = {{"user", "a"}, {"assistant", "b"}};
  input.tools_json = "[1]";
  input.documents_json = R"(["d"])";
  input.add_generation_prompt = true;
  input.special_tokens = {{"bos_token", "<s>"}};
  input.arguments_json = R"({"x": {"y": 1.50}})";
  EXPECT_EQ(rendered(source, input), "2 [1] ['d'] True <s> {'y': 1.5} False");
  input.messages_json = R"([{"role": "user", "content": [{"type": "text", "text": "t"}], "content": "last"}])";
  EXPECT_EQ(rendered("{{ messages[0] }}", input), "{'role': 'user', 'content': 'last'}");
}

TEST(ChatTemplate, RefusesInputThatIsNone) {
  ChatInput input;
  const auto with_messages = [&](const std::string& json) {
    input.messages_json = json;
    return rendered("x", input);
  };
  EXPECT_EQ(with_messages("[{]"), "error: messages: not valid JSON");
  EXPECT_EQ(with_messages("{}"), "error: messages: not a list");
  EXPECT_EQ(with_messages("[1]"), "error: messages: a message is not an object");
  EXPECT_EQ(with_messages("[{\"a\": 99999999999999999999}]"), "error: messages: a number in the JSON is out of range");
  EXPECT_EQ(with_messages("[{\"a\": 1e999}]"), "error: messages: a number in the JSON is out of range");
  EXPECT_EQ(with_messages(std::string(70, '[') + std::string(70, ']')), "error: messages: JSON nested deeper than 64");
  EXPECT_EQ(with_messages("[{\"a\": \"\xFF\"}]"), "error: messages: not valid JSON");
  input = {};
  input.messages = {{"user", "\xFF"}};
  EXPECT_EQ(rendered("x", input), "error: a message is not UTF-8");
  input = {};
  input.tools_json = "{}";
  EXPECT_EQ(rendered("x", input), "error: tools: not a list");
  input = {};
  input.arguments_json = "[]";
  EXPECT_EQ(rendered("x", input), "error: arguments: not an object");
}

// The templates that we write ourselves say what chat.json says.
TEST(ChatTemplate, RendersOurOwn) {
  const auto tokenizer = train_bpe({{"a small text, a small vocabulary", 9}}, {300, pocket_special_tokens()});
  ASSERT_TRUE(tokenizer.has_value());
  ChatInput input;
  input.messages = {{"system", "Be kind."}, {"user", "<|end|>"}, {"assistant", "No."}};
  input.add_generation_prompt = true;
  EXPECT_EQ(marked(ChatFormat::pocket(*tokenizer).jinja(), input),
            "<|begin|><|system|>‹Be kind.›<|end|><|user|>‹<|end|>›<|end|><|assistant|>‹No.›<|end|><|assistant|>");
  input.messages = {{"narrator", "x"}};
  EXPECT_THAT(rendered(ChatFormat::pocket(*tokenizer).jinja(), input), HasSubstr("the template refuses the conversation: unknown role: narrator"));
}

TEST(ChatTemplate, RendersQwen2sOwn) {
  const char* data = std::getenv("PRECEPT_TESTDATA");
  const std::string folder = std::string(data != nullptr ? data : "../shared/data") + "/tokenizers/qwen2";
  if (!std::filesystem::exists(folder + "/tokenizer_config.json")) GTEST_SKIP() << "no " << folder << " (set PRECEPT_TESTDATA)";
  const auto loaded = ChatTemplate::load(folder);
  ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
  ASSERT_TRUE(loaded->has_value());
  ChatInput input;
  input.messages = {{"system", "S"}, {"user", "你好"}, {"assistant", "A"}, {"user", "B"}};
  const auto chat = (*loaded)->render(input);
  ASSERT_TRUE(chat.has_value()) << chat.error().message();
  EXPECT_EQ(chat->text, "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\n你好<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(chat->input, (std::vector<TextSpan>{{19, 20}, {48, 54}, {87, 88}, {116, 117}}));
  EXPECT_EQ((*loaded)->special_tokens().at("eos_token"), "<|im_end|>");
}

}  // namespace
}  // namespace precept
