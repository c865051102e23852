#pragma once
// From what a user writes after --model or --judge to a model: the one place that knows every backend.

#include <memory>
#include <string>

#include "precept/core/result.h"
#include "precept/lm/api.h"
#include "precept/model/model.h"

namespace precept {

struct OpenOptions {
  EngineOptions engine;  // for models that run in this process
};

// `uri` is one of
//   pocket                     the built-in model (see pocket_folder)
//   FOLDER                     a checkpoint: config.json, safetensors, tokenizer.json, chat.json; or an adapter in PEFT's
//                              format: its base with it on
//   http(s)://HOST/v1#NAME     a model behind an OpenAI-compatible endpoint
//   scripted:FILE.jsonl        answers from a script, for tests
// kBadInput with the list for anything else.
Result<std::unique_ptr<Model>> open_model(const std::string& uri, const OpenOptions& options);

// The folder of the built-in model's checkpoint: $PRECEPT_POCKET, else models/pocket of the source tree
// the program was built in, of the installation, or of the current folder; the first that exists.
Result<std::string> pocket_folder();

}  // namespace precept
