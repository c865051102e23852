#include "precept/evaluate/familiarity.h"

#include <algorithm>

#include <fmt/format.h>

#include "precept/core/estimate.h"
#include "precept/core/rng.h"
#include "precept/evaluate/json.h"

namespace precept {
namespace {

double share(std::int64_t part, std::int64_t whole) { return static_cast<double>(part) / static_cast<double>(whole); }

}  // namespace

double Familiarity::threshold() const {
  return own && own->bits_per_byte ? kFarFromOwn * *own->bits_per_byte : kFarBits;
}

std::optional<bool> Familiarity::far_outside() const {
  if (!text.bits_per_byte) return std::nullopt;
  return *text.bits_per_byte > threshold();
}

std::vector<std::string> sample_texts(const std::vector<Prompt>& prompts, std::size_t most) {
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < prompts.size(); ++i) order.emplace_back(hash64(prompts[i].id), i);
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : prompts[a.second].id < prompts[b.second].id;
  });
  if (order.size() > most) order.resize(most);
  std::vector<std::string> texts;
  texts.reserve(order.size());
  for (const auto& entry : order) texts.push_back(prompts[entry.second].messages.back().content);
  return texts;
}

Result<Familiarity> measure_familiarity(Model& model, const std::vector<std::string>& texts, std::int64_t prompts,
                                        const std::vector<std::string>& own, const EventSink& events) {
  Familiarity f;
  f.model = model.info().uri;
  f.prompts = prompts;
  const auto text = perplexity(model, texts, events);
  if (!text) return tl::unexpected(text.error());
  f.text = *text;
  if (own.empty()) return f;
  const auto known = perplexity(model, own, events);
  if (!known) return tl::unexpected(known.error());
  f.own = *known;
  return f;
}

std::string familiarity_warning(const Familiarity& f) {
  if (!f.far_outside().value_or(false)) return {};
  std::string out = fmt::format("These prompts lie far outside of the text that the model knows. It needs {:.2f} bits for each byte "
                                "of them", *f.text.bits_per_byte);
  if (f.own && f.own->bits_per_byte) {
    out += fmt::format(", and {:.2f} for unseen text of its own world. Far outside begins at {:.2f}, {:g} times that: other text "
                       "of its own world stays within a tenth of it, so such a distance is no chance.",
                       *f.own->bits_per_byte, f.threshold(), kFarFromOwn);
  } else {
    out += fmt::format(". Far outside begins at {:g}: that is what a general-purpose compressor, which knows no language, needs for "
                       "English prose.", kFarBits);
  }
  return out + " Its verdicts on such prompts, and all counts that follow from them, say nothing about the prompts. That few "
               "of the verdicts are uncertain is no comfort: outside of its world a model is often sure and wrong.";
}

std::string verdict_warning(const VerdictCount& judge) {
  if (judge.n == 0) return {};
  const double vague = share(judge.unparseable + judge.uncertain, judge.n);
  if (vague <= kVagueShare) return {};
  return fmt::format("{} of the judge's verdicts decide little: {} could not be read, {} are uncertain (a probability between "
                     "{:g} and {:g}). Beyond {:g}%, how the items ended says more about the judge than about the answers.",
                     percent(vague), percent(share(judge.unparseable, judge.n)), percent(share(judge.uncertain, judge.n)),
                     kUncertainLow, kUncertainHigh, kVagueShare * 100);
}

std::string bits_text(const Perplexity& p) {
  return p.bits_per_byte ? fmt::format("{:.2f} bits a byte", *p.bits_per_byte) : std::string("undefined");
}

std::string to_json(const Familiarity& f) { return json::dump(json::familiarity(f)) + "\n"; }

Result<Familiarity> load_familiarity(const std::string& path) {
  const auto value = json::load(path);
  if (!value) return tl::unexpected(value.error());
  if (!value->is_object() || !value->contains("text")) {
    return bad_input("not a familiarity: it has no text", "delete it, and run precept revise again", path);
  }
  Familiarity f;
  f.model = json::get_text(*value, "model").value_or("");
  f.prompts = json::get_integer(*value, "prompts").value_or(0);
  f.text = json::get_perplexity((*value)["text"]);
  if (const auto own = value->find("own"); own != value->end() && own->is_object()) f.own = json::get_perplexity(*own);
  return f;
}

}  // namespace precept
