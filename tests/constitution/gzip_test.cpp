#include "precept/constitution/gzip.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include "precept/constitution/hh_rlhf.h"

namespace precept {
namespace {

namespace fs = std::filesystem;

class Gzip : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("precept-gzip-" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::string pack(const std::string& name, const std::string& text) const {
    gzFile file = gzopen(path(name).c_str(), "wb");
    EXPECT_NE(file, nullptr);
    EXPECT_EQ(gzwrite(file, text.data(), static_cast<unsigned>(text.size())), static_cast<int>(text.size()));
    EXPECT_EQ(gzclose_w(file), Z_OK);
    return path(name);
  }
  std::string bytes(const std::string& file) const {
    std::ifstream in(file, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
  }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  // All bytes of the source, or the error.
  static Result<std::string> read_all(ByteSource source) {
    std::string text;
    char buffer[4096];
    while (true) {
      const auto got = source(buffer, sizeof buffer);
      if (!got) return tl::unexpected(got.error());
      if (*got == 0) return text;
      text.append(buffer, *got);
    }
  }
  static std::string error_of(const std::string& file, std::size_t max_bytes = std::size_t{1} << 20) {
    auto source = open_gzip(file, max_bytes);
    if (!source) return source.error().message();
    const auto text = read_all(std::move(*source));
    return text ? "none" : text.error().message();
  }

  fs::path folder_;
};

std::string noise(std::size_t size) {  // does not compress, so that a cut falls into the data
  std::string text;
  for (std::uint32_t x = 1; text.size() < size;) {
    x = x * 1664525U + 1013904223U;
    text += static_cast<char>(x >> 24);
  }
  return text;
}

TEST_F(Gzip, UnpacksAndLeavesPlainFilesAlone) {
  const std::string text = noise(100000);
  for (const std::string& file : {pack("a.gz", text), write("plain", "as it is\n")}) {
    auto source = open_gzip(file);
    ASSERT_TRUE(source);
    const auto got = read_all(std::move(*source));
    ASSERT_TRUE(got) << got.error().message();
    EXPECT_EQ(*got, file == path("plain") ? "as it is\n" : text);
  }
}

TEST_F(Gzip, RefusesWhatIsCutOrDamaged) {
  const std::string whole = bytes(pack("a.gz", noise(100000)));
  for (const std::size_t size : {whole.size() - 1, whole.size() - 8, whole.size() / 2, std::size_t{20}}) {
    const std::string file = write("cut.gz", whole.substr(0, size));
    EXPECT_EQ(error_of(file), file + ": gzip data is damaged or cut short") << size;
  }
  std::string damaged = whole;
  damaged[damaged.size() - 6] = static_cast<char>(damaged[damaged.size() - 6] ^ 1);  // in the checksum
  EXPECT_EQ(error_of(write("damaged.gz", damaged)), path("damaged.gz") + ": gzip data is damaged or cut short");
}

TEST_F(Gzip, BombsStopAtTheBound) {
  const std::string file = pack("bomb.gz", std::string(std::size_t{8} << 20, '0'));
  EXPECT_LT(fs::file_size(file), 10000U);
  EXPECT_EQ(error_of(file), file + ": unpacks to more than 1048576 bytes");
  EXPECT_EQ(error_of(file, std::size_t{8} << 20), "none");
}

TEST_F(Gzip, SaysWhatIsWrongWithThePath) {
  EXPECT_EQ(error_of(path("absent")), path("absent") + ": no such file");
  EXPECT_EQ(error_of(folder_.string()), folder_.string() + ": is a folder, not a file");
}

TEST_F(Gzip, ConversationsMayBePacked) {
  const std::string line = R"({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "x"})" "\n";
  for (const std::string& file : {pack("h.gz", line + line), write("h.jsonl", line + line)}) {
    const auto prompts = load_hh_rlhf(file);
    ASSERT_TRUE(prompts) << prompts.error().message();
    ASSERT_EQ(prompts->size(), 2U);
    EXPECT_EQ((*prompts)[1].id, (*prompts)[0].id + "-2");
  }
  const auto none = load_hh_rlhf(pack("none.gz", "\n"));
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().message(), path("none.gz") + ": no prompts in the file");
  EXPECT_EQ(none.error().hint, "expected JSONL with chosen and rejected");
}

}  // namespace
}  // namespace precept
