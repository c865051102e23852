// What can be decided about principles without understanding them.
#include <algorithm>
#include <cstddef>
#include <map>
#include <string>

#include "precept/constitution/parse.h"
#include "precept/constitution/suggest.h"

namespace precept {
namespace {

constexpr std::size_t kLongText = 600, kTooLongText = 4000;  // characters

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

// Upper and lower case, and runs of white space, make no difference between two texts.
std::string normalised(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool space = c == ' ' || (c >= '\t' && c <= '\r');
    if (space && (out.empty() || out.back() == ' ')) continue;
    out += space ? ' ' : c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

void check_lengths(Parsed& parsed, const Principle& p) {
  const std::map<std::string, const std::string*> fields = {
      {"text", &p.text},         {"why", &p.why},           {"applies_to", &p.applies_to},
      {"critique", &p.critique}, {"revision", &p.revision}, {"preference", &p.preference}};
  for (const auto& field : fields) {
    const std::size_t n = characters(*field.second);
    const std::string what = field.first + " of principle " + in_quotes(p.id) + " has " + std::to_string(n) + " characters";
    if (n > kTooLongText) {
      parsed.error(p.line, what + ", more than " + std::to_string(kTooLongText), "split it into several principles");
    } else if (n > kLongText && field.first == "text") {
      parsed.warn(p.line, what + ", more than " + std::to_string(kLongText),
                  "short rules are judged more reliably: move reasons to why, or split it");
    }
  }
}

void check_one(Parsed& parsed, const Principle& p) {
  if (!p.id.empty() && !is_kebab_case(p.id)) {
    const std::string better = kebab_case(p.id);
    parsed.error(p.line, "id " + in_quotes(p.id) + " is not in kebab-case",
                 better.empty() ? "use lower-case letters, digits and hyphens" : "write \"" + better + "\"");
  }
  if (p.id.size() > 100) parsed.error(p.line, "id " + in_quotes(p.id) + " is longer than 100 bytes", "shorten it");
  if (p.why.empty()) {
    parsed.warn(p.line, "principle " + in_quotes(p.id) + " gives no reason",
                parsed.prose ? "add a second paragraph that says why" : "add why = \"...\": explained rules generalise better");
  }
  if (p.source.name.empty() && p.source.url.empty() && !parsed.prose) {
    parsed.warn(p.line, "principle " + in_quotes(p.id) + " names no source", "add source = { name = \"...\", article = \"...\" }");
  }
  if (!p.revision.empty() && p.critique.empty()) {
    parsed.warn(p.line, "principle " + in_quotes(p.id) + " words its revision but not its critique",
                "add critique = \"...\" so that both ask for the same thing");
  }
  const auto& tiers = parsed.constitution.priorities;
  if (p.hard && !parsed.prose && tiers.size() > 1 && p.priority == tiers.back()) {
    parsed.error(p.line, "principle " + in_quotes(p.id) + " is hard but in the lowest tier " + in_quotes(p.priority),
                 "nothing outweighs a hard constraint: raise its priority or remove hard");
  }
  check_lengths(parsed, p);
}

void check_pairs(Parsed& parsed) {
  std::map<std::string, const Principle*> ids, texts;
  for (const Principle& p : parsed.constitution.principles) {
    if (!p.id.empty()) {
      const auto id = ids.emplace(p.id, &p);
      if (!id.second) {
        parsed.error(p.line, "id " + in_quotes(p.id) + " is already that of the principle in line " +
                                 std::to_string(id.first->second->line),
                     "give each principle its own id");
      }
    }
    if (p.text.empty()) continue;
    const auto text = texts.emplace(normalised(p.text), &p);
    if (!text.second) {
      parsed.error(p.line, "principle " + in_quotes(p.id) + " has the same text as " + in_quotes(text.first->second->id) +
                               " in line " + std::to_string(text.first->second->line),
                   "remove one of them");
    }
  }
}

void check_tiers(Parsed& parsed) {
  for (const std::string& tier : parsed.constitution.priorities) {
    const auto& all = parsed.constitution.principles;
    const bool used = std::any_of(all.begin(), all.end(), [&](const Principle& p) { return p.priority == tier; });
    if (!used) parsed.warn(1, "tier " + in_quotes(tier) + " has no principle", "remove it from priorities or add one");
  }
}

}  // namespace

void check_rules(Parsed& parsed) {
  if (parsed.constitution.principles.empty()) {
    parsed.error(1, "no principles",
                 parsed.prose ? "write headings with a paragraph below, or lists" : "write [[principle]] with id and text");
    return;
  }
  if (parsed.constitution.principles.size() > 10000) {
    parsed.error(1, "more than 10000 principles", "is this the right file?");
    return;
  }
  for (const Principle& p : parsed.constitution.principles) check_one(parsed, p);
  check_pairs(parsed);
  check_tiers(parsed);
}

bool is_kebab_case(std::string_view id) {
  if (id.empty() || id.front() == '-' || id.back() == '-') return false;
  for (std::size_t i = 0; i < id.size(); ++i) {
    const char c = id[i];
    const bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (!word && (c != '-' || id[i - 1] == '-')) return false;
  }
  return true;
}

std::string kebab_case(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) out += c;
    else if (c >= 'A' && c <= 'Z') out += static_cast<char>(c - 'A' + 'a');
    else if (c == '\'') continue;
    else if (!out.empty() && out.back() != '-') out += '-';
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out;
}

}  // namespace precept
