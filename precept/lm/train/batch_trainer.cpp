#include "precept/lm/train/batch_trainer.h"

#include <thread>

#include "precept/lm/infer/device.h"
#include "precept/lm/torch/api.h"
#include "precept/lm/train/cpu_trainer.h"
#include "precept/lm/train/lanes.h"

namespace precept {

std::vector<float> BatchTrainer::seen(std::vector<float> master) const {
  if (adapter_) return master;
  for (float& weight : master) weight = round_to_bf16(weight);
  return master;
}

nn::LossSum BatchTrainer::loss_and_gradient(const Batch& batch) {
  double total = 0;
  for (const TrainExample& example : batch.examples) {
    for (std::size_t i = 1; i < example.weights.size(); ++i) total += double(example.weights[i]);
  }
  if (total == 0) return {};
  return gradient(pointers_to(batch.examples), float(1.0 / total));
}

Result<std::unique_ptr<BatchTrainer>> open_trainer(const TrainOptions& options, const nn::Layout& layout, const nn::LoraLayout* lora, std::size_t head,
                                                   World* world, bool full_logits) {
  const int threads = options.threads > 0 ? options.threads : std::max(1, int(std::thread::hardware_concurrency()));
  if (options.device == "cpu") return std::make_unique<CpuTrainer>(options, layout, lora, threads, head, world, full_logits);
  const auto torch = infer::torch_library();
  if (!torch) return tl::unexpected(torch.error());
  return (*torch)->open_trainer({options, layout, lora, threads, head, world});
}

}  // namespace precept
