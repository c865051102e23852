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

// The one list of these options.
template <class Visit>
void for_each_field(PocketBuildOptions& o, Visit visit) {
  visit("out", o.out, "checkpoint folder to write");
  visit("state", o.state, "folder of the resumable state (default: OUT.state)");
  visit("seed", o.seed, "seed of corpus, weights and order");
  visit("documents", o.documents, "documents of the corpus, each seen once");
  visit("vocab_size", o.vocab_size, "tokens of the vocabulary, at most 4096");
  visit("hidden_size", o.hidden_size, "width");
  visit("layers", o.layers, "layers");
  visit("heads", o.heads, "attention heads");
  visit("intermediate_size", o.intermediate_size, "width of the feed-forward part");
  visit("batch_tokens", o.batch_tokens, "tokens of one step");
  visit("lr", o.lr, "highest learning rate");
  visit("threads", o.threads, "threads; 0: all cores");
  visit("from", o.from, "go on from this checkpoint and its tokenizer");
  visit("first_document", o.first_document, "with --from: number of the first document");
}

// Writes the checkpoint folder with its manifest.json.
Result<TrainSummary> build_pocket(const LmApi& lm, const PocketBuildOptions& options, const EventSink& events);

}  // namespace precept
