#pragma once
// The model itself, once its endpoints are known. Inside model/ only: others call open_http_model().

#include <deque>
#include <functional>
#include <vector>

#include "precept/model/http_client.h"
#include "precept/model/http_model.h"

namespace precept {

// "URL: what", as a failure.
Error http_error(const std::string& url, const HttpProblem& problem);

class HttpModel final : public Model {
 public:
  // `info.endpoints` stands in the order of `addresses`; those with an empty `serves` did not answer, and are out for now.
  HttpModel(std::vector<HttpAddress> addresses, const HttpOptions& options, ModelInfo info);

  const ModelInfo& info() const override { return info_; }
  void submit(GenerateRequest request, GenerateDone done) override;
  void submit(ScoreRequest request, ScoreDone done) override;
  std::size_t advance(std::chrono::milliseconds wait) override;

  void leave_out(std::size_t endpoint) { client_.leave_out(endpoint); }

 private:
  struct Scoring;
  void ask(const std::shared_ptr<Scoring>& scoring, std::size_t question);
  Served served(std::size_t endpoint, std::string fingerprint) const;

  HttpOptions options_;
  ModelInfo info_;
  HttpClient client_;
  std::deque<std::function<void()>> refused_;  // answered with an error by the next advance()
};

}  // namespace precept
