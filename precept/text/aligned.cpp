#include "precept/text/aligned.h"

#include "precept/text/unicode.h"

namespace precept {

void Aligned::spell_out() {
  if (!tracked || !spans.empty()) return;
  spans.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = utf8_length(text[i]);
    spans.insert(spans.end(), length, TextSpan{base + i, base + i + length});
    i += length;
  }
}

void apply_changes(Aligned& aligned, const std::vector<Change>& changes, std::size_t skip) {
  aligned.spell_out();
  std::string text;
  std::vector<TextSpan> spans;
  text.reserve(aligned.text.size() + 8);
  if (aligned.tracked) spans.reserve(aligned.text.size() + 8);
  std::size_t offset = 0;
  const auto step = [&](std::size_t characters) {
    for (; characters > 0 && offset < aligned.text.size(); --characters) offset += utf8_length(aligned.text[offset]);
  };
  step(skip);
  for (const Change& change : changes) {
    const std::size_t before = text.size();
    append_utf8(text, change.point);
    if (aligned.tracked) {
      TextSpan span;
      if (change.change > 0) {
        if (offset > 0 && !aligned.spans.empty()) span = aligned.spans[std::min(offset, aligned.spans.size()) - 1];
      } else if (offset < aligned.spans.size()) {
        span = aligned.spans[offset];
      }
      spans.insert(spans.end(), text.size() - before, span);
    }
    if (change.change <= 0) step(1 + static_cast<std::size_t>(-change.change));
  }
  aligned.text = std::move(text);
  aligned.spans = std::move(spans);
}

}  // namespace precept
