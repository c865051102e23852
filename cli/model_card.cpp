#include "cli/model_card.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"
#include "precept/evaluate/compare.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxCard = std::size_t{16} << 20;
const std::string kBegin = "<!-- precept: measured -->\n", kEnd = "<!-- precept: end -->\n";
const std::string kWeights = "<!-- precept: weights ";
const char* const kScope =
    "These numbers say what one scorer ruled on one set of prompts. They hold for prompts like these and for violations that "
    "this scorer can see, and for nothing else.";

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

std::string last_part(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  const std::string name = (path.has_filename() ? path : path.parent_path()).filename().string();
  return name.empty() || name == "." ? "model" : name;
}

// One line of Markdown without markup of its own.
std::string plain(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '\t') out += ' ';
    else if (std::string_view("\\`*_[]<>#|").find(c) != std::string_view::npos) out += std::string("\\") + c;
    else out += c;
  }
  return out;
}

// A block of code whose fence no line of the text can end.
std::string fenced(const std::string& text, const char* language) {
  std::string fence = "```";
  while (text.find(fence) != std::string::npos) fence += "`";
  return fence + language + "\n" + text + (text.empty() || text.back() == '\n' ? "" : "\n") + fence + "\n";
}

struct Row {
  const char* name;
  Estimate Evaluation::* rate;
  PairedRate Comparison::* paired;
};
constexpr Row kRows[] = {{"violation rate", &Evaluation::violation_rate, &Comparison::violation_rate},
                         {"helpfulness", &Evaluation::helpfulness, &Comparison::helpfulness},
                         {"over-refusal", &Evaluation::over_refusal, &Comparison::over_refusal}};

std::string difference_text(const PairedRate& rate) {
  if (!rate.difference.value) return "undefined";
  const Estimate& d = rate.difference;
  const std::string p = rate.p ? fmt::format(", p = {:.2g}", *rate.p) : "";
  const std::string interval = d.low && d.high ? fmt::format(" [{:+.1f}, {:+.1f}]", 100 * *d.low, 100 * *d.high) : "";
  return fmt::format("{:+.1f} points{}{}: {}", 100 * *d.value, interval, p, overall_standing(rate));
}

std::string one_evaluation(const Evaluation& e, const std::optional<Evaluation>& base) {
  std::string out = fmt::format("`{}`: {} prompts (digest `{}`), ruled on by {}; temperature {}, at most {} tokens, seed {}.\n\n", e.label, e.outcomes.size(),
                                e.prompts_digest.substr(0, 12), plain(e.scorer), e.temperature, e.max_tokens, e.seed);
  const bool paired = base && base->model_digest != e.model_digest && comparable(*base, "base", e, e.label) && differing_settings(*base, e).empty();
  if (!paired) {
    out += "| | this model |\n|---|---|\n";
    for (const Row& row : kRows) out += fmt::format("| {} | {} |\n", row.name, percent_text(e.*row.rate));
  } else {
    const Comparison compared = compare(*base, e);
    out += "| | before | this model | the same prompts, paired |\n|---|---|---|---|\n";
    for (const Row& row : kRows) out += fmt::format("| {} | {} | {} | {} |\n", row.name, percent_text((*base).*row.rate), percent_text(e.*row.rate), difference_text(compared.*row.paired));
  }
  out += "\nViolations by principle, over the prompts to which it applies:\n\n| principle | rate |\n|---|---|\n";
  for (const PrincipleRate& rate : e.per_principle) out += fmt::format("| {} | {} |\n", plain(rate.id), percent_text(rate.violation));
  if (!e.uncovered.empty()) {
    out += "\nNot decided by this scorer:";
    for (const std::string& id : e.uncovered) out += " " + plain(id);
    out += ".\n";
  }
  return out;
}

// Evaluations of a run folder, by name of file.
std::vector<std::string> evaluations_in(const std::string& run) {
  std::vector<std::string> found;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("eval-", 0) == 0 && entry.path().extension() == ".json") found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string front_matter(const CardFacts& facts) {
  std::string out = "---\nlibrary_name: ";
  out += facts.adapter ? "peft\n" : "transformers\n";
  out += "pipeline_tag: text-generation\n" + facts.license + "tags:\n- precept\n- constitutional-ai\n";
  if (facts.adapter) out += "- lora\n";
  return out + "---\n";
}

std::string constitution_text(const Constitution& c) {
  std::string out = "\n## Constitution\n\n" + plain(c.name.empty() ? "Without a name" : c.name);
  if (!c.version.empty()) out += " " + plain(c.version);
  if (!c.license.empty()) out += ", licence " + plain(c.license);
  out += fmt::format(", {} principles, SHA-256 `{}`.\n\n", c.principles.size(), c.digest);
  for (const Principle& p : c.principles) {
    out += fmt::format("- **{}**{}: {}", plain(p.id), p.hard ? " (hard constraint)" : "", plain(p.text));
    if (!p.why.empty()) out += " *Why:* " + plain(p.why);
    if (!p.source.name.empty()) out += " (" + plain(p.source.name + (p.source.article.empty() ? "" : ", " + p.source.article)) + ")";
    out += "\n";
  }
  return out;
}

// Lines about the licence in the front matter of the base's card: what is made of it stays under it.
std::string license_of(const std::string& base_folder) {
  const auto text = read_text(base_folder + "/README.md", kMaxCard);
  if (!text || text->rfind("---\n", 0) != 0) return {};
  std::istringstream lines(text->substr(4));
  std::string out, line;
  while (std::getline(lines, line) && line != "---") {
    for (const char* key : {"license: ", "license_name: ", "license_link: "}) {
      if (line.rfind(key, 0) == 0) out += line + "\n";
    }
  }
  return out;
}

