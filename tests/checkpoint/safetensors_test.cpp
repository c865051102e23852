#include "precept/checkpoint/safetensors.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "precept/core/io.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using testing::HasSubstr;

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>((header.size() >> (8 * i)) & 0xFF);
  return bytes + header + data;
}

std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& span) {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" + span + "]}";
}

std::string refusal(const std::string& bytes) {
  const auto parsed = Safetensors::parse(bytes, "m.safetensors");
  if (parsed) return "(accepted)";
  EXPECT_EQ(parsed.error().message().find('\n'), std::string::npos);
  EXPECT_FALSE(parsed.error().hint.empty());
  return parsed.error().message();
}

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "precept_checkpoint_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

const std::string kFloats("\0\0\x80\x3f\0\0\0\xc0", 8);  // 1, -2
std::vector<TensorView> two_tensors() {
  return {{"z.weight", Dtype::kF32, {2, 1}, kFloats}, {"a.weight", Dtype::kBF16, {3}, std::string_view(kFloats).substr(0, 6)}};
}

TEST_F(Folder, WhatIsWrittenIsRead) {
  ASSERT_TRUE(write_safetensors(at("m.safetensors"), two_tensors(), {{"format", "pt"}}).has_value());
  const auto file = Safetensors::open(at("m.safetensors"));
  ASSERT_TRUE(file.has_value()) << file.error().message();
  ASSERT_EQ(file->tensors().size(), 2u);
  EXPECT_EQ(file->tensors()[0].name, "a.weight");
  const TensorView* z = file->find("z.weight");
  ASSERT_NE(z, nullptr);
  EXPECT_EQ(z->shape, (std::vector<std::int64_t>{2, 1}));
  EXPECT_EQ(z->bytes, kFloats);
  EXPECT_EQ(to_floats(*z).value(), (std::vector<float>{1, -2}));
  EXPECT_EQ(file->find("b"), nullptr);
  EXPECT_EQ(file->metadata().at("format"), "pt");
}

TEST_F(Folder, TheSameInputGivesTheSameBytes) {
  auto tensors = two_tensors();
  ASSERT_TRUE(write_safetensors(at("1"), tensors).has_value());
  std::swap(tensors[0], tensors[1]);
  ASSERT_TRUE(write_safetensors(at("2"), tensors).has_value());
  EXPECT_EQ(read_file(at("1")).value(), read_file(at("2")).value());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);  // nothing temporary is left
}

TEST_F(Folder, RefusesToWriteNonsense) {
  EXPECT_FALSE(write_safetensors(at("m"), {{"a", Dtype::kF32, {3}, kFloats}}).has_value());
  EXPECT_FALSE(write_safetensors(at("m"), {{"a", Dtype::kF32, {2}, kFloats}, {"a", Dtype::kF32, {2}, kFloats}}).has_value());
  EXPECT_FALSE(write_safetensors(at("m"), {{"\xff", Dtype::kF32, {2}, kFloats}}).has_value());
  EXPECT_FALSE(write_safetensors(at("no/such/folder"), two_tensors()).has_value());
  EXPECT_FALSE(std::filesystem::exists(at("m")));
}

TEST_F(Folder, MissingAndEmptyFilesAreErrors) {
  EXPECT_FALSE(Safetensors::open(at("absent")).has_value());
  EXPECT_FALSE(Safetensors::open(folder_).has_value());
  ASSERT_TRUE(write_file(at("empty"), "").has_value());
  EXPECT_FALSE(Safetensors::open(at("empty")).has_value());
  EXPECT_FALSE(open_checkpoint_tensors(folder_).has_value());
}

TEST_F(Folder, CutShortAnywhereIsAnError) {
  ASSERT_TRUE(write_safetensors(at("m"), two_tensors()).has_value());
  const std::string bytes = read_file(at("m")).value();
  for (std::size_t n = 0; n < bytes.size(); ++n) EXPECT_NE(refusal(bytes.substr(0, n)), "(accepted)") << n;
  EXPECT_THAT(refusal(bytes + "x"), HasSubstr("belong to no tensor"));
}

TEST_F(Folder, ChangedBytesNeverCrash) {
  ASSERT_TRUE(write_safetensors(at("m"), two_tensors()).has_value());
  const std::string bytes = read_file(at("m")).value();
  Rng rng({5, 0, 0, 0});
  for (int round = 0; round < 5000; ++round) {
    std::string changed = bytes;
    for (int i = 0; i < 3; ++i) changed[static_cast<std::size_t>(rng.below(changed.size()))] = static_cast<char>(rng.below(256));
    const auto parsed = Safetensors::parse(changed, "m");
    if (!parsed) continue;
    for (const TensorView& tensor : parsed->tensors()) {
      EXPECT_GE(tensor.bytes.data(), changed.data());
      EXPECT_LE(tensor.bytes.data() + tensor.bytes.size(), changed.data() + changed.size());
    }
  }
}

