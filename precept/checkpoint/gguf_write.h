#pragma once
// Writes GGUF files of version 3, little-endian; the format is told in gguf.h.

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "precept/checkpoint/ggml_type.h"
#include "precept/checkpoint/gguf_metadata.h"
#include "precept/core/result.h"

namespace precept {

// A tensor to be written: F32, F16, BF16 or Q8_0.
struct GgufPlan {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<std::int64_t> shape;  // as in GgufTensor
};

// Puts rows `first` to first + out.size() / plan.shape.back() of plans[index] into `out`. Called in the order of the plans
// and of their rows, for each row once.
using GgufRows = std::function<Status(std::size_t index, std::int64_t first, std::span<float> out)>;

// Entries in the order of their keys, tensors in the given order, each padded to general.alignment (32 if absent). The same
// input gives the same bytes; the file appears whole or not at all. In memory lie about 4 MB of rows (at least one row).
// Refuses: names that are empty, longer than 63 bytes (more than ggml reads), not UTF-8 or given twice; shapes that are not 1 to 4 positive
// sizes; rows that are not whole blocks; a number that its type does not hold (beyond F16; not finite in Q8_0).
Status write_gguf(const std::string& path, const GgufMetadata& metadata, const std::vector<GgufPlan>& plans,
                  const GgufRows& rows);

// Numbers as blocks of one of the four types, which `in` fills whole. F16 and BF16 round to nearest even. Q8_0 as ggml's
// reference: d = largest magnitude / 127, stored as F16; q = x * (1 / d) rounded half away from zero, with d before its
// rounding. An Error for what the type does not hold.
Result<std::string> ggml_from_floats(GgmlType type, std::span<const float> in);

}  // namespace precept
