#include "precept/report/html.h"

#include <gtest/gtest.h>

#include "precept/core/io.h"

namespace precept {
namespace {
using html::bounded;
using html::escape;

TEST(Escape, LeavesNothingThatABrowserWouldObey) {
  EXPECT_EQ(escape("<script>alert('x' && \"y\")</script>"),
            "&lt;script&gt;alert(&#39;x&#39; &amp;&amp; &quot;y&quot;)&lt;/script&gt;");
  EXPECT_EQ(escape("plain \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80\n\t"), "plain \xE4\xB8\xAD\xE6\x96\x87 \xF0\x9F\x98\x80\n\t");
}

TEST(Escape, ShowsWhatReordersText) {
  EXPECT_EQ(escape("a\xE2\x80\xAE" "b"), "a[U+202E]b");
  EXPECT_EQ(escape("\xE2\x81\xA6\xE2\x80\x8F\xD8\x9C"), "[U+2066][U+200F][U+061C]");
  EXPECT_EQ(escape("\xC2\x85"), "[U+0085]");
}

TEST(Escape, ReplacesInvalidBytesAndControls) {
  EXPECT_EQ(escape("a\xFF\xC3(b"), "a\xEF\xBF\xBD\xEF\xBF\xBD(b");
  EXPECT_EQ(escape("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(escape(std::string("\0\x1B\x7F", 3)), "&#x2400;&#x241b;&#x2421;");
  EXPECT_EQ(escape("\xE4\xB8"), "\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(Escape, EveryByteGivesValidUtf8) {
  for (int a = 0; a < 256; ++a) {
    for (const int b : {0x00, 0x3C, 0x80, 0xBF, 0xE4, 0xFF}) {
      const std::string text = {static_cast<char>(a), static_cast<char>(b), 'z'};
      const std::string out = escape(text);
      EXPECT_FALSE(find_invalid_utf8(out));
      EXPECT_EQ(out.find('<'), std::string::npos);
    }
  }
}

TEST(Bounded, CutsAndSaysSo) {
  const std::string text(1 << 20, 'x');
  const std::string out = bounded(text, 100);
  EXPECT_LT(out.size(), 300u);
  EXPECT_NE(out.find("1,048,576 bytes"), std::string::npos);
  EXPECT_EQ(bounded("short", 100), "short");
}

TEST(Numbers, ForPeople) {
  EXPECT_EQ(html::count(0), "0");
  EXPECT_EQ(html::count(1234567), "1,234,567");
  EXPECT_EQ(html::count(-123), "-123");
  EXPECT_EQ(html::count(-1234), "-1,234");
  EXPECT_EQ(html::duration(291), "4 min 51 s");
  EXPECT_EQ(html::duration(7265), "2 h 1 min");
  EXPECT_EQ(html::p_value(0.00004), "p &lt; 0.001");
  EXPECT_EQ(html::p_value(std::nullopt), "p undefined");
  EXPECT_EQ(html::interval(proportion(0, 100)), "at most 2.95% (95%)");
  EXPECT_EQ(html::interval(Estimate{}), "no interval");
  EXPECT_EQ(html::decimal(0.4204, 3), "0.420");
  EXPECT_EQ(html::decimal(0.0004, 3), "&lt; 0.001");
  EXPECT_EQ(html::decimal(0.0, 3), "0.000");
  EXPECT_EQ(html::decimal(0.9996, 3), "&gt; 0.999");
  EXPECT_EQ(html::decimal(1.0, 3), "1.000");
  EXPECT_EQ(html::decimal(13.96, 1), "14.0");
  EXPECT_EQ(html::decimal(std::nullopt, 3), "\u2013");
  EXPECT_EQ(html::points(paired_difference({})), "undefined");
  EXPECT_EQ(html::points(paired_difference({20, 12, 2, 16})).substr(0, 14), "\u221220.0 points");
}

}  // namespace
}  // namespace precept
