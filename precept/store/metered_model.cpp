#include "precept/store/metered_model.h"

#include <algorithm>
#include <cstdio>
#include <deque>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "precept/store/run_store.h"

namespace precept {
namespace {

constexpr std::int64_t kBytesPerToken = 4;

std::int64_t tokens_of(std::size_t bytes) { return (static_cast<std::int64_t>(bytes) + kBytesPerToken - 1) / kBytesPerToken; }

std::string money(double value) {
  char text[40];
  std::snprintf(text, sizeof text, value < 1 ? "%.4f" : "%.2f", value);
  return text;
}

}  // namespace

Result<std::shared_ptr<Meter>> Meter::open(const std::string& folder, const Ceiling& ceiling, const EventSink& events) {
  auto meter = std::make_shared<Meter>();
  meter->ceiling_ = ceiling;
  meter->events_ = events;
  if (folder.empty()) return meter;
  auto answers = AnswerStore::open(folder);
  if (!answers) return tl::unexpected<Error>(answers.error());
  const auto spent = answers->spent();
  if (!spent) return tl::unexpected<Error>(spent.error());
  meter->answers_.emplace(std::move(*answers));
  meter->spent_ = *spent;
  return meter;
}

double Meter::cost(const Usage& usage) const {
  return (static_cast<double>(usage.prompt_tokens) * ceiling_.price_input +
          static_cast<double>(usage.output_tokens) * ceiling_.price_output) / 1e6;
}

bool Meter::room_for(const Usage& more) const {
  Usage all = spent_;
  all += more;
  const auto tokens = static_cast<std::uint64_t>(all.prompt_tokens + all.output_tokens);
  if (ceiling_.tokens > 0 && tokens >= ceiling_.tokens) return false;
  return !(ceiling_.spend > 0 && cost(all) >= ceiling_.spend);
}

Status Meter::within() const {
  if (room_for({})) return {};
  const std::int64_t tokens = spent_.prompt_tokens + spent_.output_tokens;
  const bool by_tokens = ceiling_.tokens > 0 && static_cast<std::uint64_t>(tokens) >= ceiling_.tokens;
  Error error;
  error.kind = ErrorKind::kLimit;
  error.what = by_tokens ? "the ceiling of " + std::to_string(ceiling_.tokens) + " tokens is reached: " + std::to_string(tokens) + " are spent"
                         : "the ceiling of " + money(ceiling_.spend) + " is reached: " + money(cost(spent_)) + " is spent";
  error.hint = std::string("what is finished is stored: repeat the command with a higher ") +
               (by_tokens ? "--max-total-tokens" : "--max-spend") + " to go on";
  return tl::unexpected<Error>(std::move(error));
}

std::optional<bool> Meter::known_scores(const EndpointInfo& endpoint) const {
  if (!answers_) return std::nullopt;
  const auto record = answers_->endpoint(endpoint.url);
  if (!record || !*record || (*record)->serves != endpoint.serves) return std::nullopt;
  return (*record)->scores;
}

Status Meter::keep(const ModelInfo& info) {
  for (const EndpointInfo& endpoint : info.endpoints) {
    if (endpoint.asked) spent_ += endpoint.usage;
    if (!answers_ || endpoint.serves.empty()) continue;
    if (endpoint.asked) {
      if (Status status = answers_->put_spent(endpoint.usage); !status) return status;
    }
    const auto record = answers_->endpoint(endpoint.url);
    if (!record) return tl::unexpected<Error>(record.error());
    EndpointRecord now{endpoint.url, endpoint.serves, {}, endpoint.scores};
    if (*record && (*record)->serves == endpoint.serves) {
      now.fingerprint = (*record)->fingerprint;
      if (!now.scores) now.scores = (*record)->scores;
    }
    if (Status status = answers_->set_endpoint(now); !status) return status;
  }
  return {};
}

// Inside a run folder or not, the way of every request is the same: look, wait for room, send, store, hand on.
class MeteredModel final : public Model {
 public:
  MeteredModel(std::unique_ptr<Model> model, std::shared_ptr<Meter> meter) : meter_(std::move(meter)), model_(std::move(model)) {
    for (const EndpointInfo& endpoint : model_->info().endpoints) {
      EndpointRecord record{endpoint.url, endpoint.serves, {}, endpoint.scores};
      if (meter_->answers_) {
        // One that does not answer now is taken to be what it was.
        const auto stored = meter_->answers_->endpoint(endpoint.url);
        if (stored && *stored && (endpoint.serves.empty() || (*stored)->serves == endpoint.serves)) record = **stored;
      }
      meter_->endpoints_[endpoint.url] = std::move(record);
    }
  }

