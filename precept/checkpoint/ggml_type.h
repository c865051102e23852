#pragma once
// The element types of GGUF tensors, and their numbers as float or BF16. Quantised types store blocks of elements that
// lie side by side in one row; each block carries its scale. Source: ggml's block definitions (ggml-common.h) and
// docs/gguf.md. F16 scales; "d" a scale, "m" a minimum, "q" a small whole number:
//
//   Q8_0  32 in 34 bytes   d, 32 q of 8 bits (signed)           d * q
//   Q4_0  32 in 18         d, 32 q of 4 bits                    d * (q - 8)
//   Q4_1  32 in 20         d, m, 32 q of 4 bits                 d * q + m
//   Q5_0  32 in 22         d, 32 high bits, 32 q of 4 bits      d * (q - 16)
//   Q5_1  32 in 24         d, m, 32 high bits, 32 q of 4 bits   d * q + m
//   Q4_K  256 in 144       d, dmin, 8 x (scale, min) of 6 bits, 256 q of 4 bits                  d * scale * q - dmin * min
//   Q5_K  256 in 176       the same with 256 high bits
//   Q6_K  256 in 210       256 q of 4 + 2 bits, 16 scales of 8 bits (signed), d                  d * scale * (q - 32)
//
// 4-bit halves of a block of 32: byte i holds elements i (low) and i + 16 (high).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace precept {

// The values are those of the format.
enum class GgmlType : std::uint32_t {
  kF32 = 0, kF16 = 1, kQ4_0 = 2, kQ4_1 = 3, kQ5_0 = 6, kQ5_1 = 7, kQ8_0 = 8, kQ4K = 12, kQ5K = 13, kQ6K = 14, kBF16 = 30
};

std::optional<GgmlType> ggml_type_from(std::uint32_t number);  // nullopt: not one of the above
std::string_view ggml_type_name(GgmlType type);                // as ggml spells it: "F32", "Q4_K"
std::string ggml_type_shown(std::uint32_t number);             // the name of any type of ggml's, or "type 99"
const std::string& ggml_types_supported();                     // "F32, F16, ..."

std::size_t ggml_block_elements(GgmlType type);  // 1 where nothing is quantised
std::size_t ggml_block_bytes(GgmlType type);

// Numbers of whole blocks: `out` holds a multiple of ggml_block_elements, `bytes` exactly their blocks. Every bit pattern
// is a number (or NaN, or infinite), computed in fp32 in the order that ggml has it.
void ggml_to_floats(GgmlType type, std::string_view bytes, std::span<float> out);
// The same, rounded to nearest even as BF16. BF16 stays bit for bit.
void ggml_to_bf16(GgmlType type, std::string_view bytes, std::span<std::uint16_t> out);

// Rows of a tensor, without the rest of it: rows first to first + out.size() / row of a tensor whose last size is `row`
// (a multiple of ggml_block_elements). `bytes` are those of the whole tensor.
void ggml_rows_to_floats(GgmlType type, std::string_view bytes, std::int64_t row, std::int64_t first, std::span<float> out);
void ggml_rows_to_bf16(GgmlType type, std::string_view bytes, std::int64_t row, std::int64_t first,
                       std::span<std::uint16_t> out);

}  // namespace precept
