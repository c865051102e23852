#pragma once
// `precept pocket build`: makes the corpus of the pocket world, trains its tokenizer and pretrains the
// built-in model.

#include <cstdint>
#include <string>

#include "precept/core/events.h"
#include "precept/core/fields.h"
#include "precept/core/result.h"
#include "precept/lm/api.h"

namespace precept {

// The defaults make the model that ships.
struct PocketBuildOptions {
  std::string out = "models/pocket";
  std::string state;                 // resumable state; empty: OUT.state beside it
  std::uint64_t seed = 1;
  std::uint64_t documents = 320000;  // pretraining documents, each seen once
  int vocab_size = 2048;
  int hidden_size = 192;
  int layers = 6;
  int heads = 6;
  int intermediate_size = 512;
  int batch_tokens = 4096;
  double lr = 2e-3;
  std::string precision = "auto";    // of the products, see TrainOptions
  int threads = 0;
  std::string from;                  // go on from this checkpoint (and its tokenizer) instead of random weights
  std::uint64_t first_document = 0;  // with `from`: documents before it were seen already
};

// The one list of these options.
template <class Visit>
void for_each_field(PocketBuildOptions& o, Visit visit) {
  visit("out", o.out, "checkpoint folder to write", beside());
  visit("state", o.state, "folder of the resumable state (default: OUT.state)", beside());
  visit("seed", o.seed, "seed of corpus, weights and order", any_seed());
  visit("documents", o.documents, "documents of the corpus, each seen once", between(1, 4e9));
  visit("vocab_size", o.vocab_size, "tokens of the vocabulary, at most 4096", between(1, 4096));
  visit("hidden_size", o.hidden_size, "width", between(2, 65536));
  visit("layers", o.layers, "layers", between(1, 1024));
  visit("heads", o.heads, "attention heads", between(1, 1024));
  visit("intermediate_size", o.intermediate_size, "width of the feed-forward part", between(1, 1 << 20));
  visit("batch_tokens", o.batch_tokens, "tokens of one step", between(1, 1e9));
  visit("lr", o.lr, "highest learning rate", above(0, 10));
  visit("precision", o.precision, kPrecisionHelp, one_of({"auto", "bf16", "fp32"}));
  visit("threads", o.threads, "threads; 0: all cores (changes no result)", beside(between(0, 1024)));
  visit("from", o.from, "go on from this checkpoint and its tokenizer");
  visit("first_document", o.first_document, "with --from: number of the first document");
}

// Writes the checkpoint folder with its manifest.json.
Result<TrainSummary> build_pocket(const LmApi& lm, const PocketBuildOptions& options, const EventSink& events);

}  // namespace precept
