#include "precept/constitution/recipe.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "precept/constitution/suggest.h"
#include "precept/constitution/toml_parser.h"
#include "precept/core/io.h"

namespace precept {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 20;

const char* wanted(const Field& field) {
  struct Word {
    const char* operator()(const bool*) const { return "true or false"; }
    const char* operator()(const int*) const { return "a whole number"; }
    const char* operator()(const std::uint64_t*) const { return "a whole number"; }
    const char* operator()(const double*) const { return "a number"; }
    const char* operator()(const std::string*) const { return "a string"; }
  };
  return std::visit(Word{}, field.place);
}

const char* found(const toml::node& node) {
  if (node.is_floating_point()) return "a number with a fraction";
  return type_word(node);
}

const char* example(const Field& field) {
  struct Example {
    const char* operator()(const bool*) const { return "write true or false, without quotes"; }
    const char* operator()(const int*) const { return "write digits alone, without quotes"; }
    const char* operator()(const std::uint64_t*) const { return "write digits alone, without quotes"; }
    const char* operator()(const double*) const { return "write a number such as 0.5, without quotes"; }
    const char* operator()(const std::string*) const { return "put the text in quotes"; }
  };
  return std::visit(Example{}, field.place);
}

void assign(const Field& field, const FieldValue& value) {
  std::visit([&value](auto* at) { *at = std::get<std::decay_t<decltype(*at)>>(value); }, field.place);
}

class Reader {
 public:
  // Without `own` all sections are wanted, and keys above them are refused.
  Reader(const std::string& path, const std::vector<RecipeSection>& sections, const std::optional<std::string>& own)
      : path_(path), sections_(sections) {
    for (const RecipeSection& section : sections) {
      names_.push_back(section.name);
      if (section.name == own) own_ = &section;
      if (!own) continue;
      for (const Field& field : section.fields) top_keys_.push_back(field.name);
    }
    PRECEPT_CHECK(!own || own_ != nullptr);
  }

  Result<std::map<std::string, int>> read_all(const toml::table& root) {
    std::map<std::string, int> found;
    for (auto&& [key, node] : root) {
      const int line = static_cast<int>(key.source().begin.line);
      if (node.is_table() || named(key.str())) {
        read_table(key, node);
        found[std::string(key.str())] = line;
      } else {
        problem(line, "the key " + in_quotes(key.str()) + " stands above all tables", "put it below the table that it belongs to");
      }
    }
    if (problem_) return tl::unexpected<Error>(*problem_);
    for (const auto& [field, value] : values_) assign(*field, value);
    return found;
  }

  Status read(const toml::table& root, const std::set<std::string>& given) {
    for (auto&& [key, node] : root) {
      if (node.is_table() || named(key.str())) read_table(key, node);
      else read_top(key, node);
    }
    if (problem_) return tl::unexpected<Error>(*problem_);
    if (values_.empty() && !spoken_to_) {
      return bad_input("this recipe says nothing about [" + own_->name + "]",
                       "add a table [" + own_->name + "], or give the recipe to the command that it is of", path_);
    }
    for (const auto& [field, value] : values_) {
      if (given.count(field->name) == 0) assign(*field, value);
    }
    return {};
  }

 private:
  const RecipeSection* named(std::string_view name) const {
    for (const RecipeSection& section : sections_) {
      if (section.name == name) return &section;
    }
    return nullptr;
  }

  void problem(int line, std::string what, std::string hint) {
    if (problem_ && problem_->line <= line) return;  // the first of the file is told
    problem_ = Error{std::move(what), std::move(hint), path_, line, ErrorKind::kBadInput};
  }

