#pragma once
// What every backend refuses in the same words: requests that no model can answer. A backend calls
// these in submit() and completes the request with the error inside the next advance().

#include <vector>

#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

// kBadInput for: no messages, a role other than system, user or assistant, raw with other than one
// message, content or stop strings that are not UTF-8, an empty stop string, max_tokens < 1,
// temperature that is negative or not finite, top_p outside (0, 1], an adapter that is not one of `adapters`.
Status check_request(const GenerateRequest& request, const std::vector<AdapterInfo>& adapters = {});

// kBadInput for the same faults of the messages and the adapter, for no questions, and for a question without options.
Status check_request(const ScoreRequest& request, const std::vector<AdapterInfo>& adapters = {});

}  // namespace precept