  const ModelInfo& info() const override { return model_->info(); }

  void submit(GenerateRequest request, GenerateDone done) override {
    if (request.on_text) {  // also for an answer that is known already, or that another request gets
      auto shown = std::make_shared<bool>(false);
      done = [shown, on_text = request.on_text, done = std::move(done)](Result<Generation> answer) {
        if (answer && !*shown && !answer->text.empty()) on_text(answer->text);
        done(std::move(answer));
      };
      request.on_text = [shown, on_text = std::move(request.on_text)](std::string_view part) {
        *shown = true;
        on_text(part);
      };
    }
    std::size_t bytes = 0;
    for (const Message& message : request.messages) bytes += message.content.size();
    const Usage most{tokens_of(bytes), 0, std::max(request.sampling.max_tokens, 1)};
    const std::string digest = request_digest(request, request.logprobs ? "logprobs" : "");
    take(generations_, digest, std::move(request), most, std::move(done));
  }

  void submit(ScoreRequest request, ScoreDone done) override {
    if (request.questions.size() <= 1) return take_scores(std::move(request), std::move(done));
    struct Whole {
      Scores scores;
      std::size_t open;
      std::optional<std::pair<std::size_t, Error>> failure;
      ScoreDone done;
    };
    const std::size_t count = request.questions.size();
    auto whole = std::make_shared<Whole>(Whole{{}, count, std::nullopt, std::move(done)});
    whole->scores.logprobs.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      ScoreRequest one{request.messages, request.raw, {request.questions[i]}, request.adapter};
      take_scores(std::move(one), [whole, i](Result<Scores> answer) {
        if (!answer) {
          if (!whole->failure || i < whole->failure->first) whole->failure.emplace(i, answer.error());
        } else if (answer->logprobs.size() == 1) {
          whole->scores.logprobs[i] = std::move(answer->logprobs.front());
          whole->scores.usage += answer->usage;
          whole->scores.by = std::move(answer->by);
        }
        if (--whole->open > 0) return;
        if (whole->failure) return whole->done(tl::unexpected<Error>(whole->failure->second));
        whole->done(std::move(whole->scores));
      });
    }
  }

  std::size_t advance(std::chrono::milliseconds wait) override {
    send_held();
    if (!ready_.empty()) wait = std::chrono::milliseconds(0);
    const std::size_t sent = model_->advance(wait);
    auto ready = std::exchange(ready_, {});
    for (const auto& hand_on : ready) hand_on();
    return sent + held_.size() + ready_.size();
  }

 private:
  template <class Answer>
  using Done = std::function<void(Result<Answer>)>;
  // Those that wait for the answer to one request, by its digest.
  template <class Answer>
  using Waiting = std::map<std::string, std::vector<Done<Answer>>>;

  struct Held {
    Usage most;
    std::function<void()> send;
    std::function<void(Error)> refuse;
  };

  void take_scores(ScoreRequest request, ScoreDone done) {
    std::size_t bytes = request.questions.empty() ? 0 : request.questions.front().tail.size();
    for (const Message& message : request.messages) bytes += message.content.size();
    const std::string digest = request_digest(request, "");
    take(scores_, digest, std::move(request), Usage{tokens_of(bytes), 0, 1}, std::move(done));
  }

  template <class Request, class Answer>
  void take(Waiting<Answer>& waiting, const std::string& digest, Request request, const Usage& most, Done<Answer> done) {
    if (const auto it = waiting.find(digest); it != waiting.end()) {
      it->second.push_back(std::move(done));
      return;
    }
    if (auto known = recall<Answer>(digest)) {
      ready_.push_back([done = std::move(done), known = std::move(*known)] { done(known); });
      return;
    }
    waiting[digest].push_back(std::move(done));
    Held held;
    held.most = most;
    held.refuse = [this, &waiting, digest](Error error) { finish<Answer>(waiting, digest, tl::unexpected<Error>(std::move(error))); };
    held.send = [this, &waiting, digest, most, request = std::move(request)]() mutable {
      reserve(most, 1);
      model_->submit(std::move(request), [this, &waiting, digest, most](Result<Answer> answer) {
        reserve(most, -1);
        if (answer) {
          if (Status kept = keep(digest, *answer, most); !kept) answer = tl::unexpected<Error>(kept.error());
        }
        finish<Answer>(waiting, digest, std::move(answer));
      });
    };
    held_.push_back(std::move(held));
  }

