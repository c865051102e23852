#include "precept/checkpoint/gguf_write.h"

#include <cmath>
#include <cstring>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "gguf_bytes.h"
#include "precept/checkpoint/gguf.h"
#include "precept/checkpoint/half.h"
#include "precept/core/io.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using testing::HasSubstr;

class GgufWrite : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = testing::TempDir() + "precept_gguf_write_" + std::to_string(::getpid());
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string at(const std::string& name) const { return folder_ + "/" + name; }
  std::string folder_;
};

GgufMetadata every_type() {
  GgufMetadata m;
  m.values = {{"u8", std::uint8_t{200}}, {"i8", std::int8_t{-1}}, {"u16", std::uint16_t{60000}}, {"i16", std::int16_t{-3}},
              {"u32", std::uint32_t{4000000000U}}, {"i32", std::int32_t{-7}}, {"f32", 0.1F}, {"bool", true}, {"string", std::string("你好")},
              {"u64", std::uint64_t{1} << 63}, {"i64", std::int64_t{-5}}, {"f64", 0.1},
              {"lu8", std::vector<std::uint8_t>{1, 255}}, {"li8", std::vector<std::int8_t>{-1}}, {"lu16", std::vector<std::uint16_t>{}},
              {"li16", std::vector<std::int16_t>{-300, 5}}, {"lu32", std::vector<std::uint32_t>{7}}, {"li32", std::vector<std::int32_t>{-7}},
              {"lf32", std::vector<float>{0.5F, -0.1F}}, {"lbool", std::vector<bool>{true, false, true}},
              {"lstring", std::vector<std::string>{"", "a", "Ġthe"}}, {"lu64", std::vector<std::uint64_t>{~std::uint64_t{0}}},
              {"li64", std::vector<std::int64_t>{-1}}, {"lf64", std::vector<double>{0.1}}};
  return m;
}

// Numbers that depend on tensor and place: multiples of 1/8 up to 16, which F16 and BF16 hold.
float number(std::size_t index, std::int64_t element) {
  return static_cast<float>((element * 37 + static_cast<std::int64_t>(index) * 11) % 255 - 127) / 8.0F;
}
GgufRows numbers(const std::vector<GgufPlan>& plans) {
  return [&plans](std::size_t index, std::int64_t first, std::span<float> out) -> Status {
    const std::int64_t row = plans[index].shape.back();
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = number(index, first * row + static_cast<std::int64_t>(i));
    return {};
  };
}

TEST_F(GgufWrite, WhatIsWrittenIsRead) {
  const std::vector<GgufPlan> plans = {{"z", GgmlType::kF32, {5, 3}}, {"f16", GgmlType::kF16, {2, 3, 7}}, {"bf16", GgmlType::kBF16, {9}},
                                       {"q", GgmlType::kQ8_0, {4, 64}}, {"one", GgmlType::kF32, {1}}, {"deep", GgmlType::kF16, {2, 2, 2, 2}},
                                       {"long", GgmlType::kBF16, {3, 700000}}};  // more than one chunk
  const GgufMetadata metadata = every_type();
  const auto written = write_gguf(at("m"), metadata, plans, numbers(plans));
  ASSERT_TRUE(written.has_value()) << written.error().message();
  const auto file = Gguf::open(at("m"));
  ASSERT_TRUE(file.has_value()) << file.error().message();
  EXPECT_EQ(file->version(), 3u);
  EXPECT_EQ(file->metadata().values, metadata.values);
  ASSERT_EQ(file->tensors().size(), plans.size());
  for (std::size_t p = 0; p < plans.size(); ++p) {
    const GgufTensor* tensor = file->find(plans[p].name);
    ASSERT_NE(tensor, nullptr);
    EXPECT_EQ(tensor->shape, plans[p].shape);
    EXPECT_EQ(tensor->type, plans[p].type);
    std::vector<float> all(static_cast<std::size_t>(tensor->row() * tensor->rows()));
    tensor->read(0, all);
    for (std::size_t i = 0; i < all.size(); ++i) {
      const float given = number(p, static_cast<std::int64_t>(i));
      if (plans[p].type == GgmlType::kQ8_0) {
        ASSERT_NEAR(all[i], given, 16.0 / 127 / 2 + 16.0 / 1024);
      } else {
        ASSERT_EQ(all[i], given) << plans[p].name << " " << i;
      }
    }
  }
}

TEST_F(GgufWrite, TheBytesAreThoseOfTheFormat) {
  using namespace testing_gguf;
  GgufMetadata m;
  m.values = {{"b", true}, {"a", std::vector<std::string>{"x"}}};
  const std::vector<GgufPlan> plans = {{"w", GgmlType::kF32, {1, 2}}, {"v", GgmlType::kF16, {1}}};
  const auto rows = [](std::size_t index, std::int64_t, std::span<float> out) -> Status {
    for (float& value : out) value = index == 0 ? 1.0F : -2.0F;
    return {};
  };
  ASSERT_TRUE(write_gguf(at("m"), m, plans, rows).has_value());
  File file;
  file.entries = {entry("a", 9, u32(8) + u64(1) + text("x")), entry("b", 7, std::string(1, '\1'))};
  file.tensors = {tensor("w", {2, 1}, 0, 0), tensor("v", {1}, 1, 32)};
  file.data = raw(1.0F) + raw(1.0F) + std::string(24, '\0') + std::string("\x00\xc0", 2) + std::string(30, '\0');
  EXPECT_EQ(read_file(at("m")).value(), file.bytes());
}

