#include "cli/bench_queue.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <memory>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "cli/open_model.h"
#include "precept/core/rng.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

struct QueueCommand {
  CommonOptions common;
  int requests = 100000;
  int first = 10000;
  int tokens = 4;
  double minutes = 0;
};

double resident_mb() {
  std::ifstream file("/proc/self/statm");
  double all = 0, resident = 0;
  file >> all >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

// Of equal length, however many there are.
GenerateRequest short_request(std::uint64_t number, int tokens, std::uint64_t seed) {
  GenerateRequest request;
  request.messages = {{"user", fmt::format("Why {}?", 100000 + number * 7919 % 900000)}};
  request.sampling.max_tokens = tokens;
  request.key = {seed, number, 0, 0};
  return request;
}

// All requests wait at once; then they are served.
struct Served {
  int requests = 0;
  double seconds = 0, processor_seconds = 0;  // of serving
  double before_mb = 0, queued_mb = 0, most_mb = 0;  // resident: before they were queued, with all of them, and the most while they were served
  double per_s() const { return requests / seconds; }
  double per_processor_s() const { return requests / processor_seconds; }
};

Result<Served> serve(Model& model, const QueueCommand& command, int requests, const EventSink& events) {
  Served out;
  out.requests = requests;
  out.before_mb = resident_mb();
  std::optional<Error> failed;
  int done = 0;
  for (int i = 0; i < requests; ++i) {
    model.submit(short_request(static_cast<std::uint64_t>(i), command.tokens, command.common.seed), [&](Result<Generation> answer) {
      ++done;
      if (!answer && !failed) failed = answer.error();
    });
  }
  out.queued_mb = out.most_mb = resident_mb();
  const Clock::time_point start = Clock::now();
  const double processor = processor_seconds();
  const int step = std::max(1, requests / 100);
  Event event;
  event.stage = "queue";
  event.total = requests;
  event.unit = "requests";
  for (int next = step; model.advance(std::chrono::milliseconds(10)) > 0;) {
    if (done < next) continue;
    next = done + step;
    out.most_mb = std::max(out.most_mb, resident_mb());
    event.done = done;
    events(event);
  }
  out.seconds = since(start);
  out.processor_seconds = processor_seconds() - processor;
  if (failed) return tl::unexpected(*failed);
  return out;
}

Json to_json(const Served& s) {
  return {{"requests", s.requests},
          {"requests_per_s", s.per_s()},
          {"requests_per_processor_s", s.per_processor_s()},
          {"resident_mb", {{"before", s.before_mb}, {"queued", s.queued_mb}, {"most_while_served", s.most_mb}}},
          {"bytes_queued_each", (s.queued_mb - s.before_mb) * 1e6 / s.requests}};
}

void print(const Served& s) {
  std::printf("%d requests: %.0f a second, %.0f a second of processor; memory %.0f MB before, %.0f MB queued (%.0f bytes each), %.0f MB at most while served\n",
              s.requests, s.per_s(), s.per_processor_s(), s.before_mb, s.queued_mb, (s.queued_mb - s.before_mb) * 1e6 / s.requests, s.most_mb);
}

// A mixed crowd for some minutes: answers with stop strings and with deadlines, some given up, and scores.
class Crowd {
 public:
  Crowd(Model& model, const QueueCommand& command) : model_(model), rng_({command.common.seed, 0, 0, 0}), command_(command) {}

  void submit() {
    const std::uint64_t number = rng_.below(1000000);
    ++flying_;
    if (rng_.below(4) == 0) {
      ScoreRequest request;
      request.messages = {{"user", fmt::format("Is {} an even number?", number)}};
      request.questions = {{"", {"yes", "no"}}, {" Answer truly.", {"yes", "no", "perhaps"}}};
      model_.submit(std::move(request), [this](const Result<Scores>& r) { settle(r.has_value()); });
      return;
    }
    GenerateRequest request = short_request(number, 1 + static_cast<int>(rng_.below(60)), command_.common.seed);
    const std::uint64_t kind = rng_.below(8);
    if (kind == 0) request.patience.deadline = Clock::now() + std::chrono::milliseconds(rng_.below(400));
    if (kind == 1) {
      request.patience.cancelled = [left = std::make_shared<int>(static_cast<int>(rng_.below(60)))] { return --*left < 0; };
    }
    if (kind == 2) request.sampling.stop = {". ", "the"};
    if (kind == 3) request.on_text = [this](std::string_view text) { streamed_ += static_cast<std::int64_t>(text.size()); };
    model_.submit(std::move(request), [this](const Result<Generation>& r) { settle(r.has_value()); });
  }

  // The resident memory at the end of each of `minutes`.
  std::vector<double> run(double minutes, const EventSink& events) {
    constexpr int kWaiting = 2000;
    std::vector<double> resident;
    const Clock::time_point start = Clock::now();
    while (flying_ > 0 || since(start) < 60 * minutes) {
      while (flying_ < kWaiting && since(start) < 60 * minutes) submit();
      model_.advance(std::chrono::milliseconds(10));
      if (since(start) < 60 * static_cast<double>(resident.size() + 1)) continue;
      resident.push_back(resident_mb());
      Event event;
      event.kind = Event::Kind::kNote;
      event.text = fmt::format("minute {}: {:.1f} MB, {} answered, {} given up or late", resident.size(), resident.back(), answered_, unanswered_);
      events(event);
    }
    return resident;
  }
  std::int64_t answered() const { return answered_; }
  std::int64_t unanswered() const { return unanswered_; }

 private:
  void settle(bool answered) {
    --flying_;
    ++(answered ? answered_ : unanswered_);
  }
  Model& model_;
  Rng rng_;
  const QueueCommand& command_;
  int flying_ = 0;
  std::int64_t answered_ = 0, unanswered_ = 0, streamed_ = 0;
};

Result<int> bench_queue(QueueCommand& command, const EventSink& events) {
  OpenOptions open;
  open.engine = engine_options(command.common);
  open.events = events;
  auto model = open_model(command.common.model, open);
  if (!model) return tl::unexpected(model.error());
  Json json;
  if (command.minutes > 0) {
    Crowd crowd(**model, command);
    const std::vector<double> resident = crowd.run(command.minutes, events);
    json = {{"minutes", command.minutes}, {"answered", crowd.answered()}, {"given_up_or_late", crowd.unanswered()}, {"resident_mb", resident}};
    if (!command.common.json) {
      std::printf("%lld answered, %lld given up or late; memory by the minute, MB:", static_cast<long long>(crowd.answered()),
                  static_cast<long long>(crowd.unanswered()));
      for (const double mb : resident) std::printf(" %.1f", mb);
      std::printf("\n");
    }
  } else {
    json["runs"] = Json::array();
    // Few before and after many: what the machine itself does meanwhile shows in the difference of these.
    for (const int requests : {command.first, command.requests, command.first}) {
      const auto served = serve(**model, command, requests, events);
      if (!served) return tl::unexpected(served.error());
      if (!command.common.json) print(*served);
      json["runs"].push_back(to_json(*served));
    }
  }
  if (command.common.json) std::printf("%s\n", json.dump(2).c_str());
  return 0;
}

}  // namespace

void add_bench_queue(CLI::App& bench, Context& context) {
  CLI::App* command = bench.add_subcommand("queue", "short requests that all wait at once: what they cost in time and memory, however many");
  const auto options = std::make_shared<QueueCommand>();
  options->common.model = "pocket";
  add_model_option(*command, options->common)->capture_default_str();
  command->add_option("--requests", options->requests, "requests that wait at once")->capture_default_str()->check(CLI::Range(1, 10000000));
  command->add_option("--first", options->first, "as many are served by themselves, before and after those")->capture_default_str()->check(CLI::Range(1, 10000000));
  command->add_option("--tokens", options->tokens, "new tokens of each")->capture_default_str()->check(CLI::Range(1, 1000));
  command->add_option("--minutes", options->minutes, "instead: that long a crowd of answers, scores, deadlines and cancellations, with the memory of each minute")
      ->check(CLI::Range(0.0, 100000.0));
  add_seed_option(*command, options->common);
  add_engine_options(*command, options->common);
  add_json_option(*command, options->common);
  command->callback([&context, options] { context.action = [&context, options] { return bench_queue(*options, context.events); }; });
}

}  // namespace precept
