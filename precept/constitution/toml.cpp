// Constitutions in TOML.
#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "precept/constitution/parse.h"
#include "precept/constitution/placeholders.h"
#include "precept/constitution/suggest.h"
#include "precept/constitution/toml_parser.h"

namespace precept {
namespace {

const std::vector<std::string> kSections = {"constitution", "principle", "templates"};
const std::vector<std::string> kHeadKeys = {"name", "version", "language", "license", "priorities", "extends"};
const std::vector<std::string> kPrincipleKeys = {"id",         "text",   "why",      "priority", "hard",
                                                 "applies_to", "source", "critique", "revision", "preference"};
const std::vector<std::string> kSourceKeys = {"name", "article", "url"};

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// Reads one table after another and says what it finds on the way.
class Reader {
 public:
  Reader(Parsed& parsed, std::string_view text) : parsed_(parsed), out_(parsed.constitution), text_(text) {}

  void read(const toml::table& root) {
    check_keys(root, kSections, "");
    if (const toml::node* head = root.get("constitution")) {
      if (const toml::table* table = as_table(*head, "[constitution]")) read_head(*table);
    } else {
      parsed_.warn(1, "no [constitution] table", "give it a name: [constitution], then name = \"...\"");
    }
    if (const toml::node* node = root.get("principle")) read_principles(*node);
    if (const toml::node* node = root.get("templates")) {
      if (const toml::table* table = as_table(*node, "[templates]")) read_templates(*table);
    }
  }

 private:
  void check_keys(const toml::table& table, const std::vector<std::string>& known, const std::string& where) {
    for (auto&& [key, value] : table) {
      if (std::find(known.begin(), known.end(), key.str()) != known.end()) continue;
      const int line = static_cast<int>(key.source().begin.line);
      parsed_.error(line, "unknown key " + in_quotes(key.str()) + where, suggest(key.str(), known));
    }
  }

  const toml::table* as_table(const toml::node& node, const std::string& name) {
    if (const toml::table* table = node.as_table()) return table;
    parsed_.error(line_of_node(node), name + " must be a table, found " + type_word(node),
                  "write " + name + " on a line of its own");
    return nullptr;
  }

  // A string field; absent fields stay empty. Says whether the key is there.
  bool string_field(const toml::table& table, const char* key, std::string& out, bool empty_is_error = true) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return false;
    const auto* value = node->as_string();
    if (value == nullptr) {
      parsed_.error(line_of_node(*node), std::string(key) + " must be a string, found " + type_word(*node),
                    "put the text in quotes");
      return true;
    }
    out = trimmed(value->get());
    if (out.find('\0') != std::string::npos) {
      parsed_.error(line_of_node(*node), std::string(key) + " holds a NUL character", "remove \\u0000");
    }
    if (out.empty() && empty_is_error) {
      parsed_.error(line_of_node(*node), std::string(key) + " is empty", "fill it in or remove the line");
    }
    return true;
  }

  void read_head(const toml::table& table) {
    check_keys(table, kHeadKeys, " in [constitution]");
    if (!string_field(table, "name", out_.name)) {
      parsed_.warn(line_of_node(table), "the constitution has no name", "add name = \"...\"");
    }
    string_field(table, "version", out_.version);
    string_field(table, "language", out_.language);
    string_field(table, "license", out_.license);
    if (string_field(table, "extends", parsed_.extends)) parsed_.extends_line = line_of_node(*table.get("extends"));
    if (const toml::node* node = table.get("priorities")) read_priorities(*node);
  }

  void read_priorities(const toml::node& node) {
    parsed_.priorities_line = line_of_node(node);
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      parsed_.error(line_of_node(node), std::string("priorities must be a list, found ") + type_word(node),
                    "priorities = [\"first\", \"second\"], the most important tier first");
      return;
    }
    if (list->empty()) {
      parsed_.error(line_of_node(node), "priorities is empty", "name the tiers, the most important first, or remove it");
    }
    std::set<std::string> seen;
    for (const toml::node& element : *list) {
      const auto* value = element.as_string();
      std::string tier = value == nullptr ? "" : trimmed(value->get());
      if (tier.empty()) {
        parsed_.error(line_of_node(element), "every entry of priorities must be a non-empty string", "name the tier");
      } else if (!seen.insert(tier).second) {
        parsed_.error(line_of_node(element), "tier " + in_quotes(tier) + " is in priorities twice", "remove one of them");
      } else {
        out_.priorities.push_back(std::move(tier));
      }
    }
  }