TEST(Header, RefusesWhatLies) {
  const std::string d8(8, 'x');
  EXPECT_EQ(refusal(file_of("{}", "")), "(accepted)");
  EXPECT_EQ(refusal(file_of("{" + entry("a", "F32", "2", "0,8") + "}", d8)), "(accepted)");
  EXPECT_EQ(refusal(file_of("{" + entry("a", "F64", "", "0,8") + "," + entry("b", "F32", "0,9223372036854775807", "8,8") + "}", d8)), "(accepted)");
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "3", "0,8") + "}", d8)), HasSubstr("shape"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "2", "0,16") + "}", d8)), HasSubstr("ends at byte 16 of 8"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "2", "8,0") + "}", d8)), HasSubstr("data_offsets"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "1", "4,8") + "}", d8)), HasSubstr("gap"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "1", "0,4") + "}", d8)), HasSubstr("no tensor"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "2", "0,8") + "," + entry("b", "F32", "1", "4,8") + "}", d8)), HasSubstr("overlaps"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "2", "0,8") + "," + entry("a", "F32", "2", "0,8") + "}", d8)), HasSubstr("twice"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F8", "8", "0,8") + "}", d8)), HasSubstr("F8"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "-2", "0,8") + "}", d8)), HasSubstr("no count"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "2.0", "0,8") + "}", d8)), HasSubstr("no count"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "4611686018427387906,2", "0,8") + "}", d8)), HasSubstr("shape"));
  EXPECT_THAT(refusal(file_of("{" + entry("a", "F32", "18446744073709551615", "0,8") + "}", d8)), HasSubstr("no count"));
  EXPECT_THAT(refusal(file_of("{\"a\":3}", "")), HasSubstr("exactly"));
  EXPECT_THAT(refusal(file_of("{\"__metadata__\":{\"x\":3}}", "")), HasSubstr("metadata"));
  EXPECT_THAT(refusal(file_of("[]", "")), HasSubstr("not a JSON object"));
  EXPECT_THAT(refusal(file_of(std::string(1000000, '['), "")), HasSubstr("nested"));
  EXPECT_THAT(refusal(file_of("{\"a\":1e999}", "")), HasSubstr("JSON"));
  EXPECT_THAT(refusal(std::string(8, '\xff') + "{}"), HasSubstr("claims"));
}

TEST_F(Folder, ShardsAreReadAsOneCheckpoint) {
  const auto tensors = two_tensors();
  ASSERT_TRUE(write_file(at("config.json"), "{}").has_value());
  ASSERT_TRUE(write_safetensors(at("model.safetensors"), tensors).has_value());
  const auto digest = checkpoint_digest(folder_);
  ASSERT_TRUE(digest.has_value());
  std::filesystem::remove(at("model.safetensors"));
  ASSERT_TRUE(write_safetensors(at("s1.safetensors"), {tensors[0]}).has_value());
  ASSERT_TRUE(write_safetensors(at("s2.safetensors"), {tensors[1]}).has_value());
  const auto index = [&](const std::string& a, const std::string& z) {
    EXPECT_TRUE(write_file(at("model.safetensors.index.json"),
                           R"({"weight_map": {"a.weight": ")" + a + R"(", "z.weight": ")" + z + "\"}}").has_value());
    return open_checkpoint_tensors(folder_);
  };
  const auto all = index("s2.safetensors", "s1.safetensors");
  ASSERT_TRUE(all.has_value()) << all.error().message();
  EXPECT_EQ(all->tensors.size(), 2u);
  EXPECT_NE(all->find("z.weight"), nullptr);
  EXPECT_EQ(checkpoint_digest(folder_).value(), digest.value());
  EXPECT_FALSE(index("s1.safetensors", "s1.safetensors").has_value());
  EXPECT_FALSE(index("../s2.safetensors", "s1.safetensors").has_value());
  EXPECT_FALSE(index("s3.safetensors", "s1.safetensors").has_value());
}

