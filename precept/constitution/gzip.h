#pragma once
// Reading gzip files (zlib).

#include <string>

#include "precept/constitution/lines.h"

namespace precept {

// The unpacked bytes of a gzip file; a file that is not gzip is given as it is. Reading fails on a
// truncated or damaged file and after `max_bytes` unpacked bytes.
Result<ByteSource> open_gzip(const std::string& path, std::size_t max_bytes = std::size_t{1} << 30);

}  // namespace precept
