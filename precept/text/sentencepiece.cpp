// SentencePiece's model files: a protobuf message (sentencepiece_model.proto of google/sentencepiece), read field by field.

#include <cmath>
#include <cstring>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/charsmap.h"
#include "precept/text/tokenizer_build.h"

namespace precept {
namespace {

constexpr std::size_t kMaxPieces = std::size_t{1} << 20;

// Fields of one message, one after the other. Groups (wire types 3 and 4) are refused: nobody writes them.
class Message {
 public:
  explicit Message(std::string_view all) : rest_(all) {}

  // False at the end and where the message is broken.
  bool next() {
    std::uint64_t key = 0;
    if (rest_.empty() || !varint(key)) return false;
    number = static_cast<int>(key >> 3 & 0x1FFFFFFF);
    value = 0;
    bytes = {};
    switch (key & 7) {
      case 0: return varint(value);
      case 1: return fixed(8);
      case 2: {
        std::uint64_t length = 0;
        if (!varint(length)) return false;
        if (length > rest_.size()) return broken();
        bytes = rest_.substr(0, static_cast<std::size_t>(length));
        rest_.remove_prefix(static_cast<std::size_t>(length));
        return true;
      }
      case 5: return fixed(4);
      default: return broken();
    }
  }
  bool fine() const { return fine_; }

  int number = 0;
  std::uint64_t value = 0;   // varints, and fixed numbers as their bits
  std::string_view bytes;    // strings and messages

  float as_float() const {
    const auto bits = static_cast<std::uint32_t>(value);
    float out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
  }
  std::optional<std::int32_t> as_id() const {
    const auto id = static_cast<std::int32_t>(value);
    return id < 0 ? std::nullopt : std::optional<std::int32_t>(id);
  }

 private:
  bool broken() {
    fine_ = false;
    return false;
  }
  bool varint(std::uint64_t& out) {
    out = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return broken();
      const auto byte = static_cast<unsigned char>(rest_[0]);
      rest_.remove_prefix(1);
      out |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return true;
    }
    return broken();
  }
  bool fixed(std::size_t length) {
    if (rest_.size() < length) return broken();
    for (std::size_t i = length; i-- > 0;) value = value << 8 | static_cast<unsigned char>(rest_[i]);
    rest_.remove_prefix(length);
    return true;
  }

  std::string_view rest_;
  bool fine_ = true;
};

class Reader {
 public:
  explicit Reader(const std::string& file) : file_(file) {}

  Result<SentencePieces> run(std::string_view bytes) {
    pieces_.remove_extra_whitespaces = true;
    pieces_.unigram = true;
    pieces_.unk = 0;
    pieces_.bos = 1;
    pieces_.eos = 2;
    Message model(bytes);
    while (model.next()) {
      Status fine;
      if (model.number == 1) fine = piece(model.bytes);
      else if (model.number == 2) fine = trainer(model.bytes);
      else if (model.number == 3) fine = normalizer(model.bytes);
      else if (model.number == 5) fine = denormalizer(model.bytes);
      if (!fine) return tl::unexpected<Error>(fine.error());
    }
    if (!model.fine()) return damaged();
    if (pieces_.text.empty()) return bad_input("no pieces", "is this a SentencePiece model?", file_);
    const auto in_range = [&](std::optional<std::int32_t>& id) {
      if (id && static_cast<std::size_t>(*id) >= pieces_.text.size()) id.reset();
    };
    for (auto* id : {&pieces_.unk, &pieces_.bos, &pieces_.eos, &pieces_.pad}) in_range(*id);
    return std::move(pieces_);
  }

 private:
  tl::unexpected<Error> damaged() const {
    return bad_input("not a SentencePiece model, or cut short", "get the file again", file_);
  }
  tl::unexpected<Error> unsupported(const std::string& what) const {
    return bad_input(what + " is not supported", "supported: models of the types BPE and Unigram with whitespace escaped as a prefix", file_);
  }

  Status piece(std::string_view bytes) {
    std::string_view text;
    float score = 0;
    int type = SentencePieces::kNormal;
    Message message(bytes);
    while (message.next()) {
      if (message.number == 1) text = message.bytes;
      else if (message.number == 2) score = message.as_float();
      else if (message.number == 3) type = static_cast<int>(message.value & 0xFF);
    }
    if (!message.fine()) return damaged();
    const std::string which = "piece " + std::to_string(pieces_.text.size());
    if (find_invalid_utf8(text)) return bad_input(which + " is not UTF-8", "get the file again", file_);
    if (type < SentencePieces::kNormal || type > SentencePieces::kByte) return unsupported("the type of " + which);
    if (pieces_.text.size() >= kMaxPieces) return bad_input("more than a million pieces", "is this the right file?", file_);
    pieces_.text.emplace_back(text);
    pieces_.score.push_back(score);
    pieces_.type.push_back(type);
    return {};
  }

  Status trainer(std::string_view bytes) {
    Message message(bytes);
    while (message.next()) {
      switch (message.number) {
        case 3:
          if (message.value != 1 && message.value != 2) return unsupported("a model of type " + std::string(message.value == 3 ? "Word" : message.value == 4 ? "Char" : "unknown"));
          pieces_.unigram = message.value == 1;
          break;
        case 24:
          if (message.value != 0) return unsupported("treat_whitespace_as_suffix");
          break;
        case 35: pieces_.byte_fallback = message.value != 0; break;
        case 40: pieces_.unk = message.as_id(); break;
        case 41: pieces_.bos = message.as_id(); break;
        case 42: pieces_.eos = message.as_id(); break;
        case 43: pieces_.pad = message.as_id(); break;
        default: break;
      }
    }
    if (!message.fine()) return damaged();
    return {};
  }

  Status normalizer(std::string_view bytes) {
    Message message(bytes);
    while (message.next()) {
      switch (message.number) {
        case 2: {
          if (message.bytes.empty()) break;
          const auto map = Charsmap::parse(message.bytes, file_);
          if (!map) return tl::unexpected<Error>(map.error());
          pieces_.charsmap_base64 = map->to_base64();
          break;
        }
        case 3: pieces_.add_dummy_prefix = message.value != 0; break;
        case 4: pieces_.remove_extra_whitespaces = message.value != 0; break;
        case 5:
          if (message.value == 0) return unsupported("escape_whitespaces = false");
          break;
        default: break;
      }
    }
    if (!message.fine()) return damaged();
    return {};
  }

  Status denormalizer(std::string_view bytes) {
    Message message(bytes);
    while (message.next()) {
      if (message.number == 2 && !message.bytes.empty()) return unsupported("a denormalizer");
    }
    if (!message.fine()) return damaged();
    return {};
  }

  SentencePieces pieces_;
  const std::string& file_;
};

}  // namespace

Result<SentencePieces> read_sentencepiece(std::string_view bytes, const std::string& file) { return Reader(file).run(bytes); }

Result<Tokenizer> Tokenizer::parse_sentencepiece(std::string_view bytes, const std::string& file) {
  auto pieces = read_sentencepiece(bytes, file);
  if (!pieces) return tl::unexpected<Error>(pieces.error());
  auto tables = tables_from_pieces(std::move(*pieces), file);
  if (!tables) return tl::unexpected<Error>(tables.error());
  return Tokenizer(std::move(*tables));
}

}  // namespace precept
