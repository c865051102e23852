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

// Every principle has one of the tiers, if there are any.
void check_priorities(Parsed& parsed) {
  const auto& tiers = parsed.constitution.priorities;
  const auto& all = parsed.constitution.principles;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Principle& p = all[i];
    const bool own = i >= parsed.inherited;
    const std::size_t k = own ? i - parsed.inherited : 0;
    const bool given = !own || parsed.prose || (k < parsed.priority_lines.size() && parsed.priority_lines[k] > 0);
    if (!given && !tiers.empty()) {
      parsed.error(p.line, "no priority in principle " + in_quotes(p.id), suggest("", tiers));
    }
    if (p.priority.empty() || std::find(tiers.begin(), tiers.end(), p.priority) != tiers.end()) continue;
    const std::string hint = tiers.empty() ? "add priorities = [...] to [constitution]" : suggest(p.priority, tiers);
    if (own) {
      parsed.error(parsed.prose ? p.line : parsed.priority_lines[k],
                   "priority " + in_quotes(p.priority) + " is not one of priorities", hint);
    } else {
      parsed.error(parsed.extends_line, "priority " + in_quotes(p.priority) + " of the extended file is not one of priorities",
                   "keep its tiers, or leave priorities out");
      return;
    }
  }
}

// "the principle in line 7", "a principle of default.toml".
std::string place(const Parsed& parsed, std::size_t index) {
  if (index < parsed.inherited) return "a principle of " + parsed.extends;
  return "the principle in line " + std::to_string(parsed.constitution.principles[index].line);
}

void check_pairs(Parsed& parsed) {
  std::map<std::string, std::size_t> ids, texts;
  const auto& all = parsed.constitution.principles;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const bool own = i >= parsed.inherited;  // the other file has its own check
    const Principle& p = all[i];
    if (!p.id.empty()) {
      const auto id = ids.emplace(p.id, i);
      if (!id.second && own) {
        parsed.error(p.line, "id " + in_quotes(p.id) + " is already that of " + place(parsed, id.first->second),
                     "give each principle its own id");
      }
    }
    if (p.text.empty()) continue;
    const auto text = texts.emplace(normalised(p.text), i);
    if (!text.second && own) {
      parsed.error(p.line, "principle " + in_quotes(p.id) + " has the same text as " + place(parsed, text.first->second),
                   "remove one of them");
    }
  }
}

// Only in a file that is otherwise right: a misspelt priority leaves its tier empty, too.
void check_tiers(Parsed& parsed) {
  for (const Finding& f : parsed.findings) {
    if (f.severity == Finding::Severity::kError) return;
  }
  if (parsed.priorities_line == 0) return;
  for (const std::string& tier : parsed.constitution.priorities) {
    const auto& all = parsed.constitution.principles;
    const bool used = std::any_of(all.begin(), all.end(), [&](const Principle& p) { return p.priority == tier; });
    if (!used) parsed.warn(parsed.priorities_line, "tier " + in_quotes(tier) + " has no principle", "remove it from priorities or add one");
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
  const auto& all = parsed.constitution.principles;
  for (std::size_t i = parsed.inherited; i < all.size(); ++i) check_one(parsed, all[i]);
  check_priorities(parsed);
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
