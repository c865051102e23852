#include "precept/text/pretokenize.h"

#include <algorithm>

#include "precept/text/json_fields.h"
#include "precept/text/normalize.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Json = nlohmann::json;
constexpr const char* kSupported =
    "Sequence, ByteLevel, Split, Metaspace, Whitespace, WhitespaceSplit, Digits, Punctuation";
// Words as the Rust library's regex crate has them, and runs of what is neither word nor white space.
constexpr std::string_view kWords =
    R"([\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\x{200C}\x{200D}\s]+)";

// The piece with spaces replaced and the replacement before it.
Aligned replaced(const Piece& piece, const std::string& replacement, bool prepend) {
  Aligned out;
  out.base = piece.start();
  out.tracked = piece.source->tracked;
  const std::string_view text = piece.text();
  const bool put = prepend && text.substr(0, 1) != " " && text.substr(0, replacement.size()) != replacement;
  out.text.reserve(text.size() + 8);
  const auto span = [&](std::size_t i) {  // of byte i of the piece
    const auto& spans = piece.source->spans;
    const std::size_t at = piece.begin + i;
    if (!spans.empty()) return spans[at];
    std::size_t first = i;
    while (first > 0 && (static_cast<unsigned char>(text[first]) & 0xC0) == 0x80) --first;
    const std::size_t from = piece.source->base + piece.begin + first;
    return TextSpan{from, from + utf8_length(text[first])};
  };
  const auto add = [&](std::string_view what, std::size_t i, bool same) {
    out.text += what;
    if (!out.tracked) return;
    for (std::size_t k = 0; k < what.size(); ++k) out.spans.push_back(span(same ? i : i + k));
  };
  if (put) add(replacement, 0, true);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ') add(replacement, i, true);
    else add(text.substr(i, 1), i, false);
  }
  return out;
}

}  // namespace

