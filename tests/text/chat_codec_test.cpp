// Conversations by a template that a checkpoint brings: what it is told of the day.

#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "precept/text/chat_codec.h"
#include "tokenizer_files.h"

namespace precept {
namespace {

std::string rendered(const std::string& source) {
  const Tokenizer& tokenizer = text_test::trained_bytes();
  const ChatCodec codec(ChatTemplate::parse(source, "t").value(), {});
  const auto ids = codec.render(tokenizer, {{"user", "hi"}}, true);
  return ids ? tokenizer.decode(*ids) : ids.error().message();
}

TEST(ChatCodec, NoClockIsRead) {
  const std::string asks = "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}";
  const std::string does_not_ask = "Today is {{ strftime_now('%A, %-d %B %Y (%j)') }}.";
  ::unsetenv("PRECEPT_DATE");
  EXPECT_EQ(rendered(asks), "none");
  EXPECT_EQ(rendered(does_not_ask), "Today is Friday, 26 July 2024 (208).");
  ::setenv("PRECEPT_DATE", "2026-01-31", 1);
  EXPECT_EQ(rendered(asks), "31 Jan 2026");
  EXPECT_EQ(rendered(does_not_ask), "Today is Saturday, 31 January 2026 (031).");
  ::setenv("PRECEPT_DATE", "today", 1);
  EXPECT_THAT(rendered(asks), testing::MatchesRegex("[0-9][0-9] [A-Z][a-z][a-z] 20[0-9][0-9]"));
  for (const char* wrong : {"2026-02-30", "2026-1-31x", "31.1.2026", "now", "2026-13-01"}) {
    ::setenv("PRECEPT_DATE", wrong, 1);
    EXPECT_THAT(rendered(asks), testing::HasSubstr("PRECEPT_DATE is no day")) << wrong;
  }
  ::unsetenv("PRECEPT_DATE");
}

}  // namespace
}  // namespace precept