TEST_F(GgufWrite, TheSameInputGivesTheSameBytesAndNothingElse) {
  const std::vector<GgufPlan> plans = {{"a", GgmlType::kQ8_0, {3, 32}}, {"b", GgmlType::kF16, {4}}};
  ASSERT_TRUE(write_gguf(at("1"), every_type(), plans, numbers(plans)).has_value());
  ASSERT_TRUE(write_gguf(at("2"), every_type(), plans, numbers(plans)).has_value());
  EXPECT_EQ(read_file(at("1")).value(), read_file(at("2")).value());
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 2);
}

TEST_F(GgufWrite, RowsAreAskedForOnceInOrderAndInSmallParts) {
  const std::vector<GgufPlan> plans = {{"a", GgmlType::kF32, {3000, 1000}}, {"b", GgmlType::kF32, {2}}};
  std::size_t last = 0;
  std::int64_t next = 0, calls = 0;
  const auto rows = [&](std::size_t index, std::int64_t first, std::span<float> out) -> Status {
    if (index != last) next = 0;
    last = index;
    EXPECT_EQ(first, next);
    EXPECT_LE(out.size(), std::size_t{1} << 20);
    next += static_cast<std::int64_t>(out.size()) / plans[index].shape.back();
    ++calls;
    std::fill(out.begin(), out.end(), 1.0F);
    return {};
  };
  ASSERT_TRUE(write_gguf(at("m"), {}, plans, rows).has_value());
  EXPECT_EQ(calls, 4);
}

TEST_F(GgufWrite, TheAlignmentIsKept) {
  GgufMetadata m;
  m.values = {{"general.alignment", std::uint32_t{128}}};
  const std::vector<GgufPlan> plans = {{"a", GgmlType::kF32, {3}}, {"b", GgmlType::kF32, {3}}};
  ASSERT_TRUE(write_gguf(at("m"), m, plans, numbers(plans)).has_value());
  const std::string bytes = read_file(at("m")).value();
  EXPECT_EQ(bytes.size() % 128, 0u);
  const auto file = Gguf::parse(bytes, "m");
  ASSERT_TRUE(file.has_value()) << file.error().message();
  EXPECT_EQ(file->find("b")->bytes.data() - file->find("a")->bytes.data(), 128);
}

TEST_F(GgufWrite, RefusesNonsenseAndLeavesNothing) {
  const auto refusal = [&](const GgufMetadata& metadata, const std::vector<GgufPlan>& plans) {
    const auto done = write_gguf(at("m"), metadata, plans, numbers(plans));
    return done ? std::string("(accepted)") : done.error().what;
  };
  EXPECT_EQ(refusal({}, {}), "(accepted)");
  std::filesystem::remove(at("m"));
  EXPECT_THAT(refusal({}, {{"", GgmlType::kF32, {1}}}), HasSubstr("name"));
  EXPECT_THAT(refusal({}, {{std::string(64, 'x'), GgmlType::kF32, {1}}}), HasSubstr("name"));
  EXPECT_THAT(refusal({}, {{"\xff", GgmlType::kF32, {1}}}), HasSubstr("name"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {1}}, {"a", GgmlType::kF32, {1}}}), HasSubstr("two tensors"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kQ4K, {256}}}), HasSubstr("cannot be written as Q4_K"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kQ8_0, {4, 33}}}), HasSubstr("whole blocks of 32"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {}}}), HasSubstr("1 to 4"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {1, 1, 1, 1, 1}}}), HasSubstr("1 to 4"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {0}}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {-1}}}), HasSubstr("shape"));
  EXPECT_THAT(refusal({}, {{"a", GgmlType::kF32, {std::int64_t{1} << 40, std::int64_t{1} << 40}}}), HasSubstr("shape"));
  GgufMetadata m;
  m.values = {{"k", std::string("\xff")}};
  EXPECT_THAT(refusal(m, {}), HasSubstr("\"k\" is not UTF-8"));
  m.values = {{"k", std::vector<std::string>{"a", "\xff"}}};
  EXPECT_THAT(refusal(m, {}), HasSubstr("not UTF-8"));
  m.values = {{"", true}};
  EXPECT_THAT(refusal(m, {}), HasSubstr("no key"));
  for (const std::uint32_t alignment : {0U, 24U}) {
    m.values = {{"general.alignment", alignment}};
    EXPECT_THAT(refusal(m, {}), HasSubstr("alignment"));
  }
  const std::vector<GgufPlan> plan = {{"a", GgmlType::kF16, {2, 2}}};
  const auto large = [](std::size_t, std::int64_t, std::span<float> out) -> Status {
    std::fill(out.begin(), out.end(), 1e6F);
    return {};
  };
  EXPECT_THAT(write_gguf(at("m"), {}, plan, large).error().what, HasSubstr("\"a\": F16 does not hold"));
  const auto fails = [](std::size_t, std::int64_t, std::span<float>) -> Status { return failed("no such row"); };
  EXPECT_EQ(write_gguf(at("m"), {}, plan, fails).error().what, "no such row");
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
  EXPECT_THAT(write_gguf(at("no/folder"), {}, plan, numbers(plan)).error().what, HasSubstr("cannot write"));
}

}  // namespace
}  // namespace precept