TEST_F(Folder, TheDigestSeesEveryChange) {
  const auto digest = [&](const std::string& config, const TensorView& tensor) {
    EXPECT_TRUE(write_file(at("config.json"), config).has_value());
    EXPECT_TRUE(write_safetensors(at("model.safetensors"), {tensor}).has_value());
    return checkpoint_digest(folder_).value();
  };
  const std::string other("\0\0\x80\x3f\0\0\0\xc1", 8);
  const std::string base = digest("{}", {"a", Dtype::kF32, {2}, kFloats});
  EXPECT_EQ(digest("{}", {"a", Dtype::kF32, {2}, kFloats}), base);
  EXPECT_NE(digest("{ }", {"a", Dtype::kF32, {2}, kFloats}), base);
  EXPECT_NE(digest("{}", {"b", Dtype::kF32, {2}, kFloats}), base);
  EXPECT_NE(digest("{}", {"a", Dtype::kF32, {1, 2}, kFloats}), base);
  EXPECT_NE(digest("{}", {"a", Dtype::kI32, {2}, kFloats}), base);
  EXPECT_NE(digest("{}", {"a", Dtype::kF32, {2}, other}), base);
}

TEST(Floats, Bf16RoundsToNearestEven) {
  const auto bits = [](float value) {
    const std::string bytes = to_bf16_bytes({value});
    return static_cast<int>(static_cast<unsigned char>(bytes[0]) | (static_cast<unsigned char>(bytes[1]) << 8));
  };
  EXPECT_EQ(bits(1.0f), 0x3F80);
  EXPECT_EQ(bits(std::bit_cast<float>(0x3F808000U)), 0x3F80);  // a tie: down to even
  EXPECT_EQ(bits(std::bit_cast<float>(0x3F818000U)), 0x3F82);  // a tie: up to even
  EXPECT_EQ(bits(std::bit_cast<float>(0x3F808001U)), 0x3F81);
  EXPECT_EQ(bits(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(bits(-0.0f), 0x8000);
  EXPECT_TRUE((bits(std::bit_cast<float>(0x7F800001U)) & 0x7F) != 0);  // NaN stays NaN
}

TEST(Floats, HalfPrecisionOfEveryKind) {
  const std::string bytes("\x00\x3c\x00\xc0\x01\x00\xff\x7b\x00\x7c\x00\xfe\x00\x80", 14);
  const auto values = to_floats({"h", Dtype::kF16, {7}, bytes});
  ASSERT_TRUE(values.has_value());
  EXPECT_EQ((*values)[0], 1.0f);
  EXPECT_EQ((*values)[1], -2.0f);
  EXPECT_EQ((*values)[2], std::ldexp(1.0f, -24));
  EXPECT_EQ((*values)[3], 65504.0f);
  EXPECT_EQ((*values)[4], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan((*values)[5]));
  EXPECT_TRUE(std::signbit((*values)[6]));
  EXPECT_FALSE(to_floats({"i", Dtype::kI64, {1}, kFloats}).has_value());
}

// All 65,536 halves against what the format says they are, and whether they are finite.
TEST(Floats, EveryHalf) {
  for (std::uint32_t i = 0; i < 65536; ++i) {
    const std::string bytes = {static_cast<char>(i & 0xFF), static_cast<char>(i >> 8)};
    const int exponent = static_cast<int>(i >> 10 & 0x1F), fraction = static_cast<int>(i & 0x3FF);
    float value = 0;
    widen(Dtype::kF16, bytes.data(), 1, &value);
    ASSERT_EQ(all_finite(Dtype::kF16, bytes), exponent != 31) << i;
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(value), fraction != 0) << i;
      continue;
    }
    const double size = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    ASSERT_EQ(value, static_cast<float>(i >> 15 != 0 ? -size : size)) << i;
  }
  EXPECT_FALSE(all_finite(Dtype::kBF16, std::string_view("\0\0\x80\x7f", 4)));
  EXPECT_TRUE(all_finite(Dtype::kBF16, std::string_view("\0\0\x7f\x7f", 4)));
  EXPECT_FALSE(all_finite(Dtype::kF32, std::string_view("\0\0\x80\xff", 4)));
}

TEST(Floats, Bf16ComesBack) {
  std::string every(2 * 65536, '\0');
  for (std::size_t i = 0; i < 65536; ++i) {
    every[2 * i] = static_cast<char>(i & 0xFF);
    every[2 * i + 1] = static_cast<char>(i >> 8);
  }
  const auto values = to_floats({"b", Dtype::kBF16, {65536}, every});
  ASSERT_TRUE(values.has_value());
  const std::string again = to_bf16_bytes(*values);
  for (std::size_t i = 0; i < 65536; ++i) {
    if (std::isnan((*values)[i])) continue;
    ASSERT_EQ(again.substr(2 * i, 2), every.substr(2 * i, 2)) << i;
  }
}

}  // namespace
}  // namespace precept
