#include "precept/checkpoint/gguf_write.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <type_traits>

#include "precept/checkpoint/half.h"
#include "precept/core/whole_file.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;  // floats that are asked for at once
constexpr std::size_t kMaxName = 63;                  // ggml's GGML_MAX_NAME holds 64 with its end

// Numbers of the value types, in the order of GgufValue's alternatives.
constexpr std::uint32_t kTypeNumbers[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12};
constexpr std::uint32_t kList = 9;

template <class T>
void put(std::string& out, T value) {
  if constexpr (std::is_same_v<T, std::string>) {
    put(out, static_cast<std::uint64_t>(value.size()));
    out += value;
  } else {
    std::uint64_t bits = 0;
    if constexpr (std::is_same_v<T, float>) bits = std::bit_cast<std::uint32_t>(value);
    else if constexpr (std::is_same_v<T, double>) bits = std::bit_cast<std::uint64_t>(value);
    else if constexpr (std::is_same_v<T, bool>) bits = value ? 1 : 0;
    else bits = static_cast<std::make_unsigned_t<T>>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) out += static_cast<char>((bits >> (8 * i)) & 0xFF);
  }
}

void put_value(std::string& out, const GgufValue& value) {
  constexpr std::size_t kPlain = std::size(kTypeNumbers);
  const std::size_t index = value.index();
  if (index >= kPlain) put(out, kList);
  put(out, kTypeNumbers[index % kPlain]);
  std::visit([&](const auto& held) {
    using T = std::decay_t<decltype(held)>;
    if constexpr (std::is_arithmetic_v<T> || std::is_same_v<T, std::string>) {
      put(out, held);
    } else {
      put(out, static_cast<std::uint64_t>(held.size()));
      for (const auto& element : held) put<typename T::value_type>(out, element);
    }
  }, value);
}

bool is_utf8(const GgufValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return !find_invalid_utf8(*text);
  const auto* list = std::get_if<std::vector<std::string>>(&value);
  return list == nullptr || std::none_of(list->begin(), list->end(), [](const std::string& text) { return find_invalid_utf8(text).has_value(); });
}

// Bytes of a tensor; an Error says what is wrong with it.
Result<std::uint64_t> check(const GgufPlan& plan, const std::string& path) {
  const auto refuse = [&](const std::string& what, const std::string& hint) {
    return bad_input("tensor " + in_quotes(plan.name) + " " + what, hint, path);
  };
  if (plan.name.empty() || plan.name.size() > kMaxName || find_invalid_utf8(plan.name)) {
    return refuse("cannot have this name", "1 to 63 bytes of UTF-8");
  }
  if (plan.type != GgmlType::kF32 && plan.type != GgmlType::kF16 && plan.type != GgmlType::kBF16 && plan.type != GgmlType::kQ8_0) {
    return refuse("cannot be written as " + std::string(ggml_type_name(plan.type)), "supported: F32, F16, BF16, Q8_0");
  }
  if (plan.shape.empty() || plan.shape.size() > 4) return refuse("does not have 1 to 4 dimensions", "reshape it");
  std::uint64_t elements = 1;
  for (const std::int64_t n : plan.shape) {
    if (n <= 0 || elements > (std::uint64_t{1} << 56) / static_cast<std::uint64_t>(n)) return refuse("has an impossible shape", "check its sizes");
    elements *= static_cast<std::uint64_t>(n);
  }
  const std::size_t block = ggml_block_elements(plan.type);
  if (static_cast<std::size_t>(plan.shape.back()) % block != 0) {
    return refuse("has rows of " + std::to_string(plan.shape.back()) + " elements, which are not whole blocks of " + std::to_string(block),
                  "write it as F16 or BF16");
  }
  return elements / block * ggml_block_bytes(plan.type);
}

Result<std::uint64_t> alignment_of(const GgufMetadata& metadata, const std::string& path) {
  if (!metadata.has("general.alignment")) return std::uint64_t{32};
  const auto* given = metadata.get_if<std::uint32_t>("general.alignment");
  if (given == nullptr || !std::has_single_bit(*given) || *given > (1U << 20)) {
    return bad_input("general.alignment is no power of two up to 2^20 as u32", "leave it out: it is 32 then", path);
  }
  return std::uint64_t{*given};
}

void pad(std::string& out, std::uint64_t alignment) {
  out.append(static_cast<std::size_t>((alignment - out.size() % alignment) % alignment), '\0');
}

