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

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Small servers accept few connections at a time and lose what comes in between, so that new ones are
// opened one after the other.
constexpr milliseconds kBetweenConnections(1);
constexpr std::size_t kMaxHeaderBytes = std::size_t{1} << 20;

struct Job {
  HttpClient::Call call;
  int attempts = 0;
  Clock::time_point first{};
};

// One attempt on the wire. Lives at a fixed address while curl knows it.
struct Transfer {
  std::unique_ptr<Job> job;
  CURL* easy = nullptr;
  std::string sent;
  std::string received;
  std::size_t header_bytes = 0;
  std::size_t limit = 0;
  bool too_big = false;
};

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::size_t bytes = size * count;
  if (bytes > transfer.limit - transfer.received.size()) {
    transfer.too_big = true;
    return 0;  // ends the transfer
  }
  transfer.received.append(data, bytes);
  return bytes;
}

std::size_t on_header(char*, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  transfer.header_bytes += size * count;
  if (transfer.header_bytes > kMaxHeaderBytes) {
    transfer.too_big = true;
    return 0;
  }
  return size * count;
}

bool is_certificate_trouble(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
         code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
}

HttpProblem network_problem(CURLcode code, const Transfer& transfer) {
  HttpProblem problem;
  problem.transient = true;
  if (transfer.too_big) {
    problem.what = "the server's answer is larger than " + std::to_string(transfer.limit) + " bytes";
    problem.hint = "is this the address of an OpenAI-compatible server? Most end in /v1";
    return problem;
  }
  double connected = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_CONNECT_TIME, &connected);
  problem.what = one_line(curl_easy_strerror(code), 200);
  if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
      code == CURLE_COULDNT_RESOLVE_PROXY ||
      (code == CURLE_OPERATION_TIMEDOUT && connected <= 0)) {
    problem.connect = true;
    problem.hint = "is the server running, and are host and port right?";
  } else if (code == CURLE_OPERATION_TIMEDOUT) {
    problem.what = "the server did not answer in time";
    problem.hint = "it is slow or overloaded: set PRECEPT_HTTP_TIMEOUT (seconds) higher or "
                   "PRECEPT_HTTP_IN_FLIGHT lower";
  } else if (is_certificate_trouble(code)) {
    problem.transient = false;
    problem.hint = "the server's certificate cannot be verified: install its authority's certificate";
  } else {
    problem.hint = "the server ended the connection: look at its log";
  }
  return problem;
}

HttpProblem status_problem(int status, std::string_view body) {
  HttpProblem problem;
  problem.status = status;
  problem.transient =
      status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
  const std::string words = server_words(body);
  problem.what = "HTTP " + std::to_string(status) + (words.empty() ? "" : ": " + words);
  if (status == 401 || status == 403) {
    problem.hint = "set PRECEPT_API_KEY to a key that this server accepts";
  } else if (status == 404) {
    problem.hint = "check the path (most servers want /v1) and the model's name after '#'";
  } else if (status == 429) {
    problem.hint = "the server wants fewer requests: set PRECEPT_HTTP_IN_FLIGHT lower";
  } else if (status >= 500) {
    problem.hint = "the server failed: look at its log";
  } else if (status >= 300 && status < 400) {
    problem.what = "HTTP " + std::to_string(status) + ": the server redirects";
    problem.hint = "redirects are not followed: give the final address";
  } else {
    problem.hint = "the server refuses the request: its message says why";
  }
  return problem;
}

void initialise_curl() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

}  // namespace

struct HttpClient::Impl {
  HttpOptions options;
  bool direct = false;
  CURLM* multi = nullptr;
  curl_slist* headers = nullptr;
  std::vector<CURL*> idle;  // handles for reuse
  std::deque<std::unique_ptr<Job>> queue;
  std::multimap<Clock::time_point, std::unique_ptr<Job>> paused;
  std::unordered_map<CURL*, std::unique_ptr<Transfer>> active;
  std::deque<std::pair<std::unique_ptr<Job>, std::optional<HttpProblem>>> finished;
  std::size_t warm = 0;            // connections that should be open already
  Clock::time_point next_connection{};
  bool unreachable = false;  // a call has used up its retries without reaching the server

  std::size_t limit() const { return static_cast<std::size_t>(std::max(1, options.max_in_flight)); }
  bool may_start(Clock::time_point now);
  void start_what_may_start();
  void start(std::unique_ptr<Job> job);
  void configure(Transfer& transfer);
  void collect();
  void settle(Transfer& transfer, CURLcode code);
  void retry_or_give_up(std::unique_ptr<Job> job, HttpProblem problem, milliseconds asked);
  milliseconds pause_before_retry(const Job& job, milliseconds asked) const;
  milliseconds bounded_wait(milliseconds wait) const;
  std::size_t in_flight() const {
    return queue.size() + paused.size() + active.size() + finished.size();
  }
};

void HttpClient::Impl::configure(Transfer& transfer) {
  CURL* easy = transfer.easy;
  const Job& job = *transfer.job;
  // Whoever lets one attempt take longer than the deadline means it.
  const auto deadline = std::max(options.total_deadline, options.timeout);
  const auto left = std::chrono::duration_cast<milliseconds>(job.first + deadline - Clock::now());
  const milliseconds timeout = std::clamp(left, milliseconds(1), options.timeout);
  curl_easy_reset(easy);  // keeps connections, forgets options
  curl_easy_setopt(easy, CURLOPT_URL, job.call.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                   static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "precept");
  if (direct) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  if (job.call.body) {
    transfer.sent = job.call.body();
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(transfer.sent.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, transfer.sent.data());
  }
}

