#pragma once
// What a library reports while it works. Libraries never print; whoever calls them shows this.

#include <cstdint>
#include <functional>
#include <string>

namespace precept {

struct Event {
  enum class Kind {
    kProgress,  // `done` of `total` `unit`s of `stage`
    kMetric,    // one number of a curve: `name`, `step`, `value`
    kNote,      // one sentence for a person: `text`
    kWarning,   // likewise, but it wants attention
  } kind = Kind::kProgress;
  std::string stage;       // "draft", "sft", "evaluate base"...
  std::int64_t done = 0;
  std::int64_t total = 0;  // 0: unknown
  std::string unit;        // "items", "tokens"...
  std::string name;
  std::int64_t step = 0;
  double value = 0;
  std::string text;
};

using EventSink = std::function<void(const Event&)>;

}  // namespace precept
