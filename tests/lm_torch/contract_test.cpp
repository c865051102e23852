#include "tests/lm_torch/support.h"
#include "tests/model/contract.h"

namespace precept {
namespace {

TEST(TorchContract, HoldsForATinyCheckpoint) {
  const engine_test::Checkpoint checkpoint(engine_test::shape_of(32, 2, 2, 1, 16, 48, true));
  for (const std::string& device : torch_test::devices()) {
    SCOPED_TRACE(device);
    contract::ModelContract contract;
    contract.open = [&] { return checkpoint.open({.threads = 1, .device = device, .precision = "fp32"}); };
    contract.has_tokens = true;
    contract.can_score = true;
    contract.deterministic = false;  // company may change rounding
    contract::check_model_contract(contract);
  }
}

}  // namespace
}  // namespace precept
