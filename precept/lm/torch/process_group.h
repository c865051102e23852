#pragma once
// Sums of tensors over processes, by torch's own c10d: NCCL between GPUs, Gloo between processors.

#include <memory>

#include <ATen/ATen.h>

#include "precept/lm/train/world.h"

namespace precept::on_device {

class ProcessGroup {
 public:
  // All processes of `world` call it; they find each other's store by it. Throws std::runtime_error where this libtorch cannot do it.
  static std::unique_ptr<ProcessGroup> join(World& world, const WorldOptions& options, at::Device device);
  virtual ~ProcessGroup() = default;
  // The sum of all processes' values, in place of each's. WorldError where it fails; but NCCL waits some minutes for a process that is
  // gone, then ends this one.
  virtual void sum(at::Tensor& values) = 0;
};

}  // namespace precept::on_device
