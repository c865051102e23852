#include "precept/lm/torch/process_group.h"

#include "precept/lm/torch/errors.h"

#include <cstdlib>
#include <string>
#include <vector>

#if defined(USE_C10D_GLOO) && __has_include(<gloo/algorithm.h>)
#define PRECEPT_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#if defined(USE_C10D_NCCL) && __has_include(<nccl.h>)
#define PRECEPT_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif
#if defined(PRECEPT_GLOO) || defined(PRECEPT_NCCL)
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#endif

namespace precept::on_device {

#if defined(PRECEPT_GLOO) || defined(PRECEPT_NCCL)
namespace {

// Rank 0 listens at a port that is free; what it is, the processes tell each other by the ring that they met in.
c10::intrusive_ptr<c10d::Store> store_of(World& world, const WorldOptions& options) {
  c10d::TCPStoreOptions of;
  of.port = 0;
  of.isServer = world.rank() == 0;
  of.numWorkers = world.size();
  of.waitWorkers = false;
  // Since libtorch 2.3 there is a server on libuv, which is the default also where it was not built in.
  [](auto& options_of) {
    if constexpr (requires { options_of.useLibUV; }) options_of.useLibUV = false;
  }(of);
  c10::intrusive_ptr<c10d::TCPStore> store;
  std::string port;
  if (world.rank() == 0) {
    store = c10::make_intrusive<c10d::TCPStore>(options.address, of);
    port = std::to_string(store->getPort());
  }
  port = world.gather(port).front();
  if (!store) {
    of.port = static_cast<std::uint16_t>(std::stoi(port));
    store = c10::make_intrusive<c10d::TCPStore>(options.address, of);
  }
  return store;
}

template <class Group>
class Summing : public ProcessGroup {
 public:
  explicit Summing(c10::intrusive_ptr<Group> group) : group_(std::move(group)) {}
  void sum(at::Tensor& values) override {
    std::vector<at::Tensor> tensors = {values};
    try {
      group_->allreduce(tensors)->wait();
    } catch (const std::exception& error) {
      throw WorldError("the sum over all processes failed: " + first_line(error.what()));
    }
  }

 private:
  c10::intrusive_ptr<Group> group_;
};

#ifdef PRECEPT_GLOO
std::unique_ptr<ProcessGroup> gloo(World& world, const WorldOptions& options) {
  auto how = c10d::ProcessGroupGloo::Options::create();
  const char* interface = std::getenv("GLOO_SOCKET_IFNAME");
  const bool alone = options.address == "127.0.0.1" || options.address == "localhost";
  how->devices.push_back(interface ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                         : alone   ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                   : c10d::ProcessGroupGloo::createDefaultDevice());
  return std::make_unique<Summing<c10d::ProcessGroupGloo>>(
      c10::make_intrusive<c10d::ProcessGroupGloo>(store_of(world, options), world.rank(), world.size(), std::move(how)));
}
#endif

#ifdef PRECEPT_NCCL
std::unique_ptr<ProcessGroup> nccl(World& world, const WorldOptions& options) {
  return std::make_unique<Summing<c10d::ProcessGroupNCCL>>(
      c10::make_intrusive<c10d::ProcessGroupNCCL>(store_of(world, options), world.rank(), world.size()));
}
#endif

}  // namespace
#endif

std::unique_ptr<ProcessGroup> ProcessGroup::join([[maybe_unused]] World& world, [[maybe_unused]] const WorldOptions& options, at::Device device) {
#ifdef PRECEPT_NCCL
  if (device.is_cuda()) return nccl(world, options);
#endif
#ifdef PRECEPT_GLOO
  if (device.is_cpu()) return gloo(world, options);
#endif
  throw std::runtime_error(device.is_cuda() ? "built without NCCL: this libtorch has none, or its nccl.h was not found (docs/gpu.md)"
                                     : "built without Gloo: this libtorch has none, or its headers were not found (docs/gpu.md)");
}

}  // namespace precept::on_device
