// Stop strings that no token holds whole: they begin in the text of one token and end in that of a later one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "precept/core/io.h"
#include "precept/text/stream.h"
#include "tests/lm/engine_support.h"

namespace precept {
namespace {

using engine_test::Checkpoint;

GenerateRequest request(const std::string& stop = "") {
  GenerateRequest r;
  r.messages = {{"user", "tell me about the fox"}};
  r.sampling.max_tokens = 120;
  r.key = {3, 1, 0, 0};
  r.logprobs = true;
  if (!stop.empty()) r.sampling.stop = {stop};
  return r;
}

// An answer as its reader sees it: `shown` is what had come after each step that gave a token.
struct Seen {
  Generation answer;
  std::string streamed;
  std::vector<std::size_t> shown;
};

Seen answer(Model& model, GenerateRequest r) {
  Seen seen;
  r.on_text = [&seen](std::string_view text) { seen.streamed += text; };
  bool done = false;
  model.submit(std::move(r), [&](Result<Generation> result) {
    ASSERT_TRUE(result.has_value()) << result.error().message();
    seen.answer = std::move(*result);
    done = true;
  });
  while (!done) {
    model.advance(std::chrono::milliseconds(0));
    seen.shown.push_back(seen.streamed.size());
  }
  return seen;
}

class Stop : public testing::Test {
 protected:
  // The answer without a stop string, where its text stands after each token, and stop strings of which the first place in it begins
  // within token i and ends within token i + `across`.
  void SetUp() override {
    whole_ = answer(*model_, request());
    StreamDecoder decoder(engine_test::small_tokenizer());
    std::string text;
    ends_.push_back(0);
    for (const std::int32_t token : whole_.answer.tokens) {
      text += decoder.feed(token);
      ends_.push_back(text.size());
    }
    ASSERT_EQ(whole_.answer.text.substr(0, text.size()), text);
  }
  struct Split {
    std::string stop;
    std::size_t at;      // in the text
    std::size_t tokens;  // of the answer, when it is complete
  };
  std::vector<Split> splits(std::size_t across) const {
    std::vector<Split> all;
    const std::string& text = whole_.answer.text;
    for (std::size_t i = 0; i + across + 1 < ends_.size(); ++i) {
      for (std::size_t at = ends_[i]; at < ends_[i + 1]; ++at) {
        for (std::size_t end = ends_[i + across] + 1; end <= ends_[i + across + 1]; ++end) {
          const std::string stop = text.substr(at, end - at);
          if (!find_invalid_utf8(stop) && text.find(stop) == at) all.push_back({stop, at, i + across + 1});
        }
      }
    }
    return all;
  }

  const Checkpoint checkpoint_{engine_test::odd_shape(), 11};
  const std::unique_ptr<Model> model_ = checkpoint_.open({.threads = 1});
  Seen whole_;
  std::vector<std::size_t> ends_;
};

TEST_F(Stop, StringsAcrossTokensEndTheTextBeforeThem) {
  for (const std::size_t across : {1U, 2U, 3U}) {
    const std::vector<Split> all = splits(across);
    ASSERT_GE(all.size(), 3U) << across;
    for (const Split& split : all) {
      SCOPED_TRACE("\"" + split.stop + "\" at " + std::to_string(split.at));
      const Seen seen = answer(*model_, request(split.stop));
      EXPECT_EQ(seen.answer.text, whole_.answer.text.substr(0, split.at));
      EXPECT_EQ(seen.streamed, seen.answer.text) << "nothing of the stop string was shown";
      EXPECT_EQ(seen.answer.finish, Finish::kStop);
      const auto count = static_cast<std::ptrdiff_t>(split.tokens);
      EXPECT_EQ(seen.answer.tokens, std::vector(whole_.answer.tokens.begin(), whole_.answer.tokens.begin() + count));
      EXPECT_EQ(seen.answer.logprobs, std::vector(whole_.answer.logprobs.begin(), whole_.answer.logprobs.begin() + count));
      // Only what may begin a stop string waits.
      ASSERT_EQ(seen.shown.size(), split.tokens);
      for (std::size_t i = 0; i + 1 < split.tokens; ++i) EXPECT_GT(seen.shown[i] + split.stop.size(), ends_[i + 1]) << "token " << i;
    }
  }
}

// What begins like one is not shown; when it goes on otherwise it is text.
TEST_F(Stop, StringsThatOnlyBeginInTheTextChangeNothing) {
  const std::vector<Split> all = splits(1);
  int waited = 0;
  for (const Split& split : all) {
    const std::string stop = split.stop + "\x01 never \x01";
    SCOPED_TRACE("\"" + split.stop + "\" at " + std::to_string(split.at));
    const Seen seen = answer(*model_, request(stop));
    EXPECT_EQ(seen.answer.text, whole_.answer.text);
    EXPECT_EQ(seen.streamed, whole_.answer.text);
    EXPECT_EQ(seen.answer.finish, whole_.answer.finish);
    EXPECT_EQ(seen.answer.tokens, whole_.answer.tokens);
    // What goes on otherwise in the same token, or ends with it, is known to be none.
    if (split.at + split.stop.size() < ends_[split.tokens] || split.tokens == whole_.answer.tokens.size()) continue;
    EXPECT_LE(seen.shown[split.tokens - 1], split.at) << "it may become one";
    ++waited;
  }
  EXPECT_GE(waited, 3);
}

}  // namespace
}  // namespace precept
