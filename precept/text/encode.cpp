// Text -> tokens: added tokens are cut out, the rest is normalized, split into pieces, and each piece encoded.

#include <algorithm>
#include <deque>

#include "precept/core/io.h"
#include "precept/text/tables.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Tables = Tokenizer::Tables;
using Specials = EncodeOptions::Specials;

// The text with U+FFFD for every byte that is not UTF-8, each aligned with its byte.
Aligned without_broken_bytes(std::string_view text, bool tracked) {
  Aligned out;
  out.tracked = tracked;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::string_view rest = text.substr(at);
    const std::size_t valid = find_invalid_utf8(rest).value_or(rest.size());
    out.text += rest.substr(0, valid);
    for (std::size_t i = 0; tracked && i < valid;) {
      const std::size_t length = utf8_length(rest[i]);
      out.spans.insert(out.spans.end(), length, TextSpan{at + i, at + i + length});
      i += length;
    }
    at += valid;
    if (at >= text.size()) break;
    out.text += kReplacementCharacter;
    if (tracked) out.spans.insert(out.spans.end(), kReplacementCharacter.size(), TextSpan{at, at + 1});
    ++at;
  }
  return out;
}

class Encoder {
 public:
  Encoder(const Tables& tables, const EncodeOptions& options, bool offsets)
      : tables_(tables), options_(options), offsets_(offsets) {
    for (const TextSpan& span : options.spans) {
      if (span.begin < span.end) spans_.push_back(span);
    }
    std::sort(spans_.begin(), spans_.end(), [](const TextSpan& a, const TextSpan& b) { return a.begin < b.begin; });
    // Where one span reaches into the next they are one.
    std::size_t kept = 0;
    for (std::size_t i = 1; i < spans_.size(); ++i) {
      if (spans_[i].begin < spans_[kept].end) spans_[kept].end = std::max(spans_[kept].end, spans_[i].end);
      else spans_[++kept] = spans_[i];
    }
    if (!spans_.empty()) spans_.resize(kept + 1);
  }

  void run(std::string_view text) {
    put_all(tables_.post.before);
    // Only byte-level tokenizers have tokens for broken UTF-8, and only where nothing is put before each stretch of text.
    const bool takes_bytes = tables_.kind == ModelKind::kByteBpe && !tables_.pre.puts_before();
    if (!takes_bytes && find_invalid_utf8(text)) {
      const bool tracked = offsets_ || tables_.pre.needs_tracking() || !spans_.empty();
      const Aligned whole = without_broken_bytes(text, tracked);
      lossy_ = &whole;
      sections(whole.text);
      lossy_ = nullptr;
    } else {
      sections(text);
    }
    put_all(tables_.post.after);
  }

  std::vector<std::int32_t> ids;
  std::vector<TokenAt> with_offsets;

 private:
  void put(std::int32_t id, std::size_t begin, std::size_t end) {
    if (offsets_) with_offsets.push_back({id, begin, end});
    else ids.push_back(id);
  }
  void put_all(const std::vector<std::int32_t>& added) {
    if (!options_.add_special_tokens) return;
    for (const std::int32_t id : added) put(id, 0, 0);
  }

  // May this token be read at these bytes of the original text?
  bool allowed(const AddedToken& token, std::size_t begin, std::size_t end) const {
    if (options_.specials == Specials::everywhere || !token.is_control()) return true;
    if (options_.specials == Specials::nowhere) return false;
    const auto after = std::lower_bound(spans_.begin(), spans_.end(), end,
                                        [](const TextSpan& span, std::size_t at) { return span.begin < at; });
    return after == spans_.begin() || std::prev(after)->end <= begin;
  }
  bool searches(const AddedMatcher& matcher) const {
    return options_.specials == Specials::nowhere ? matcher.has_words() : !matcher.empty();
  }

  // Bytes of the text given to run().
  TextSpan original(std::size_t begin, std::size_t end) const {
    if (lossy_ == nullptr || lossy_->spans.empty() || begin >= end) return {begin, end};
    return {lossy_->spans[begin].begin, lossy_->spans[end - 1].end};
  }

  void sections(std::string_view text) {
    if (!searches(tables_.raw_added)) {
      section(text, 0);
      return;
    }
    const auto may = [&](const AddedToken& token, std::size_t begin, std::size_t end) {
      const TextSpan at = original(begin, end);
      return allowed(token, at.begin, at.end);
    };
    for (const AddedMatcher::Part& part : tables_.raw_added.split(text, may)) {
      const TextSpan at = original(part.begin, part.end);
      if (part.token != nullptr) put(part.token->id, at.begin, at.end);
      else section(text.substr(part.begin, part.end - part.begin), part.begin);
    }
  }

