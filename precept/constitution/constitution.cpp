#include "precept/constitution/constitution.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "precept/constitution/lines.h"
#include "precept/constitution/parse.h"
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

Parsed parse_file(const std::string& path) {
  const auto bytes = read_file(path, kMaxConstitutionBytes);
  if (bytes) return parse_bytes(*bytes, path);
  Parsed parsed;
  parsed.constitution.file = path;
  parsed.error(0, bytes.error().what, bytes.error().hint);
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
  parsed.constitution.file = file;
  parsed.constitution.digest = sha256(bytes);
  if (parsed.whole) check_rules(parsed);
  std::stable_sort(parsed.findings.begin(), parsed.findings.end(),
                   [](const Finding& a, const Finding& b) { return a.line < b.line; });
  return parsed;
}

const Principle* Constitution::find(const std::string& id) const {
  for (const Principle& p : principles) {
    if (p.id == id) return &p;
  }
  return nullptr;
}

Result<Constitution> load_constitution(const std::string& path) {
  const auto bytes = read_file(path, kMaxConstitutionBytes);
  if (!bytes) return tl::unexpected(bytes.error());
  Parsed parsed = parse_bytes(*bytes, path);
  for (const Finding& f : parsed.findings) {
    if (f.severity == Finding::Severity::kError) return bad_input(f.what, f.hint, f.file, f.line);
  }
  return std::move(parsed.constitution);
}

std::vector<Finding> check_constitution(const std::string& path) { return parse_file(path).findings; }

}  // namespace precept
