// GGUF files, right and wrong, byte by byte.

#include "precept/checkpoint/gguf.h"

#include <cmath>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "gguf_bytes.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using namespace testing_gguf;
using testing::HasSubstr;

std::string refusal(const std::string& bytes) {
  const auto parsed = Gguf::parse(bytes, "m.gguf");
  if (parsed) return "(accepted)";
  EXPECT_EQ(parsed.error().message().find('\n'), std::string::npos);
  EXPECT_EQ(parsed.error().file, "m.gguf");
  EXPECT_FALSE(parsed.error().hint.empty());
  return parsed.error().what + " | " + parsed.error().hint;
}

// Two tensors, metadata of several kinds; the last tensor ends with the file.
File small() {
  File file;
  file.entries = {entry("general.architecture", 8, text("llama")), entry("a.list", 9, u32(8) + u64(2) + text("x") + text("你好")),
                  entry("a.flag", 7, std::string(1, '\1'))};
  file.tensors = {tensor("w", {2, 3}, 0, 0), tensor("b", {4}, 1, 32)};
  file.data = raw(1.0F) + raw(-2.0F) + raw(0.5F) + raw(4.0F) + raw(8.0F) + raw(-0.25F) + std::string(8, '\0') +
              std::string("\x00\x3c\x00\xc0\x01\x00\x00\x7c", 8);
  return file;
}

TEST(GgufRead, TensorsAndMetadataAreWhatTheFileSays) {
  const std::string bytes = small().bytes();
  const auto file = Gguf::parse(bytes, "m");
  ASSERT_TRUE(file.has_value()) << file.error().message();
  EXPECT_EQ(file->version(), 3u);
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].name, "b");  // sorted
  const GgufTensor* w = file->find("w");
  ASSERT_NE(w, nullptr);
  EXPECT_EQ(w->shape, (std::vector<std::int64_t>{3, 2}));  // outermost first
  EXPECT_EQ(w->row(), 2);
  EXPECT_EQ(w->rows(), 3);
  std::vector<float> last(4);
  w->read(1, last);
  EXPECT_EQ(last, (std::vector<float>{0.5F, 4, 8, -0.25F}));
  std::vector<std::uint16_t> halves(2);
  w->read_bf16(0, halves);
  EXPECT_EQ(halves, (std::vector<std::uint16_t>{0x3F80, 0xC000}));
  std::vector<float> b(4);
  file->find("b")->read(0, b);
  EXPECT_EQ(b, (std::vector<float>{1, -2, std::ldexp(1.0F, -24), std::numeric_limits<float>::infinity()}));
  EXPECT_EQ(file->find("c"), nullptr);
  EXPECT_EQ(file->metadata().texts("a.list").value(), (std::vector<std::string>{"x", "你好"}));
}

TEST(GgufRead, CutShortAnywhereIsAnError) {
  const std::string bytes = small().bytes();
  ASSERT_EQ(refusal(bytes), "(accepted)");
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(refusal(bytes.substr(0, n)), "(accepted)") << n;
  EXPECT_EQ(refusal(bytes + std::string(24, '\0')), "(accepted)");  // padding behind the last tensor
  EXPECT_THAT(refusal(bytes + std::string(32, '\0')), HasSubstr("belong to no tensor"));
}

TEST(GgufRead, ChangedBytesNeverCrash) {
  const std::string bytes = small().bytes();
  Rng rng({7, 0, 0, 0});
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string changed = bytes;
    for (int i = 0; i < 2; ++i) changed[static_cast<std::size_t>(rng.below(changed.size()))] = static_cast<char>(rng.below(256));
    const auto parsed = Gguf::parse(changed, "m");
    if (!parsed) continue;
    ++accepted;
    for (const GgufTensor& tensor : parsed->tensors()) {
      ASSERT_GE(tensor.bytes.data(), changed.data());
      ASSERT_LE(tensor.bytes.data() + tensor.bytes.size(), changed.data() + changed.size());
      std::vector<float> row(static_cast<std::size_t>(tensor.row()));
      tensor.read(tensor.rows() - 1, row);
    }
  }
  EXPECT_GT(accepted, 100);
}

