#pragma once
// Keeps a bounded number of requests in flight at a model until all are answered.

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>

#include "precept/core/events.h"
#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

// Calls submit(i, done) for i in [0, count), at most `in_flight` unanswered at a time; `done` is to be called once
// from the completion (or at once, where nothing is to be asked), with an Error to stop submitting. Returns the first such Error once everything that was
// submitted has been answered, so that completions may refer to the caller's stack. Emits kProgress.
Status pump(Model& model, std::size_t count, int in_flight,
            const std::function<void(std::size_t, std::function<void(Status)>)>& submit,
            const EventSink& events, const char* stage, const char* unit);

}  // namespace precept
