#pragma once
// GGUF files put together byte by byte, right or wrong; knows nothing of the writer under test.

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace precept::testing_gguf {

template <class T>
std::string raw(T value) {  // the tests run on little-endian machines
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}
inline std::string u32(std::uint32_t value) { return raw(value); }
inline std::string u64(std::uint64_t value) { return raw(value); }
inline std::string text(const std::string& value) { return u64(value.size()) + value; }
inline std::string entry(const std::string& key, std::uint32_t type, const std::string& value) { return text(key) + u32(type) + value; }

// `sizes` innermost first, as the file has them.
inline std::string tensor(const std::string& name, const std::vector<std::uint64_t>& sizes, std::uint32_t type, std::uint64_t offset) {
  std::string out = text(name) + u32(static_cast<std::uint32_t>(sizes.size()));
  for (const std::uint64_t n : sizes) out += u64(n);
  return out + u32(type) + u64(offset);
}

struct File {
  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::vector<std::string> entries, tensors;
  std::string data;
  std::uint64_t alignment = 32;
  std::int64_t claimed_entries = -1, claimed_tensors = -1;  // -1: as many as there are

  std::string bytes() const {
    std::string out = magic + u32(version) + u64(claimed_tensors < 0 ? tensors.size() : static_cast<std::uint64_t>(claimed_tensors)) +
                      u64(claimed_entries < 0 ? entries.size() : static_cast<std::uint64_t>(claimed_entries));
    for (const std::string& e : entries) out += e;
    for (const std::string& t : tensors) out += t;
    if (!data.empty()) out.append((alignment - out.size() % alignment) % alignment, '\0');
    return out + data;
  }
};

}  // namespace precept::testing_gguf
