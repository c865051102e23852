#include "cli/keep_constitution.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/io.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

bool is_toml(const std::string& file) {  // as load_constitution decides
  std::string extension = fs::path(file).extension().string();
  for (char& c : extension) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return extension == ".toml";
}

std::string named(const std::string& stem, const std::string& file) { return stem + (is_toml(file) ? ".toml" : ".md"); }

// The text with its line `extends = ...` naming another file.
std::string extending(const std::string& text, const std::string& other) {
  constexpr std::string_view kKey = "extends";
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size() - 1) + 1;
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    const std::size_t key = line.find_first_not_of(" \t");
    const bool is_key = key != std::string_view::npos && line.substr(key, kKey.size()) == kKey &&
                        line.find_first_not_of(" \t", key + kKey.size()) == line.find('=');
    out += is_key ? "extends = \"" + other + "\"\n" : std::string(line);
    begin = end;
  }
  return out;
}

}  // namespace

Status keep_constitution(const Constitution& constitution, const std::string& run) {
  const fs::path folder(run);
  std::error_code none;
  if (fs::exists(folder / "constitution.toml", none) || fs::exists(folder / "constitution.md", none)) return {};
  std::vector<std::string> files = {constitution.file};
  files.insert(files.end(), constitution.extended.begin(), constitution.extended.end());
  const auto name = [&](std::size_t i) {
    return named(i == 0 ? "constitution" : "constitution-base-" + std::to_string(i), files[i]);
  };
  for (std::size_t i = files.size(); i-- > 0;) {  // its own file last: what is there is whole
    auto text = read_file(files[i]);
    if (!text) return tl::unexpected<Error>(text.error());
    if (i + 1 < files.size()) *text = extending(*text, name(i + 1));
    if (Status written = write_file((folder / name(i)).string(), *text); !written) return written;
  }
  return {};
}

}  // namespace precept
