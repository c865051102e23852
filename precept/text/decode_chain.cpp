#include "precept/text/decode_chain.h"

#include <algorithm>

#include "precept/text/byte_alphabet.h"
#include "precept/text/json_fields.h"
#include "precept/text/normalize.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Json = nlohmann::json;
constexpr const char* kSupported = "ByteLevel, Sequence, Replace, ByteFallback, Fuse, Strip, Metaspace";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// Length of the longest end of `text` that begins `find` without being all of it.
std::size_t begun(std::string_view text, std::string_view find) {
  for (std::size_t length = std::min(find.size() - 1, text.size()); length > 0; --length) {
    if (text.substr(text.size() - length) == find.substr(0, length)) return length;
  }
  return 0;
}

}  // namespace

bool DecodeChain::fused() const {
  return std::any_of(steps_.begin(), steps_.end(),
                     [](const Step& step) { return step.kind == Kind::kFuse || step.kind == Kind::kByteLevel; });
}

Status DecodeChain::read_step(PartReader& part, const std::string& file, Step& step) const {
  if (part.type() == "ByteLevel") {
    part.pass_over({"add_prefix_space", "trim_offsets", "use_regex"});  // a decoder has no use for them
    step.kind = Kind::kByteLevel;
  } else if (part.type() == "Replace") {
    const Json& written = part.any("pattern");
    step.content = part.text("content", "");
    step.kind = Kind::kReplace;
    if (json_field(written, "String").is_string() && written.size() == 1) {
      step.find = written["String"].get<std::string>();
    } else {
      auto pattern = parse_pattern(written, file);
      if (!pattern) return tl::unexpected<Error>(pattern.error());
      if (fused()) return part.refuse("a regular expression after Fuse", "use a String pattern, or put it before Fuse");
      step.pattern = std::move(*pattern);
      step.kind = Kind::kReplaceRegex;
    }
  } else if (part.type() == "ByteFallback") {
    step.kind = Kind::kByteFallback;
    if (fused()) return part.refuse("after Fuse", "put it before Fuse");
  } else if (part.type() == "Fuse") {
    step.kind = Kind::kFuse;
  } else if (part.type() == "Strip") {
    constexpr int kMost = 1 << 16;
    step.kind = Kind::kStrip;
    step.find = part.text("content", "");
    step.start = static_cast<std::size_t>(part.count("start", 0, kMost));
    step.stop = static_cast<std::size_t>(part.count("stop", 0, kMost));
    if (step.find.empty() || utf8_length(step.find[0]) != step.find.size()) return part.refuse("\"content\" is not one character", "usually a space");
  } else if (part.type() == "Metaspace") {
    step.kind = Kind::kMetaspace;
    step.find = part.text("replacement", "\xE2\x96\x81");
    if (step.find.empty() || utf8_length(step.find[0]) != step.find.size()) return part.refuse("\"replacement\" is not one character", "usually U+2581");
    const bool old_style = part.flag("add_prefix_space", true);
    step.strip_first = part.text("prepend_scheme", old_style ? "always" : "never") != "never";
    part.pass_over({"split", "str_rep"});
  } else {
    return part.unsupported("", kSupported);
  }
  return {};
}

Status DecodeChain::add(const Json& part, const std::string& file, int depth) {
  PartReader reader(part, "decoder", file);
  if (reader.type() == "Sequence") {
    constexpr int kMaxDepth = 8;
    const Json& list = reader.any("decoders");
    if (!list.is_array() || depth >= kMaxDepth) return reader.refuse("\"decoders\" is not a list", "is this a tokenizer.json?");
    if (auto fine = reader.finish(); !fine) return fine;
    for (const Json& entry : list) {
      if (auto fine = add(entry, file, depth + 1); !fine) return fine;
    }
    return {};
  }
  constexpr std::size_t kMaxSteps = 16;
  Step step;
  if (auto fine = read_step(reader, file, step); !fine) return fine;
  if (steps_.size() >= kMaxSteps) return reader.refuse("more than 16 decoders", "is this the right file?");
  if (step.kind == Kind::kReplace) growth_ *= Pattern::string(step.find).growth(step.content.size());
  if (step.kind == Kind::kReplaceRegex) growth_ *= step.pattern.growth(step.content.size());
  constexpr std::size_t kMaxGrowth = 4096;
  if (growth_ > kMaxGrowth) return reader.refuse("a text could grow more than 4096 times", "is this the right file?");
  steps_.push_back(std::move(step));
  return reader.finish();
}

Result<DecodeChain> DecodeChain::parse(const Json& part, const std::string& file) {
  DecodeChain chain;
  if (part.is_null()) {
    chain.steps_.emplace_back();
    return chain;
  }
  if (auto fine = chain.add(part, file, 0); !fine) return tl::unexpected<Error>(fine.error());
  return chain;
}

DecodeStream::DecodeStream(const DecodeChain& chain) : chain_(&chain), states_(chain.steps_.size()) {}

