// precept constitution: checks a constitution and shows it.

#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "cli/command.h"
#include "precept/constitution/constitution.h"
#include "precept/core/io.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

struct ConstitutionOptions {
  std::string file;
  bool json = false;
};

Result<int> print(const std::string& text, int code) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0) {
    return failed("cannot write to the standard output", "is the disk full?");
  }
  return code;
}

std::string dump(const Json& json) { return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n"; }

std::string count(std::size_t n, const char* word) {
  return std::to_string(n) + " " + word + (n == 1 ? "" : "s");
}

const char* severity(const Finding& f) { return f.severity == Finding::Severity::kError ? "error" : "warning"; }

std::string findings_text(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& f : findings) {
    out += one_line(f.file) + ":";
    if (f.line > 0) out += std::to_string(f.line) + ":";
    out += std::string(" ") + severity(f) + ": " + one_line(f.what) + "\n";
    if (!f.hint.empty()) out += "  hint: " + one_line(f.hint) + "\n";
  }
  return out;
}

Json findings_json(const std::vector<Finding>& findings) {
  Json list = Json::array();
  for (const Finding& f : findings) {
    list.push_back({{"file", f.file}, {"line", f.line}, {"severity", severity(f)}, {"what", f.what}, {"hint", f.hint}});
  }
  return list;
}

Result<int> check(const ConstitutionOptions& options) {
  if (const auto bytes = read_file(options.file); !bytes) return tl::unexpected<Error>(bytes.error());
  const std::vector<Finding> findings = check_constitution(options.file);
  std::size_t errors = 0;
  for (const Finding& f : findings) errors += f.severity == Finding::Severity::kError ? 1 : 0;
  const std::size_t warnings = findings.size() - errors;
  const int code = errors > 0 ? 1 : 0;
  if (options.json) {
    return print(dump({{"file", options.file}, {"errors", errors}, {"warnings", warnings},
                       {"findings", findings_json(findings)}}),
                 code);
  }
  std::string out = findings_text(findings);
  out += one_line(options.file) + ": " + count(errors, "error") + ", " + count(warnings, "warning");
  if (errors == 0) {
    if (const auto constitution = load_constitution(options.file)) {
      out += ", " + count(constitution->principles.size(), "principle");
    }
  }
  return print(out + "\n", code);
}

// A paragraph of at most 100 columns, indented by 4 (6 from its second line on).
void fold(std::string& out, const std::string& text) {
  if (text.empty()) return;
  std::string line = "   ", word;
  bool fresh = true;  // nothing in the line yet
  const auto put = [&] {
    if (word.empty()) return;
    if (!fresh && line.size() + 1 + word.size() > 100) {
      out += line + "\n";
      line = "     ";
    }
    line += " " + word;
    fresh = false;
    word.clear();
  };
  for (const char c : one_line(text)) {
    if (c == ' ') put();
    else word += c;
  }
  put();
  out += line + "\n";
}

void fold(std::string& out, const char* label, const std::string& text) {
  if (!text.empty()) fold(out, label + text);
}

std::string source_text(const Source& source) {
  std::string out = source.name;
  if (!source.article.empty()) out += (out.empty() ? "" : ", ") + std::string("article ") + source.article;
  if (!source.url.empty()) out += (out.empty() ? "" : ", ") + source.url;
  return out;
}

void show_principle(std::string& out, const Principle& p) {
  out += "\n  " + one_line(p.id) + (p.hard ? "  (hard constraint)" : "") + "\n";
  fold(out, p.text);
  fold(out, "Why: ", p.why);
  fold(out, "Applies to: ", p.applies_to);
  fold(out, "Source: ", source_text(p.source));
}

std::string show_text(const Constitution& c) {
  std::string out = one_line(c.name.empty() ? c.file : c.name);
  if (!c.version.empty()) out += " " + one_line(c.version);
  std::string more;
  for (const std::string* part : {&c.language, &c.license}) {
    if (!part->empty()) more += (more.empty() ? "" : ", ") + one_line(*part);
  }
  if (!more.empty()) out += " (" + more + ")";
  out += "\n" + count(c.principles.size(), "principle") + ", digest " + c.digest.substr(0, 16) + "\n";
  std::vector<std::string> tiers = c.priorities;
  if (tiers.empty()) tiers.emplace_back();
  for (std::size_t i = 0; i < tiers.size(); ++i) {
    if (!tiers[i].empty()) out += "\n" + std::to_string(i + 1) + ". " + one_line(tiers[i]) + "\n";
    for (const Principle& p : c.principles) {
      if (p.priority == tiers[i]) show_principle(out, p);
    }
  }
  if (!c.templates.empty()) {
    out += "\nOwn templates:";
    for (const auto& entry : c.templates) out += " " + entry.first;
    out += "\n";
  }
  return out;
}

Json show_json(const Constitution& c) {
  Json principles = Json::array();
  for (const Principle& p : c.principles) {
    principles.push_back({{"id", p.id},
                          {"text", p.text},
                          {"why", p.why},
                          {"priority", p.priority},
                          {"hard", p.hard},
                          {"applies_to", p.applies_to},
                          {"source", {{"name", p.source.name}, {"article", p.source.article}, {"url", p.source.url}}},
                          {"critique", p.critique},
                          {"revision", p.revision},
                          {"preference", p.preference},
                          {"line", p.line}});
  }
  return {{"name", c.name},         {"version", c.version},       {"language", c.language},
          {"license", c.license},   {"priorities", c.priorities}, {"principles", principles},
          {"templates", c.templates}, {"file", c.file},           {"digest", c.digest}};
}

Result<int> show(const ConstitutionOptions& options) {
  const auto constitution = load_constitution(options.file);
  if (!constitution) return tl::unexpected<Error>(constitution.error());
  return print(options.json ? dump(show_json(*constitution)) : show_text(*constitution), 0);
}

void add_part(CLI::App& parent, Context& context, const char* name, const char* help,
              Result<int> (*run)(const ConstitutionOptions&)) {
  CLI::App* command = parent.add_subcommand(name, help);
  const auto options = std::make_shared<ConstitutionOptions>();
  command->add_option("FILE", options->file, "constitution file, TOML or Markdown")->required();
  command->add_flag("--json", options->json, "for machines: JSON on stdout");
  command->callback([options, run, &context] { context.action = [options, run] { return run(*options); }; });
}

}  // namespace

void add_constitution(CLI::App& app, Context& context) {
  CLI::App* command = app.add_subcommand("constitution", "check a constitution, or show it");
  command->require_subcommand(1);
  add_part(*command, context, "check", "every finding with line and hint; exit code 1 if there are errors", check);
  add_part(*command, context, "show", "the principles by tier", show);
}

}  // namespace precept
