// Any bytes as a chat template, rendered over a fixed conversation and over one that holds part of the bytes. What is
// rendered is UTF-8, its marks are in order, and no character that only the conversation has is left unmarked.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "precept/core/io.h"
#include "precept/text/chat_template.h"

using namespace precept;

namespace {

const std::string kMark = "\xEE\x83\xBF";  // U+E0FF, which has neither cases nor decompositions

void check(const RenderedChat& chat, bool only_input_has_mark) {
  PRECEPT_CHECK(!find_invalid_utf8(chat.text));
  std::size_t last = 0;
  for (const TextSpan& span : chat.input) {
    PRECEPT_CHECK(span.begin < span.end && span.end <= chat.text.size());
    PRECEPT_CHECK(&span == chat.input.data() || span.begin > last);
    for (const std::size_t edge : {span.begin, span.end}) {
      PRECEPT_CHECK(edge == chat.text.size() || (static_cast<unsigned char>(chat.text[edge]) & 0xC0) != 0x80);
    }
    last = span.end;
  }
  if (!only_input_has_mark) return;
  auto span = chat.input.begin();
  for (std::size_t at = chat.text.find(kMark); at != std::string::npos; at = chat.text.find(kMark, at + 1)) {
    while (span != chat.input.end() && span->end <= at) ++span;
    PRECEPT_CHECK(span != chat.input.end() && span->begin <= at);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  TemplateLimits limits;
  limits.steps = 50'000;
  limits.memory_bytes = std::size_t{4} << 20;
  limits.output_bytes = std::size_t{1} << 20;
  const auto parsed = ChatTemplate::parse(bytes, "fuzz", limits);
  if (!parsed) {
    PRECEPT_CHECK(parsed.error().message().find('\n') == std::string::npos);
    return 0;
  }
  // A literal of the template can spell the mark as an escape.
  const bool only_input_has_mark = bytes.find(kMark) == std::string_view::npos && bytes.find('\\') == std::string_view::npos;

  ChatInput input;
  input.messages = {{"system", "Be kind." + kMark}, {"user", kMark + "你好 <b>\n"}, {"assistant", "Hi 😀" + kMark}};
  input.special_tokens = {{"bos_token", "<s>"}, {"eos_token", "</s>"}};
  input.add_generation_prompt = size % 2 == 0;
  input.now = std::tm{};
  if (size % 3 != 0) input.known_roles = {"user"};
  if (const auto chat = parsed->render(input)) check(*chat, only_input_has_mark);
  else PRECEPT_CHECK(chat.error().message().find('\n') == std::string::npos);

  input.messages_json = R"([{"role":"user","content":[{"type":"text","text":")" + kMark + R"( 1.5"},{"type":"image"}]},
    {"role":"assistant","content":null,"tool_calls":[{"id":"a","function":{"name":"f","arguments":{"x":[1,2.5,true,null]}}}]},
    {"role":"tool","content":"{}","name":"f"}])";
  input.tools_json = R"([{"type":"function","function":{"name":"f","description":")" + kMark + R"( a b","parameters":{}}}])";
  input.arguments_json = R"({"enable_thinking":false,"x":{"a":1,"b":[]}})";
  if (const auto chat = parsed->render(input)) check(*chat, only_input_has_mark);

  input.messages_json.clear();
  const std::string_view half = bytes.substr(size / 2);
  input.messages = {{"user", std::string(half.substr(0, find_invalid_utf8(half).value_or(half.size())))}};
  if (const auto chat = parsed->render(input)) check(*chat, false);
  input.messages_json = std::string(bytes.substr(0, size / 4));
  if (const auto chat = parsed->render(input)) check(*chat, false);
  return 0;
}
