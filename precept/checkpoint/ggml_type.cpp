#include "precept/checkpoint/ggml_type.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "precept/checkpoint/half.h"
#include "precept/core/result.h"

namespace precept {
namespace {

// One block as floats.
using Decode = void (*)(const char* block, float* out);

const unsigned char* bytes_at(const char* at) { return reinterpret_cast<const unsigned char*>(at); }
float half_at(const char* at) { return half_to_float(load_u16(at)); }

void decode_f32(const char* block, float* out) {
  const unsigned char* b = bytes_at(block);
  *out = std::bit_cast<float>(static_cast<std::uint32_t>(b[0]) | (static_cast<std::uint32_t>(b[1]) << 8) |
                              (static_cast<std::uint32_t>(b[2]) << 16) | (static_cast<std::uint32_t>(b[3]) << 24));
}
void decode_f16(const char* block, float* out) { *out = half_at(block); }
void decode_bf16(const char* block, float* out) { *out = bf16_to_float(load_u16(block)); }

void decode_q8_0(const char* block, float* out) {
  const float d = half_at(block);
  for (int i = 0; i < 32; ++i) out[i] = static_cast<float>(static_cast<signed char>(block[2 + i])) * d;
}

void decode_q4_0(const char* block, float* out) {
  const float d = half_at(block);
  const unsigned char* q = bytes_at(block + 2);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>((q[i] & 15) - 8) * d;
    out[i + 16] = static_cast<float>((q[i] >> 4) - 8) * d;
  }
}

void decode_q4_1(const char* block, float* out) {
  const float d = half_at(block), m = half_at(block + 2);
  const unsigned char* q = bytes_at(block + 4);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(q[i] & 15) * d + m;
    out[i + 16] = static_cast<float>(q[i] >> 4) * d + m;
  }
}

// The fifth bit of element i is bit i of the 32 at `high`.
int fifth(const unsigned char* high, int i) { return ((high[i / 8] >> (i % 8)) & 1) << 4; }

void decode_q5_0(const char* block, float* out) {
  const float d = half_at(block);
  const unsigned char *high = bytes_at(block + 2), *q = bytes_at(block + 6);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>(((q[i] & 15) | fifth(high, i)) - 16) * d;
    out[i + 16] = static_cast<float>(((q[i] >> 4) | fifth(high, i + 16)) - 16) * d;
  }
}

void decode_q5_1(const char* block, float* out) {
  const float d = half_at(block), m = half_at(block + 2);
  const unsigned char *high = bytes_at(block + 4), *q = bytes_at(block + 8);
  for (int i = 0; i < 16; ++i) {
    out[i] = static_cast<float>((q[i] & 15) | fifth(high, i)) * d + m;
    out[i + 16] = static_cast<float>((q[i] >> 4) | fifth(high, i + 16)) * d + m;
  }
}

struct ScaleMin {
  int scale, min;
};
// The k-th of 8 pairs of 6 bits in 12 bytes: 0 to 3 in the low 6 bits of bytes k and k + 4; 4 to 7 in the halves of byte
// k + 4, with their upper two bits on top of bytes k - 4 and k.
ScaleMin scale_min(const unsigned char* s, int k) {
  if (k < 4) return {s[k] & 63, s[k + 4] & 63};
  return {(s[k + 4] & 15) | ((s[k - 4] >> 6) << 4), (s[k + 4] >> 4) | ((s[k] >> 6) << 4)};
}

// Four times 64 elements: 32 of the low halves of 32 bytes, then 32 of their high halves.
void decode_q4_k(const char* block, float* out) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const unsigned char* const scales = bytes_at(block + 4);
  for (int k = 0; k < 8; ++k) {
    const ScaleMin pair = scale_min(scales, k);
    const float step = d * static_cast<float>(pair.scale), low = dmin * static_cast<float>(pair.min);
    const unsigned char* q = bytes_at(block + 16) + 32L * (k / 2);
    for (int i = 0; i < 32; ++i) {
      out[32 * k + i] = step * static_cast<float>(k % 2 == 0 ? q[i] & 15 : q[i] >> 4) - low;
    }
  }
}

// As Q4_K; the fifth bit of element i of group k is bit k of byte i of 32.
void decode_q5_k(const char* block, float* out) {
  const float d = half_at(block), dmin = half_at(block + 2);
  const unsigned char *const scales = bytes_at(block + 4), *const high = bytes_at(block + 16);
  for (int k = 0; k < 8; ++k) {
    const ScaleMin pair = scale_min(scales, k);
    const float step = d * static_cast<float>(pair.scale), low = dmin * static_cast<float>(pair.min);
    const unsigned char* q = bytes_at(block + 48) + 32L * (k / 2);
    for (int i = 0; i < 32; ++i) {
      const int four = k % 2 == 0 ? q[i] & 15 : q[i] >> 4;
      out[32 * k + i] = step * static_cast<float>(four | (((high[i] >> k) & 1) << 4)) - low;
    }
  }
}

// Two halves of 128 elements. In each, group g of 4 has 32 elements: their low 4 bits in half g / 2 of byte i + 32 * (g % 2)
// of 64, their upper 2 in bits 2g of byte i of 32; one scale for 16 elements.
void decode_q6_k(const char* block, float* out) {
  const float d = half_at(block + 208);
  for (int half = 0; half < 2; ++half) {
    const unsigned char *low = bytes_at(block) + 64L * half, *high = bytes_at(block + 128) + 32L * half;
    for (int g = 0; g < 4; ++g) {
      for (int i = 0; i < 32; ++i) {
        const int four = g < 2 ? low[i + 32 * g] & 15 : low[i + 32 * (g - 2)] >> 4;
        const int q = (four | (((high[i] >> (2 * g)) & 3) << 4)) - 32;
        const auto scale = static_cast<float>(static_cast<signed char>(block[192 + 8 * half + 2 * g + i / 16]));
        out[128 * half + 32 * g + i] = d * scale * static_cast<float>(q);
      }
    }
  }
}

