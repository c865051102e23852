#include "cli/familiarity.h"

#include <filesystem>

#include "cli/open_model.h"
#include "precept/core/io.h"
#include "precept/evaluate/familiarity.h"
#include "worlds/pocket/oracle.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

// Held-out prompts come from another seed than those of any loop.
constexpr std::uint64_t kUnseenSeed = 1'000'003;

void warn(const EventSink& events, const std::string& text) {
  if (!events) return;
  Event event;
  event.kind = Event::Kind::kWarning;
  event.stage = "familiarity";
  event.text = text;
  events(event);
}

}  // namespace

std::vector<Prompt> unseen_pocket_prompts(int count, std::uint64_t seed) {
  return pocket::pocket_prompts(pocket::Split::kHeldOut, count, seed + kUnseenSeed);
}

bool is_built_in(const std::string& uri) {
  if (uri == "pocket") return true;
  const auto folder = pocket_folder();
  std::error_code none;
  return folder && fs::equivalent(uri, *folder, none);
}

Status keep_familiarity(const std::string& run, Model& model, bool built_in, const std::vector<std::string>& texts,
                        std::size_t prompts, const EventSink& events) {
  const std::string path = run + "/familiarity.json";
  std::error_code none;
  if (fs::exists(path, none) || !model.info().can_score || model.info().words_only) return {};
  std::vector<std::string> own;
  if (built_in) own = sample_texts(unseen_pocket_prompts(static_cast<int>(kFamiliaritySample), 0));
  const auto measured = measure_familiarity(model, texts, static_cast<std::int64_t>(prompts), own, events);
  if (!measured) {
    warn(events, "whether the model knows this kind of text could not be measured: " + measured.error().message());
    return {};
  }
  if (measured->far_outside().value_or(false)) {  // before any work is spent; the summary explains
    warn(events, "these prompts lie far outside of the text that the model knows (" + bits_text(measured->text) +
                     "): what it decides about them will mean nothing");
  }
  return write_file(path, to_json(*measured));
}

}  // namespace precept