TEST(GgufRead, EveryTypeOfValue) {
  File file;
  const auto both = [&](const std::string& key, std::uint32_t type, const std::string& a, const std::string& b) {
    file.entries.push_back(entry(key, type, a));
    file.entries.push_back(entry(key + "s", 9, u32(type) + u64(2) + a + b));
  };
  both("u8", 0, raw(std::uint8_t{200}), raw(std::uint8_t{1}));
  both("i8", 1, raw(std::int8_t{-100}), raw(std::int8_t{1}));
  both("u16", 2, raw(std::uint16_t{60000}), raw(std::uint16_t{1}));
  both("i16", 3, raw(std::int16_t{-30000}), raw(std::int16_t{1}));
  both("u32", 4, raw(std::uint32_t{4000000000U}), raw(std::uint32_t{1}));
  both("i32", 5, raw(std::int32_t{-2000000000}), raw(std::int32_t{1}));
  both("f32", 6, raw(1.5F), raw(-0.25F));
  both("bool", 7, std::string(1, '\1'), std::string(1, '\0'));
  both("string", 8, text("ja"), text(""));
  both("u64", 10, raw(std::uint64_t{18000000000000000000U}), raw(std::uint64_t{1}));
  both("i64", 11, raw(std::int64_t{-9000000000000000000}), raw(std::int64_t{1}));
  both("f64", 12, raw(0.1), raw(-0.1));
  file.entries.push_back(entry("empty", 9, u32(8) + u64(0)));
  const std::string bytes = file.bytes();
  const auto parsed = Gguf::parse(bytes, "m");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  const GgufMetadata& m = parsed->metadata();
  EXPECT_EQ(m.values.size(), 25u);
  EXPECT_EQ(*m.get_if<std::uint8_t>("u8"), 200);
  EXPECT_EQ(*m.get_if<std::vector<std::int8_t>>("i8s"), (std::vector<std::int8_t>{-100, 1}));
  EXPECT_EQ(*m.get_if<std::vector<std::uint16_t>>("u16s"), (std::vector<std::uint16_t>{60000, 1}));
  EXPECT_EQ(*m.get_if<std::vector<bool>>("bools"), (std::vector<bool>{true, false}));
  EXPECT_EQ(*m.get_if<std::vector<double>>("f64s"), (std::vector<double>{0.1, -0.1}));
  EXPECT_EQ(m.texts("strings").value(), (std::vector<std::string>{"ja", ""}));
  EXPECT_TRUE(m.texts("empty").value().empty());
  for (const auto& [key, value] : m.values) {
    if (key == "empty") continue;
    EXPECT_EQ(gguf_type_name(value), key.back() == 's' ? "list of " + key.substr(0, key.size() - 1) : key);
  }
  EXPECT_EQ(m.integer("i16", -40000, 0).value(), -30000);
  EXPECT_EQ(m.integer("u32", 0, 5000000000).value(), 4000000000);
  EXPECT_FALSE(m.integer("u64", 0, std::numeric_limits<std::int64_t>::max()).has_value());
  EXPECT_EQ(m.integer("i64", std::numeric_limits<std::int64_t>::min(), 0).value(), -9000000000000000000);
  EXPECT_EQ(m.real("f32").value(), 1.5);
  EXPECT_EQ(m.real("u16").value(), 60000.0);
  EXPECT_TRUE(m.flag("bool").value());
  EXPECT_EQ(m.integers("i32s", -2000000000, 1).value(), (std::vector<std::int64_t>{-2000000000, 1}));
  EXPECT_EQ(m.reals("f64s").value(), (std::vector<float>{0.1F, -0.1F}));
  // The wrong kind, out of range, absent: by name.
  EXPECT_THAT(m.integer("f32", 0, 9).error().what, HasSubstr("\"f32\" (f32) is not a whole number within 0 and 9"));
  EXPECT_THAT(m.integer("bool", 0, 9).error().what, HasSubstr("(bool)"));
  EXPECT_THAT(m.integer("u8", 0, 9).error().what, HasSubstr("within 0 and 9"));
  EXPECT_THAT(m.flag("u8").error().what, HasSubstr("not a truth value"));
  EXPECT_THAT(m.text("strings").error().what, HasSubstr("(list of string) is not a text"));
  EXPECT_THAT(m.integers("f32s", 0, 9).error().what, HasSubstr("not a list of whole numbers"));
  EXPECT_THAT(m.integers("u8s", 0, 9).error().what, HasSubstr("within 0 and 9"));
  EXPECT_THAT(m.real("nothing").error().what, HasSubstr("no \"nothing\""));
}

std::string with_entry(const std::string& e) {
  File file;
  file.entries = {e};
  return refusal(file.bytes());
}

