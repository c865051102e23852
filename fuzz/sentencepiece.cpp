// Any bytes as a SentencePiece model; what is read encodes any text and decodes what it encoded.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/text/stream.h"

using namespace precept;

namespace {

void exercise(const Tokenizer& tokenizer, std::string_view text) {
  const auto ids = tokenizer.encode(text);
  for (const std::int32_t id : ids) PRECEPT_CHECK(id >= 0 && id < tokenizer.size());
  for (const TokenAt& token : tokenizer.encode_with_offsets(text, {})) PRECEPT_CHECK(token.begin <= token.end && token.end <= text.size());
  StreamDecoder stream(tokenizer);
  std::string out;
  for (const std::int32_t id : ids) out += stream.feed(id);
  PRECEPT_CHECK(out + stream.finish() == replace_invalid_utf8(tokenizer.decode(ids)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto tokenizer = Tokenizer::parse_sentencepiece(bytes, "fuzz");
  if (!tokenizer) {
    PRECEPT_CHECK(!tokenizer.error().hint.empty() && tokenizer.error().what.find('\n') == std::string::npos);
    return 0;
  }
  exercise(*tokenizer, " the cat  <s> \xE4\xBD\xA0\xFF 12 \xE2\x96\x81");
  exercise(*tokenizer, bytes.substr(0, 512));
  if (const auto again = Tokenizer::parse(tokenizer->to_json(), "again")) exercise(*again, "the cat");
  return 0;
}
