#pragma once
// The metadata of a GGUF file: typed values by key. Source: docs/gguf.md of ggml.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "precept/core/result.h"

namespace precept {

// Every type of the format: numbers, truth values, text in UTF-8, and lists of one of these. A number keeps the type
// that the file gives it. Lists of lists are in the format, but no file needs them: they are refused.
using GgufValue =
    std::variant<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t, std::int32_t, float, bool,
                 std::string, std::uint64_t, std::int64_t, double, std::vector<std::uint8_t>, std::vector<std::int8_t>,
                 std::vector<std::uint16_t>, std::vector<std::int16_t>, std::vector<std::uint32_t>,
                 std::vector<std::int32_t>, std::vector<float>, std::vector<bool>, std::vector<std::string>,
                 std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>>;

// "u32", "string", "list of string"...
std::string gguf_type_name(const GgufValue& value);

// The getters refuse a key that is missing or holds another kind of value, by name.
struct GgufMetadata {
  std::map<std::string, GgufValue, std::less<>> values;
  std::string file;  // for messages

  bool has(std::string_view key) const { return values.find(key) != values.end(); }
  // The value if it is exactly a T; nullptr: it is absent or something else. Lives as long as this.
  template <class T>
  const T* get_if(std::string_view key) const {
    const auto found = values.find(key);
    return found != values.end() ? std::get_if<T>(&found->second) : nullptr;
  }

  // A whole number of any width within low and high.
  Result<std::int64_t> integer(std::string_view key, std::int64_t low, std::int64_t high) const;
  // A finite number: a floating one of either width, or a whole one that a double holds.
  Result<double> real(std::string_view key) const;
  Result<bool> flag(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  // A list of whole numbers of any width within low and high.
  Result<std::vector<std::int64_t>> integers(std::string_view key, std::int64_t low, std::int64_t high) const;
  // A list of floating numbers of either width.
  Result<std::vector<float>> reals(std::string_view key) const;
  Result<std::vector<std::string>> texts(std::string_view key) const;
};

}  // namespace precept