  // Text between tokens that were found in it, from byte `base` on. Broken UTF-8 is left to byte-level models: each run of it
  // is a piece of its own.
  void section(std::string_view text, std::size_t base) {
    std::size_t at = 0;
    while (at < text.size()) {
      const std::string_view rest = text.substr(at);
      const std::size_t valid = find_invalid_utf8(rest).value_or(rest.size());
      if (valid > 0) valid_text(rest.substr(0, valid), base + at);
      at += valid;
      std::size_t end = at;
      while (end < text.size() && find_invalid_utf8(text.substr(end, 4)) == std::size_t{0}) ++end;
      if (end > at) broken(text.substr(at, end - at), base + at);
      at = end;
    }
  }

  void broken(std::string_view text, std::size_t base) {
    symbols_.clear();
    tables_.encode_piece(text, symbols_, scratch_);
    for (const BpeSymbol& symbol : symbols_) {
      put(symbol.id, base, base + symbol.bytes);
      base += symbol.bytes;
    }
  }

  void valid_text(std::string_view text, std::size_t base) {
    const auto family = tables_.pre.family();
    const bool search = searches(tables_.normalized_added);
    if (family && !offsets_ && !search && tables_.kind == ModelKind::kByteBpe && tables_.normalizer.leaves(text)) {
      split_and_encode(*family, text);
      return;
    }
    Aligned aligned;
    aligned.text = std::string(text);
    aligned.base = base;
    aligned.tracked = offsets_ || tables_.pre.needs_tracking() || (search && !spans_.empty());
    if (lossy_ != nullptr && aligned.tracked && !lossy_->spans.empty()) {
      const auto first = lossy_->spans.begin() + static_cast<std::ptrdiff_t>(base);
      aligned.spans.assign(first, first + static_cast<std::ptrdiff_t>(text.size()));
      aligned.base = original(base, base + text.size()).begin;
    }
    if (!tables_.normalizer.leaves(text)) tables_.normalizer.apply(aligned);
    if (!search) {
      pieces(aligned, {0, aligned.text.size()});
      return;
    }
    const auto may = [&](const AddedToken& token, std::size_t begin, std::size_t end) {
      const TextSpan at = span_of({&aligned, 0, aligned.text.size()}, begin, end);
      return allowed(token, at.begin, at.end);
    };
    for (const AddedMatcher::Part& part : tables_.normalized_added.split(aligned.text, may)) {
      const TextSpan at = span_of({&aligned, 0, aligned.text.size()}, part.begin, part.end);
      if (part.token != nullptr) put(part.token->id, at.begin, at.end);
      else pieces(aligned, {part.begin, part.end});
    }
  }

  void split_and_encode(SplitFamily family, std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = piece_end(family, text, at);
      symbols_.clear();
      tables_.encode_piece(text.substr(at, end - at), symbols_, scratch_);
      for (const BpeSymbol& symbol : symbols_) ids.push_back(symbol.id);
      at = end;
    }
  }

  void pieces(const Aligned& aligned, TextSpan range) {
    std::deque<Aligned> storage;
    std::vector<Piece> all = {{&aligned, range.begin, range.end}};
    tables_.pre.split(storage, all);
    for (const Piece& piece : all) {
      symbols_.clear();
      tables_.encode_piece(piece.text(), symbols_, scratch_);
      std::size_t at = 0;
      for (const BpeSymbol& symbol : symbols_) {
        const TextSpan span = offsets_ ? span_of(piece, at, at + symbol.bytes) : TextSpan{};
        put(symbol.id, span.begin, span.end);
        at += symbol.bytes;
      }
    }
  }

  // Where bytes [begin, end) of a piece came from, whole characters.
  static TextSpan span_of(const Piece& piece, std::size_t begin, std::size_t end) {
    const Aligned& source = *piece.source;
    begin = std::min(piece.begin + begin, source.text.size());
    end = std::min(piece.begin + end, source.text.size());
    if (begin >= end) return {source.base + begin, source.base + begin};
    if (!source.spans.empty()) return {source.spans[begin].begin, source.spans[end - 1].end};
    const auto inside = [&](std::size_t i) { return i < source.text.size() && (static_cast<unsigned char>(source.text[i]) & 0xC0) == 0x80; };
    while (begin > 0 && inside(begin)) --begin;
    while (inside(end)) ++end;
    return {source.base + begin, source.base + end};
  }

  const Tables& tables_;
  const EncodeOptions& options_;
  bool offsets_;
  std::vector<TextSpan> spans_;  // sorted, apart from each other
  const Aligned* lossy_ = nullptr;
  std::vector<BpeSymbol> symbols_;
  MergeScratch scratch_;
};

}  // namespace

std::vector<std::int32_t> Tokenizer::encode(std::string_view text) const { return encode(text, EncodeOptions{}); }

std::vector<std::int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  Encoder encoder(*tables_, options, false);
  encoder.ids.reserve(text.size() / 4 + 8);
  encoder.run(text);
  return std::move(encoder.ids);
}

std::vector<TokenAt> Tokenizer::encode_with_offsets(std::string_view text, const EncodeOptions& options) const {
  Encoder encoder(*tables_, options, true);
  encoder.run(text);
  return std::move(encoder.with_offsets);
}

}  // namespace precept
