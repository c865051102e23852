#pragma once
// Pre-tokenizers of a tokenizer.json: how a normalized text is split into the pieces within which a model merges. Internal to
// text/.

#include <deque>
#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/text/aligned.h"
#include "precept/text/fast_split.h"
#include "precept/text/pattern.h"

namespace precept {

// A part of a text that somebody else owns.
struct Piece {
  const Aligned* source = nullptr;
  std::size_t begin = 0, end = 0;

  std::string_view text() const { return std::string_view(source->text).substr(begin, end - begin); }
  // Where it begins in the original text.
  std::size_t start() const { return begin == 0 || source->spans.empty() ? source->base + begin : source->spans[begin].begin; }
};

// Immutable; const use from several threads is safe.
class PreTokenizer {
 public:
  // null: the text is one piece.
  static Result<PreTokenizer> parse(const nlohmann::json& part, const std::string& file_for_errors);

  bool empty() const { return steps_.empty(); }
  bool byte_level() const { return byte_level_; }  // its pieces are bytes, spelled in the byte-level alphabet
  // When all it does is to split by a known pattern.
  std::optional<SplitFamily> family() const;
  bool puts_before() const;  // something before each stretch of text
  // Needs to know where pieces began, whoever asks for offsets.
  bool needs_tracking() const;

  // Splits `pieces` further. New text is kept in `storage`.
  void split(std::deque<Aligned>& storage, std::vector<Piece>& pieces) const;

 private:
  enum class Behavior { kRemoved, kIsolated, kMergedWithPrevious, kMergedWithNext, kContiguous };
  enum class Prepend { kNever, kFirst, kAlways };
  struct Step {
    bool splits = false;
    std::optional<SplitFamily> family;  // of `pattern`
    Pattern pattern;
    Behavior behavior = Behavior::kIsolated;
    bool invert = false;
    // What happens before the split: spaces become `replacement`, which is put before the piece unless it is there.
    std::string replacement;
    Prepend prepend = Prepend::kNever;
  };
  Status add(const nlohmann::json& part, const std::string& file, int depth);
  static Status read_step(class PartReader& part, const std::string& file, Step& step);
  static Status read_behavior(class PartReader& part, Step& step, bool required);
  static void split_piece(const Step& step, const Piece& piece, std::vector<Piece>& out);
  static void cut(const Step& step, std::vector<Match>& matches);
  std::vector<Step> steps_;
  bool byte_level_ = false;
};

}  // namespace precept