void HttpClient::Impl::start(std::unique_ptr<Job> job) {
  auto transfer = std::make_unique<Transfer>();
  if (job->attempts == 0) job->first = Clock::now();
  ++job->attempts;
  transfer->job = std::move(job);
  transfer->limit = options.max_body_bytes;
  if (idle.empty()) {
    transfer->easy = curl_easy_init();
    PRECEPT_CHECK(transfer->easy != nullptr);
  } else {
    transfer->easy = idle.back();
    idle.pop_back();
  }
  configure(*transfer);
  PRECEPT_CHECK(curl_multi_add_handle(multi, transfer->easy) == CURLM_OK);
  CURL* easy = transfer->easy;
  active.emplace(easy, std::move(transfer));
}

bool HttpClient::Impl::may_start(Clock::time_point now) {
  if (active.size() >= limit()) return false;
  if (active.size() < warm) return true;
  if (now < next_connection) return false;
  next_connection = now + kBetweenConnections;
  ++warm;
  return true;
}

void HttpClient::Impl::start_what_may_start() {
  const auto now = Clock::now();
  while (!paused.empty() && paused.begin()->first <= now && may_start(now)) {
    auto job = std::move(paused.begin()->second);
    paused.erase(paused.begin());
    start(std::move(job));
  }
  while (!queue.empty() && may_start(now)) {
    auto job = std::move(queue.front());
    queue.pop_front();
    start(std::move(job));
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
  return std::max(milliseconds(static_cast<std::int64_t>(own)),
                  std::min(asked, options.retry_after_max));
}

void HttpClient::Impl::retry_or_give_up(std::unique_ptr<Job> job, HttpProblem problem,
                                        milliseconds asked) {
  int allowed = options.retries;
  if (problem.connect && job->call.connect_retries >= 0) {
    allowed = std::min(allowed, job->call.connect_retries);
  }
  if (problem.connect && unreachable) allowed = 0;
  const Clock::time_point next = Clock::now() + pause_before_retry(*job, asked);
  if (problem.transient && job->attempts <= allowed &&
      next < job->first + options.total_deadline) {
    paused.emplace(next, std::move(job));
    return;
  }
  if (problem.connect) unreachable = true;
  if (job->attempts > 1) problem.what += " (" + std::to_string(job->attempts) + " attempts)";
  finished.emplace_back(std::move(job), std::move(problem));
}

void HttpClient::Impl::settle(Transfer& transfer, CURLcode code) {
  std::unique_ptr<Job> job = std::move(transfer.job);
  long status = 0;
  curl_off_t retry_after = 0;
  curl_easy_getinfo(transfer.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(transfer.easy, CURLINFO_RETRY_AFTER, &retry_after);
  if (status != 0) unreachable = false;
  if (code != CURLE_OK) {
    if (warm > 0) --warm;  // its connection is gone
    retry_or_give_up(std::move(job), network_problem(code, transfer), milliseconds(0));
  } else if (status == 200) {
    if (auto problem = job->call.read(transfer.received)) {
      retry_or_give_up(std::move(job), std::move(*problem), milliseconds(0));
    } else {
      finished.emplace_back(std::move(job), std::nullopt);
    }
  } else {
    const curl_off_t seconds = std::clamp<curl_off_t>(retry_after, 0, 86400);
    retry_or_give_up(std::move(job), status_problem(static_cast<int>(status), transfer.received),
                     milliseconds(seconds * 1000));
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
    const std::unique_ptr<Transfer> transfer = std::move(it->second);
    active.erase(it);
    settle(*transfer, code);
    curl_multi_remove_handle(multi, easy);
    idle.push_back(easy);
  }
}

// Not longer than until the next call may start, and not at all when there is nothing to wait for.
milliseconds HttpClient::Impl::bounded_wait(milliseconds wait) const {
  if (!finished.empty() || in_flight() == 0) return milliseconds(0);
  if (active.size() < limit()) {
    if (!queue.empty()) wait = std::min(wait, kBetweenConnections);
    if (!paused.empty()) {
      const auto due = std::chrono::ceil<milliseconds>(paused.begin()->first - Clock::now());
      wait = std::min(wait, std::max(due, kBetweenConnections));
    }
  }
  return std::clamp(wait, milliseconds(0), milliseconds(60'000));
}

HttpClient::HttpClient(const HttpOptions& options, bool direct)
    : impl_(std::make_unique<Impl>()) {
  initialise_curl();
  impl_->options = options;
  impl_->direct = direct;
  impl_->multi = curl_multi_init();
  PRECEPT_CHECK(impl_->multi != nullptr);
  const long limit = std::max(1, options.max_in_flight);
  curl_multi_setopt(impl_->multi, CURLMOPT_MAXCONNECTS, limit);
  curl_multi_setopt(impl_->multi, CURLMOPT_MAX_HOST_CONNECTIONS, limit);
  const std::string authorization = "Authorization: Bearer " + options.api_key;
  impl_->headers = curl_slist_append(impl_->headers, "Content-Type: application/json");
  impl_->headers = curl_slist_append(impl_->headers, "Accept: application/json");
  impl_->headers = curl_slist_append(impl_->headers, "Expect:");
  if (!options.api_key.empty()) {
    impl_->headers = curl_slist_append(impl_->headers, authorization.c_str());
  }
}

HttpClient::~HttpClient() {
  for (auto& [easy, transfer] : impl_->active) {
    curl_multi_remove_handle(impl_->multi, easy);
    curl_easy_cleanup(easy);
  }
  for (CURL* easy : impl_->idle) curl_easy_cleanup(easy);
  curl_multi_cleanup(impl_->multi);
  curl_slist_free_all(impl_->headers);
}

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
  for (auto& [job, problem] : finished) job->call.done(std::move(problem));
  return impl.in_flight();
}

}  // namespace precept