  static const Field* find(const RecipeSection& section, std::string_view name) {
    for (const Field& field : section.fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }

  void read_top(const toml::key& key, const toml::node& node) {
    const int line = static_cast<int>(key.source().begin.line);
    if (std::find(top_keys_.begin(), top_keys_.end(), key.str()) == top_keys_.end()) {
      std::vector<std::string> known = top_keys_;
      known.insert(known.end(), names_.begin(), names_.end());
      const std::string best = nearest(key.str(), known);
      return problem(line, "unknown key " + in_quotes(key.str()),
                     best.empty() ? "see precept COMMAND --help: keys are its flags, with _ for -"
                                  : "did you mean " + in_quotes(best) + "?");
    }
    if (const Field* field = find(*own_, key.str())) take(*field, node, false);
  }

  void read_table(const toml::key& key, const toml::node& node) {
    const RecipeSection* section = named(key.str());
    const int line = static_cast<int>(key.source().begin.line);
    if (section == nullptr) return problem(line, "unknown table [" + std::string(key.str()) + "]", suggest(key.str(), names_));
    const toml::table* table = node.as_table();
    if (table == nullptr) {
      return problem(line, section->name + " must be a table, found " + type_word(node),
                     "write [" + section->name + "] on a line of its own, and its keys below");
    }
    const bool own = section == own_ || own_ == nullptr;
    spoken_to_ = spoken_to_ || own;
    for (auto&& [name, value] : *table) {
      const Field* field = find(*section, name.str());
      if (field == nullptr) {
        std::vector<std::string> known;
        for (const Field& each : section->fields) known.push_back(each.name);
        problem(static_cast<int>(name.source().begin.line),
                "unknown key " + in_quotes(name.str()) + " in [" + section->name + "]", suggest(name.str(), known));
      } else if (const auto read = value_of(*field, value); read && own) {
        put(*field, *read, true);
      }
    }
  }

  void take(const Field& field, const toml::node& node, bool wins) {
    if (const auto read = value_of(field, node)) put(field, *read, wins);
  }

  // A command's own table wins over the keys above all tables.
  void put(const Field& field, FieldValue value, bool wins) {
    for (auto& [known, was] : values_) {
      if (known != &field) continue;
      if (wins) was = std::move(value);
      return;
    }
    values_.emplace_back(&field, std::move(value));
  }

  std::optional<FieldValue> value_of(const Field& field, const toml::node& node) {
    const auto wrong = [&]() -> std::optional<FieldValue> {
      problem(line_of_node(node), field.name + " must be " + wanted(field) + ", found " + found(node), example(field));
      return std::nullopt;
    };
    FieldValue value;
    if (std::holds_alternative<bool*>(field.place)) {
      if (!node.is_boolean()) return wrong();
      value = node.as_boolean()->get();
    } else if (std::holds_alternative<std::string*>(field.place)) {
      if (!node.is_string()) return wrong();
      value = node.as_string()->get();
      if (node.as_string()->get().find('\0') != std::string::npos) {
        problem(line_of_node(node), field.name + " holds a NUL character", "remove \\u0000");
        return std::nullopt;
      }
    } else if (std::holds_alternative<double*>(field.place)) {
      if (!node.is_number()) return wrong();
      value = node.is_integer() ? static_cast<double>(node.as_integer()->get()) : node.as_floating_point()->get();
    } else {
      if (!node.is_integer()) return wrong();
      const std::int64_t whole = node.as_integer()->get();
      if (!in_range(field.rule, static_cast<double>(whole))) {
        problem(line_of_node(node), field.name + " is " + std::to_string(whole), allowed(field.rule));
        return std::nullopt;
      }
      if (std::holds_alternative<int*>(field.place)) value = static_cast<int>(whole);
      else value = static_cast<std::uint64_t>(whole);
    }
    if (const Status fine = check_value(field, value, field.name); !fine) {
      problem(line_of_node(node), fine.error().what, fine.error().hint);
      return std::nullopt;
    }
    return value;
  }

  const std::string& path_;
  const std::vector<RecipeSection>& sections_;
  const RecipeSection* own_ = nullptr;
  std::vector<std::string> names_, top_keys_;
  std::vector<std::pair<const Field*, FieldValue>> values_;
  bool spoken_to_ = false;  // the own table is there, if only empty
  std::optional<Error> problem_;
};

}  // namespace

Status read_recipe(const std::string& path, const std::vector<RecipeSection>& sections, const std::string& own,
                   const std::set<std::string>& given) {
  const auto text = read_text(path, kMostBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto root = parse_toml_text(*text, path);
  if (!root) return tl::unexpected<Error>(root.error());
  return Reader(path, sections, own).read(*root, given);
}

Result<std::map<std::string, int>> read_sections(const std::string& path, const std::vector<RecipeSection>& sections) {
  const auto text = read_text(path, kMostBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto root = parse_toml_text(*text, path);
  if (!root) return tl::unexpected<Error>(root.error());
  return Reader(path, sections, std::nullopt).read_all(*root);
}

std::string recipe_text(const RecipeSection& section, const std::string& comment) {
  std::string out = "# ";
  for (const char c : comment) out += c == '\n' ? std::string("\n# ") : std::string(1, c);
  return out + "\n\n[" + section.name + "]\n" + recipe_lines(section.fields);
}

std::vector<std::string> recipe_changes(const std::vector<Field>& was, const std::vector<Field>& now) {
  PRECEPT_CHECK(was.size() == now.size());
  std::vector<std::string> changes;
  for (std::size_t i = 0; i < was.size(); ++i) {
    if (!was[i].rule.in_recipe || was[i].value() == now[i].value()) continue;
    changes.push_back("was: " + was[i].name + " = " + toml_value(was[i].value()));
    changes.push_back("now: " + now[i].name + " = " + toml_value(now[i].value()));
  }
  return changes;
}

Status same_recipe(const std::vector<Field>& was, const std::vector<Field>& now, const std::string& path) {
  const std::vector<std::string> lines = recipe_changes(was, now);
  if (lines.empty()) return {};
  std::string what = "this run began with another recipe:";
  for (const std::string& line : lines) what += " [" + line + "]";
  return bad_input(what, "use another --out, or the options it began with", path);
}

}  // namespace precept
