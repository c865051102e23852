#pragma once
// answers.db in a run folder: every answer that an endpoint gave there, so that none is ever asked for (and paid) again,
// whatever the recipe; and what was found out about the endpoints.
//
// Each put() is stored at once: it survives SIGKILL, and all but the last moments survive power loss. Several processes
// may share one folder. One thread.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "precept/core/result.h"
#include "precept/model/model.h"

namespace precept {

// An answer is given again only to the same request at the same endpoint, which serves the same model.
struct AnswerKey {
  std::string endpoint;     // EndpointInfo::url: address and name
  std::string serves;       // EndpointInfo::serves
  std::string fingerprint;  // system_fingerprint; empty where the server gives none
  std::string request;      // digest of the exact request
};

struct EndpointRecord {
  std::string url, serves, fingerprint;  // fingerprint: the last one seen
  std::optional<bool> scores;            // log-probs of first tokens?
};

class AnswerStore {
 public:
  // Opens or creates `folder`/answers.db.
  static Result<AnswerStore> open(const std::string& folder);
  ~AnswerStore();
  AnswerStore(AnswerStore&&) noexcept;
  AnswerStore& operator=(AnswerStore&&) noexcept;

  Result<std::optional<Generation>> find_generation(const AnswerKey& key) const;
  Result<std::optional<Scores>> find_scores(const AnswerKey& key) const;
  // A key that is there already stays as it is, but what was spent counts.
  Status put(const AnswerKey& key, const Generation& answer, const Usage& spent);
  Status put(const AnswerKey& key, const Scores& answer, const Usage& spent);
  Status put_spent(const Usage& spent);  // for an answer that is not kept

  // All that was ever spent in this folder.
  Result<Usage> spent() const;

  Result<std::optional<EndpointRecord>> endpoint(const std::string& url) const;
  Status set_endpoint(const EndpointRecord& record);

 private:
  struct Impl;
  explicit AnswerStore(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace precept
