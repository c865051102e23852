#include "precept/text/tables.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "precept/core/strict_json.h"
#include "precept/text/byte_alphabet.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Tables = Tokenizer::Tables;
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581

nlohmann::json parsed(const std::string& text) {
  return text.empty() ? nlohmann::json() : nlohmann::json::parse(text, nullptr, false);
}

bool is_byte_token(const std::string& text, int& byte) {
  unsigned value = 0;
  if (text.size() != 6 || text.compare(0, 3, "<0x") != 0 || text[5] != '>') return false;
  for (const char c : {text[3], text[4]}) {
    if (c >= '0' && c <= '9') value = value * 16 + static_cast<unsigned>(c - '0');
    else if (c >= 'A' && c <= 'F') value = value * 16 + static_cast<unsigned>(c - 'A' + 10);
    else return false;
  }
  byte = static_cast<int>(value);
  return true;
}

// A token holds U+2581 right after another character.
bool spans_words(const std::string& text) {
  for (std::size_t i = text.find(kSpaceMark, 1); i != std::string::npos; i = text.find(kSpaceMark, i + 1)) {
    if (i < kSpaceMark.size() || text.compare(i - kSpaceMark.size(), kSpaceMark.size(), kSpaceMark) != 0) return true;
  }
  return false;
}

}  // namespace

Status Tables::pipeline(const std::string& file) {
  auto made_normalizer = Normalizer::parse(parsed(normalizer_json), file);
  if (!made_normalizer) return tl::unexpected<Error>(made_normalizer.error());
  normalizer = std::move(*made_normalizer);
  auto made_pre = PreTokenizer::parse(parsed(pre_json), file);
  if (!made_pre) return tl::unexpected<Error>(made_pre.error());
  pre = std::move(*made_pre);
  auto made_decoder = DecodeChain::parse(parsed(decoder_json), file);
  if (!made_decoder) return tl::unexpected<Error>(made_decoder.error());
  decoder = std::move(*made_decoder);
  auto made_post = parse_post_process(parsed(post_json), tokens.size(), file);
  if (!made_post) return tl::unexpected<Error>(made_post.error());
  post = std::move(*made_post);
  return {};
}

Status Tables::index(const std::string& file) {
  if (auto fine = index_texts(file); !fine) return fine;
  index_extras();
  if (auto fine = index_pairs(file); !fine) return fine;
  if (kind == ModelKind::kUnigram) {
    std::vector<Unigram::Entry> entries;
    double least = 0, most = 0;
    for (std::size_t i = 0; i < unigram_ids.size(); ++i) {
      const auto id = static_cast<std::size_t>(unigram_ids[i]);
      least = i == 0 ? scores[id] : std::min(least, scores[id]);
      most = i == 0 ? scores[id] : std::max(most, scores[id]);
      if (!tokens[id].bytes.empty()) entries.push_back({tokens[id].bytes, scores[id], unigram_ids[i]});
    }
    std::vector<bool> preferred(tokens.size(), false);
    for (const std::int32_t id : user_defined) preferred[static_cast<std::size_t>(id)] = true;
    for (Unigram::Entry& entry : entries) {
      if (preferred[static_cast<std::size_t>(entry.id)]) entry.score = static_cast<double>(entry.text.size()) * most - 0.1;
    }
    constexpr double kPenalty = 10;  // of an unknown character, below the least probable piece
    unigram = Unigram(std::move(entries), least - kPenalty, unigram_float);
  }
  index_whole();
  index_added();
  return {};
}

Status Tables::index_texts(const std::string& file) {
  byte_ids.fill(-1);
  by_text.reserve(tokens.size());
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const BpeToken& token = tokens[i];
    const auto id = static_cast<std::int32_t>(i);
    if (!token.special_name.empty()) {
      specials.emplace(token.special_name, id);
      continue;
    }
    int byte = 0;
    if (kind == ModelKind::kByteBpe) {
      if (token.bytes.size() == 1 && !token.added && !token.raw) byte_ids[static_cast<unsigned char>(token.bytes[0])] = id;
    } else if (is_byte_token(token.bytes, byte)) {
      byte_ids[static_cast<std::size_t>(byte)] = id;
    }
    if (token.bytes.empty() || token.added || token.raw) continue;
    by_text.insert(token.bytes, id);
    longest = std::max(longest, token.bytes.size());
  }
  for (std::size_t byte = 0; byte < 256 && kind == ModelKind::kByteBpe; ++byte) {
    if (byte_ids[byte] < 0) {
      return bad_input("the vocabulary has no token for byte " + std::to_string(byte) + ", spelled in the byte-level alphabet",
                       "text would be lost: ByteLevel needs all 256 bytes (a space is spelled U+0120)", file);
    }
  }
  return {};
}

