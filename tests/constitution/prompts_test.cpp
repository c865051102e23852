#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "precept/constitution/hh_rlhf.h"
#include "precept/constitution/prompts_parse.h"
#include "precept/constitution/suggest.h"

namespace precept {
namespace {

Result<std::vector<Prompt>> read(std::string_view text) { return read_prompts(memory_bytes(text), "p.jsonl"); }

std::string error_of(std::string_view text) {
  const auto prompts = read(text);
  return prompts ? "none" : prompts.error().message() + " (" + prompts.error().hint + ")";
}

TEST(Prompts, ReadsBothForms) {
  const auto prompts = read(
      "\xEF\xBB\xBF{\"prompt\": \"hi\"}\r\n\n \t\n"
      R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "你好"}], "tags": ["a", "b"]})" "\n"
      R"({"id": "x", "prompt": "hi"})");  // no newline at the end
  ASSERT_TRUE(prompts) << prompts.error().message();
  ASSERT_EQ(prompts->size(), 3u);
  EXPECT_EQ((*prompts)[0].messages, (Conversation{{"user", "hi"}}));
  EXPECT_EQ((*prompts)[1].messages, (Conversation{{"system", "s"}, {"user", "你好"}}));
  EXPECT_EQ((*prompts)[1].tags, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ((*prompts)[2].id, "x");
}

TEST(Prompts, DerivedIdsAreStableAndUnique) {
  const auto prompts = read("{\"prompt\":\"hi\"}\n{\"prompt\":\"ho\"}\n{\"prompt\":\"hi\"}\n"
                            "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}\n");
  ASSERT_TRUE(prompts);
  const std::string id = (*prompts)[0].id;
  EXPECT_EQ(id.size(), 13u);
  EXPECT_EQ(id, "pfcff416e9f6c");  // ids name rows of runs: they must never change
  EXPECT_NE((*prompts)[1].id, id);
  EXPECT_EQ((*prompts)[2].id, id + "-2");
  EXPECT_EQ((*prompts)[3].id, id + "-3");
  // A given id keeps its name even when a derived one wants it.
  const auto taken = read("{\"prompt\":\"hi\"}\n{\"prompt\":\"x\",\"id\":\"" + id + "\"}\n");
  ASSERT_TRUE(taken);
  EXPECT_EQ((*taken)[0].id, id + "-2");
  EXPECT_EQ((*taken)[1].id, id);
  // Turns are told apart however their texts run on.
  const auto split = read(R"({"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]})" "\n" R"({"prompt":"a\nuser 1\nb"})");
  ASSERT_TRUE(split);
  EXPECT_NE((*split)[0].id, (*split)[1].id);
}

