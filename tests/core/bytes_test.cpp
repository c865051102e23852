// Digests, files, and UTF-8.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "precept/core/digest.h"
#include "precept/core/io.h"

namespace precept {
namespace {
namespace fs = std::filesystem;

class Folder : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "precept-core-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void put(const std::string& name, const std::string& bytes) const {
    std::ofstream(path(name), std::ios::binary) << bytes;
  }
  fs::path folder_;
};
using Digest = Folder;
using Io = Folder;

TEST(Sha256Test, KnownAnswers) {
  EXPECT_EQ(sha256(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(Digest, PiecesFilesAndWholeAgree) {
  std::string bytes(300000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 31 % 251);
  Sha256 pieces;
  pieces.update(std::string_view(bytes).substr(0, 1));
  pieces.update(std::string_view(bytes).substr(1, 70000));
  pieces.update(std::string_view(bytes).substr(70001));
  EXPECT_EQ(pieces.finish(), sha256(bytes));
  put("data", bytes);
  EXPECT_EQ(sha256_file(path("data")).value(), sha256(bytes));
  const auto missing = sha256_file(path("missing"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kBadInput);
}

TEST_F(Io, ReadsWhatWasWrittenWholly) {
  const std::string bytes("a\0b\xFF", 4);
  ASSERT_TRUE(write_file(path("f"), bytes));
  EXPECT_EQ(read_file(path("f")).value(), bytes);
  ASSERT_TRUE(write_file(path("f"), "shorter"));
  EXPECT_EQ(read_file(path("f")).value(), "shorter");
  // No temporary file stays behind.
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}), 1);
}

TEST_F(Io, RefusesWithTheNameOfTheFile) {
  const auto missing = read_file(path("none"));
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().file, path("none"));
  EXPECT_FALSE(missing.error().hint.empty());
  EXPECT_FALSE(read_file(folder_.string()));
  put("big", std::string(100, 'x'));
  EXPECT_FALSE(read_file(path("big"), 99));
  EXPECT_TRUE(read_file(path("big"), 100));
  const auto unwritable = write_file(path("no/such/folder/f"), "x");
  ASSERT_FALSE(unwritable);
  EXPECT_EQ(unwritable.error().kind, ErrorKind::kFailed);
}

TEST_F(Io, FoldersAreMadeWithTheirParents) {
  EXPECT_TRUE(make_folder(path("a/b/c")));
  EXPECT_TRUE(make_folder(path("a/b/c")));
  put("file", "x");
  EXPECT_FALSE(make_folder(path("file/below")));
}

TEST_F(Io, TextDropsAByteOrderMarkAndNamesTheLineOfWhatIsNotUtf8) {
  put("bom", "\xEF\xBB\xBFhello");
  EXPECT_EQ(read_text(path("bom")).value(), "hello");
  put("latin1", "fine\nfine\ncaf\xE9\n");
  const auto text = read_text(path("latin1"));
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().line, 3);
  EXPECT_NE(text.error().message().find("0xE9"), std::string::npos);
}

TEST(Utf8, ValidTextPasses) {
  for (const char* text : {"", "plain", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
                           "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "\xE4\xB8\xAD\xE6\x96\x87"}) {
    EXPECT_FALSE(find_invalid_utf8(text)) << text;
  }
}

TEST(Utf8, EveryKindOfBadSequenceIsFoundWhereItBegins) {
  const std::vector<std::string> bad = {
      "\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xE4\xB8", "\xED\xA0\x80",
      "\xEF\xBF", "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xF0\x90\x80"};
  for (const std::string& sequence : bad) {
    EXPECT_EQ(find_invalid_utf8("ok" + sequence), std::optional<std::size_t>(2)) << testing::PrintToString(sequence);
    EXPECT_EQ(find_invalid_utf8("ok" + sequence + "ok"), std::optional<std::size_t>(2));
  }
}

TEST(Utf8, PrefixNeverCutsASequence) {
  const std::string text = "a\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80z";  // 1 + 2 + 3 + 4 + 1 bytes
  for (std::size_t n = 0; n <= text.size() + 1; ++n) {
    const auto prefix = utf8_prefix(text, n);
    EXPECT_LE(prefix.size(), n);
    EXPECT_FALSE(find_invalid_utf8(prefix)) << n;
    EXPECT_GT(prefix.size() + 4, std::min(n, text.size()));
  }
  EXPECT_EQ(utf8_prefix(text, 2), "a");
}

TEST(Lines, CountFromOne) {
  EXPECT_EQ(line_of("a\nb\nc", 0), 1);
  EXPECT_EQ(line_of("a\nb\nc", 2), 2);
  EXPECT_EQ(line_of("a\nb\nc", 99), 3);
}

TEST(ErrorTest, MessageHasThePartsThatAreKnown) {
  EXPECT_EQ((Error{"what", "hint", "f.toml", 3, ErrorKind::kBadInput}).message(), "f.toml:3: what");
  EXPECT_EQ((Error{"what", "", "f.toml", 0, ErrorKind::kBadInput}).message(), "f.toml: what");
  EXPECT_EQ((Error{"what", "", "", 0, ErrorKind::kFailed}).message(), "what");
}

}  // namespace
}  // namespace precept
