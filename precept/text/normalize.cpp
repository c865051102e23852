#include "precept/text/normalize.h"

#include <utf8proc.h>

#include "precept/text/json_fields.h"
#include "precept/text/unicode.h"

namespace precept {
namespace {

using Json = nlohmann::json;
constexpr const char* kSupported =
    "Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, Precompiled";

std::vector<Change> lowercased(const std::string& text) {
  std::vector<Change> changes;
  for (std::size_t i = 0; i < text.size(); i += utf8_length(text[i])) {
    const std::uint32_t point = utf8_at(text, i);
    if (point == 0x130) {  // the only character whose lower case is two
      changes.push_back({'i', 0});
      changes.push_back({0x307, 1});
    } else {
      changes.push_back({static_cast<std::uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(point))), 0});
    }
  }
  return changes;
}

// Keeps the characters for which keep(index, point) holds.
template <class Keep>
void filter(Aligned& text, Keep keep) {
  std::vector<Change> changes;
  std::size_t removed_first = 0, index = 0;
  for (std::size_t i = 0; i < text.text.size(); i += utf8_length(text.text[i]), ++index) {
    const std::uint32_t point = utf8_at(text.text, i);
    if (keep(index, point)) changes.push_back({point, 0});
    else if (changes.empty()) ++removed_first;
    else --changes.back().change;
  }
  apply_changes(text, changes, removed_first);
}