  template <class Answer>
  void finish(Waiting<Answer>& waiting, const std::string& digest, Result<Answer> answer) {
    const auto it = waiting.find(digest);
    PRECEPT_CHECK(it != waiting.end());
    const std::vector<Done<Answer>> all = std::move(it->second);
    waiting.erase(it);
    for (const auto& done : all) done(answer);
  }

  // As many as fit below the ceiling together with what is on its way. Where nothing is, whoever waits is refused.
  void send_held() {
    while (!held_.empty()) {
      const Status within = meter_->within();
      if (within && !meter_->room_for(meter_->reserved_)) return;  // until some of what is on its way has come
      Held held = std::move(held_.front());
      held_.pop_front();
      if (within) {
        held.send();
      } else {
        ready_.push_back([refuse = std::move(held.refuse), error = within.error()] { refuse(error); });
      }
    }
  }

  void reserve(const Usage& usage, int sign) {
    meter_->reserved_.prompt_tokens += sign * usage.prompt_tokens;
    meter_->reserved_.output_tokens += sign * usage.output_tokens;
  }

  // An Error is one of the store.
  template <class Answer>
  std::optional<Result<Answer>> recall(const std::string& digest) const {
    if (!meter_->answers_) return std::nullopt;
    for (const EndpointInfo& each : model_->info().endpoints) {
      const EndpointRecord& endpoint = meter_->endpoints_.at(each.url);
      if (endpoint.serves.empty()) continue;
      const AnswerKey key{endpoint.url, endpoint.serves, endpoint.fingerprint, digest};
      Result<std::optional<Answer>> found = find(key, static_cast<Answer*>(nullptr));
      if (!found) return Result<Answer>(tl::unexpected<Error>(found.error()));
      if (*found) return Result<Answer>(std::move(**found));
    }
    return std::nullopt;
  }
  Result<std::optional<Generation>> find(const AnswerKey& key, Generation*) const { return meter_->answers_->find_generation(key); }
  Result<std::optional<Scores>> find(const AnswerKey& key, Scores*) const { return meter_->answers_->find_scores(key); }

  static std::size_t bytes_of(const Generation& answer) { return answer.text.size(); }
  static std::size_t bytes_of(const Scores&) { return 1; }

  template <class Answer>
  Status keep(const std::string& digest, const Answer& answer, const Usage& most) {
    Usage spent = answer.usage;
    if (spent.prompt_tokens == 0) spent.prompt_tokens = most.prompt_tokens;
    if (spent.output_tokens == 0) spent.output_tokens = tokens_of(bytes_of(answer));
    meter_->spent_ += spent;
    if (!meter_->answers_) return {};
    const auto it = meter_->endpoints_.find(answer.by.endpoint);
    if (it == meter_->endpoints_.end() || it->second.serves.empty()) return meter_->answers_->put_spent(spent);
    EndpointRecord& from = it->second;
    if (Status status = note_fingerprint(from, answer.by.fingerprint); !status) return status;
    return meter_->answers_->put({from.url, from.serves, from.fingerprint, digest}, answer, spent);
  }

  // From now on answers with the old fingerprint are not given again.
  Status note_fingerprint(EndpointRecord& endpoint, const std::string& fingerprint) {
    if (fingerprint.empty() || fingerprint == endpoint.fingerprint) return {};
    if (!endpoint.fingerprint.empty() && meter_->events_) {
      Event event;
      event.kind = Event::Kind::kWarning;
      event.stage = "endpoints";
      event.text = endpoint.url + ": the server's fingerprint changed from " + endpoint.fingerprint + " to " + fingerprint +
                   ": what it answered before is not used for new requests";
      meter_->events_(event);
    }
    endpoint.fingerprint = fingerprint;
    return meter_->answers_->set_endpoint(endpoint);
  }

  std::shared_ptr<Meter> meter_;
  Waiting<Generation> generations_;
  Waiting<Scores> scores_;
  std::deque<Held> held_;
  std::deque<std::function<void()>> ready_;
  std::unique_ptr<Model> model_;  // last: its destruction comes first, and runs no completion
};

std::unique_ptr<Model> metered(std::unique_ptr<Model> model, std::shared_ptr<Meter> meter) {
  return std::make_unique<MeteredModel>(std::move(model), std::move(meter));
}

}  // namespace precept
