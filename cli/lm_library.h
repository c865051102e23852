#pragma once
// Opens the library of language models on first use, so that commands without a model start at once.

#include <string>

#include "precept/core/result.h"
#include "precept/lm/api.h"

namespace precept {

// The functions of libprecept_lm.so, which is looked for beside this program and in ../lib and
// ../lib/precept seen from there. Opened once and kept to the end. kFailed with what the loader said.
Result<const LmApi*> lm_library();

}  // namespace precept