void strip(Aligned& text, bool left, bool right) {
  std::size_t begin = 0, end = text.text.size();
  while (left && begin < end && is_white_space(utf8_at(text.text, begin))) begin += utf8_length(text.text[begin]);
  while (right && end > begin && is_white_space(utf8_at(text.text, utf8_before(text.text, end)))) end = utf8_before(text.text, end);
  if (begin == 0 && end == text.text.size()) return;
  text.spell_out();
  text.text = text.text.substr(begin, end - begin);
  if (!text.spans.empty()) {
    text.spans.erase(text.spans.begin() + static_cast<std::ptrdiff_t>(end), text.spans.end());
    text.spans.erase(text.spans.begin(), text.spans.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

// What is inserted before the first character is aligned with it.
void prepend(Aligned& text, const std::string& content) {
  if (text.text.empty() || content.empty()) return;
  text.spell_out();
  if (!text.spans.empty()) text.spans.insert(text.spans.begin(), content.size(), text.spans.front());
  text.text.insert(0, content);
}

// The new text is aligned with the last character that it replaces.
void replace(Aligned& text, const Pattern& pattern, const std::string& content) {
  const std::vector<Match> matches = pattern.find_all(text.text);
  if (matches.size() == 1 && !matches[0].matched) return;
  text.spell_out();
  std::string out;
  std::vector<TextSpan> spans;
  for (const Match& match : matches) {
    if (!match.matched) {
      out.append(text.text, match.begin, match.end - match.begin);
      if (text.tracked) {
        spans.insert(spans.end(), text.spans.begin() + static_cast<std::ptrdiff_t>(match.begin),
                     text.spans.begin() + static_cast<std::ptrdiff_t>(match.end));
      }
    } else {
      out += content;
      if (text.tracked) spans.insert(spans.end(), content.size(), match.end > 0 ? text.spans[match.end - 1] : TextSpan{});
    }
  }
  text.text = std::move(out);
  text.spans = std::move(spans);
}

}  // namespace

Result<Pattern> parse_pattern(const Json& pattern, const std::string& file) {
  const bool one_key = pattern.is_object() && pattern.size() == 1;
  if (one_key && json_field(pattern, "String").is_string()) return Pattern::string(pattern["String"].get<std::string>());
  if (one_key && json_field(pattern, "Regex").is_string()) return Pattern::regex(pattern["Regex"].get_ref<const std::string&>(), file);
  return bad_input("a \"pattern\" that is neither {\"String\": ...} nor {\"Regex\": ...}", "is this a tokenizer.json?", file);
}

Status Normalizer::read_step(PartReader& part, const std::string& file, Step& step) {
  static constexpr std::pair<const char*, Kind> kPlain[] = {
      {"NFC", Kind::kNfc}, {"NFD", Kind::kNfd}, {"NFKC", Kind::kNfkc}, {"NFKD", Kind::kNfkd},
      {"Lowercase", Kind::kLowercase}, {"StripAccents", Kind::kStripAccents}};
  for (const auto& plain : kPlain) {
    if (part.type() == plain.first) {
      step.kind = plain.second;
      return {};
    }
  }
  if (part.type() == "Strip") {
    step.kind = Kind::kStrip;
    step.left = part.flag("strip_left", true);
    step.right = part.flag("strip_right", true);
  } else if (part.type() == "Prepend") {
    step.kind = Kind::kPrepend;
    step.content = part.text("prepend", "");
  } else if (part.type() == "Replace") {
    step.kind = Kind::kReplace;
    step.content = part.text("content", "");
    auto pattern = parse_pattern(part.any("pattern"), file);
    if (!pattern) return tl::unexpected<Error>(pattern.error());
    step.pattern = std::move(*pattern);
  } else if (part.type() == "Precompiled") {
    step.kind = Kind::kCharsmap;
    auto charsmap = Charsmap::from_base64(part.text("precompiled_charsmap", ""), file);
    if (!charsmap) return tl::unexpected<Error>(charsmap.error());
    step.charsmap = std::make_shared<const Charsmap>(std::move(*charsmap));
  } else {
    return part.unsupported("", kSupported);
  }
  return {};
}

Status Normalizer::add(const Json& part, const std::string& file, int depth) {
  constexpr int kMaxDepth = 8;
  constexpr std::size_t kMaxSteps = 64;
  PartReader reader(part, "normalizer", file);
  if (reader.type() == "Sequence") {
    const Json& list = reader.any("normalizers");
    if (!list.is_array() || depth >= kMaxDepth) return reader.refuse("\"normalizers\" is not a list", "is this a tokenizer.json?");
    if (auto fine = reader.finish(); !fine) return fine;
    for (const Json& entry : list) {
      if (auto fine = add(entry, file, depth + 1); !fine) return fine;
    }
    return {};
  }
  Step step;
  if (auto fine = read_step(reader, file, step); !fine) return fine;
  if (steps_.size() >= kMaxSteps) return reader.refuse("more than 64 normalizers", "is this the right file?");
  if (step.kind == Kind::kReplace) growth_ *= step.pattern.growth(step.content.size());
  if (step.kind == Kind::kCharsmap) growth_ *= step.charsmap->longest_replacement();
  constexpr std::size_t kMaxGrowth = 4096;
  if (growth_ > kMaxGrowth) return reader.refuse("a text could grow more than 4096 times", "is this the right file?");
  steps_.push_back(std::move(step));
  return reader.finish();
}

Result<Normalizer> Normalizer::parse(const Json& part, const std::string& file) {
  Normalizer normalizer;
  if (part.is_null()) return normalizer;
  if (auto fine = normalizer.add(part, file, 0); !fine) return tl::unexpected<Error>(fine.error());
  return normalizer;
}

bool Normalizer::leaves(std::string_view text) const {
  for (const Step& step : steps_) {
    if (step.kind != Kind::kNfc || !is_surely_nfc(text)) return false;
  }
  return true;
}

void Normalizer::apply(Aligned& text) const {
  for (const Step& step : steps_) apply(step, text);
}

void Normalizer::apply(const Step& step, Aligned& text) const {
  switch (step.kind) {
    case Kind::kNfc: to_unicode_form(text, false, true); return;
    case Kind::kNfd: to_unicode_form(text, false, false); return;
    case Kind::kNfkc: to_unicode_form(text, true, true); return;
    case Kind::kNfkd: to_unicode_form(text, true, false); return;
    case Kind::kLowercase: apply_changes(text, lowercased(text.text)); return;
    case Kind::kStrip: strip(text, step.left, step.right); return;
    case Kind::kStripAccents: filter(text, [](std::size_t, std::uint32_t point) { return !is_mark(point); }); return;
    case Kind::kPrepend: prepend(text, step.content); return;
    case Kind::kReplace: replace(text, step.pattern, step.content); return;
    case Kind::kCharsmap: {
      std::vector<TextSpan> kept;
      const auto any = [](const AddedToken&, std::size_t, std::size_t) { return true; };
      if (!kept_.empty()) {
        for (const AddedMatcher::Part& part : kept_.split(text.text, any)) {
          if (part.token != nullptr) kept.push_back({part.begin, part.end});
        }
      }
      step.charsmap->apply(text, kept);
      return;
    }
  }
}

}  // namespace precept
