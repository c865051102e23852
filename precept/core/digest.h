#pragma once
// SHA-256 (OpenSSL) of bytes and files, as 64 lower-case hex digits.

#include <memory>
#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

std::string sha256(std::string_view bytes);
Result<std::string> sha256_file(const std::string& path);

// Incremental form, for data that never lies in memory as a whole.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void update(std::string_view bytes);
  std::string finish();  // once

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
