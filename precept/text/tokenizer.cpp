#include "precept/text/tokenizer.h"

#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/text/byte_alphabet.h"
#include "precept/text/tables.h"

namespace precept {
namespace {

const std::string kNothing;

}  // namespace

Result<Tokenizer> Tokenizer::load(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
  const auto text = read_text(path, kMaxBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse(*text, path);
}

int Tokenizer::size() const { return static_cast<int>(tables_->tokens.size()); }

std::string Tokenizer::decode(const std::vector<std::int32_t>& ids, bool with_specials) const {
  std::string text;
  const bool plain = tables_->kind == ModelKind::kByteBpe && tables_->decoder.byte_level();
  DecodeStream stream(tables_->decoder);
  for (const std::int32_t id : ids) {
    if (!tables_->has(id)) continue;
    const BpeToken& token = tables_->tokens[static_cast<std::size_t>(id)];
    if (!token.special_name.empty() && !with_specials) continue;
    if (plain) text += token.special_name.empty() ? bytes(id) : token.special_name;
    else stream.feed(tables_->text_of(id), text);
  }
  if (!plain) stream.finish(text);
  return text;
}

const std::string& Tokenizer::bytes(std::int32_t id) const {
  if (!tables_->has(id)) return kNothing;
  const auto at = static_cast<std::size_t>(id);
  return tables_->shown.empty() ? tables_->tokens[at].bytes : tables_->shown[at];
}

bool Tokenizer::is_special(std::int32_t id) const { return !special_name(id).empty(); }

std::optional<std::int32_t> Tokenizer::special(std::string_view name) const {
  const auto found = tables_->specials.find(name);
  if (found == tables_->specials.end()) return std::nullopt;
  return found->second;
}

const std::string& Tokenizer::special_name(std::int32_t id) const {
  return tables_->has(id) ? tables_->tokens[static_cast<std::size_t>(id)].special_name : kNothing;
}

std::string Tokenizer::token(std::int32_t id) const { return tables_->spelled(id); }

std::optional<std::int32_t> Tokenizer::token_id(std::string_view spelled) const {
  if (const auto id = special(spelled)) return id;
  for (const AddedToken& added : tables_->added) {
    if (added.content == spelled) return added.id;
  }
  std::int32_t id = -1;
  if (tables_->kind != ModelKind::kByteBpe) {
    id = tables_->by_text.find(spelled);
  } else if (const auto bytes = from_byte_alphabet(spelled)) {
    id = tables_->by_text.find(*bytes);
  }
  if (id < 0) return std::nullopt;
  return id;
}

std::optional<std::int32_t> Tokenizer::bos_id() const { return tables_->bos; }
std::optional<std::int32_t> Tokenizer::eos_id() const { return tables_->eos; }
std::optional<std::int32_t> Tokenizer::unk_id() const { return tables_->unk; }
std::optional<std::int32_t> Tokenizer::pad_id() const { return tables_->pad; }

std::string Tokenizer::digest() const { return sha256(to_json()); }

}  // namespace precept
