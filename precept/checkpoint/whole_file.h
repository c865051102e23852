#pragma once
// A file that is written piece by piece and appears whole or not at all.

#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// Writes to a temporary neighbour, which is renamed by finish() and removed if that is not reached. After the first failure
// nothing more is written, and finish() tells it.
class WholeFile {
 public:
  explicit WholeFile(const std::string& path);
  WholeFile(const WholeFile&) = delete;
  WholeFile& operator=(const WholeFile&) = delete;
  ~WholeFile();

  void write(std::string_view bytes);
  bool fine() const { return error_ == 0; }
  Status finish();  // syncs; once

 private:
  std::string path_, temporary_;
  int fd_;
  int error_ = 0;  // errno of the first failure
  bool done_ = false;
};

}  // namespace precept
