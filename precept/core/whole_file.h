#pragma once
// A file that is written piece by piece and appears whole or not at all.

#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// Writes to a temporary neighbour, which is renamed by finish() and removed if that is not reached. After the first failure
// nothing more is written, and finish() tells it. A link stays one: what it points to is replaced. What is no file (a device, a
// pipe), and /dev/stdout wherever that leads, is written to as it stands, at once.
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
  std::string path_;
  std::string target_;     // path_ behind its links
  std::string temporary_;  // empty: written in place
  int fd_ = -1;
  int error_ = 0;  // errno of the first failure
  bool done_ = false;
};

}  // namespace precept