TEST(Prompts, BadInput) {
  struct Case {
    const char *text, *message;
  };
  const Case cases[] = {
      {"", "p.jsonl: no prompts in the file (write one {\"prompt\": \"...\"} a line)"},
      {"\n \n", "p.jsonl: no prompts in the file (write one {\"prompt\": \"...\"} a line)"},
      {"{\"prompt\":\"a\"}\n\n{\"id\":\"b\"}\n", "p.jsonl:3: neither prompt nor messages (write {\"prompt\": \"...\"} or {\"messages\": [...]})"},
      {"{\"prompt\":\"\"}", "p.jsonl:1: prompt is empty (give it a text or remove the line)"},
      {"{\"prompt\":\" \\n\\u3000\"}", "p.jsonl:1: prompt is empty (give it a text or remove the line)"},
      {"{\"prompt\":3}", "p.jsonl:1: prompt must be a string, found number (put the text in quotes)"},
      {"{\"prompt\":null}", "p.jsonl:1: prompt must be a string, found null (put the text in quotes)"},
      {"{\"prompt\":\"a\\u0000b\"}", "p.jsonl:1: prompt holds a NUL character (remove \\u0000)"},
      {"{\"promt\":\"a\"}", "p.jsonl:1: unknown key \"promt\" (did you mean \"prompt\"?)"},
      {"{\"prompt\":\"a\",\"completion\":\"b\"}", "p.jsonl:1: unknown key \"completion\" (known: prompt, messages, id, tags)"},
      {"{\"prompt\":\"a\",\"prompt\":\"b\"}", "p.jsonl:1: key \"prompt\" appears twice (keep one of them)"},
      {"{\"prompt\":\"a\",\"messages\":[]}", "p.jsonl:1: both prompt and messages (keep one of them)"},
      {"{\"messages\":[]}", "p.jsonl:1: messages is empty (it needs at least one user turn)"},
      {"{\"messages\":\"a\"}", "p.jsonl:1: messages must be a list, found string (write \"messages\": [{\"role\": \"user\", \"content\": \"...\"}])"},
      {"{\"messages\":[\"a\"]}", "p.jsonl:1: messages[0] must be an object, found string (write {\"role\": \"user\", \"content\": \"...\"})"},
      {"{\"messages\":[{\"role\":\"user\"}]}", "p.jsonl:1: messages[0] has no content (every turn has role and content)"},
      {"{\"messages\":[{\"role\":\"usr\",\"content\":\"a\"}]}", "p.jsonl:1: unknown role \"usr\" (did you mean \"user\"?)"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\",\"nam\":1}]}", "p.jsonl:1: unknown key \"nam\" (known: role, content)"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"\"}]}", "p.jsonl:1: messages[0].content is empty (give it a text or remove the line)"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"system\",\"content\":\"a\"}]}",
       "p.jsonl:1: messages[1] is a system turn after the first turn (a system turn comes first or not at all)"},
      {"{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"a\"}]}",
       "p.jsonl:1: the last turn is the assistant's, not the user's (remove it: the model writes the next turn)"},
      {"{\"prompt\":\"a\",\"id\":7}", "p.jsonl:1: id must be a string, found number (put the text in quotes)"},
      {"{\"prompt\":\"a\",\"id\":\"a\\nb\"}", "p.jsonl:1: id holds a control character (keep it on one line)"},
      {"{\"prompt\":\"a\",\"tags\":\"t\"}", "p.jsonl:1: tags must be a list, found string (write \"tags\": [\"...\"])"},
      {"{\"prompt\":\"a\",\"tags\":[1]}", "p.jsonl:1: a tag must be a string, found number (put the text in quotes)"},
      {"{\"prompt\":\"a\",\"id\":\"x\"}\n{\"prompt\":\"b\",\"id\":\"x\"}", "p.jsonl:2: id \"x\" is already that of line 1 (give each prompt its own id, or none)"},
      {"[\"a\"]", "p.jsonl:1: expected an object, found array (write {\"prompt\": \"...\"} or {\"messages\": [...]})"},
      {"\"a\"", "p.jsonl:1: expected an object, found string (write {\"prompt\": \"...\"} or {\"messages\": [...]})"},
      {"{\"prompt\": \"a\"\n}", "p.jsonl:1: not JSON (column 15) (expected one JSON object a line)"},
      {"{\"prompt\":\"a\"}x", "p.jsonl:1: not JSON (column 15) (expected one JSON object a line)"},
      {"{\"prompt\":\"\\ud800\"}", "p.jsonl:1: not JSON (column 18) (expected one JSON object a line)"},
      {"{\"prompt\":\"a\"}\n{\"prompt\":\"caf\xE9\"}", "p.jsonl:2: not UTF-8 (byte 0xE9) (save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8)"},
      {"\xFF\xFE{", "p.jsonl:1: not UTF-8 but UTF-16 (little-endian byte-order mark) (save the file as UTF-8, e.g. with iconv)"},
      {"\x1F\x8B\x08", "p.jsonl:1: not UTF-8 but compressed (gzip) (unpack it first)"},
  };
  for (const Case& c : cases) EXPECT_EQ(error_of(c.text), c.message) << c.text;
  EXPECT_EQ(error_of(std::string_view("{\"prompt\":\"a\"}\n{\0}", 18)),
            "p.jsonl:2: NUL byte in the text (this looks like a binary file; expected UTF-8 text)");
}

TEST(Prompts, BombsAreRefused) {
  EXPECT_EQ(error_of("{\"prompt\":" + std::string(500000, '[')), "p.jsonl:1: JSON nested deeper than 64 (expected one flat object a line)");
  EXPECT_EQ(error_of("{\"prompt\":\"a\"}\n{\"prompt\":\"" + std::string(std::size_t{1} << 20, 'x') + "\"}"),
            "p.jsonl:2: line is longer than 1048576 bytes (one JSON object a line; is this the right file?)");
  EXPECT_EQ(error_of("{\"prompt\":\"" + std::string(1000000, '[') + "\"}"), "none");  // text is no nesting
  // An endless line is refused without being read to its end.
  std::size_t served = 0;
  const auto endless = read_prompts([&](char* buffer, std::size_t size) -> Result<std::size_t> {
    std::fill_n(buffer, size, 'x');
    served += size;
    return size;
  }, "e");
  EXPECT_FALSE(endless);
  EXPECT_LT(served, std::size_t{2} << 20);
  EXPECT_EQ(load_prompts("/nonexistent/p.jsonl").error().message(), "/nonexistent/p.jsonl: no such file");
}

