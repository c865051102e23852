#include "tests/lm/engine_support.h"
#include "tests/model/contract.h"

namespace precept {
namespace {

TEST(EngineContract, HoldsForATinyCheckpoint) {
  const engine_test::Checkpoint checkpoint(engine_test::shape_of(32, 2, 2, 1, 16, 48, true));
  contract::ModelContract contract;
  contract.open = [&] { return checkpoint.open(); };
  contract.has_tokens = true;
  contract.can_score = true;
  contract.score_tolerance = 0;
  contract::check_model_contract(contract);
}

}  // namespace
}  // namespace precept
