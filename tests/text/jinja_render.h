#pragma once
// What the tests of chat templates share.

#include <string>

#include <gtest/gtest.h>

#include "precept/text/chat_template.h"

namespace precept {

// The text, or "error: FILE:LINE: what".
inline std::string rendered(const std::string& source, const ChatInput& input = {}, const TemplateLimits& limits = {}) {
  const auto parsed = ChatTemplate::parse(source, "t", limits);
  const auto chat = parsed ? parsed->render(input) : Result<RenderedChat>(tl::unexpected<Error>(parsed.error()));
  if (chat) return chat->text;
  EXPECT_EQ(chat.error().message().find('\n'), std::string::npos);
  EXPECT_FALSE(chat.error().hint.empty());
  return "error: " + chat.error().message();
}

// With `arguments`, a JSON object, as variables.
inline std::string with(const std::string& source, const std::string& arguments) {
  ChatInput input;
  input.arguments_json = arguments;
  return rendered(source, input);
}

// The text with what came from input in ‹ and ›.
inline std::string marked(const std::string& source, const ChatInput& input) {
  const auto parsed = ChatTemplate::parse(source, "t");
  const auto chat = parsed ? parsed->render(input) : Result<RenderedChat>(tl::unexpected<Error>(parsed.error()));
  if (!chat) return "error: " + chat.error().message();
  std::string out;
  std::size_t at = 0;
  for (const TextSpan& span : chat->input) {
    out += chat->text.substr(at, span.begin - at) + "‹" + chat->text.substr(span.begin, span.end - span.begin) + "›";
    at = span.end;
  }
  return out + chat->text.substr(at);
}

}  // namespace precept
