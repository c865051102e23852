#include "precept/core/whole_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "precept/core/io.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class WholeFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "precept_whole_XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::ptrdiff_t entries() const { return std::distance(fs::directory_iterator(folder_), fs::directory_iterator{}); }

  fs::path folder_;
};

TEST_F(WholeFileTest, IsThereOnceItIsFinished) {
  {
    WholeFile file(path("f"));
    file.write("ab");
    file.write("c");
    EXPECT_FALSE(fs::exists(path("f")));
    ASSERT_TRUE(file.finish());
  }
  EXPECT_EQ(read_file(path("f")).value(), "abc");
  {
    WholeFile file(path("f"));
    file.write("given up");
  }
  EXPECT_EQ(read_file(path("f")).value(), "abc");
  EXPECT_EQ(entries(), 1);
}

// As SIGKILL ends a process: nobody tidies up.
TEST_F(WholeFileTest, OneThatIsKilledLeavesNothing) {
  ASSERT_TRUE(write_file(path("f"), "old"));
  const int probe = ::open(folder_.c_str(), O_TMPFILE | O_WRONLY, 0600);
  if (probe < 0) GTEST_SKIP() << "this file system has no files without names";
  ::close(probe);
  const pid_t child = ::fork();
  if (child == 0) {
    WholeFile file(path("f"));
    file.write("half of it");
    ::_exit(file.fine() ? 0 : 1);
  }
  int status = 1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(entries(), 1);
  EXPECT_EQ(read_file(path("f")).value(), "old");
}

TEST_F(WholeFileTest, LinksStayLinks) {
  ASSERT_TRUE(write_file(path("real"), "old"));
  fs::create_symlink("real", path("link"));
  fs::create_symlink("later", path("dangling"));
  ASSERT_TRUE(write_file(path("link"), "new"));
  ASSERT_TRUE(write_file(path("dangling"), "first"));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  EXPECT_TRUE(fs::is_symlink(path("dangling")));
  EXPECT_EQ(read_file(path("real")).value(), "new");
  EXPECT_EQ(read_file(path("later")).value(), "first");
  EXPECT_EQ(entries(), 4);
}

// A plain file in the place of /dev/null would be everybody's trouble; a pipe shows the same without that risk.
TEST_F(WholeFileTest, WhatIsNoFileIsWrittenToAndStays) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  fs::create_symlink("pipe", path("link"));
  const int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  ASSERT_TRUE(write_file(path("pipe"), "one,"));
  ASSERT_TRUE(write_file(path("link"), "two"));
  char bytes[16] = {};
  const ssize_t n = ::read(reader, bytes, sizeof bytes);
  ::close(reader);
  EXPECT_EQ(std::string(bytes, n > 0 ? static_cast<std::size_t>(n) : 0), "one,two");
  EXPECT_TRUE(fs::is_fifo(path("pipe")));
  EXPECT_TRUE(fs::is_symlink(path("link")));
  ASSERT_EQ(entries(), 2);
  const Status full = write_file("/dev/full", "x");
  ASSERT_FALSE(full);
  EXPECT_NE(full.error().message().find("No space left"), std::string::npos) << full.error().message();
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
}

}  // namespace
}  // namespace precept