TEST(GgufRead, RefusesMetadataThatLies) {
  EXPECT_EQ(with_entry(entry("k", 0, "x")), "(accepted)");
  EXPECT_THAT(with_entry(entry("", 10, u64(1))), HasSubstr("key is empty"));
  EXPECT_THAT(with_entry(entry("\xff", 0, "x")), HasSubstr("not UTF-8"));
  EXPECT_THAT(with_entry(entry("k", 8, text("\xc3"))), HasSubstr("\"k\" is not UTF-8"));
  EXPECT_THAT(with_entry(entry("k", 9, u32(8) + u64(1) + text("\xed\xa0\x80"))), HasSubstr("not UTF-8"));
  EXPECT_THAT(with_entry(entry("k", 7, "\2")), HasSubstr("truth value of 2"));
  EXPECT_THAT(with_entry(entry("k", 13, "xxxx")), HasSubstr("unknown type 13"));
  EXPECT_THAT(with_entry(entry("k", 9, u32(13) + u64(0))), HasSubstr("unknown type 13"));
  EXPECT_THAT(with_entry(entry("k", 9, u32(9) + u64(0))), HasSubstr("list of lists"));
  EXPECT_THAT(with_entry(entry("k", 8, u64(std::numeric_limits<std::uint64_t>::max()))), HasSubstr("claims 18446744073709551615 bytes"));
  for (const std::uint32_t type : {0U, 2U, 4U, 7U, 8U, 12U}) {
    for (const std::uint64_t count : {std::uint64_t{5000}, std::uint64_t{1} << 61, std::numeric_limits<std::uint64_t>::max()}) {
      EXPECT_THAT(with_entry(entry("k", 9, u32(type) + u64(count) + std::string(64, '\0'))), HasSubstr("claims " + std::to_string(count)));
    }
  }
  File twice;
  twice.entries = {entry("k", 0, "x"), entry("k", 0, "y")};
  EXPECT_THAT(refusal(twice.bytes()), HasSubstr("stands twice"));
}

TEST(GgufRead, RefusesHeadersThatLie) {
  File file = small();
  file.magic = "GGML";
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("does not begin with"));
  for (const std::uint32_t version : {0U, 1U, 4U}) {
    file = small();
    file.version = version;
    EXPECT_THAT(refusal(file.bytes()), HasSubstr("is GGUF version " + std::to_string(version)));
  }
  file.version = 2;
  EXPECT_EQ(refusal(file.bytes()), "(accepted)");
  file.version = 0x03000000;
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("big-endian"));
  file = small();
  for (const std::int64_t count : {std::int64_t{100}, std::int64_t{1} << 40, std::numeric_limits<std::int64_t>::max()}) {
    file.claimed_tensors = count;
    EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims " + std::to_string(count) + " tensors"));
    file.claimed_tensors = -1;
    file.claimed_entries = count;
    EXPECT_THAT(refusal(file.bytes()), HasSubstr("claims " + std::to_string(count) + " metadata entries"));
    file.claimed_entries = -1;
  }
  for (const std::uint32_t alignment : {0U, 3U, 48U, 1U << 21}) {
    file = small();
    file.entries.push_back(entry("general.alignment", 4, u32(alignment)));
    EXPECT_THAT(refusal(file.bytes()), HasSubstr("general.alignment")) << alignment;
  }
  file = small();
  file.entries.push_back(entry("general.alignment", 8, text("32")));
  EXPECT_THAT(refusal(file.bytes()), HasSubstr("general.alignment"));
}

TEST(GgufRead, TheAlignmentIsTheFiles) {
  for (const std::uint32_t alignment : {1U, 8U, 64U, 4096U}) {
    File file;
    file.alignment = alignment;
    file.entries = {entry("general.alignment", 4, u32(alignment))};
    file.tensors = {tensor("a", {2}, 0, 0), tensor("b", {2}, 0, alignment < 8 ? 8 : alignment)};
    file.data = raw(1.0F) + raw(2.0F) + std::string(alignment < 8 ? 0 : alignment - 8, '\0') + raw(3.0F) + raw(4.0F);
    const std::string bytes = file.bytes();
    const auto parsed = Gguf::parse(bytes, "m");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    std::vector<float> b(2);
    parsed->find("b")->read(0, b);
    EXPECT_EQ(b, (std::vector<float>{3, 4})) << alignment;
  }
}

std::string with_tensors(const std::vector<std::string>& tensors, std::size_t data = 64) {
  File file;
  file.tensors = tensors;
  file.data = std::string(data, '\0');
  return refusal(file.bytes());
}