  void read_principles(const toml::node& node) {
    const toml::array* list = node.as_array();
    if (list == nullptr) {
      parsed_.error(line_of_node(node), std::string("principle must be a list of tables, found ") + type_word(node),
                    "write [[principle]] with two brackets");
      return;
    }
    for (const toml::node& element : *list) {
      if (const toml::table* table = element.as_table()) {
        read_principle(*table);
      } else {
        parsed_.error(line_of_node(element), std::string("a principle must be a table, found ") + type_word(element),
                      "write [[principle]] and its keys below");
      }
    }
  }

  void read_principle(const toml::table& table) {
    Principle p;
    p.line = line_of_node(table);
    const std::string* id = nullptr;
    if (const toml::node* node = table.get("id"); node != nullptr && node->as_string() != nullptr) {
      id = &node->as_string()->get();
    }
    const std::string where = id == nullptr ? " in [[principle]]" : " in principle " + in_quotes(*id);
    check_keys(table, kPrincipleKeys, where);
    if (!string_field(table, "id", p.id)) {
      parsed_.error(p.line, "principle without id", "add id = \"...\", stable and in kebab-case");
    }
    if (!string_field(table, "text", p.text)) {
      parsed_.error(p.line, "no text" + where, "add text = \"...\", the rule in natural language");
    }
    string_field(table, "why", p.why, false);
    string_field(table, "applies_to", p.applies_to);
    string_field(table, "critique", p.critique);
    string_field(table, "revision", p.revision);
    string_field(table, "preference", p.preference);
    string_field(table, "priority", p.priority);
    const toml::node* priority = table.get("priority");
    parsed_.priority_lines.push_back(priority == nullptr ? 0 : line_of_node(*priority));
    if (const toml::node* node = table.get("hard")) {
      if (const auto* value = node->as_boolean()) p.hard = value->get();
      else parsed_.error(line_of_node(*node), std::string("hard must be true or false, found ") + type_word(*node), "hard = true");
    }
    if (const toml::node* node = table.get("source")) read_source(*node, p);
    out_.principles.push_back(std::move(p));
  }

  void read_source(const toml::node& node, Principle& p) {
    if (const auto* value = node.as_string()) {
      p.source.name = trimmed(value->get());
      return;
    }
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      parsed_.error(line_of_node(node), std::string("source must be a string or a table, found ") + type_word(node),
                    "source = { name = \"...\", article = \"...\" }");
      return;
    }
    check_keys(*table, kSourceKeys, " in source");
    string_field(*table, "name", p.source.name);
    string_field(*table, "article", p.source.article);
    string_field(*table, "url", p.source.url);
    if (p.source.name.empty() && p.source.url.empty() && !p.source.article.empty()) {
      parsed_.error(line_of_node(node), "source has an article but no name", "add name = \"...\"");
    }
  }

  // Where a string's text begins: TOML drops a newline right after the opening quotes.
  int first_line(const toml::node& node) const {
    const int line = line_of_node(node);
    if (static_cast<int>(node.source().end.line) == line) return line;
    std::string_view rest = text_;
    for (int i = 1; i < line && !rest.empty(); ++i) rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
    const std::string source = trimmed(rest.substr(0, rest.find('\n')));
    const std::string_view end = std::string_view(source).substr(source.size() < 3 ? 0 : source.size() - 3);
    return end == "\"\"\"" || end == "'''" ? line + 1 : line;
  }

  void read_templates(const toml::table& table) {
    check_keys(table, template_keys(), " in [templates]");
    for (const TemplateRule& rule : template_rules()) {
      const std::string& key = rule.key;
      const toml::node* node = table.get(key);
      if (node == nullptr) continue;
      const auto* value = node->as_string();
      if (value == nullptr) {
        parsed_.error(line_of_node(*node), "template " + key + " must be a string, found " + type_word(*node),
                      "put the text in quotes");
        continue;
      }
      const std::string& text = value->get();
      if (trimmed(text).empty()) {
        parsed_.error(line_of_node(*node), "template " + key + " is empty", "fill it in or remove the line");
        continue;
      }
      for (const TemplateProblem& problem : check_template(rule, text)) {
        parsed_.error(first_line(*node) + problem.line_offset, problem.what, problem.hint);
      }
      out_.templates[key] = text;
    }
  }

  Parsed& parsed_;
  Constitution& out_;
  std::string_view text_;
};

}  // namespace

Parsed parse_toml(std::string_view text, const std::string& file) {
  Parsed parsed;
  parsed.constitution.file = file;
  const auto root = parse_toml_text(text, file);
  if (!root) {
    parsed.error(root.error().line, root.error().what, root.error().hint);
    return parsed;
  }
  Reader(parsed, text).read(*root);
  parsed.whole = true;
  return parsed;
}

}  // namespace precept
