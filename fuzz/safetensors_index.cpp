// Any bytes as model.safetensors.index.json and two shards (after each 0xFF, which no JSON text holds): what the index lists is
// all that the shards hold, each tensor once and sorted by name.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "precept/checkpoint/safetensors.h"

using namespace precept;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::size_t cut = std::min(bytes.find('\xFF'), size), again = std::min(bytes.find('\xFF', std::min(cut + 1, size)), size);
  const std::string_view shards[] = {bytes.substr(std::min(cut + 1, again), again - std::min(cut + 1, again)), bytes.substr(std::min(again + 1, size))};
  const auto index = parse_shard_index(bytes.substr(0, cut), "fuzz");
  if (!index) {
    PRECEPT_CHECK(!index.error().what.empty() && index.error().what.find('\n') == std::string::npos);
    return 0;
  }
  std::size_t listed = 0;
  for (const auto& [shard, names] : *index) {
    PRECEPT_CHECK(!shard.empty() && shard.find('/') == std::string::npos && shard[0] != '.' && std::is_sorted(names.begin(), names.end()));
    listed += names.size();
  }
  const auto all = join_shards(*index, [&](const std::string& name) { return Safetensors::parse(shards[name.size() % 2], name); }, "fuzz");
  if (!all) return 0;
  PRECEPT_CHECK(all->tensors.size() == listed && all->shards.size() == index->size());
  for (std::size_t i = 0; i < listed; ++i) {
    const TensorView& tensor = all->tensors[i];
    PRECEPT_CHECK(i == 0 || all->tensors[i - 1].name < tensor.name);
    PRECEPT_CHECK(all->find(tensor.name) == &tensor);
    PRECEPT_CHECK(tensor.bytes.data() >= bytes.data() && tensor.bytes.data() + tensor.bytes.size() <= bytes.data() + size);
  }
  return 0;
}
