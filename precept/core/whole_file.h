#pragma once
// A file that is written piece by piece and appears whole or not at all.

#include <string>
#include <string_view>

#include "precept/core/result.h"

namespace precept {

// Writes to a file that finish() names; of one that does not get there nothing stays, killed or not. (Where the file system has no
// files without names, as NFS, a temporary neighbour serves, and a kill leaves it.) After the first failure
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
  std::string temporary_;  // what is renamed to target_ in the end; empty: written in place
  bool nameless_ = false;  // until then
  int fd_ = -1;
  int error_ = 0;  // errno of the first failure
  bool done_ = false;
};

}  // namespace precept
