#include "precept/model/http_transfer.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

namespace precept {
namespace {

constexpr std::size_t kMaxHeaderBytes = std::size_t{1} << 20;

bool is_certificate_trouble(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CERTPROBLEM ||
         code == CURLE_SSL_CACERT_BADFILE || code == CURLE_SSL_ISSUER_ERROR ||
         code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
}

constexpr const char* kWrongAddress = "is this the address of an OpenAI-compatible server? Most end in /v1";

}  // namespace

std::size_t HttpTransfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<HttpTransfer*>(self);
  const std::size_t bytes = size * count;
  transfer.began_ = true;
  transfer.last_ = Clock::now();
  if (bytes > transfer.limit_ - transfer.received_.size()) {
    transfer.too_big_ = true;
    return 0;  // ends the transfer
  }
  transfer.received_.append(data, bytes);
  long status = 0;
  if (transfer.on_part_) curl_easy_getinfo(transfer.easy_, CURLINFO_RESPONSE_CODE, &status);
  if (status == 200) transfer.on_part_(std::string_view(data, bytes));
  return bytes;
}

std::size_t HttpTransfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<HttpTransfer*>(self);
  const std::size_t bytes = size * count;
  transfer.header_bytes_ += bytes;
  transfer.began_ = true;
  transfer.last_ = Clock::now();
  if (transfer.header_bytes_ > kMaxHeaderBytes) {
    transfer.too_big_ = true;
    return 0;
  }
  constexpr std::string_view kName = "retry-after:";
  const std::string_view line(data, bytes);
  if (line.size() > kName.size() && std::equal(kName.begin(), kName.end(), line.begin(), [](char a, char b) {
        return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
      })) {
    transfer.retry_after_ = line.substr(kName.size());
  }
  return bytes;
}

void HttpTransfer::configure(CURL* easy, const HttpOptions& options, curl_slist* headers, const std::string& url,
                             bool direct, std::string body, std::chrono::milliseconds timeout, std::size_t max_bytes,
                             std::function<void(std::string_view)> on_part) {
  easy_ = easy;
  on_part_ = std::move(on_part);
  sent_ = std::move(body);
  limit_ = max_bytes;
  curl_easy_reset(easy);  // keeps connections, forgets options
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail_);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(easy, CURLOPT_HEADEROPT, static_cast<long>(CURLHEADER_SEPARATE));  // the key is not for proxies
  curl_easy_setopt(easy, CURLOPT_USERAGENT, "precept");
  if (!options.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, options.ca_file.c_str());
  if (!options.proxy.empty()) {
    curl_easy_setopt(easy, CURLOPT_PROXY, options.proxy.c_str());
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
  } else if (direct) {
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
  }
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, this);
  if (!sent_.empty()) {
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(sent_.size()));
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, sent_.data());
  }
}

bool HttpTransfer::stalled(Clock::time_point now, std::chrono::milliseconds stall_timeout) const {
  return began_ && now - last_ > stall_timeout;
}

HttpProblem HttpTransfer::network_problem(CURLcode code, const HttpOptions& options) const {
  HttpProblem problem;
  problem.transient = true;
  if (too_big_) {
    problem.what = "the server's answer is larger than " + std::to_string(limit_) + " bytes";
    problem.hint = kWrongAddress;
    return problem;
  }
  curl_off_t connected = 0;  // with a proxy or TLS: before the server itself was reached
  curl_easy_getinfo(easy_, CURLINFO_CONNECT_TIME_T, &connected);
  problem.what = one_line(curl_easy_strerror(code), 200);
  if (code == CURLE_COULDNT_RESOLVE_PROXY) {
    problem.connect = true;
    problem.what = "the proxy cannot be found";
    problem.hint = "check --proxy, or http_proxy and https_proxy in the environment";
  } else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
             (code == CURLE_OPERATION_TIMEDOUT && connected <= 0)) {
    problem.connect = true;
    problem.hint = "is the server running, and are host and port right?";
  } else if (code == CURLE_OPERATION_TIMEDOUT) {
    problem.timeout = true;
    problem.what = "the server did not answer in time";
    problem.hint = "it is slow or overloaded: set --request-timeout (seconds) higher or --max-in-flight lower";
  } else if (is_certificate_trouble(code)) {
    problem.transient = false;
    const std::string why = one_line(without_secrets(detail_, options), 200);
    problem.what = "the server's certificate cannot be verified" + (why.empty() ? "" : ": " + why);
    problem.hint = "install its authority's certificate, or name the file that holds it with --ca-file";
  } else {
    problem.hint = "the server ended the connection: look at its log";
  }
  return problem;
}

HttpTransfer::Outcome HttpTransfer::outcome(CURLcode code, bool stalled, const HttpOptions& options) {
  Outcome out;
  out.lost = stalled || code != CURLE_OK;
  if (stalled) {
    HttpProblem problem;
    problem.transient = problem.timeout = true;
    problem.what = "the server stopped in the middle of its answer";
    problem.hint = "it is overloaded, or the line is bad: set --stall-timeout (seconds) higher";
    out.problem = std::move(problem);
    return out;
  }
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  out.status = static_cast<int>(status);
  if (code != CURLE_OK) {
    out.problem = network_problem(code, options);
    return out;
  }
  out.body = without_secrets(std::move(received_), options);
  if (out.status == 200) return out;
  out.problem = status_problem(out.status, out.body);
  if (!retry_after_.empty()) {
    out.retry_after = parse_retry_after(retry_after_, options.wall()).value_or(std::chrono::milliseconds(0));
  }
  return out;
}

HttpProblem status_problem(int status, std::string_view body) {
  HttpProblem problem;
  problem.status = status;
  problem.transient =
      status == 408 || status == 425 || status == 429 || (status >= 500 && status != 501);
  const std::string words = server_words(body);
  problem.what = "HTTP " + std::to_string(status) + (words.empty() ? "" : ": " + words);
  if (status == 401 || status == 403) {
    problem.hint = "give a key that this server accepts: set PRECEPT_API_KEY, or name another variable with --api-key-env";
  } else if (status == 404) {
    problem.hint = "check the path (most servers want /v1) and the model's name after '#'";
  } else if (status == 407) {
    problem.hint = "the proxy wants a password: put its whole address into a variable, --proxy '$VAR'";
  } else if (status == 429) {
    problem.hint = "the server wants fewer requests: set --max-in-flight lower";
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

}  // namespace precept
