// Any text as config.json: refused with one line, or a shape that can be computed with and that reads back from what is written
// of it.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/checkpoint/llama_tensors.h"

using namespace precept;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto config = parse_llama_config({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!config) {
    PRECEPT_CHECK(!config.error().what.empty() && config.error().what.find('\n') == std::string::npos);
    return 0;
  }
  PRECEPT_CHECK(config->parameters() > 0 && config->num_attention_heads % config->num_key_value_heads == 0 && config->head_dim % 2 == 0);
  for (const double frequency : rope_frequencies(*config)) PRECEPT_CHECK(std::isfinite(frequency) && frequency > 0);
  PRECEPT_CHECK(rope_attention_factor(*config) > 0);
  std::int64_t parameters = 0;
  for (const TensorShape& tensor : llama_tensors(*config)) parameters += tensor.shape[0] * (tensor.shape.size() > 1 ? tensor.shape[1] : 1);
  PRECEPT_CHECK(parameters == config->parameters());
  const std::string text = llama_config_json(*config);
  const auto again = parse_llama_config(text, "written");
  PRECEPT_CHECK(again.has_value());
  PRECEPT_CHECK(llama_config_json(*again) == text && again->parameters() == parameters);
  PRECEPT_CHECK(rope_frequencies(*again) == rope_frequencies(*config) && rope_attention_factor(*again) == rope_attention_factor(*config));
  for (int layer = 0; layer < config->num_hidden_layers; ++layer) PRECEPT_CHECK(again->window(layer) == config->window(layer));
  return 0;
}