TEST(GgufRead, RefusesTensorsThatLie) {
  constexpr std::uint64_t kHuge = std::uint64_t{1} << 62;
  EXPECT_EQ(with_tensors({tensor("a", {8}, 0, 0), tensor("b", {1, 1, 1, 8}, 0, 32)}), "(accepted)");
  EXPECT_EQ(with_tensors({tensor("b", {8}, 0, 32), tensor("a", {8}, 0, 0)}), "(accepted)");
  EXPECT_THAT(with_tensors({tensor("a", {16}, 0, 0), tensor("b", {8}, 0, 32)}), HasSubstr("\"b\" overlaps"));
  EXPECT_THAT(with_tensors({tensor("a", {8}, 0, 0), tensor("b", {8}, 0, 0)}, 32), HasSubstr("\"b\" overlaps"));
  EXPECT_THAT(with_tensors({tensor("a", {8}, 0, 0), tensor("b", {6}, 0, 40)}), HasSubstr("begins at 40, no multiple of 32"));
  EXPECT_THAT(with_tensors({tensor("a", {8}, 0, 32)}), HasSubstr("leaves a gap"));
  EXPECT_THAT(with_tensors({tensor("a", {8}, 0, 0)}), HasSubstr("belong to no tensor"));
  EXPECT_THAT(with_tensors({tensor("a", {17}, 0, 0)}), HasSubstr("ends behind"));
  EXPECT_THAT(with_tensors({tensor("a", {16}, 0, kHuge)}), HasSubstr("gap"));
  EXPECT_THAT(with_tensors({tensor("a", {16}, 0, 0), tensor("b", {1}, 0, 64)}), HasSubstr("ends behind"));
  EXPECT_THAT(with_tensors({tensor("a", {8}, 0, 0), tensor("a", {8}, 0, 32)}), HasSubstr("stands twice"));
  EXPECT_THAT(with_tensors({tensor("", {16}, 0, 0)}), HasSubstr("no name"));
  EXPECT_THAT(with_tensors({tensor("\xff", {16}, 0, 0)}), HasSubstr("not UTF-8"));
  EXPECT_THAT(with_tensors({tensor("a", {}, 0, 0) + std::string(8, '\0')}), HasSubstr("0 dimensions"));
  EXPECT_THAT(with_tensors({tensor("a", {1, 1, 1, 1, 16}, 0, 0)}), HasSubstr("5 dimensions"));
  EXPECT_THAT(with_tensors({text("a") + u32(4000000000U) + std::string(64, '\0')}), HasSubstr("4000000000 dimensions"));
  EXPECT_THAT(with_tensors({tensor("a", {0}, 0, 0)}), HasSubstr("no positive count"));
  EXPECT_THAT(with_tensors({tensor("a", {std::numeric_limits<std::uint64_t>::max()}, 0, 0)}), HasSubstr("no positive count"));
  EXPECT_THAT(with_tensors({tensor("a", {kHuge}, 0, 0)}), HasSubstr("2^63"));
  EXPECT_THAT(with_tensors({tensor("a", {1U << 31, 1U << 31, 4}, 0, 0)}), HasSubstr("2^63"));
  EXPECT_THAT(with_tensors({tensor("a", {1U << 31, 1U << 31, 1U << 31, 1U << 31}, 8, 0)}), HasSubstr("2^63"));
  EXPECT_THAT(with_tensors({tensor("a", {33}, 8, 0)}), HasSubstr("rows of 33 elements, which are not whole blocks of 32"));
  EXPECT_THAT(with_tensors({tensor("a", {32, 8}, 12, 0)}), HasSubstr("whole blocks of 256"));
}

TEST(GgufRead, TypesThatAreNotSupportedAreNamed) {
  EXPECT_THAT(with_tensors({tensor("a", {256}, 10, 0)}), HasSubstr("\"a\" is Q2_K, which is not supported | supported: F32, F16, BF16, Q8_0"));
  EXPECT_THAT(with_tensors({tensor("a", {256}, 20, 0)}), HasSubstr("IQ4_NL"));
  EXPECT_THAT(with_tensors({tensor("a", {256}, 39, 0)}), HasSubstr("MXFP4"));
  EXPECT_THAT(with_tensors({tensor("a", {256}, 4, 0)}), HasSubstr("type 4,"));
  EXPECT_THAT(with_tensors({tensor("a", {256}, 4000000000U, 0)}), HasSubstr("type 4000000000"));
}

TEST(GgufRead, FilesOnDisk) {
  const std::string path = testing::TempDir() + "precept_gguf_" + std::to_string(::getpid());
  EXPECT_FALSE(Gguf::open(path).has_value());
  EXPECT_FALSE(Gguf::open(testing::TempDir()).has_value());
  ASSERT_TRUE(write_file(path, "").has_value());
  EXPECT_THAT(Gguf::open(path).error().what, HasSubstr("too short"));
  ASSERT_TRUE(write_file(path, small().bytes()).has_value());
  auto file = Gguf::open(path);
  ASSERT_TRUE(file.has_value()) << file.error().message();
  const Gguf copy = *file;
  file = failed("gone");
  std::filesystem::remove(path);
  std::vector<float> row(2);  // views live as long as a copy
  copy.find("w")->read(0, row);
  EXPECT_EQ(row, (std::vector<float>{1, -2}));
}

}  // namespace
}  // namespace precept
