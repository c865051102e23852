#include "precept/lm/infer/engine.h"

#include <algorithm>
#include <cmath>

#include "precept/model/request_check.h"

namespace precept::infer {
namespace {

constexpr int kStepRows = 1024;
constexpr int kUnitRows = 112;  // work is divided no finer than needed, and no coarser than this

int threads_of(const EngineOptions& options) {
  if (options.threads > 0) return std::min(options.threads, 256);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace

Engine::Engine(ModelInfo info, Weights weights, TokenizerFiles files, const EngineOptions& options, const std::string& base_digest,
               std::vector<std::unique_ptr<Adapter>> adapters, std::unique_ptr<Adapter> chosen)
    : info_(std::move(info)),
      weights_(std::move(weights)),
      adapters_(std::move(adapters)),
      chosen_(std::move(chosen)),
      tokenizer_(std::move(files.tokenizer)),
      chat_(std::move(files.chat)),
      stop_ids_(chat_.stop_ids()),
      max_batch_(std::max(1, options.max_batch)),
      choices_(std::min(tokenizer_.size(), weights_.config.vocab_size)),
      processor_{&nn::kernels(), &kernels()},
      cache_(BlockShape(weights_.config), options.cache_bytes),
      rotary_(weights_.config, static_cast<int>(std::min<std::int64_t>(info_.context_tokens,
                                                                       std::int64_t{cache_.capacity()} * kBlockTokens))),
      workers_(threads_of(options)) {
  std::vector<int> ends = weights_.config.more_eos_token_ids;
  if (weights_.config.eos_token_id >= 0) ends.push_back(weights_.config.eos_token_id);
  for (const int end : ends) {
    if (std::find(stop_ids_.begin(), stop_ids_.end(), end) == stop_ids_.end()) stop_ids_.push_back(end);
  }
  std::uint64_t number = 0;
  if (chosen_ || !adapters_.empty()) info_.adapters.push_back({kBaseName, base_digest});
  for (const std::unique_ptr<Adapter>& adapter : adapters_) {
    adapter->number = ++number;
    info_.adapters.push_back({adapter->name, adapter->digest});
  }
  if (chosen_) chosen_->number = ++number;
  for (int i = 0; i < workers_.threads(); ++i) {
    lanes_.push_back(std::make_unique<Lane>(Lane{Forward(weights_, rotary_, processor_, cache_), Sampler(*processor_.rows)}));
  }
}

Engine::~Engine() = default;

const Adapter* Engine::adapter_called(const std::string& name) const {
  if (name.empty()) return chosen_.get();
  for (const std::unique_ptr<Adapter>& adapter : adapters_) {
    if (adapter->name == name) return adapter.get();
  }
  return nullptr;  // the base
}

void Engine::submit(GenerateRequest request, GenerateDone done) {
  if (Status valid = check_request(request, info_.adapters); !valid) {
    completions_.push_back([done = std::move(done), error = valid.error()] { done(tl::unexpected(error)); });
    return;
  }
  auto job = std::make_unique<GenerateJob>(std::move(request), std::move(done), tokenizer_);
  job->adapter = adapter_called(job->request.adapter);
  job->arrival = arrivals_++;
  waiting_generate_.push_back(std::move(job));
}

void Engine::submit(ScoreRequest request, ScoreDone done) {
  if (Status valid = check_request(request, info_.adapters); !valid) {
    completions_.push_back([done = std::move(done), error = valid.error()] { done(tl::unexpected(error)); });
    return;
  }
  auto job = std::make_unique<ScoreJob>();
  job->request = std::move(request);
  job->adapter = adapter_called(job->request.adapter);
  job->done = std::move(done);
  job->arrival = arrivals_++;
  waiting_score_.push_back(std::move(job));
}

std::size_t Engine::advance(std::chrono::milliseconds) {
  admit();
  std::vector<Unit> units = plan();
  workers_.run(static_cast<int>(units.size()),
               [&](int thread, int piece) { compute(*lanes_[thread], units[piece]); });
  for (Unit& unit : units) {
    for (std::size_t i = 0; i < unit.works.size(); ++i) settle(*unit.works[i], unit.segments[i].rows);
  }
  collect();
  PRECEPT_CHECK(!units.empty() || active_.empty());
  std::vector<std::function<void()>> completions;
  completions.swap(completions_);  // those submitted by a completion wait for the next call
  for (const std::function<void()>& complete : completions) complete();
  return waiting_generate_.size() + waiting_score_.size() + active_.size() + completions_.size();
}

// Answers go first, so that a long prompt never holds them up; then prompts in the order of arrival.
std::vector<Engine::Unit> Engine::plan() const {
  std::vector<Work*> chosen;
  int rows = 0;
  const auto choose = [&](bool answering) {
    for (const std::unique_ptr<Job>& job : active_) {
      for (const std::unique_ptr<Work>& work : job->works) {
        const auto* generate = dynamic_cast<const GenerateJob*>(job.get());
        const bool answers = generate != nullptr && !generate->answer.tokens.empty();
        if (rows >= kStepRows || answers != answering || work->pending() == 0) continue;
        if (work->parent != nullptr && !work->parent->available(cache_)) continue;
        if (work->awaited && !cache_.ready(*work->awaited)) continue;
        chosen.push_back(work.get());
        rows += std::min(work->pending(), kStepRows - rows);
      }
    }
  };
  choose(true);
  choose(false);

  const int threads = workers_.threads();
  const int target = std::clamp((rows + threads - 1) / threads, 1, kUnitRows);
  std::vector<Unit> units;
  int left = std::min(rows, kStepRows);
  for (Work* work : chosen) {
    Segment segment;
    segment.tokens = work->tokens.data() + work->computed;
    segment.first = work->start + work->computed;
    segment.rows = std::min(work->pending(), left);
    segment.spans = work->spans.data();
    segment.adapter = work->job->adapter;
    left -= segment.rows;
    if (dynamic_cast<const GenerateJob*>(work->job) != nullptr) {
      if (segment.rows == work->pending()) segment.wanted.push_back(segment.rows - 1);
    } else {
      for (const ScoreTrie::Want& want : work->wants) {
        const int row = want.offset - work->computed;
        if (row < 0 || row >= segment.rows) continue;
        if (segment.wanted.empty() || segment.wanted.back() != row) segment.wanted.push_back(row);
      }
    }
    if (units.empty() || units.back().rows + segment.rows > target) units.emplace_back();
    units.back().rows += segment.rows;
    units.back().works.push_back(work);
    units.back().segments.push_back(std::move(segment));
  }
  std::stable_sort(units.begin(), units.end(), [](const Unit& a, const Unit& b) { return a.rows > b.rows; });
  return units;
}

void Engine::compute(Lane& lane, Unit& unit) const {
  lane.forward.run(unit.segments, [&](int segment, int row, float* logits) {
    Work& work = *unit.works[segment];
    row_done(lane, work, work.computed + row, logits);
  });
}

// Runs in a worker's thread; several threads may be at works of one job.
void Engine::row_done(Lane& lane, Work& work, int offset, float* logits) const {
  const int vocab = weights_.config.vocab_size;
  if (auto* job = dynamic_cast<GenerateJob*>(work.job)) {
    const std::optional<LogSoftmax> softmax = log_softmax(*processor_.rows, vocab, logits);
    if (!softmax) {
      job->broken = true;
      return;
    }
    job->picked = lane.sampler.pick(logits, choices_, job->request.sampling, job->rng.uniform());
    job->logprob = static_cast<float>(softmax->of(logits[job->picked]));
    return;
  }
  auto& job = static_cast<ScoreJob&>(*work.job);
  const std::optional<LogSoftmax> softmax = log_softmax(*processor_.rows, vocab, logits);
  const auto from = std::lower_bound(work.wants.begin(), work.wants.end(), offset,
                                     [](const ScoreTrie::Want& want, int at) { return want.offset < at; });
  for (auto want = from; want != work.wants.end() && want->offset == offset; ++want) {
    job.values[want->value] = softmax ? softmax->of(logits[want->target]) : std::nan("");
  }
}

void Engine::settle(Work& work, int rows) {
  work.computed += rows;
  if (work.parent == nullptr) publish(work);
}

// Makes blocks that are now full known to others.
void Engine::publish(Work& work) {
  const int full = work.computed / kBlockTokens;
  for (; work.ready < full; ++work.ready) {
    const int i = work.ready;
    if (i >= work.published) {
      if (!work.chain) return;
      Cache::Tokens tokens;
      std::copy_n(work.tokens.begin() + i * kBlockTokens, kBlockTokens, tokens.begin());
      work.chain = cache_.publish(work.spans[i].block, work.serial, tokens);
      if (!work.chain) return;
      work.serial = cache_.serial(work.spans[i].block);
      ++work.published;
    }
    cache_.set_ready(work.spans[i].block);
  }
}

bool Engine::extend(GenerateJob& job) {
  Work& work = *job.works[0];
  if (work.pending() > 0) return true;
  Generation& answer = job.answer;
  const auto say = [&](const std::string& text) {
    answer.text += text;
    if (job.request.on_text && !text.empty()) job.request.on_text(text);
  };
  const std::int32_t token = job.picked;
  answer.tokens.push_back(token);
  if (job.request.logprobs) answer.logprobs.push_back(job.logprob);
  if (std::find(stop_ids_.begin(), stop_ids_.end(), token) != stop_ids_.end()) {
    answer.finish = Finish::kStop;
  } else {
    say(job.matcher.feed(job.decoder.feed(token)));
    if (job.matcher.matched()) {
      answer.finish = Finish::kStop;
      return false;
    }
    work.tokens.push_back(token);
    if (static_cast<int>(work.tokens.size()) < job.limit) return true;
    answer.finish = Finish::kLength;
  }
  say(job.matcher.feed(job.decoder.finish()));
  say(job.matcher.finish());
  return false;
}

void Engine::collect() {
  std::vector<std::unique_ptr<Job>> going, gone;
  for (std::unique_ptr<Job>& job : active_) {
    bool more = false;
    if (auto* generate = dynamic_cast<GenerateJob*>(job.get())) {
      more = !job->broken && extend(*generate);
    } else {
      more = std::any_of(job->works.begin(), job->works.end(),
                         [](const std::unique_ptr<Work>& work) { return work->pending() > 0; });
    }
    (more ? going : gone).push_back(std::move(job));
  }
  active_ = std::move(going);
  for (std::unique_ptr<Job>& job : gone) finish(std::move(job));
}

void Engine::finish(std::unique_ptr<Job> job) {
  for (const std::unique_ptr<Work>& work : job->works) release(*work);
  job->works.clear();
  const Error broken{"the model's outputs are not finite", "its weights are damaged", info_.uri, 0,
                     ErrorKind::kFailed};
  if (auto* generate = dynamic_cast<GenerateJob*>(job.get())) {
    --generating_;
    if (job->broken) return fail(std::move(job), broken);
    generate->answer.usage.output_tokens = static_cast<std::int64_t>(generate->answer.tokens.size());
    completions_.push_back([done = std::move(generate->done), answer = std::move(generate->answer)]() mutable {
      done(std::move(answer));
    });
    return;
  }
  auto& score = static_cast<ScoreJob&>(*job);
  std::size_t value = 0;
  for (std::size_t q = score.first; q < score.end; ++q) {
    std::vector<double> sums;
    for (const std::vector<std::int32_t>& option : score.questions[q].options) {
      double sum = 0;
      for (std::size_t i = 0; i < option.size(); ++i) sum += score.values[value++];
      if (std::isnan(sum)) return fail(std::move(job), broken);
      sums.push_back(sum);
    }
    score.scores.logprobs.push_back(std::move(sums));
  }
  score.first = score.end;
  if (score.first < score.questions.size()) {
    waiting_score_.emplace_front(static_cast<ScoreJob*>(job.release()));
    return;
  }
  completions_.push_back([done = std::move(score.done), scores = std::move(score.scores)]() mutable {
    done(std::move(scores));
  });
}

}  // namespace precept::infer
