#include "precept/constitution/constitution.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <utility>

#include "precept/constitution/lines.h"
#include "precept/constitution/parse.h"
#include "precept/constitution/suggest.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"

namespace precept {
namespace {

bool ends_with(const std::string& path, std::string_view extension) {
  return path.size() >= extension.size() &&
         std::equal(extension.rbegin(), extension.rend(), path.rbegin(), [](char a, char b) {
           return a == (b >= 'A' && b <= 'Z' ? static_cast<char>(b - 'A' + 'a') : b);
         });
}

// The finding that ends it all, or nothing.
bool wrong_encoding(std::string_view bytes, Parsed& parsed) {
  const std::string foreign = foreign_encoding(bytes);
  if (!foreign.empty()) {
    parsed.error(1, "not UTF-8 but " + foreign,
                 foreign[0] == 'c' ? "unpack it first" : "save the file as UTF-8, e.g. with iconv");
    return true;
  }
  if (const auto nul = bytes.find('\0'); nul != std::string_view::npos) {
    parsed.error(line_of(bytes, nul), "NUL byte in the text", "this looks like a binary file; expected UTF-8 text");
    return true;
  }
  if (const auto bad = find_invalid_utf8(bytes)) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02X", static_cast<unsigned>(static_cast<unsigned char>(bytes[*bad])));
    parsed.error(line_of(bytes, *bad), std::string("not UTF-8 (byte 0x") + hex + ")",
                 "save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8");
    return true;
  }
  return false;
}

constexpr int kMaxExtends = 4;

// Encoding and format; the rules come when `extends` has been followed.
Parsed parse_alone(std::string_view bytes, const std::string& file) {
  Parsed parsed;
  parsed.constitution.file = file;
  const bool toml = ends_with(file, ".toml");
  if (!toml && !ends_with(file, ".md") && !ends_with(file, ".markdown")) {
    parsed.error(0, "a constitution is a .toml or .md file", "rename it after its format");
    return parsed;
  }
  if (wrong_encoding(bytes, parsed)) return parsed;
  std::string_view text = bytes;
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  parsed = toml ? parse_toml(text, file) : parse_markdown(text, file);
  parsed.constitution.digest = sha256(bytes);
  return parsed;
}

// Puts what `base` has before and under what `parsed` says.
void inherit(Parsed& parsed, Constitution base) {
  Constitution& own = parsed.constitution;
  parsed.inherited = base.principles.size();
  own.principles.insert(own.principles.begin(), std::make_move_iterator(base.principles.begin()),
                        std::make_move_iterator(base.principles.end()));
  if (own.priorities.empty()) own.priorities = std::move(base.priorities);
  for (std::string Constitution::*field : {&Constitution::version, &Constitution::language, &Constitution::license}) {
    if ((own.*field).empty()) own.*field = base.*field;
  }
  own.extended.push_back(base.file);
  own.extended.insert(own.extended.end(), base.extended.begin(), base.extended.end());
  own.templates.insert(base.templates.begin(), base.templates.end());
  own.digest = sha256(base.digest + own.digest);
}

Parsed finish(Parsed parsed) {
  if (parsed.whole) check_rules(parsed);
  std::stable_sort(parsed.findings.begin(), parsed.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.line < b.line; });
  return parsed;
}

Parsed parse_at_depth(const std::string& path, int depth) {
  const auto bytes = read_file(path, kMaxConstitutionBytes);
  if (!bytes) {
    Parsed parsed;
    parsed.constitution.file = path;
    parsed.error(0, bytes.error().what, bytes.error().hint);
    return parsed;
  }
  Parsed parsed = parse_alone(*bytes, path);
  if (!parsed.whole || parsed.extends.empty()) return finish(std::move(parsed));
  if (depth >= kMaxExtends) {
    parsed.error(parsed.extends_line, "extends is followed at most " + std::to_string(kMaxExtends) + " files deep",
                 "does a file extend itself?");
    parsed.whole = false;
    return finish(std::move(parsed));
  }
  const std::string base_path = (std::filesystem::path(path).parent_path() / parsed.extends).string();
  Parsed base = parse_at_depth(base_path, depth + 1);
  if (base.whole) {
    inherit(parsed, std::move(base.constitution));
  } else {
    parsed.error(parsed.extends_line, "cannot extend " + in_quotes(parsed.extends), "it is looked for beside this file");
    parsed.whole = false;  // most of its rules could only be judged together
  }
  parsed = finish(std::move(parsed));
  parsed.findings.insert(parsed.findings.end(), base.findings.begin(), base.findings.end());
  return parsed;
}

}  // namespace

void Parsed::error(int line, std::string what, std::string hint) {
  findings.push_back({Finding::Severity::kError, std::move(what), std::move(hint), constitution.file, line});
}

void Parsed::warn(int line, std::string what, std::string hint) {
  findings.push_back({Finding::Severity::kWarning, std::move(what), std::move(hint), constitution.file, line});
}

Parsed parse_bytes(std::string_view bytes, const std::string& file) {
  Parsed parsed = parse_alone(bytes, file);
  if (!parsed.extends.empty()) {
    parsed.error(parsed.extends_line, "extends works in files only", "put both into one text");
  }
  return finish(std::move(parsed));
}

Parsed parse_file(const std::string& path) { return parse_at_depth(path, 0); }

const Principle* Constitution::find(const std::string& id) const {
  for (const Principle& p : principles) {
    if (p.id == id) return &p;
  }
  return nullptr;
}

Result<Constitution> load_constitution(const std::string& path) {
  Parsed parsed = parse_file(path);
  for (const Finding& f : parsed.findings) {
    if (f.severity == Finding::Severity::kError) return bad_input(f.what, f.hint, f.file, f.line);
  }
  return std::move(parsed.constitution);
}

std::vector<Finding> check_constitution(const std::string& path) { return parse_file(path).findings; }

}  // namespace precept