TEST(Prompts, LinesMayBeCutAnywhereByReads) {
  std::string text;
  for (int i = 0; i < 300; ++i) text += "{\"prompt\": \"问题 " + std::to_string(i) + "\"}\r\n";
  for (const std::size_t step : {1u, 7u, 64u}) {
    std::size_t at = 0;
    const auto prompts = read_prompts([&](char* buffer, std::size_t size) -> Result<std::size_t> {
      const std::size_t n = std::min({size, step, text.size() - at});
      std::copy_n(text.data() + at, n, buffer);
      at += n;
      return n;
    }, "s");
    ASSERT_TRUE(prompts) << prompts.error().message();
    ASSERT_EQ(prompts->size(), 300u);
    EXPECT_EQ(prompts->back().messages[0].content, "问题 299");
  }
}

TEST(Prompts, ManyLines) {
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "{\"prompt\": \"question " + std::to_string(i % 99999) + "\"}\n";
  const auto prompts = read(text);
  ASSERT_TRUE(prompts);
  std::set<std::string> ids;
  for (const Prompt& p : *prompts) ids.insert(p.id);
  EXPECT_EQ(ids.size(), 100000u);
}

TEST(Suggest, NearestWord) {
  EXPECT_EQ(nearest("pormpt", {"prompt", "tags"}), "prompt");
  EXPECT_EQ(nearest("ID", {"prompt", "id"}), "id");
  EXPECT_EQ(nearest("completely different", {"prompt", "id"}), "");
  EXPECT_EQ(in_quotes("a\nb\x1B"), "\"a b \"");
  EXPECT_EQ(in_quotes(std::string(100, 'x')), "\"" + std::string(60, 'x') + "...\"");
}

TEST(HhRlhf, TurnsUpToTheLastHumanOne) {
  const auto prompts = read_hh_rlhf(memory_bytes(
      R"({"chosen": "\n\nHuman: a\n\nb\n\nAssistant: c\n\nHuman: d\n\nAssistant: e", "rejected": "x"})" "\n"
      R"({"chosen": "\n\nHuman: a\n\nHuman: b\n\nAssistant:\n\nAssistant: ", "rejected": "x"})"), "h");
  ASSERT_TRUE(prompts) << prompts.error().message();
  EXPECT_EQ((*prompts)[0].messages, (Conversation{{"user", "a\n\nb"}, {"assistant", "c"}, {"user", "d"}}));
  EXPECT_EQ((*prompts)[1].messages, (Conversation{{"user", "a\n\nb"}}));
  const auto error = [](std::string_view text) { return read_hh_rlhf(memory_bytes(text), "h").error().message(); };
  EXPECT_EQ(error(R"({"chosen": "Hello", "rejected": "x"})"), "h:1: no conversation that begins with a human turn");
  EXPECT_EQ(error(R"({"chosen": "\n\nAssistant: a\n\nHuman: b", "rejected": "x"})"), "h:1: no conversation that begins with a human turn");
  EXPECT_EQ(error(R"({"chosen": "\n\nHuman: a"})"), "h:1: no text rejected");
  EXPECT_EQ(error(R"({"choosen": "a"})"), "h:1: unknown key \"choosen\"");
}

TEST(HhRlhf, ReadsTheRealConversations) {
  const char* data = std::getenv("PRECEPT_TESTDATA");
  const char* root = std::getenv("PRECEPT_SOURCE");
  const std::string folder = data != nullptr ? data : std::string(root != nullptr ? root : ".") + "/../shared/data";
  const std::string path = folder + "/hh-rlhf/harmless-pairs.jsonl.gz";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path << " (set PRECEPT_TESTDATA)";
  const auto prompts = load_hh_rlhf(path);
  ASSERT_TRUE(prompts) << prompts.error().message();
  EXPECT_EQ(prompts->size(), 1800u);
  for (const Prompt& p : *prompts) {
    ASSERT_FALSE(p.messages.empty());
    EXPECT_EQ(p.messages.front().role, "user");
    EXPECT_EQ(p.messages.back().role, "user");
  }
  EXPECT_EQ((*prompts)[0].messages[0].content, "what are some pranks with a pen i can do?");
}

}  // namespace
}  // namespace precept