Result<std::string> make_header(const GgufMetadata& metadata, const std::vector<GgufPlan>& plans, std::uint64_t alignment,
                                const std::string& path) {
  std::string out = "GGUF";
  put(out, std::uint32_t{3});
  put(out, static_cast<std::uint64_t>(plans.size()));
  put(out, static_cast<std::uint64_t>(metadata.values.size()));
  for (const auto& entry : metadata.values) {
    if (entry.first.empty() || find_invalid_utf8(entry.first) || !is_utf8(entry.second)) {
      return bad_input("metadata " + in_quotes(entry.first) + " is not UTF-8, or has no key", "mend the text", path);
    }
    put(out, entry.first);
    put_value(out, entry.second);
  }
  std::set<std::string_view> names;
  std::uint64_t at = 0;
  for (const GgufPlan& plan : plans) {
    const auto size = check(plan, path);
    if (!size) return tl::unexpected<Error>(size.error());
    if (!names.insert(plan.name).second) return bad_input("two tensors have the name " + in_quotes(plan.name), "", path);
    put(out, plan.name);
    put(out, static_cast<std::uint32_t>(plan.shape.size()));
    for (std::size_t i = plan.shape.size(); i-- > 0;) put(out, plan.shape[i]);
    put(out, static_cast<std::uint32_t>(plan.type));
    put(out, at);
    at += (*size + alignment - 1) / alignment * alignment;
  }
  pad(out, alignment);
  return out;
}

// One block of 34 bytes; false: not finite, or beyond what the scale holds.
bool put_q8_0(const float* in, char* out) {
  float largest = 0;
  for (int i = 0; i < 32; ++i) {
    if (!std::isfinite(in[i])) return false;
    largest = std::max(largest, std::fabs(in[i]));
  }
  const float d = largest / 127.0F;
  const std::uint16_t half = float_to_half(d);
  if ((half & 0x7FFF) == 0x7C00) return false;
  const float inverse = d != 0 ? 1.0F / d : 0.0F;
  store_u16(half, out);
  for (int i = 0; i < 32; ++i) {
    // The inverse of a tiny d is infinite; its scale is stored as 0, so that any q means 0.
    const float q = std::isfinite(inverse) ? std::round(in[i] * inverse) : 0.0F;
    out[2 + i] = static_cast<char>(static_cast<signed char>(q));
  }
  return true;
}

tl::unexpected<Error> does_not_hold(const char* type) {
  return bad_input(std::string(type) + " does not hold a number of it", "write it as BF16 or F32; are the weights finite?");
}

}  // namespace

Result<std::string> ggml_from_floats(GgmlType type, std::span<const float> in) {
  const std::size_t block = ggml_block_elements(type), bytes = ggml_block_bytes(type);
  PRECEPT_CHECK(in.size() % block == 0);
  std::string out(in.size() / block * bytes, '\0');
  for (std::size_t i = 0; i < in.size() / block; ++i) {
    char* const at = out.data() + i * bytes;
    switch (type) {
      case GgmlType::kF32: {
        const auto bits = std::bit_cast<std::uint32_t>(in[i]);
        store_u16(static_cast<std::uint16_t>(bits & 0xFFFF), at);
        store_u16(static_cast<std::uint16_t>(bits >> 16), at + 2);
        break;
      }
      case GgmlType::kF16: {
        const std::uint16_t half = float_to_half(in[i]);
        if ((half & 0x7FFF) == 0x7C00 && std::isfinite(in[i])) return does_not_hold("F16");
        store_u16(half, at);
        break;
      }
      case GgmlType::kBF16: store_u16(float_to_bf16(in[i]), at); break;
      case GgmlType::kQ8_0:
        if (!put_q8_0(in.data() + i * block, at)) return does_not_hold("Q8_0");
        break;
      default: {
        constexpr bool kTypeCanBeWritten = false;
        PRECEPT_CHECK(kTypeCanBeWritten);
      }
    }
  }
  return out;
}

Status write_gguf(const std::string& path, const GgufMetadata& metadata, const std::vector<GgufPlan>& plans,
                  const GgufRows& rows) {
  const auto alignment = alignment_of(metadata, path);
  if (!alignment) return tl::unexpected<Error>(alignment.error());
  const auto header = make_header(metadata, plans, *alignment, path);
  if (!header) return tl::unexpected<Error>(header.error());
  WholeFile out(path);
  out.write(*header);
  std::vector<float> chunk;
  for (std::size_t i = 0; i < plans.size() && out.fine(); ++i) {
    const GgufPlan& plan = plans[i];
    const auto row = static_cast<std::size_t>(plan.shape.back());
    std::int64_t count = 1;
    for (std::size_t j = 0; j + 1 < plan.shape.size(); ++j) count *= plan.shape[j];
    const auto step = static_cast<std::int64_t>(std::max<std::size_t>(1, kChunk / row));
    std::uint64_t written = 0;
    for (std::int64_t first = 0; first < count && out.fine(); first += step) {
      chunk.resize(static_cast<std::size_t>(std::min(step, count - first)) * row);
      if (auto fine = rows(i, first, chunk); !fine) return fine;
      const auto bytes = ggml_from_floats(plan.type, chunk);
      if (!bytes) return bad_input("tensor " + in_quotes(plan.name) + ": " + bytes.error().what, bytes.error().hint, path);
      out.write(*bytes);
      written += bytes->size();
    }
    out.write(std::string(static_cast<std::size_t>((*alignment - written % *alignment) % *alignment), '\0'));
  }
  return out.finish();
}

}  // namespace precept
