// Any bytes as prompts, as hh-rlhf conversations and as pairs: an error with file and message, or what can be used.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>

#include "precept/constitution/hh_rlhf.h"
#include "precept/constitution/pairs.h"
#include "precept/constitution/prompts_parse.h"
#include "precept/core/io.h"

namespace {

void check(const precept::Error& e) {
  if (e.what.empty() || e.what.find('\n') != std::string::npos || e.file.empty()) std::abort();
  if (precept::find_invalid_utf8(e.what + e.hint)) std::abort();
}

void check(const precept::Result<std::vector<precept::AnswerPair>>& pairs) {
  if (!pairs) return check(pairs.error());
  if (pairs->empty()) std::abort();
  for (const precept::AnswerPair& pair : *pairs) {
    if (pair.id.empty() || pair.messages.empty() || pair.messages.back().role != "user" || !(pair.label >= 0 && pair.label <= 1)) std::abort();
  }
}

void check(const precept::Result<std::vector<precept::Prompt>>& prompts) {
  if (!prompts) return check(prompts.error());
  std::set<std::string> ids;
  for (const precept::Prompt& p : *prompts) {
    if (p.messages.empty() || p.messages.back().role != "user" || !ids.insert(p.id).second) std::abort();
    for (const precept::Message& m : p.messages) {
      if (m.content.empty() || m.content.find('\0') != std::string::npos) std::abort();
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check(precept::read_prompts(precept::memory_bytes(bytes), "fuzz.jsonl"));
  check(precept::read_hh_rlhf(precept::memory_bytes(bytes), "fuzz.jsonl"));
  check(precept::read_pairs(precept::memory_bytes(bytes), "fuzz.jsonl"));
  return 0;
}
