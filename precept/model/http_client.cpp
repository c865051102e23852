#include "precept/model/http_client.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <curl/curl.h>
#include <strings.h>

#include "precept/model/endpoints.h"
#include "precept/model/http_transfer.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Small servers accept few connections at a time and lose what comes in between, so that new ones are
// opened one after the other.
constexpr milliseconds kBetweenConnections(1);

struct Job {
  HttpClient::Call call;
  int attempts = 0;
  int moves = 0;                    // to another endpoint, because one could not be reached
  std::optional<std::size_t> last;  // endpoint
  Clock::time_point first{};
};

// An attempt of a job, or a probe of an endpoint (no job).
struct Attempt {
  std::unique_ptr<Job> job;
  std::size_t endpoint = 0;
  std::uint64_t number = 0;
  HttpTransfer transfer;
};

EndpointSet::Outcome outcome_of(const std::optional<HttpProblem>& problem) {
  using Outcome = EndpointSet::Outcome;
  if (!problem) return Outcome::kAnswered;
  if (problem->connect) return Outcome::kUnreachable;
  if (problem->status == 429 || problem->status == 503) return Outcome::kTooMany;
  if (problem->timeout || problem->status == 408 || problem->status == 504) return Outcome::kTimedOut;
  return problem->transient ? Outcome::kFailed : Outcome::kAnswered;
}

void initialise_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct HttpClient::Impl {
  // What is known of the connections to one endpoint.
  struct Line {
    HttpAddress address;
    std::size_t warm = 0;  // connections that should be open already
    Clock::time_point next_connection{};
    bool direct = false;
  };

  HttpOptions options;
  std::vector<Line> lines;
  EndpointSet endpoints;
  CURLM* multi = nullptr;
  curl_slist* headers = nullptr;
  std::vector<CURL*> idle;  // handles for reuse
  std::deque<std::unique_ptr<Job>> queue;
  std::multimap<Clock::time_point, std::unique_ptr<Job>> paused;
  std::unordered_map<CURL*, std::unique_ptr<Attempt>> active;
  std::size_t probes = 0;  // of those
  std::deque<std::pair<std::unique_ptr<Job>, std::optional<HttpProblem>>> finished;
  bool unreachable = false;  // a call has used up its retries without reaching a server

  Impl(const HttpOptions& given, std::size_t count) : options(given), endpoints(count, given.max_in_flight) {}

  std::optional<std::size_t> place_for(const Job& job);
  void start_what_may_start();
  void start(std::unique_ptr<Job> job, std::size_t endpoint);
  void begin(std::unique_ptr<Attempt> attempt, const std::string& url, std::string body, milliseconds timeout, std::size_t max_bytes);
  void probe();
  void collect();
  void end_stalled();
  void settle(Attempt& attempt, HttpTransfer::Outcome outcome);
  void retry_or_give_up(std::unique_ptr<Job> job, HttpProblem problem, milliseconds asked);
  milliseconds pause_before_retry(const Job& job, milliseconds asked) const;
  milliseconds bounded_wait(milliseconds wait) const;
  void warn(std::size_t endpoint, const std::string& what) const;
  std::size_t in_flight() const {
    return queue.size() + paused.size() + active.size() - probes + finished.size();
  }
};

void HttpClient::Impl::begin(std::unique_ptr<Attempt> attempt, const std::string& url, std::string body,
                             milliseconds timeout, std::size_t max_bytes) {
  CURL* easy = nullptr;
  if (idle.empty()) {
    easy = curl_easy_init();
    PRECEPT_CHECK(easy != nullptr);
  } else {
    easy = idle.back();
    idle.pop_back();
  }
  attempt->transfer.configure(easy, options, headers, url, lines[attempt->endpoint].direct, std::move(body), timeout, max_bytes,
                              attempt->job ? attempt->job->call.on_part : nullptr);
  PRECEPT_CHECK(curl_multi_add_handle(multi, easy) == CURLM_OK);
  active.emplace(easy, std::move(attempt));
}

void HttpClient::Impl::start(std::unique_ptr<Job> job, std::size_t endpoint) {
  if (!job->last) job->first = options.now();
  ++job->attempts;
  job->last = endpoint;
  // Whoever lets one attempt take longer than the deadline means it.
  const auto deadline = std::max(options.total_deadline, options.timeout);
  const auto left = std::chrono::duration_cast<milliseconds>(job->first + deadline - options.now());
  const milliseconds timeout = std::clamp(left, milliseconds(1), std::max(options.timeout, milliseconds(1)));
  const std::size_t most = job->call.max_bytes == 0 ? options.max_body_bytes : std::min(job->call.max_bytes, options.max_body_bytes);
  auto attempt = std::make_unique<Attempt>();
  attempt->endpoint = endpoint;
  attempt->number = endpoints.begin(endpoint);
  const std::string url = lines[endpoint].address.base + job->call.path;
  std::string body = job->call.body ? job->call.body() : std::string();
  attempt->job = std::move(job);
  begin(std::move(attempt), url, std::move(body), timeout, most);
}

