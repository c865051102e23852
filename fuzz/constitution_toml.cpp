// Any bytes as a constitution in TOML: findings or principles, never a crash, and every error has a line.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "precept/constitution/parse.h"
#include "precept/core/io.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const precept::Parsed parsed = precept::parse_bytes(bytes, "fuzz.toml");
  bool errors = false;
  for (const precept::Finding& f : parsed.findings) {
    errors = errors || f.severity == precept::Finding::Severity::kError;
    if (f.line < 1 || f.what.empty() || f.what.find('\n') != std::string::npos) std::abort();
    if (precept::find_invalid_utf8(f.what + f.hint)) std::abort();
  }
  if (!errors && parsed.constitution.principles.empty()) std::abort();
  return 0;
}
