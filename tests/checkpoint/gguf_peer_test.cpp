// What we write, as @huggingface/gguf reads it (tests/peers/gguf).

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "precept/checkpoint/gguf_write.h"
#include "precept/core/io.h"

namespace precept {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

TEST(GgufPeer, ReadsWhatWeWrite) {
  const char* named = std::getenv("PRECEPT_SOURCE");
  const std::string peer = std::string(named != nullptr ? named : ".") + "/tests/peers/gguf";
  if (std::system("node --version >/dev/null 2>&1") != 0) GTEST_SKIP() << "node is not installed";
  if (!fs::exists(peer + "/node_modules/@huggingface/gguf")) GTEST_SKIP() << "the peer is not installed: npm ci in tests/peers/gguf";
  const std::string folder = testing::TempDir() + "precept_gguf_peer_" + std::to_string(::getpid());
  fs::create_directories(folder);

  GgufMetadata m;
  m.values = {{"general.architecture", std::string("llama")}, {"t.u8", std::uint8_t{200}}, {"t.i8", std::int8_t{-1}},
              {"t.u16", std::uint16_t{60000}}, {"t.i16", std::int16_t{-3}}, {"t.u32", std::uint32_t{4000000000U}},
              {"t.i32", std::int32_t{-7}}, {"t.f32", 0.5F}, {"t.yes", true}, {"t.no", false}, {"t.text", std::string("你好 \"quoted\"")},
              {"t.u64", std::uint64_t{18000000000000000000U}}, {"t.i64", std::int64_t{-9000000000000000000}}, {"t.f64", 0.1},
              {"t.texts", std::vector<std::string>{"", "Ġthe"}}, {"t.reals", std::vector<float>{0.5F, -2}},
              {"t.wholes", std::vector<std::int32_t>{1, -1}}, {"t.flags", std::vector<bool>{true, false}}};
  const std::vector<GgufPlan> plans = {{"w", GgmlType::kQ8_0, {3, 64}}, {"h", GgmlType::kF16, {2, 5}}, {"b", GgmlType::kBF16, {2, 3, 4}}, {"f", GgmlType::kF32, {7}}};
  const auto rows = [](std::size_t, std::int64_t, std::span<float> out) -> Status {
    std::fill(out.begin(), out.end(), 1.0F);
    return {};
  };
  ASSERT_TRUE(write_gguf(folder + "/m.gguf", m, plans, rows).has_value());
  const std::string command = "node " + peer + "/read.mjs " + folder + "/m.gguf >" + folder + "/out 2>" + folder + "/log";
  const int code = std::system(command.c_str());
  const std::string out = read_file(folder + "/out").value(), log = read_file(folder + "/log").value();
  fs::remove_all(folder);
  ASSERT_EQ(code, 0) << log;

  const json expected = {
      {"version", 3},
      {"metadata", {{"general.architecture", {"STRING", "llama"}}, {"t.u8", {"UINT8", "200"}}, {"t.i8", {"INT8", "-1"}},
                    {"t.u16", {"UINT16", "60000"}}, {"t.i16", {"INT16", "-3"}}, {"t.u32", {"UINT32", "4000000000"}},
                    {"t.i32", {"INT32", "-7"}}, {"t.f32", {"FLOAT32", "0.5"}}, {"t.yes", {"BOOL", true}}, {"t.no", {"BOOL", false}},
                    {"t.text", {"STRING", "你好 \"quoted\""}}, {"t.u64", {"UINT64", "18000000000000000000"}},
                    {"t.i64", {"INT64", "-9000000000000000000"}}, {"t.f64", {"FLOAT64", "0.1"}},
                    {"t.texts", {"ARRAY of STRING", json::array({"", "Ġthe"})}}, {"t.reals", {"ARRAY of FLOAT32", json::array({"0.5", "-2"})}},
                    {"t.wholes", {"ARRAY of INT32", json::array({"1", "-1"})}}, {"t.flags", {"ARRAY of BOOL", json::array({true, false})}}}},
      // 3 x 2 blocks of 34 bytes, 10 halves, 24 of BF16: each begins at the next multiple of 32
      {"tensors", json::array({json::array({"w", "Q8_0", {"64", "3"}, "0"}), json::array({"h", "F16", {"5", "2"}, "224"}),
                               json::array({"b", "BF16", {"4", "3", "2"}, "256"}), json::array({"f", "F32", json::array({"7"}), "320"})})}};
  EXPECT_EQ(json::parse(out), expected) << out;
}

}  // namespace
}  // namespace precept