Status PreTokenizer::read_behavior(PartReader& part, Step& step, bool required) {
  const std::string name = part.text("behavior", required ? "" : "Isolated");
  static constexpr std::pair<const char*, Behavior> kNames[] = {
      {"Removed", Behavior::kRemoved}, {"Isolated", Behavior::kIsolated}, {"Contiguous", Behavior::kContiguous},
      {"MergedWithPrevious", Behavior::kMergedWithPrevious}, {"MergedWithNext", Behavior::kMergedWithNext}};
  for (const auto& known : kNames) {
    if (name == known.first) {
      step.behavior = known.second;
      return {};
    }
  }
  return part.unsupported(", behavior \"" + name + "\"", "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

Status PreTokenizer::read_step(PartReader& part, const std::string& file, Step& step) {
  step.splits = true;
  if (part.type() == "ByteLevel") {
    part.pass_over({"trim_offsets"});  // of offsets that ignore white space, which ours do not
    if (part.flag("add_prefix_space", true)) {
      step.replacement = " ";
      step.prepend = Prepend::kAlways;
    }
    step.splits = part.flag("use_regex", true);
    if (step.splits) step.family = SplitFamily::kGpt2;
    return {};
  }
  if (part.type() == "Split") {
    const Json& written = part.any("pattern");
    auto pattern = parse_pattern(written, file);
    if (!pattern) return tl::unexpected<Error>(pattern.error());
    step.pattern = std::move(*pattern);
    step.invert = part.flag("invert", false);
    if (auto fine = read_behavior(part, step, true); !fine) return fine;
    const Json& regex = json_field(written, "Regex");
    if (regex.is_string() && step.behavior == Behavior::kIsolated) step.family = family_of_pattern(regex.get_ref<const std::string&>());
    // These patterns match everything, so that "remove what does not match" is the same.
    if (regex.is_string() && step.behavior == Behavior::kRemoved && step.invert) {
      step.family = family_of_pattern(regex.get_ref<const std::string&>());
    }
    return {};
  }
  if (part.type() == "Metaspace") {
    step.replacement = part.text("replacement", "\xE2\x96\x81");
    if (step.replacement.empty() || utf8_length(step.replacement[0]) != step.replacement.size()) {
      return part.refuse("\"replacement\" is not one character", "usually U+2581");
    }
    const bool old_style = part.flag("add_prefix_space", true);
    const std::string scheme = part.text("prepend_scheme", old_style ? "always" : "never");
    part.pass_over({"str_rep"});
    if (scheme == "always") step.prepend = Prepend::kAlways;
    else if (scheme == "first") step.prepend = Prepend::kFirst;
    else if (scheme != "never") return part.unsupported(", prepend_scheme \"" + scheme + "\"", "always, first, never");
    if (!old_style && scheme != "never") return part.refuse("\"add_prefix_space\" contradicts \"prepend_scheme\"", "leave the former out");
    step.splits = part.flag("split", true);
    step.pattern = Pattern::string(step.replacement);
    step.behavior = Behavior::kMergedWithNext;
    return {};
  }
  if (part.type() == "Whitespace") {
    auto words = Pattern::regex(kWords, file);
    if (!words) return tl::unexpected<Error>(words.error());
    step.pattern = std::move(*words);
    step.behavior = Behavior::kRemoved;
    step.invert = true;
  } else if (part.type() == "WhitespaceSplit") {
    step.pattern = Pattern::characters(is_white_space);
    step.behavior = Behavior::kRemoved;
  } else if (part.type() == "Digits") {
    step.pattern = Pattern::characters(is_number);
    step.behavior = part.flag("individual_digits", false) ? Behavior::kIsolated : Behavior::kContiguous;
  } else if (part.type() == "Punctuation") {
    step.pattern = Pattern::characters(is_punctuation);
    return read_behavior(part, step, false);
  } else {
    return part.unsupported("", kSupported);
  }
  return {};
}

Status PreTokenizer::add(const Json& part, const std::string& file, int depth) {
  constexpr int kMaxDepth = 8;
  constexpr std::size_t kMaxSteps = 64;
  PartReader reader(part, "pre_tokenizer", file);
  if (reader.type() == "Sequence") {
    const Json& list = reader.any("pretokenizers");
    if (!list.is_array() || depth >= kMaxDepth) return reader.refuse("\"pretokenizers\" is not a list", "is this a tokenizer.json?");
    if (auto fine = reader.finish(); !fine) return fine;
    for (const Json& entry : list) {
      if (auto fine = add(entry, file, depth + 1); !fine) return fine;
    }
    return {};
  }
  if (byte_level_) return reader.refuse("after ByteLevel", "ByteLevel must come last");
  Step step;
  if (auto fine = read_step(reader, file, step); !fine) return fine;
  if (steps_.size() >= kMaxSteps) return reader.refuse("more than 64 pre_tokenizers", "is this the right file?");
  byte_level_ = reader.type() == "ByteLevel";
  if (step.splits || !step.replacement.empty()) steps_.push_back(std::move(step));
  return reader.finish();
}

Result<PreTokenizer> PreTokenizer::parse(const Json& part, const std::string& file) {
  PreTokenizer made;
  if (part.is_null()) return made;
  if (auto fine = made.add(part, file, 0); !fine) return tl::unexpected<Error>(fine.error());
  return made;
}

std::optional<SplitFamily> PreTokenizer::family() const {
  if (steps_.size() != 1 || !steps_[0].replacement.empty()) return std::nullopt;
  return steps_[0].family;
}

bool PreTokenizer::puts_before() const {
  return std::any_of(steps_.begin(), steps_.end(), [](const Step& step) { return step.prepend != Prepend::kNever; });
}

bool PreTokenizer::needs_tracking() const {
  for (const Step& step : steps_) {
    if (step.prepend == Prepend::kFirst) return true;
  }
  return false;
}

// What the matches become: ranges that are kept.
void PreTokenizer::cut(const Step& step, std::vector<Match>& matches) {
  if (step.invert) {
    for (Match& match : matches) match.matched = !match.matched;
  }
  if (step.behavior == Behavior::kIsolated) return;
  std::vector<Match> out;
  const auto join = [&](auto begin, auto end, auto joins, auto extend) {
    bool previous = false;
    for (auto match = begin; match != end; ++match) {
      if (joins(match->matched, previous) && !out.empty()) extend(out.back(), *match);
      else out.push_back(*match);
      previous = match->matched;
    }
  };
  const auto at_end = [](Match& last, const Match& next) { last.end = next.end; };
  const auto at_begin = [](Match& last, const Match& next) { last.begin = next.begin; };
  const auto after_text = [](bool matched, bool previous) { return matched && !previous; };
  switch (step.behavior) {
    case Behavior::kContiguous:
      join(matches.begin(), matches.end(), [](bool matched, bool previous) { return matched == previous; }, at_end);
      break;
    case Behavior::kMergedWithPrevious:
      join(matches.begin(), matches.end(), after_text, at_end);
      break;
    case Behavior::kMergedWithNext:
      join(matches.rbegin(), matches.rend(), after_text, at_begin);
      std::reverse(out.begin(), out.end());
      break;
    default:
      for (const Match& match : matches) {
        if (!match.matched) out.push_back(match);
      }
  }
  matches = std::move(out);
}

void PreTokenizer::split_piece(const Step& step, const Piece& piece, std::vector<Piece>& out) {
  const std::string_view text = piece.text();
  if (step.family) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = piece_end(*step.family, text, at);
      out.push_back({piece.source, piece.begin + at, piece.begin + end});
      at = end;
    }
    return;
  }
  std::vector<Match> matches = step.pattern.find_all(text);
  cut(step, matches);
  for (const Match& match : matches) {
    if (match.begin < match.end) out.push_back({piece.source, piece.begin + match.begin, piece.begin + match.end});
  }
}

void PreTokenizer::split(std::deque<Aligned>& storage, std::vector<Piece>& pieces) const {
  for (const Step& step : steps_) {
    std::vector<Piece> next;
    next.reserve(pieces.size());
    for (Piece piece : pieces) {
      if (!step.replacement.empty()) {
        const bool prepend = step.prepend == Prepend::kAlways || (step.prepend == Prepend::kFirst && piece.start() == 0);
        storage.push_back(replaced(piece, step.replacement, prepend));
        piece = Piece{&storage.back(), 0, storage.back().text.size()};
      }
      if (step.splits) split_piece(step, piece, next);
      else if (piece.begin < piece.end) next.push_back(piece);
    }
    pieces = std::move(next);
  }
}

}  // namespace precept
