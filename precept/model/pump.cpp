#include "precept/model/pump.h"

#include <algorithm>

namespace precept {

Status pump(Model& model, std::size_t count, int in_flight,
            const std::function<void(std::size_t, std::function<void(Status)>)>& submit,
            const EventSink& events, const char* stage, const char* unit) {
  std::size_t next = 0, answered = 0;
  std::optional<Error> first;
  const auto most = static_cast<std::size_t>(std::max(1, in_flight));
  const auto report = [&] {  // also while nothing comes: whoever listens may want to stop
    if (!events) return;
    Event event;
    event.stage = stage;
    event.done = static_cast<std::int64_t>(answered);
    event.total = static_cast<std::int64_t>(count);
    event.unit = unit;
    events(event);
  };
  report();
  while (answered < next || (next < count && !first)) {
    while (!first && next < count && next - answered < most) {
      submit(next++, [&](Status status) {
        ++answered;
        if (!status && !first) first = status.error();
      });
    }
    const std::size_t before = answered;
    const std::size_t left = model.advance(std::chrono::milliseconds(100));
    if (left == 0 && answered == before && answered < next) {
      return failed("the model lost requests", "this is a bug of its backend");
    }
    report();
  }
  if (first) return tl::unexpected(*first);
  return {};
}

}  // namespace precept