void DecodeStream::feed(std::size_t at, std::string_view part, bool ends, std::string& out) {
  using Kind = DecodeChain::Kind;
  if (at == states_.size()) {
    out += part;
    return;
  }
  const DecodeChain::Step& step = chain_->steps_[at];
  State& state = states_[at];
  if (step.kind == Kind::kFuse) {
    feed(at + 1, part, false, out);
    return;
  }
  if (step.kind == Kind::kJoin) {
    if (!state.inside && state.items > 0) feed(at + 1, " ", false, out);
    state.inside = !ends;
    if (ends) ++state.items;
    feed(at + 1, part, ends, out);
    return;
  }
  state.held += part;
  switch (step.kind) {
    case Kind::kReplace:
      replace(at, step.find, step.content, ends, out);
      return;
    case Kind::kMetaspace:
      replace(at, step.find, state.items == 0 && step.strip_first ? "" : " ", ends, out);
      if (ends) ++state.items;
      return;
    case Kind::kStrip:
      strip(at, ends, out);
      return;
    default:
      break;
  }
  if (!ends) return;
  if (step.kind == Kind::kByteLevel) {
    const auto bytes = from_byte_alphabet(state.held);
    feed(at + 1, bytes ? *bytes : state.held, false, out);
  } else if (step.kind == Kind::kByteFallback) {
    byte_fallback(at, out);
  } else {
    std::string text;
    for (const Match& match : step.pattern.find_all(state.held)) {
      if (match.matched) text += step.content;
      else text.append(state.held, match.begin, match.end - match.begin);
    }
    feed(at + 1, text, true, out);
  }
  state.held.clear();
}

void DecodeStream::replace(std::size_t at, const std::string& find, std::string_view content, bool ends, std::string& out) {
  State& state = states_[at];
  std::string text;
  std::size_t done = 0;
  if (!find.empty()) {
    for (std::size_t i = state.held.find(find); i != std::string::npos; i = state.held.find(find, done)) {
      text.append(state.held, done, i - done);
      text += content;
      done = i + find.size();
    }
  }
  const std::string_view rest = std::string_view(state.held).substr(done);
  const std::size_t keep = ends || find.empty() ? 0 : begun(rest, find);
  text += rest.substr(0, rest.size() - keep);
  state.held = std::string(rest.substr(rest.size() - keep));
  if (ends || !text.empty()) feed(at + 1, text, ends, out);
}

void DecodeStream::strip(std::size_t at, bool ends, std::string& out) {
  const DecodeChain::Step& step = chain_->steps_[at];
  State& state = states_[at];
  std::string_view rest = state.held;
  if (!state.inside) {
    state.inside = true;
    state.left = step.start;
  }
  while (state.left > 0) {
    if (rest.substr(0, step.find.size()) == step.find) {
      rest.remove_prefix(step.find.size());
      --state.left;
    } else if (!ends && rest.size() < step.find.size() && rest == std::string_view(step.find).substr(0, rest.size())) {
      break;  // not known yet
    } else {
      state.left = 0;
    }
  }
  std::size_t keep = !ends && (state.left > 0 || step.stop > 0) ? begun(rest, step.find) : 0;
  for (std::size_t n = 0; n < step.stop; ++n) {
    const std::size_t end = rest.size() - keep;
    if (end < step.find.size() || rest.substr(end - step.find.size(), step.find.size()) != step.find) break;
    keep += step.find.size();
  }
  const std::string text(rest.substr(0, rest.size() - keep));
  state.held = ends ? std::string() : std::string(rest.substr(rest.size() - keep));
  if (ends) state.inside = false;
  if (ends || !text.empty()) feed(at + 1, text, ends, out);
}

void DecodeStream::byte_fallback(std::size_t at, std::string& out) {
  State& state = states_[at];
  const std::string& token = state.held;
  const bool byte = token.size() == 6 && token.compare(0, 3, "<0x") == 0 && token[5] == '>' && hex_digit(token[3]) >= 0 && hex_digit(token[4]) >= 0;
  if (byte) {
    const char value = static_cast<char>(hex_digit(token[3]) * 16 + hex_digit(token[4]));
    state.inside = true;
    feed(at + 1, std::string_view(&value, 1), false, out);
    return;
  }
  if (state.inside) feed(at + 1, "", true, out);
  state.inside = false;
  feed(at + 1, token, true, out);
}

void DecodeStream::finish(std::string& out) {
  using Kind = DecodeChain::Kind;
  for (std::size_t at = 0; at < states_.size(); ++at) {
    const Kind kind = chain_->steps_[at].kind;
    State& state = states_[at];
    const bool open = kind == Kind::kFuse || kind == Kind::kByteLevel || (kind == Kind::kByteFallback && state.inside);
    state.inside = false;
    if (open) feed(at + 1, "", true, out);
  }
}

}  // namespace precept
