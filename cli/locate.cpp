#include "cli/locate.h"

#include <filesystem>
#include <system_error>

namespace precept {
namespace fs = std::filesystem;

std::string binary_folder() {
  std::error_code ec;
  const fs::path exe = fs::read_symlink("/proc/self/exe", ec);
  return ec ? std::string(".") : exe.parent_path().string();
}

std::string data_path(const std::string& relative) {
  const fs::path bin = binary_folder();
  // build/PRESET/bin/precept -> the source tree; PREFIX/bin/precept -> PREFIX/share/precept.
  for (const fs::path& root : {bin / ".." / ".." / "..", bin / ".." / "share" / "precept"}) {
    std::error_code ec;
    const fs::path path = root / relative;
    if (fs::exists(path, ec)) return fs::weakly_canonical(path, ec).string();
  }
  return relative;
}

}  // namespace precept