// The endpoint that may take the job now.
std::optional<std::size_t> HttpClient::Impl::place_for(const Job& job) {
  const auto endpoint = endpoints.choose(options.now(), job.last);
  if (!endpoint) return std::nullopt;
  Line& line = lines[*endpoint];
  if (endpoints.outstanding(*endpoint) < line.warm) return endpoint;
  const auto now = Clock::now();
  if (now < line.next_connection) return std::nullopt;
  line.next_connection = now + kBetweenConnections;
  ++line.warm;
  return endpoint;
}

void HttpClient::Impl::start_what_may_start() {
  probe();
  const auto now = options.now();
  while (!paused.empty() && paused.begin()->first <= now) {
    const auto endpoint = place_for(*paused.begin()->second);
    if (!endpoint) return;
    auto job = std::move(paused.begin()->second);
    paused.erase(paused.begin());
    start(std::move(job), *endpoint);
  }
  while (!queue.empty()) {
    const auto endpoint = place_for(*queue.front());
    if (!endpoint) return;
    auto job = std::move(queue.front());
    queue.pop_front();
    start(std::move(job), *endpoint);
  }
}

// Asks endpoints that are out for their models: whoever answers at all is in again.
void HttpClient::Impl::probe() {
  while (const auto endpoint = endpoints.probe_due(options.now())) {
    auto attempt = std::make_unique<Attempt>();
    attempt->endpoint = *endpoint;
    ++probes;
    begin(std::move(attempt), lines[*endpoint].address.base + "/models", {}, std::min(options.timeout, options.connect_timeout),
          options.max_body_bytes);
  }
}

milliseconds HttpClient::Impl::pause_before_retry(const Job& job, milliseconds asked) const {
  Rng rng(job.call.key);
  double jitter = 0;
  for (int i = 0; i < job.attempts; ++i) jitter = 0.5 + 0.5 * rng.uniform();
  const double doubled = static_cast<double>(options.backoff_first.count()) *
                         std::pow(2.0, std::min(job.attempts - 1, 40));
  const double own =
      jitter * std::min(doubled, static_cast<double>(options.backoff_max.count()));
  return std::max(milliseconds(static_cast<std::int64_t>(own)), asked);
}

void HttpClient::Impl::retry_or_give_up(std::unique_ptr<Job> job, HttpProblem problem, milliseconds asked) {
  // Another endpoint takes it at once. How often is bounded, so that endpoints that come and go cannot keep it forever.
  if (problem.connect && endpoints.another_in(*job->last) && job->moves < static_cast<int>(2 * lines.size())) {
    ++job->moves;
    --job->attempts;
    queue.push_front(std::move(job));
    return;
  }
  int allowed = options.retries;
  if (problem.connect && job->call.connect_retries >= 0) {
    allowed = std::min(allowed, job->call.connect_retries);
  }
  if (problem.connect && unreachable) allowed = 0;
  if (endpoints.another_in(*job->last)) asked = milliseconds(0);  // only who asked for the pause is spared
  if (job->call.may_repeat && !job->call.may_repeat()) problem.transient = false;
  const Clock::time_point next = options.now() + pause_before_retry(*job, asked);
  if (problem.transient && job->attempts <= allowed &&
      next < job->first + options.total_deadline) {
    paused.emplace(next, std::move(job));
    return;
  }
  if (problem.connect) unreachable = true;
  if (job->attempts > 1) problem.what += " (" + std::to_string(job->attempts) + " attempts)";
  finished.emplace_back(std::move(job), std::move(problem));
}

void HttpClient::Impl::warn(std::size_t endpoint, const std::string& what) const {
  if (!options.events) return;
  Event event;
  event.kind = Event::Kind::kWarning;
  event.stage = "endpoints";
  event.text = lines[endpoint].address.base + ": " + what;
  options.events(event);
}

void HttpClient::Impl::settle(Attempt& attempt, HttpTransfer::Outcome outcome) {
  const auto now = options.now();
  const std::size_t endpoint = attempt.endpoint;
  Line& line = lines[endpoint];
  if (outcome.lost && line.warm > 0) --line.warm;
  if (!attempt.job) {
    --probes;
    endpoints.probed(endpoint, outcome.status != 0 && outcome.status < 500, now);
    if (!endpoints.is_out(endpoint)) warn(endpoint, "answers again");
    return;
  }
  if (outcome.status != 0) unreachable = false;
  std::unique_ptr<Job> job = std::move(attempt.job);
  if (!outcome.problem) outcome.problem = job->call.read(outcome.body);
  const milliseconds asked = std::clamp(outcome.retry_after, milliseconds(0), options.retry_after_max);
  if (endpoints.end(endpoint, attempt.number, outcome_of(outcome.problem), now, asked)) {
    warn(endpoint, "left out for now: " + outcome.problem->what);
  }
  if (outcome.problem) {
    retry_or_give_up(std::move(job), std::move(*outcome.problem), asked);
  } else {
    finished.emplace_back(std::move(job), std::nullopt);
  }
}