Status write_card(const std::string& folder, const CardFacts& facts, const std::string& run) {
  const auto evidence = card_evidence(facts.digest, run);
  if (!evidence) return tl::unexpected<Error>(evidence.error());
  return write_file(folder + "/README.md", model_card(facts, *evidence));
}

}  // namespace

std::string model_card(const CardFacts& facts, const std::string& evidence) {
  std::string out = front_matter(facts) + kWeights + facts.digest + " -->\n\n# " + plain(facts.name) + "\n\n" + plain(facts.made) + "\n";
  if (!facts.base.empty()) out += "\nMade of: " + plain(facts.base) + (facts.license.empty() ? "; its licence is not recorded here.\n" : ", under its licence.\n");
  if (!facts.digest.empty()) out += "\nDigest of the weights: `" + facts.digest + "`.\n";
  out += "\n## Measured\n\n" + kBegin + evidence + kEnd;
  if (facts.constitution) out += constitution_text(*facts.constitution);
  if (!facts.recipe.empty()) out += "\n## Recipe\n\n" + fenced(facts.recipe, "toml");
  return out;
}

Result<std::string> card_evidence(const std::string& digest, const std::string& run) {
  std::string out;
  if (!run.empty() && !digest.empty()) {
    std::optional<Evaluation> base;
    if (exists(run + "/eval-base.json")) {
      auto loaded = load_evaluation(run + "/eval-base.json");
      if (!loaded) return tl::unexpected<Error>(loaded.error());
      base = std::move(*loaded);
    }
    for (const std::string& path : evaluations_in(run)) {
      const auto evaluation = load_evaluation(path);
      if (!evaluation) return tl::unexpected<Error>(evaluation.error());
      if (evaluation->model_digest == digest) out += one_evaluation(*evaluation, base) + "\n";
    }
  }
  if (out.empty()) return std::string("Not yet evaluated: no measurement of these weights is recorded, and nothing is known of how they behave.\n");
  return out + kScope + "\n";
}

Status card_of_training(const TrainedModel& model) {
  CardFacts facts;
  facts.name = last_part(model.folder);
  facts.digest = model.digest;
  facts.base = last_part(model.base_folder);
  facts.license = license_of(model.base_folder);
  facts.adapter = is_peft_folder(model.folder);
  facts.made = facts.adapter ? "A low-rank adapter in PEFT's format, trained by supervised learning (precept train sft)."
                             : "Trained by supervised learning (precept train sft).";
  for (const std::string& path : {model.recipe, model.run + "/recipe.toml"}) {
    if (!facts.recipe.empty() || path.empty() || path == "/recipe.toml" || !exists(path)) continue;
    auto recipe = read_text(path, kMaxCard);
    if (!recipe) return tl::unexpected<Error>(recipe.error());
    facts.recipe = std::move(*recipe);
  }
  for (const char* name : {"/constitution.toml", "/constitution.md"}) {
    if (model.run.empty() || facts.constitution || !exists(model.run + name)) continue;
    auto constitution = load_constitution(model.run + name);
    if (!constitution) return tl::unexpected<Error>(constitution.error());
    facts.constitution = std::move(*constitution);
  }
  if (facts.constitution) facts.made += " The answers it learnt are those that a loop of drafts, judgments and revisions by the constitution below ended with.";
  return write_card(model.folder, facts, model.run);
}

Status card_of_conversion(const std::string& from, const std::string& to) {
  const bool folder = fs::is_directory(from), adapter = folder && is_peft_folder(from);
  const auto digest = checkpoint_digest(to);
  if (!digest) return tl::unexpected<Error>(digest.error());
  if (folder && !adapter && exists(from + "/README.md")) {
    const auto before = checkpoint_digest(from);
    if (!before) return tl::unexpected<Error>(before.error());
    const auto card = read_file(from + "/README.md", kMaxCard);
    if (!card) return tl::unexpected<Error>(card.error());
    if (*before == *digest) return write_file(to + "/README.md", *card);
  }
  CardFacts facts;
  facts.name = last_part(to);
  facts.digest = *digest;
  facts.base = last_part(from);
  if (folder && !adapter) facts.license = license_of(from);
  facts.made = adapter ? "A low-rank adapter merged into its base (precept model convert)." : "The same model in another form (precept model convert).";
  return write_card(to, facts, "");
}

Status refresh_cards(const std::string& run, const std::string& model) {
  std::vector<std::string> folders = {model};
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(run + "/models", ignored)) folders.push_back(entry.path().string());
  for (const std::string& folder : folders) {
    const std::string path = folder + "/README.md";
    if (folder.empty() || !exists(path)) continue;
    const auto card = read_file(path, kMaxCard);
    if (!card) return tl::unexpected<Error>(card.error());
    const std::size_t weights = card->find(kWeights), begin = card->find(kBegin), end = card->find(kEnd);
    if (weights == std::string::npos || begin == std::string::npos || end == std::string::npos || end < begin) continue;
    const std::size_t at = weights + kWeights.size();
    const auto evidence = card_evidence(card->substr(at, card->find(' ', at) - at), run);
    if (!evidence) return tl::unexpected<Error>(evidence.error());
    const std::string fresh = card->substr(0, begin + kBegin.size()) + *evidence + card->substr(end);
    if (fresh == *card) continue;
    if (Status written = write_file(path, fresh); !written) return written;
  }
  return {};
}

}  // namespace precept
