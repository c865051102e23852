// One piece -> tokens, for each kind of model.

#include <algorithm>

#include "precept/text/tables.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Tables = Tokenizer::Tables;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

}  // namespace

void Tables::encode_piece(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const {
  if (piece.empty()) return;
  switch (kind) {
    case ModelKind::kByteBpe: encode_bytes(piece, out, scratch); return;
    case ModelKind::kCharBpe: encode_characters(piece, out, scratch); return;
    case ModelKind::kUnigram: encode_unigram(piece, out); return;
  }
}

void Tables::encode_bytes(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const {
  if (piece.size() <= longest) {
    const std::int32_t known = by_text.find(piece);
    if (known >= 0 && whole[static_cast<std::size_t>(known)]) {
      out.push_back({known, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  std::vector<BpeSymbol>& symbols = scratch.symbols;
  symbols.clear();
  for (const char c : piece) symbols.push_back({byte_ids[static_cast<unsigned char>(c)], 1});
  merge_symbols(pairs, symbols, scratch);
  out.insert(out.end(), symbols.begin(), symbols.end());
}

void Tables::encode_characters(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const {
  constexpr std::size_t kLong = 32;
  if (!cuts_at_words || piece.size() < kLong) {
    merge_characters(piece, out, scratch);
    return;
  }
  // No merge reaches over the beginning of a word: word by word is the same, and fast.
  std::size_t begin = 0;
  for (std::size_t i = piece.find(kSpaceMark, 1); i != std::string_view::npos; i = piece.find(kSpaceMark, i + kSpaceMark.size())) {
    if (i >= kSpaceMark.size() && piece.substr(i - kSpaceMark.size(), kSpaceMark.size()) == kSpaceMark) continue;
    merge_characters(piece.substr(begin, i - begin), out, scratch);
    begin = i;
  }
  merge_characters(piece.substr(begin), out, scratch);
}

void Tables::character_symbols(std::string_view piece, std::vector<BpeSymbol>& symbols) const {
  for (std::size_t i = 0; i < piece.size();) {
    const std::size_t length = utf8_length(piece[i]);
    const std::string_view character = piece.substr(i, length);
    std::int32_t id = by_text.find(character);
    if (id < 0) id = extra_characters.find(character);
    if (id < 0 && spells_bytes(character)) {
      for (const char c : character) symbols.push_back({byte_ids[static_cast<unsigned char>(c)], 1});
    } else if (id >= 0 || unk_in_model) {
      symbols.push_back({id >= 0 ? id : kUnknownSymbol, static_cast<std::uint32_t>(length)});
    }  // else: without a token for unknown characters they vanish, before anything merges
    i += length;
  }
}

void Tables::merge_characters(std::string_view piece, std::vector<BpeSymbol>& out, MergeScratch& scratch) const {
  if (piece.size() <= longest) {
    const std::int32_t known = by_text.find(piece);
    if (known >= 0 && whole[static_cast<std::size_t>(known)]) {
      out.push_back({known, static_cast<std::uint32_t>(piece.size())});
      return;
    }
  }
  std::vector<BpeSymbol>& symbols = scratch.symbols;
  symbols.clear();
  if (user_pieces.empty()) {
    character_symbols(piece, symbols);
  } else {
    const auto any = [](const AddedToken&, std::size_t, std::size_t) { return true; };
    for (const AddedMatcher::Part& part : user_pieces.split(piece, any)) {
      if (part.token == nullptr) character_symbols(piece.substr(part.begin, part.end - part.begin), symbols);
      else symbols.push_back({part.token->id, static_cast<std::uint32_t>(part.end - part.begin)});
    }
  }
  merge_symbols(pairs, symbols, scratch);
  put_symbols(piece, symbols, out);
}

void Tables::put_symbols(std::string_view piece, const std::vector<BpeSymbol>& symbols, std::vector<BpeSymbol>& out) const {
  const std::size_t first = out.size();
  std::size_t at = 0;
  for (const BpeSymbol& symbol : symbols) {
    const auto beyond = static_cast<std::size_t>(symbol.id);
    if (beyond < tokens.size()) {
      out.push_back(symbol);
    } else if (beyond - tokens.size() < extras.size() && extras[beyond - tokens.size()].id >= 0) {
      out.push_back({extras[beyond - tokens.size()].id, symbol.bytes});
    } else {
      put_unknown(piece.substr(at, symbol.bytes), out, first);
    }
    at += symbol.bytes;
  }
}

bool Tables::spells_bytes(std::string_view text) const {
  return byte_fallback &&
         std::all_of(text.begin(), text.end(), [&](char c) { return byte_ids[static_cast<unsigned char>(c)] >= 0; });
}

// `first`: what stands before it in `out` belongs to other pieces.
void Tables::put_unknown(std::string_view text, std::vector<BpeSymbol>& out, std::size_t first) const {
  if (spells_bytes(text)) {
    for (const char c : text) out.push_back({byte_ids[static_cast<unsigned char>(c)], 1});
    return;
  }
  if (!unk_in_model) return;
  if (fuse_unk && out.size() > first && out.back().id == *unk) out.back().bytes += static_cast<std::uint32_t>(text.size());
  else out.push_back({*unk, static_cast<std::uint32_t>(text.size())});
}

void Tables::encode_unigram(std::string_view piece, std::vector<BpeSymbol>& out) const {
  put_symbols(piece, unigram.segment(piece), out);
}

}  // namespace precept
