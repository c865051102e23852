#include "precept/text/stream.h"

#include <algorithm>

#include "precept/core/io.h"
#include "precept/text/tables.h"

namespace precept {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

// Could these 1 to 3 bytes at the end of a text become a valid sequence with more bytes?
bool may_become_valid(std::string_view tail) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(tail[i]); };
  const unsigned char lead = at(0);
  const std::size_t length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 && lead <= 0xEF ? 3
                             : lead >= 0xC2 && lead <= 0xDF ? 2 : 0;
  if (tail.size() >= length) return false;
  // Some continuation completes it exactly if one of the extreme ones does.
  for (const char filler : {'\x80', '\xBF'}) {
    std::string whole(tail);
    whole.append(length - tail.size(), filler);
    if (!find_invalid_utf8(whole)) return true;
  }
  return false;
}

// Moves what is decided from `pending` to the output: valid text, and U+FFFD for hopeless bytes.
std::string take_valid(std::string& pending, bool at_end) {
  std::string out;
  std::string_view rest = pending;
  while (!rest.empty()) {
    const auto bad = find_invalid_utf8(rest);
    out += rest.substr(0, bad.value_or(rest.size()));
    rest.remove_prefix(bad.value_or(rest.size()));
    if (rest.empty()) break;
    if (!at_end && rest.size() < 4 && may_become_valid(rest)) break;
    out += kReplacement;
    rest.remove_prefix(1);
  }
  pending.erase(0, pending.size() - rest.size());
  return out;
}

}  // namespace

struct StreamDecoder::Chain {
  DecodeStream stream;
};

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool with_specials)
    : tokenizer_(std::move(tokenizer)), with_specials_(with_specials) {
  const Tokenizer::Tables& tables = tokenizer_.tables();
  if (tables.kind == ModelKind::kByteBpe && tables.decoder.byte_level()) return;
  chain_ = std::make_unique<Chain>(Chain{DecodeStream(tables.decoder)});
}

StreamDecoder::StreamDecoder(const StreamDecoder& other)
    : tokenizer_(other.tokenizer_), with_specials_(other.with_specials_),
      chain_(other.chain_ ? std::make_unique<Chain>(*other.chain_) : nullptr), pending_(other.pending_) {}
StreamDecoder::StreamDecoder(StreamDecoder&& other) noexcept = default;
StreamDecoder& StreamDecoder::operator=(StreamDecoder other) {
  tokenizer_ = std::move(other.tokenizer_);
  with_specials_ = other.with_specials_;
  chain_ = std::move(other.chain_);
  pending_ = std::move(other.pending_);
  return *this;
}
StreamDecoder::~StreamDecoder() = default;

std::string StreamDecoder::feed(std::int32_t id) {
  const std::string& name = tokenizer_.special_name(id);
  if (!name.empty() && !with_specials_) return {};
  if (!chain_) return feed_bytes(name.empty() ? tokenizer_.bytes(id) : name);
  if (id < 0 || id >= tokenizer_.size()) return {};
  std::string text;
  chain_->stream.feed(tokenizer_.tables().text_of(id), text);
  return feed_bytes(text);
}

std::string StreamDecoder::feed_bytes(std::string_view bytes) {
  pending_ += bytes;
  return take_valid(pending_, false);
}

std::string StreamDecoder::finish() {
  if (chain_) chain_->stream.finish(pending_);
  return take_valid(pending_, true);
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string all(text);
  return take_valid(all, true);
}

StopMatcher::StopMatcher(const std::vector<std::string>& stops) : stops_(stops) {
  stops_.erase(std::remove(stops_.begin(), stops_.end(), std::string()), stops_.end());
}

std::string StopMatcher::feed(std::string_view text) {
  if (matched_) return {};
  held_ += text;
  std::size_t first = std::string::npos, first_end = std::string::npos;
  for (const std::string& stop : stops_) {
    const std::size_t start = held_.find(stop);
    if (start == std::string::npos) continue;
    const std::size_t end = start + stop.size();
    if (end < first_end || (end == first_end && start < first)) {
      first = start;
      first_end = end;
    }
  }
  // The longest end of the text that begins some stop string.
  std::size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (std::size_t length = std::min(stop.size() - 1, held_.size()); length > keep; --length) {
      if (held_.compare(held_.size() - length, length, stop, 0, length) == 0) {
        keep = length;
        break;
      }
    }
  }
  if (first != std::string::npos) {
    matched_ = true;
    std::string out = held_.substr(0, first);
    held_.clear();
    return out;
  }
  std::string out = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return out;
}

std::string StopMatcher::finish() { return matched_ ? std::string() : std::move(held_); }

}  // namespace precept
