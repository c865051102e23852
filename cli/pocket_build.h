#pragma once
// `precept pocket build`: makes the corpus of the pocket world, trains its tokenizer and pretrains the
// built-in model.

#include <cstdint>
#include <string>

#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/lm/api.h"

namespace precept {

struct PocketBuildOptions {
  std::string out = "models/pocket";
  std::string state;                 // resumable state; empty: OUT.state beside it
  std::uint64_t seed = 1;
  std::uint64_t documents = 300000;  // pretraining documents, each seen once
  int vocab_size = 2048;
  int hidden_size = 192;
  int layers = 6;
  int heads = 6;
  int intermediate_size = 512;
  int batch_tokens = 6144;
  double lr = 2e-3;
  int threads = 0;
  std::string from;                  // go on from this checkpoint (and its tokenizer) instead of random weights
  std::uint64_t first_document = 0;  // with `from`: documents before it were seen already
};

// Writes the checkpoint folder with its manifest.json.
Result<TrainSummary> build_pocket(const LmApi& lm, const PocketBuildOptions& options, const EventSink& events);

}  // namespace precept
