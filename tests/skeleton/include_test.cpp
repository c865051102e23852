// The shape of the tree, as docs/architecture.md tells it: who may include whom, and how long a file may be.

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace {

namespace fs = std::filesystem;

// Folder -> the folders it may include besides itself. `cli` and tests may include everything.
const std::map<std::string, std::set<std::string>>& allowed() {
  static const std::map<std::string, std::set<std::string>> kAllowed = {
      {"core", {}},
      {"model", {"core"}},
      {"constitution", {"core", "model"}},
      {"store", {"core", "model"}},
      {"text", {"core", "model"}},
      {"checkpoint", {"core"}},
      {"revise", {"core", "model", "constitution", "store"}},
      {"feedback", {"core", "model", "constitution", "store", "revise"}},
      {"evaluate", {"core", "model", "constitution", "store"}},
      {"report", {"core", "model", "constitution", "store", "evaluate"}},
      {"lm", {"core", "model", "text", "checkpoint"}},
      {"worlds", {"core", "model", "constitution", "evaluate", "revise"}},
  };
  return kAllowed;
}

// "precept/core/io.h" -> "core", "worlds/pocket/x.h" -> "worlds"; empty for headers of others.
std::string folder_of(const std::string& header) {
  if (header.rfind("worlds/", 0) == 0) return "worlds";
  if (header.rfind("cli/", 0) == 0) return "cli";
  if (header.rfind("precept/", 0) != 0) return {};
  const std::size_t end = header.find('/', 8);
  return header.substr(8, end - 8);
}

struct Include {
  std::string file, header;
  int line;
};

std::vector<fs::path> sources() {
  std::vector<fs::path> out;
  for (const char* root : {"precept", "worlds", "cli"}) {
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const auto extension = entry.path().extension();
      if (extension == ".h" || extension == ".cpp") out.push_back(entry.path());
    }
  }
  return out;
}

std::string violation(const Include& include) {
  const std::string from = folder_of(include.file);
  const std::string to = folder_of(include.header);
  if (to.empty() || from == to || from == "cli") return {};
  const auto rule = allowed().find(from);
  if (rule != allowed().end() && rule->second.count(to)) return {};
  return include.file + ":" + std::to_string(include.line) + ": " + from + " may not include " + include.header;
}

TEST(Skeleton, FoldersIncludeOnlyWhatLiesBelowThem) {
  ASSERT_TRUE(fs::exists("precept/core")) << "run from the root of the sources";
  int seen = 0;
  for (const fs::path& path : sources()) {
    std::ifstream in(path);
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
      if (line.rfind("#include \"", 0) != 0) continue;
      const std::size_t end = line.find('"', 10);
      const std::string what = violation({path.string(), line.substr(10, end - 10), number});
      EXPECT_TRUE(what.empty()) << what;
      ++seen;
    }
  }
  EXPECT_GT(seen, 100) << "the test reads includes at all";
}

TEST(Skeleton, TheRuleItselfRefuses) {
  EXPECT_FALSE(violation({"precept/core/io.h", "precept/model/model.h", 1}).empty());
  EXPECT_FALSE(violation({"precept/evaluate/x.h", "precept/revise/revise.h", 1}).empty());
  EXPECT_FALSE(violation({"precept/revise/x.h", "precept/lm/api.h", 1}).empty());
  EXPECT_TRUE(violation({"precept/revise/x.h", "precept/core/io.h", 1}).empty());
}

// toml++ does not survive every text; see toml_guard.h.
TEST(Skeleton, WhoeverParsesTomlGuardsItFirst) {
  int seen = 0;
  for (const fs::path& path : sources()) {
    std::ifstream in(path);
    const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
    if (text.find("toml::parse(") == std::string::npos) continue;
    EXPECT_NE(text.find("guard_toml("), std::string::npos) << path;
    ++seen;
  }
  EXPECT_GT(seen, 0) << "the test finds the parser at all";
}

// Two classes of one name are one class to the linker, which keeps the functions of either and says nothing.
TEST(Skeleton, NoTwoHeadersDefineOneName) {
  std::map<std::string, std::string> defined;  // full name -> header
  const std::regex opens(R"(^namespace ([\w:]+) \{)"), closes(R"(^\}  // namespace.*)"), defines(R"(^(?:class|struct|enum class|union) (\w+)[^;]*\{.*)");
  for (const fs::path& path : sources()) {
    if (path.extension() != ".h") continue;
    std::ifstream in(path);
    std::vector<std::string> space;
    for (std::string line; std::getline(in, line);) {
      std::smatch found;
      if (std::regex_search(line, found, opens)) {
        space.push_back(found[1]);
      } else if (std::regex_match(line, closes)) {
        if (!space.empty()) space.pop_back();
      } else if (std::regex_match(line, found, defines)) {
        std::string name;
        for (const std::string& part : space) name += part + "::";
        const auto [other, fresh] = defined.emplace(name + found[1].str(), path.string());
        // The insides of a class, which its own files share.
        const bool nested = fs::path(other->second).parent_path() == path.parent_path();
        EXPECT_TRUE(fresh || nested) << other->first << " is defined in " << other->second << " and in " << path;
      }
    }
  }
  EXPECT_GT(defined.size(), 200U) << "the definitions were not found";
}

TEST(Skeleton, FilesAreShortEnoughToRead) {
  for (const fs::path& path : sources()) {
    std::ifstream in(path);
    std::string line;
    int lines = 0;
    while (std::getline(in, line)) ++lines;
    EXPECT_LE(lines, 600) << path;
  }
}

TEST(Skeleton, TheTreeInTheReadmeIsOnDisk) {
  for (const char* readme : {"README.md", "README.zh-CN.md"}) {
    std::ifstream in(readme);
    ASSERT_TRUE(in) << readme;
    std::string line;
    int folders = 0;
    // Lines of the annotated tree begin with a path that ends in "/".
    while (std::getline(in, line)) {
      const std::string word = line.substr(0, line.find(' '));
      if (word.size() < 2 || word.back() != '/' || word.find("://") != std::string::npos) continue;
      EXPECT_TRUE(fs::is_directory(word)) << readme << " names " << word;
      ++folders;
    }
    EXPECT_GT(folders, 8) << readme;
  }
}

}  // namespace
