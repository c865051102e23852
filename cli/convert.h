#pragma once
// A checkpoint in another form: a folder as GGUF, GGUF as a folder, a folder in other shards or with other numbers, an adapter
// merged into its base.

#include <cstdint>
#include <optional>
#include <string>

#include "precept/checkpoint/save.h"
#include "precept/core/events.h"
#include "precept/core/result.h"

namespace precept {

struct ConvertOptions {
  std::string type;  // "f32", "f16", "bf16", "q8_0" (GGUF only); empty: bf16 in GGUF, in folders as it is (quantised: bf16)
  std::int64_t shard_bytes = kShardBytes;  // of folders
};

bool is_gguf(const std::string& path);  // by its name

// `from`: a checkpoint folder, an adapter's folder or FILE.gguf; `to`: FILE.gguf or a folder. Checks every tensor against the
// config before anything is written; memory holds a few MB beside the mapped source.
Status convert_model(const std::string& from, const std::string& to, const ConvertOptions& options, const EventSink& events = {});

}  // namespace precept