// Extras with an id get symbols of their own, which stand in no pair.
void Tables::index_extras() {
  std::vector<AddedMatcher::Entry> pieces;
  extra_characters.reserve(extras.size());
  for (std::size_t i = 0; i < extras.size(); ++i) {
    const auto symbol = static_cast<std::int32_t>(tokens.size() + i);
    if (extras[i].id < 0) {
      extra_characters.insert(extras[i].text, symbol);
    } else {
      AddedToken token;
      token.id = symbol;
      pieces.push_back({extras[i].text, token});
    }
  }
  user_pieces = AddedMatcher(std::move(pieces));
}

Status Tables::index_pairs(const std::string& file) {
  pairs.reserve(merges.size());
  cuts_at_words = kind == ModelKind::kCharBpe && by_text.find(kSpaceMark) >= 0;
  for (std::size_t i = 0; i < merges.size(); ++i) {
    const BpeMerge& merge = merges[i];
    const std::uint32_t rank = ranks.empty() ? static_cast<std::uint32_t>(i) : ranks[i];
    if (!pairs.insert(merge.left, merge.right, rank, merge.result)) {
      return bad_input("merge " + std::to_string(i) + " repeats an earlier one", "list every pair once", file);
    }
    if (cuts_at_words && spans_words(tokens[static_cast<std::size_t>(merge.result)].bytes)) cuts_at_words = false;
  }
  for (const Extra& extra : extras) {
    if (extra.id >= 0 && spans_words(extra.text)) cuts_at_words = false;
  }
  return {};
}

void Tables::index_whole() {
  whole.assign(tokens.size(), false);
  if (kind == ModelKind::kUnigram || !user_pieces.empty()) return;
  std::vector<BpeSymbol> symbols;
  MergeScratch scratch;
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    const BpeToken& token = tokens[id];
    if (token.bytes.empty() || token.added || token.raw) continue;
    if (by_text.find(token.bytes) != static_cast<std::int32_t>(id)) continue;
    if (!ignore_merges) {
      symbols.clear();
      encode_piece(token.bytes, symbols, scratch);
      if (symbols.size() != 1 || symbols[0].id != static_cast<std::int32_t>(id)) continue;
    }
    whole[id] = true;
  }
}

void Tables::index_added() {
  std::vector<AddedMatcher::Entry> raw, normalized;
  added_text.assign(added.size(), {});
  added_at.assign(tokens.size(), -1);
  for (std::size_t i = 0; i < added.size(); ++i) {
    const AddedToken& token = added[i];
    added_at[static_cast<std::size_t>(token.id)] = static_cast<std::int32_t>(i);
    if (!token.normalized) {
      raw.push_back({token.content, token});
      continue;
    }
    Aligned text;
    text.text = token.content;
    normalizer.apply(text);
    added_text[i] = text.text;
    if (!text.text.empty()) normalized.push_back({text.text, token});
  }
  raw_added = AddedMatcher(std::move(raw));
  normalized_added = AddedMatcher(std::move(normalized));
  const bool plain = kind == ModelKind::kByteBpe && decoder.byte_level();
  if (plain && added_text == std::vector<std::string>(added.size())) return;
  shown.resize(tokens.size());
  for (std::size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].special_name.empty()) continue;
    if (plain) {
      const std::int32_t at = added_at[id];
      shown[id] = at >= 0 && !added_text[static_cast<std::size_t>(at)].empty() ? added_text[static_cast<std::size_t>(at)] : tokens[id].bytes;
      continue;
    }
    DecodeStream stream(decoder);
    std::string text;
    stream.feed("x", text);  // so that it does not stand at the beginning
    stream.feed(text_of(static_cast<std::int32_t>(id)), text);
    stream.finish(text);
    shown[id] = text.substr(std::min<std::size_t>(1, text.size()));
  }
}

std::string Tables::spelled(std::int32_t id) const {
  if (!has(id)) return {};
  const BpeToken& token = tokens[static_cast<std::size_t>(id)];
  if (!token.special_name.empty()) return token.special_name;
  return kind != ModelKind::kByteBpe || token.added || token.raw ? token.bytes : to_byte_alphabet(token.bytes);
}

std::string Tables::text_of(std::int32_t id) const {
  if (!has(id)) return {};
  const std::int32_t at = added_at[static_cast<std::size_t>(id)];
  if (at >= 0 && !added_text[static_cast<std::size_t>(at)].empty()) return added_text[static_cast<std::size_t>(at)];
  return spelled(id);
}

}  // namespace precept
