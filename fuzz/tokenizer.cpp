// Any bytes as a tokenizer.json; and any bytes as text for a tokenizer: what is encoded comes back.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/text/chat_format.h"
#include "precept/text/stream.h"

using namespace precept;

namespace {

const Tokenizer& trained() {
  static const Tokenizer tokenizer =
      train_bpe({{"the cat and the other cat aren't there; 12 + 34 = 46", 5}, {"你好 naïve    \n\n", 5}},
                {300, pocket_special_tokens()}).value();
  return tokenizer;
}

void round_trip(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  PRECEPT_CHECK(tokenizer.decode(ids) == text);
  for (const std::int32_t id : ids) PRECEPT_CHECK(!tokenizer.is_special(id));
}

// A tokenizer from a hostile file: no text becomes a special token unless asked for, offsets lie within the text, and a
// stream says what decode() says.
void exercise(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  for (const std::int32_t id : ids) PRECEPT_CHECK(id >= 0 && id < tokenizer.size());
  EncodeOptions options;
  options.specials = EncodeOptions::Specials::everywhere;
  options.add_special_tokens = true;
  for (const TokenAt& token : tokenizer.encode_with_offsets(text, options)) {
    PRECEPT_CHECK(token.begin <= token.end && token.end <= text.size());
  }
  options.specials = EncodeOptions::Specials::outside;
  options.spans = {{text.size() / 3, text.size() / 2}};
  PRECEPT_CHECK(tokenizer.encode(text, options).size() == tokenizer.encode_with_offsets(text, options).size());
  StreamDecoder stream(tokenizer);
  std::string out;
  for (const std::int32_t id : ids) out += stream.feed(id);
  PRECEPT_CHECK(out + stream.finish() == replace_invalid_utf8(tokenizer.decode(ids)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  round_trip(trained(), bytes);
  if (const auto parsed = Tokenizer::parse(bytes, "fuzz")) {
    exercise(*parsed, "the cat <|end|> \xE4\xBD\xA0\xFF  12 \xE2\x96\x81 e\xCC\x81");
    exercise(*parsed, bytes.substr(0, 512));
    const auto again = Tokenizer::parse(parsed->to_json(), "again");
    PRECEPT_CHECK(again.has_value() && again->to_json() == parsed->to_json());
  }
  if (const auto chat = ChatFormat::parse(bytes, trained(), "fuzz")) {
    PRECEPT_CHECK(ChatFormat::parse(chat->to_json(), trained(), "again").has_value());
    chat->jinja();
  }
  StreamDecoder decoder(trained());
  std::string out;
  for (const char c : bytes) out += decoder.feed_bytes({&c, 1});
  PRECEPT_CHECK(out + decoder.finish() == replace_invalid_utf8(bytes));
  return 0;
}
