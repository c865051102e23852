#pragma once
// Who takes the next request: how many each endpoint may have on the wire, which are out, when they are asked again.
// Decisions only, no network and no clock of its own: every call is given the time.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace precept {

// How many requests may be on the wire at once: additive increase, multiplicative decrease (Chiu and Jain 1989).
// Begins at 16 (or the maximum) and grows by one with every answer until the server first complains; from then on by
// one for every whole window of answers. Complaints halve it, those about requests of one window only once. In [1, max].
class InFlightWindow {
 public:
  explicit InFlightWindow(int max);
  int size() const { return static_cast<int>(size_); }
  std::uint64_t begin() { return ++begun_; }  // a request goes out: its number, for shrink()
  void grow();
  void shrink(std::uint64_t number);

 private:
  double max_, size_;
  std::uint64_t begun_ = 0, shrunk_at_ = 0;
  bool complained_ = false;
};

// Several endpoints of one model. The one with the fewest requests outstanding is next. One that cannot be reached, or
// fails five times in a row, is out: it gets nothing while another is in, and is probed after a pause that doubles from
// 250 ms to 30 s. When all are out, all are tried.
class EndpointSet {
 public:
  using Time = std::chrono::steady_clock::time_point;
  using Milliseconds = std::chrono::milliseconds;

  enum class Outcome {
    kAnswered,     // also with a refusal: the server works
    kTooMany,      // 429, 503: it wants fewer requests
    kTimedOut,
    kFailed,       // 5xx, a cut connection, an answer that cannot be read
    kUnreachable,  // no connection
  };

  EndpointSet(std::size_t count, int max_in_flight);

  // Nobody: no room now. `avoid` (where the request failed last) is taken only when no other has room.
  std::optional<std::size_t> choose(Time now, std::optional<std::size_t> avoid) const;
  std::uint64_t begin(std::size_t endpoint);
  // `hold`: the server asked for a pause (Retry-After); it gets nothing before that. True: it is out from now on.
  bool end(std::size_t endpoint, std::uint64_t number, Outcome outcome, Time now, Milliseconds hold);

  bool is_out(std::size_t endpoint) const { return each_[endpoint].out; }
  bool another_in(std::size_t endpoint) const;  // is any other one in?
  void leave_out(std::size_t endpoint, Time now);
  std::optional<std::size_t> probe_due(Time now);  // counts as begun: probed() must follow
  void probed(std::size_t endpoint, bool works, Time now);

  // When something changes without an answer: a hold ends, a probe is due. nullopt: never.
  std::optional<Time> next_change(Time now) const;
  std::size_t count() const { return each_.size(); }
  int window(std::size_t endpoint) const { return each_[endpoint].window.size(); }
  std::size_t outstanding(std::size_t endpoint) const { return each_[endpoint].outstanding; }

 private:
  struct Each {
    InFlightWindow window;
    std::size_t outstanding = 0;
    std::uint64_t sent = 0;
    int failures = 0;  // in a row
    bool out = false, probing = false;
    Time hold_until{}, probe_at{};
    Milliseconds probe_pause{250};
  };
  std::vector<Each> each_;
};

}  // namespace precept