struct Row {
  GgmlType type;
  const char* name;
  std::size_t elements, bytes;
  Decode decode;
};
constexpr std::size_t kLargestBlock = 256;
constexpr std::array<Row, 11> kRows{{{GgmlType::kF32, "F32", 1, 4, decode_f32},
                                     {GgmlType::kF16, "F16", 1, 2, decode_f16},
                                     {GgmlType::kBF16, "BF16", 1, 2, decode_bf16},
                                     {GgmlType::kQ8_0, "Q8_0", 32, 34, decode_q8_0},
                                     {GgmlType::kQ4_0, "Q4_0", 32, 18, decode_q4_0},
                                     {GgmlType::kQ4_1, "Q4_1", 32, 20, decode_q4_1},
                                     {GgmlType::kQ5_0, "Q5_0", 32, 22, decode_q5_0},
                                     {GgmlType::kQ5_1, "Q5_1", 32, 24, decode_q5_1},
                                     {GgmlType::kQ4K, "Q4_K", kLargestBlock, 144, decode_q4_k},
                                     {GgmlType::kQ5K, "Q5_K", kLargestBlock, 176, decode_q5_k},
                                     {GgmlType::kQ6K, "Q6_K", kLargestBlock, 210, decode_q6_k}}};

// ggml's other types by number, for messages; nullptr: removed from the format.
constexpr std::array<const char*, 43> kNames{
    "F32", "F16", "Q4_0", "Q4_1", nullptr, nullptr, "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K",
    "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8", "I16", "I32",
    "I64", "F64", "IQ1_M", "BF16", nullptr, nullptr, nullptr, "TQ1_0", "TQ2_0", nullptr, nullptr, nullptr, "MXFP4", "NVFP4", "Q1_0", "Q2_0"};

const Row* row_of(std::uint32_t number) {
  for (const Row& row : kRows) {
    if (static_cast<std::uint32_t>(row.type) == number) return &row;
  }
  return nullptr;
}

const Row& row_of(GgmlType type) {
  const Row* row = row_of(static_cast<std::uint32_t>(type));
  PRECEPT_CHECK(row != nullptr);
  return *row;
}

// The bytes of rows `first` and on that hold `count` elements.
std::string_view rows_of(const Row& type, std::string_view bytes, std::int64_t row, std::int64_t first, std::size_t count) {
  PRECEPT_CHECK(row > 0 && first >= 0);
  const auto width = static_cast<std::size_t>(row);
  PRECEPT_CHECK(width % type.elements == 0 && count % width == 0);
  const std::size_t row_bytes = width / type.elements * type.bytes, rows = bytes.size() / row_bytes;
  PRECEPT_CHECK(static_cast<std::size_t>(first) <= rows && count / width <= rows - static_cast<std::size_t>(first));
  return bytes.substr(static_cast<std::size_t>(first) * row_bytes, count / width * row_bytes);
}

}  // namespace

std::optional<GgmlType> ggml_type_from(std::uint32_t number) {
  const Row* row = row_of(number);
  return row != nullptr ? std::optional<GgmlType>(row->type) : std::nullopt;
}
std::string_view ggml_type_name(GgmlType type) { return row_of(type).name; }
std::size_t ggml_block_elements(GgmlType type) { return row_of(type).elements; }
std::size_t ggml_block_bytes(GgmlType type) { return row_of(type).bytes; }

std::string ggml_type_shown(std::uint32_t number) {
  if (number < kNames.size() && kNames[number] != nullptr) return kNames[number];
  return "type " + std::to_string(number);
}

const std::string& ggml_types_supported() {
  static const std::string names = [] {
    std::string all;
    for (const Row& row : kRows) all += (all.empty() ? "" : ", ") + std::string(row.name);
    return all;
  }();
  return names;
}

void ggml_to_floats(GgmlType type, std::string_view bytes, std::span<float> out) {
  const Row& row = row_of(type);
  PRECEPT_CHECK(out.size() % row.elements == 0 && bytes.size() == out.size() / row.elements * row.bytes);
  const std::size_t blocks = out.size() / row.elements;
  for (std::size_t i = 0; i < blocks; ++i) row.decode(bytes.data() + i * row.bytes, out.data() + i * row.elements);
}

void ggml_to_bf16(GgmlType type, std::string_view bytes, std::span<std::uint16_t> out) {
  const Row& row = row_of(type);
  PRECEPT_CHECK(out.size() % row.elements == 0 && bytes.size() == out.size() / row.elements * row.bytes);
  if (type == GgmlType::kBF16) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = load_u16(bytes.data() + 2 * i);
    return;
  }
  std::array<float, kLargestBlock> block{};
  const std::size_t blocks = out.size() / row.elements;
  for (std::size_t i = 0; i < blocks; ++i) {
    row.decode(bytes.data() + i * row.bytes, block.data());
    for (std::size_t j = 0; j < row.elements; ++j) out[i * row.elements + j] = float_to_bf16(block[j]);
  }
}

void ggml_rows_to_floats(GgmlType type, std::string_view bytes, std::int64_t row, std::int64_t first, std::span<float> out) {
  ggml_to_floats(type, rows_of(row_of(type), bytes, row, first, out.size()), out);
}

void ggml_rows_to_bf16(GgmlType type, std::string_view bytes, std::int64_t row, std::int64_t first,
                       std::span<std::uint16_t> out) {
  ggml_to_bf16(type, rows_of(row_of(type), bytes, row, first, out.size()), out);
}

}  // namespace precept