void HttpClient::Impl::collect() {
  int left = 0;
  while (CURLMsg* message = curl_multi_info_read(multi, &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    CURL* easy = message->easy_handle;
    const CURLcode code = message->data.result;
    const auto it = active.find(easy);
    PRECEPT_CHECK(it != active.end());
    const std::unique_ptr<Attempt> attempt = std::move(it->second);
    active.erase(it);
    settle(*attempt, attempt->transfer.outcome(code, false, options));
    curl_multi_remove_handle(multi, easy);
    idle.push_back(easy);
  }
  end_stalled();
}

void HttpClient::Impl::end_stalled() {
  const auto now = Clock::now();
  for (auto it = active.begin(); it != active.end();) {
    if (!it->second->transfer.stalled(now, options.stall_timeout)) {
      ++it;
      continue;
    }
    CURL* easy = it->first;
    const std::unique_ptr<Attempt> attempt = std::move(it->second);
    it = active.erase(it);
    curl_multi_remove_handle(multi, easy);  // closes its connection: the answer is not whole
    idle.push_back(easy);
    settle(*attempt, attempt->transfer.outcome(CURLE_OK, true, options));
  }
}

// Not longer than until the next call may start, and not at all when there is nothing to wait for.
milliseconds HttpClient::Impl::bounded_wait(milliseconds wait) const {
  if (!finished.empty() || in_flight() == 0) return milliseconds(0);
  const auto now = options.now();
  const auto until = [&](Clock::time_point when) {
    const auto due = std::chrono::ceil<milliseconds>(when - now);
    wait = std::min(wait, std::max(due, kBetweenConnections));
  };
  if (const auto next = endpoints.next_change(now)) until(*next);
  if (!paused.empty() && paused.begin()->first > now) until(paused.begin()->first);
  const bool waiting = !queue.empty() || (!paused.empty() && paused.begin()->first <= now);
  if (waiting && endpoints.choose(now, std::nullopt)) wait = std::min(wait, kBetweenConnections);
  if (!active.empty()) wait = std::min(wait, std::max(options.stall_timeout / 2, kBetweenConnections));
  return std::clamp(wait, milliseconds(0), milliseconds(60'000));
}

HttpClient::HttpClient(const HttpOptions& options, std::vector<HttpAddress> given)
    : impl_(std::make_unique<Impl>(options, given.size())) {
  PRECEPT_CHECK(!given.empty());
  initialise_curl();
  for (HttpAddress& address : given) {
    Impl::Line line;
    line.direct = address.loopback;
    line.address = std::move(address);
    impl_->lines.push_back(std::move(line));
  }
  impl_->multi = curl_multi_init();
  PRECEPT_CHECK(impl_->multi != nullptr);
  const long limit = std::max(1, options.max_in_flight);
  curl_multi_setopt(impl_->multi, CURLMOPT_MAXCONNECTS, limit * static_cast<long>(impl_->lines.size()));
  const auto add = [&](const std::string& header) {
    impl_->headers = curl_slist_append(impl_->headers, header.c_str());
  };
  add("Content-Type: application/json");
  add("Accept: application/json");
  add("Expect:");
  bool authorized = false;  // by a header of the user's, which goes before the key
  for (const std::string& header : options.headers) {
    add(header);
    constexpr std::string_view kName = "authorization:";
    authorized = authorized || (header.size() > kName.size() && strncasecmp(header.c_str(), kName.data(), kName.size()) == 0);
  }
  if (!options.api_key.empty() && !authorized) add("Authorization: Bearer " + options.api_key);
}

HttpClient::~HttpClient() {
  for (auto& [easy, attempt] : impl_->active) {
    curl_multi_remove_handle(impl_->multi, easy);
    curl_easy_cleanup(easy);
  }
  for (CURL* easy : impl_->idle) curl_easy_cleanup(easy);
  curl_multi_cleanup(impl_->multi);
  curl_slist_free_all(impl_->headers);
}

void HttpClient::leave_out(std::size_t endpoint) { impl_->endpoints.leave_out(endpoint, impl_->options.now()); }

void HttpClient::submit(Call call) {
  auto job = std::make_unique<Job>();
  job->call = std::move(call);
  impl_->queue.push_back(std::move(job));
}

std::size_t HttpClient::advance(milliseconds wait) {
  Impl& impl = *impl_;
  int running = 0;
  impl.start_what_may_start();
  curl_multi_perform(impl.multi, &running);
  impl.collect();
  if (const milliseconds bounded = impl.bounded_wait(wait); bounded.count() > 0) {
    curl_multi_poll(impl.multi, nullptr, 0, static_cast<int>(bounded.count()), nullptr);
    curl_multi_perform(impl.multi, &running);
    impl.collect();
  }
  impl.start_what_may_start();  // the wire stays full while completions run
  auto finished = std::exchange(impl.finished, {});
  for (auto& [job, problem] : finished) job->call.done(std::move(problem), job->last.value_or(0));
  return impl.in_flight();
}

}  // namespace precept
