#include "precept/model/endpoints.h"

#include <algorithm>
#include <tuple>

namespace precept {
namespace {

constexpr double kFirstWindow = 16;
constexpr int kFailuresUntilOut = 5;
constexpr std::chrono::milliseconds kFirstProbe(250), kLastProbe(30'000);

}  // namespace

InFlightWindow::InFlightWindow(int max) : max_(std::max(1, max)), size_(std::min(max_, kFirstWindow)) {}

void InFlightWindow::grow() { size_ = std::min(max_, size_ + (complained_ ? 1.0 / size_ : 1.0)); }

void InFlightWindow::shrink(std::uint64_t number) {
  if (number <= shrunk_at_) return;  // sent before the last decrease could show
  shrunk_at_ = begun_;
  complained_ = true;
  size_ = std::max(1.0, size_ / 2);
}

EndpointSet::EndpointSet(std::size_t count, int max_in_flight) : each_(count, Each{InFlightWindow(max_in_flight)}) {}

bool EndpointSet::another_in(std::size_t endpoint) const {
  for (std::size_t i = 0; i < each_.size(); ++i) {
    if (i != endpoint && !each_[i].out) return true;
  }
  return false;
}

std::optional<std::size_t> EndpointSet::choose(Time now, std::optional<std::size_t> avoid) const {
  const bool any_in = std::any_of(each_.begin(), each_.end(), [](const Each& each) { return !each.out; });
  std::optional<std::size_t> best;
  const auto rank = [&](std::size_t i) {
    return std::tuple(avoid == i, each_[i].outstanding, each_[i].sent);
  };
  for (std::size_t i = 0; i < each_.size(); ++i) {
    const Each& each = each_[i];
    if ((each.out && any_in) || each.hold_until > now) continue;
    if (each.outstanding >= static_cast<std::size_t>(each.window.size())) continue;
    if (!best || rank(i) < rank(*best)) best = i;
  }
  return best;
}

std::uint64_t EndpointSet::begin(std::size_t endpoint) {
  Each& each = each_[endpoint];
  ++each.outstanding;
  ++each.sent;
  return each.window.begin();
}

bool EndpointSet::end(std::size_t endpoint, std::uint64_t number, Outcome outcome, Time now, Milliseconds hold) {
  Each& each = each_[endpoint];
  --each.outstanding;
  if (hold.count() > 0) each.hold_until = std::max(each.hold_until, now + hold);
  switch (outcome) {
    case Outcome::kAnswered:
      each.window.grow();
      each.failures = 0;
      each.out = false;
      each.probe_pause = kFirstProbe;
      return false;
    case Outcome::kTooMany:
      each.window.shrink(number);
      return false;
    case Outcome::kTimedOut:
      each.window.shrink(number);
      ++each.failures;
      break;
    case Outcome::kFailed:
      ++each.failures;
      break;
    case Outcome::kUnreachable:
      each.failures = kFailuresUntilOut;
      break;
  }
  if (each.out || each.failures < kFailuresUntilOut || each_.size() == 1) return false;
  leave_out(endpoint, now);
  return true;
}

void EndpointSet::leave_out(std::size_t endpoint, Time now) {
  Each& each = each_[endpoint];
  each.out = true;
  each.failures = kFailuresUntilOut;
  each.probe_at = now + each.probe_pause;
}

std::optional<std::size_t> EndpointSet::probe_due(Time now) {
  if (each_.size() == 1) return std::nullopt;
  for (std::size_t i = 0; i < each_.size(); ++i) {
    Each& each = each_[i];
    if (!each.out || each.probing || each.probe_at > now) continue;
    each.probing = true;
    return i;
  }
  return std::nullopt;
}

void EndpointSet::probed(std::size_t endpoint, bool works, Time now) {
  Each& each = each_[endpoint];
  each.probing = false;
  // One more failure puts it out again, and the next probe comes later.
  each.probe_pause = std::min(each.probe_pause * 2, kLastProbe);
  if (works) {
    each.out = false;
    each.failures = kFailuresUntilOut - 1;
  } else {
    each.probe_at = now + each.probe_pause;
  }
}

std::optional<EndpointSet::Time> EndpointSet::next_change(Time now) const {
  std::optional<Time> next;
  const auto consider = [&](Time when) {
    if (!next || when < *next) next = when;
  };
  for (const Each& each : each_) {
    if (each.hold_until > now) consider(each.hold_until);
    if (each_.size() > 1 && each.out && !each.probing) consider(each.probe_at);
  }
  return next;
}

}  // namespace precept
