#include "precept/checkpoint/gguf_metadata.h"

#include <array>
#include <cmath>
#include <optional>
#include <type_traits>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

const char* const kHint = "the file is not what its architecture needs: convert the model again";

template <class T>
constexpr bool kWhole = std::is_integral_v<T> && !std::is_same_v<T, bool>;

template <class T>
std::optional<std::int64_t> within(T value, std::int64_t low, std::int64_t high) {
  if constexpr (std::is_same_v<T, std::uint64_t>) {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return std::nullopt;
  }
  const std::int64_t number{static_cast<std::int64_t>(value)};
  if (number < low || number > high) return std::nullopt;
  return number;
}

std::string range_of(std::int64_t low, std::int64_t high) {
  return "within " + std::to_string(low) + " and " + std::to_string(high);
}

class Getter {
 public:
  Getter(const GgufMetadata& metadata, std::string_view key)
      : file_(metadata.file), key_(key) {
    const auto found = metadata.values.find(key);
    if (found != metadata.values.end()) value_ = &found->second;
  }

  const GgufValue* value() const { return value_; }
  tl::unexpected<Error> refuse(const std::string& wanted) const {
    if (value_ == nullptr) return bad_input("the metadata has no " + in_quotes(key_), kHint, file_);
    return bad_input("metadata " + in_quotes(key_) + " (" + gguf_type_name(*value_) + ") is not " + wanted, kHint, file_);
  }

 private:
  const std::string& file_;
  std::string_view key_;
  const GgufValue* value_ = nullptr;
};

template <class T>
Result<T> exactly(const GgufMetadata& metadata, std::string_view key, const char* wanted) {
  if (const T* value = metadata.get_if<T>(key)) return *value;
  return Getter(metadata, key).refuse(wanted);
}

}  // namespace

std::string gguf_type_name(const GgufValue& value) {
  static constexpr std::array<const char*, 12> kNames{"u8", "i8", "u16", "i16", "u32", "i32",
                                                      "f32", "bool", "string", "u64", "i64", "f64"};
  static_assert(std::variant_size_v<GgufValue> == 2 * kNames.size());
  const std::size_t index = value.index();
  return index < kNames.size() ? kNames[index] : std::string("list of ") + kNames[index - kNames.size()];
}

Result<std::int64_t> GgufMetadata::integer(std::string_view key, std::int64_t low, std::int64_t high) const {
  const Getter getter(*this, key);
  const auto number = getter.value() == nullptr ? std::nullopt : std::visit([&](const auto& value) -> std::optional<std::int64_t> {
    using T = std::decay_t<decltype(value)>;
    if constexpr (kWhole<T>) return within(value, low, high);
    else return std::nullopt;
  }, *getter.value());
  if (!number) return getter.refuse("a whole number " + range_of(low, high));
  return *number;
}

Result<double> GgufMetadata::real(std::string_view key) const {
  const Getter getter(*this, key);
  const auto number = getter.value() == nullptr ? std::nullopt : std::visit([&](const auto& value) -> std::optional<double> {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_floating_point_v<T>) {
      return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
    } else if constexpr (kWhole<T>) {
      const auto whole = within(value, -(std::int64_t{1} << 53), std::int64_t{1} << 53);
      return whole ? std::optional<double>(static_cast<double>(*whole)) : std::nullopt;
    } else {
      return std::nullopt;
    }
  }, *getter.value());
  if (!number) return getter.refuse("a finite number");
  return *number;
}

Result<bool> GgufMetadata::flag(std::string_view key) const { return exactly<bool>(*this, key, "a truth value"); }
Result<std::string> GgufMetadata::text(std::string_view key) const { return exactly<std::string>(*this, key, "a text"); }
Result<std::vector<std::string>> GgufMetadata::texts(std::string_view key) const {
  return exactly<std::vector<std::string>>(*this, key, "a list of texts");
}

Result<std::vector<std::int64_t>> GgufMetadata::integers(std::string_view key, std::int64_t low, std::int64_t high) const {
  const Getter getter(*this, key);
  std::vector<std::int64_t> out;
  const bool fine = getter.value() != nullptr && std::visit([&](const auto& value) {
    if constexpr (requires { typename std::decay_t<decltype(value)>::value_type; }) {
      using T = typename std::decay_t<decltype(value)>::value_type;
      if constexpr (kWhole<T> && !std::is_same_v<T, char>) {
        out.reserve(value.size());
        for (const T element : value) {
          const auto number = within(element, low, high);
          if (!number) return false;
          out.push_back(*number);
        }
        return true;
      }
    }
    return false;
  }, *getter.value());
  if (!fine) return getter.refuse("a list of whole numbers " + range_of(low, high));
  return out;
}

Result<std::vector<float>> GgufMetadata::reals(std::string_view key) const {
  if (const auto* wide = get_if<std::vector<double>>(key)) {
    std::vector<float> out;
    out.reserve(wide->size());
    for (const double number : *wide) out.push_back(static_cast<float>(number));
    return out;
  }
  return exactly<std::vector<float>>(*this, key, "a list of floating numbers");
}

}  // namespace precept
