#include "cli/world.h"

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

namespace precept {
namespace {

struct Names {
  const char *rank, *size;
};
// Slurm's own SLURM_NTASKS is set for the batch script too, which runs once; that of the step is not.
constexpr Names kLaunchers[] = {{"RANK", "WORLD_SIZE"},
                                {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
                                {"PMI_RANK", "PMI_SIZE"},
                                {"SLURM_PROCID", "SLURM_STEP_NUM_TASKS"}};

Result<int> number(const char* name, int low, int high) {
  const std::string_view text = std::getenv(name);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < low || value > high) {
    return bad_input(std::string("the environment's ") + name + " is \"" + std::string(text) + "\"",
                     "a whole number from " + std::to_string(low) + " to " + std::to_string(high));
  }
  return value;
}

bool several_machines(int size) {
  if (std::getenv("OMPI_COMM_WORLD_LOCAL_SIZE")) {
    const Result<int> local = number("OMPI_COMM_WORLD_LOCAL_SIZE", 1, 1 << 20);
    return local && *local < size;
  }
  if (std::getenv("SLURM_STEP_NUM_NODES")) {
    const Result<int> nodes = number("SLURM_STEP_NUM_NODES", 1, 1 << 20);
    return nodes && *nodes > 1;
  }
  return false;
}

}  // namespace

Result<WorldOptions> world_from_environment() {
  WorldOptions world;
  for (const Names& names : kLaunchers) {
    const bool rank = std::getenv(names.rank) != nullptr, size = std::getenv(names.size) != nullptr;
    if (!rank && !size) continue;
    if (std::string_view(names.rank) == "SLURM_PROCID" && !size) continue;  // a batch script, not a step of several tasks
    if (rank != size) {
      return bad_input(std::string("the environment has ") + (rank ? names.rank : names.size) + " but no " + (rank ? names.size : names.rank),
                       "set both, or neither");
    }
    const Result<int> count = number(names.size, 1, 1 << 20);
    if (!count) return tl::unexpected(count.error());
    const Result<int> mine = number(names.rank, 0, *count - 1);
    if (!mine) return tl::unexpected(mine.error());
    world.rank = *mine;
    world.size = *count;
    break;
  }
  if (world.size == 1) return world;
  if (const char* address = std::getenv("MASTER_ADDR")) world.address = address;
  else if (several_machines(world.size)) return bad_input("the processes are on several machines", "set MASTER_ADDR to that of rank 0, for all of them");
  if (std::getenv("MASTER_PORT")) {
    const Result<int> port = number("MASTER_PORT", 1, 65535);
    if (!port) return tl::unexpected(port.error());
    world.port = *port;
    // torchrun then listens there itself, for its own workers' store.
    const char* agent = std::getenv("TORCHELASTIC_USE_AGENT_STORE");
    if (agent && std::string_view(agent) == "True") world.port += world.port < 65535 ? 1 : -1;
  }
  return world;
}

}  // namespace precept
