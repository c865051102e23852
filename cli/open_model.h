#pragma once
// From what a user writes after --model or --judge to a model: the one place that knows every backend.

#include <memory>
#include <string>

#include "cli/endpoint_options.h"
#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/lm/api.h"
#include "precept/model/model.h"

namespace precept {

struct OpenOptions {
  EngineOptions engine;      // for models that run in this process
  EndpointOptions endpoint;  // for the others
  std::shared_ptr<Meter> meter = {};  // what they spend, and their answers; null: a meter of their own, without a folder
  bool scores = false;       // find out whether an endpoint gives log-probs (costs one request, once a run folder)
  EventSink events = {};
};

// `uri` is one of
//   pocket                     the built-in model (see pocket_folder)
//   FOLDER                     a checkpoint: config.json, safetensors, tokenizer files, chat.json or a chat template
//                              or an adapter in PEFT's format: its base with it on
//   FILE.gguf                  a checkpoint in one file
//   http(s)://HOST/v1#NAME     a model behind an OpenAI-compatible endpoint, or several, separated by commas
//   scripted:FILE.jsonl        answers from a script, for tests
// kBadInput with the list for anything else.
Result<std::unique_ptr<Model>> open_model(const std::string& uri, const OpenOptions& options);

// The folder of the built-in model's checkpoint: $PRECEPT_POCKET, else models/pocket of the source tree
// the program was built in, of the installation, or of the current folder; the first that exists.
Result<std::string> pocket_folder();

}  // namespace precept
