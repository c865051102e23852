// Any text as adapter_config.json: refused with one line, or what is written of it reads back as the same; which modules of a
// small base it means is found or refused.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/checkpoint/peft.h"

using namespace precept;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = parse_lora_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config) {
    PRECEPT_CHECK(!config.error().what.empty() && config.error().what.find('\n') == std::string::npos);
    return 0;
  }
  const auto again = parse_lora_config(lora_config_json(*config), "written");
  PRECEPT_CHECK(again.has_value() && *again == *config);
  LlamaConfig base;
  base.vocab_size = 11;
  base.hidden_size = 12;
  base.intermediate_size = 9;
  base.num_hidden_layers = 2;
  base.num_attention_heads = 3;
  base.num_key_value_heads = 1;
  base.head_dim = 4;
  const auto targets = lora_targets(*config, base, "fuzz");
  if (!targets) return 0;
  PRECEPT_CHECK(!targets->empty());
  for (const LoraTarget& target : *targets) PRECEPT_CHECK(target.rank >= 1 && target.rank <= kMaxLoraRank && std::isfinite(target.scale));
  return 0;
}
