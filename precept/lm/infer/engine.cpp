#include "precept/lm/infer/engine.h"

#include <algorithm>
#include <cmath>

#include "precept/model/request_check.h"

namespace precept::infer {
namespace {

// At the patience of requests that wait: after so long, and never for more than a part of the time.
constexpr std::chrono::milliseconds kLookEvery{20};
constexpr int kLookShare = 100;

const Patience& patience_of(const Job& job) {
  return job.generates ? static_cast<const GenerateJob&>(job).request.patience : static_cast<const ScoreJob&>(job).request.patience;
}

bool answering(const Job& job) { return job.generates && !static_cast<const GenerateJob&>(job).answer.tokens.empty(); }

}  // namespace

Engine::Engine(EngineParts parts, std::unique_ptr<Backend> backend, const EngineOptions& options)
    : info_(std::move(parts.info)),
      backend_(std::move(backend)),
      adapters_(std::move(parts.adapters)),
      chosen_(std::move(parts.chosen)),
      tokenizer_(std::move(parts.files.tokenizer)),
      chat_(std::move(parts.files.chat)),
      stop_ids_(chat_.stop_ids()),
      max_batch_(std::clamp(options.max_batch, 1, backend_->max_rows())),
      cache_(backend_->blocks()),
      sharing_(options.shared_tokens) {
  for (const int end : parts.end_tokens) {
    if (end >= 0 && std::find(stop_ids_.begin(), stop_ids_.end(), end) == stop_ids_.end()) stop_ids_.push_back(end);
  }
  std::uint64_t number = 0;
  if (chosen_ || !adapters_.empty()) info_.adapters.push_back({kBaseName, parts.base_digest});
  for (const std::unique_ptr<Adapter>& adapter : adapters_) {
    adapter->number = ++number;
    info_.adapters.push_back({adapter->name, adapter->digest});
  }
  if (chosen_) chosen_->number = ++number;
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
  if (job->request.patience.limited()) ++impatient_;
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
  if (job->request.patience.limited()) ++impatient_;
  waiting_score_.push_back(std::move(job));
}

std::size_t Engine::advance(std::chrono::milliseconds) {
  if (impatient_ > 0) look_at_patience();
  admit();
  Step step = plan();
  if (!step.segments.empty()) settle(step, backend_->run(step.segments, step.wanted));
  collect();
  PRECEPT_CHECK(!step.segments.empty() || active_.empty());
  std::vector<std::function<void()>> completions;
  completions.swap(completions_);  // those submitted by a completion wait for the next call
  for (const std::function<void()>& complete : completions) complete();
  return waiting_generate_.size() + waiting_score_.size() + active_.size() + completions_.size();
}

void Engine::forget() {
  PRECEPT_CHECK(active_.empty() && waiting_generate_.empty() && waiting_score_.empty());
  cache_ = Cache(backend_->blocks());
}

// Ends what nobody waits for any longer: what is in work at each step, what waits now and then.
void Engine::look_at_patience() {
  const auto now = std::chrono::steady_clock::now();
  for (const std::unique_ptr<Job>& job : active_) {
    if (!job->ended) job->ended = patience_of(*job).over(now);
  }
  if (now < look_at_) return;
  const auto drop = [&](auto& waiting) {  // what waits holds no memory
    auto kept = waiting.begin();
    for (auto& job : waiting) {
      if (std::optional<Error> over = patience_of(*job).over(now)) {
        fail(std::move(job), std::move(*over));
      } else {
        *kept++ = std::move(job);
      }
    }
    waiting.erase(kept, waiting.end());
  };
  drop(waiting_generate_);
  drop(waiting_score_);
  const auto then = std::chrono::steady_clock::now();
  look_at_ = then + std::max<std::chrono::steady_clock::duration>(kLookEvery, kLookShare * (then - now));
}

// Is all before this work in the cache? Then what it shares of a block is copied, if it is yet to be.
bool Engine::begun(Work& work) {
  if (work.parent != nullptr && !work.parent->available(cache_)) return false;
  if (work.awaited && !cache_.ready(*work.awaited)) return false;
  if (work.copy) {
    backend_->copy_block(work.copy->from, work.copy->to);
    work.copy.reset();
  }
  return true;
}

// Answers go first, so that a long prompt never holds them up; then prompts in the order of arrival.
Engine::Step Engine::plan() {
  Step step;
  int left = backend_->max_rows();
  const auto choose = [&](bool answers) {
    for (const std::unique_ptr<Job>& job : active_) {
      if (answering(*job) != answers) continue;
      for (const std::unique_ptr<Work>& work : job->works) {
        if (left == 0) return;
        if (!begun(*work) || work->pending() == 0) continue;
        Segment segment;
        segment.tokens = work->tokens.data() + work->computed;
        segment.first = work->start + work->computed;
        segment.rows = std::min(work->pending(), left);
        segment.blocks = work->blocks.data();
        segment.adapter = job->adapter;
        left -= segment.rows;
        step.works.push_back(work.get());
        step.segments.push_back(segment);
      }
    }
  };
  choose(true);
  choose(false);
  for (int i = 0; i < static_cast<int>(step.works.size()); ++i) plan_wanted(step, i, *step.works[static_cast<std::size_t>(i)]);
  // Pointers into `targets`, now that it no longer grows.
  std::size_t at = 0;
  for (Wanted& wanted : step.wanted) {
    if (wanted.sampling != nullptr) {
      ++at;
      continue;
    }
    wanted.targets = step.targets.data() + at;
    at += static_cast<std::size_t>(wanted.count);
  }
  return step;
}

// `targets` and `looked_up` have one entry for each number that comes back.
void Engine::plan_wanted(Step& step, int segment, Work& work) {
  const int rows = step.segments[static_cast<std::size_t>(segment)].rows;
  if (work.job->generates) {
    if (rows < work.pending() || work.job->ended) return;
    auto& job = static_cast<GenerateJob&>(*work.job);
    step.wanted.push_back({segment, rows - 1, &job.request.sampling, job.rng.uniform(), nullptr, 0});
    step.targets.push_back(-1);
    step.looked_up.push_back(nullptr);
    return;
  }
  const auto from = std::lower_bound(work.wants.begin(), work.wants.end(), work.computed,
                                     [](const ScoreTrie::Want& want, int at) { return want.offset < at; });
  for (auto want = from; want != work.wants.end() && want->offset < work.computed + rows; ++want) {
    const int row = want->offset - work.computed;
    if (step.wanted.empty() || step.wanted.back().segment != segment || step.wanted.back().row != row) {
      step.wanted.push_back({segment, row, nullptr, 0, nullptr, 0});
    }
    ++step.wanted.back().count;
    step.targets.push_back(want->target);
    step.looked_up.push_back(&*want);
  }
}

void Engine::settle(Step& step, const std::vector<Outcome>& outcomes) {
  const Error broken{"the model's outputs are not finite", "its weights are damaged", info_.uri, 0, ErrorKind::kFailed};
  std::size_t at = 0;
  for (std::size_t i = 0; i < step.wanted.size(); ++i) {
    const Wanted& wanted = step.wanted[i];
    const Outcome& outcome = outcomes[i];
    Job& job = *step.works[static_cast<std::size_t>(wanted.segment)]->job;
    if (!outcome.finite && !job.ended) job.ended = broken;
    if (wanted.sampling != nullptr) {
      static_cast<GenerateJob&>(job).picked = outcome.picked;
      static_cast<GenerateJob&>(job).logprob = outcome.logprob;
      ++at;
      continue;
    }
    for (int j = 0; j < wanted.count; ++j, ++at) {
      if (outcome.finite) static_cast<ScoreJob&>(job).values[step.looked_up[at]->value] = outcome.logprobs[static_cast<std::size_t>(j)];
    }
  }
  for (std::size_t i = 0; i < step.works.size(); ++i) {
    Work& work = *step.works[i];
    work.computed += step.segments[i].rows;
    if (work.parent == nullptr) publish(work);
  }
}

// Makes blocks that are now full known to others.
void Engine::publish(Work& work) {
  const int full = work.computed / kBlockTokens;
  for (; work.ready < full; ++work.ready) {
    const int i = work.ready;
    const std::uint32_t block = work.blocks[static_cast<std::size_t>(i)];
    if (i >= work.published) {
      if (!work.chain) return;
      work.chain = cache_.publish(block, work.serial, work.tokens.data() + i * kBlockTokens, kBlockTokens);
      if (!work.chain) return;
      work.serial = cache_.serial(block);
      ++work.published;
    }
    cache_.set_ready(block);
  }
}

// The last block of a work that is done, which is not full.
void Engine::publish_rest(Work& work) {
  const int full = work.computed / kBlockTokens, rest = work.computed % kBlockTokens;
  if (work.parent != nullptr || work.copy || !work.chain || rest == 0 || work.published != full || work.ready != full) return;
  const std::uint32_t block = work.blocks[static_cast<std::size_t>(full)];
  if (cache_.publish(block, work.serial, work.tokens.data() + full * kBlockTokens, rest)) cache_.set_ready(block);
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

// Does another request wait for blocks that this one has said it would compute?
bool Engine::awaited_by_others(const Job& job) const {
  for (const std::unique_ptr<Work>& work : job.works) {
    for (int i = work->ready; i < work->published; ++i) {
      if (cache_.holders(work->blocks[static_cast<std::size_t>(i)]) > 1) return true;
    }
  }
  return false;
}

void Engine::collect() {
  std::vector<std::unique_ptr<Job>> going, gone;
  for (std::unique_ptr<Job>& job : active_) {
    bool more = false;
    if (job->ended) {
      more = awaited_by_others(*job);
    } else if (job->generates) {
      more = extend(static_cast<GenerateJob&>(*job));
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
  for (const std::unique_ptr<Work>& work : job->works) {
    if (!job->ended) publish_rest(*work);
    release(*work);
  }
  job->works.clear();
  if (job->generates) --generating_;
  if (job->ended) {
    Error why = std::move(*job->ended);
    return fail(std::move(job), std::move(why));
  }
  if (job->generates) {
    auto& generate = static_cast<GenerateJob&>(*job);
    generate.prompt.insert(generate.prompt.end(), generate.answer.tokens.begin(), generate.answer.tokens.end());
    sharing_.see(generate.root(), generate.prompt, 0);
    if (generate.request.patience.limited()) --impatient_;
    generate.answer.usage.output_tokens = static_cast<std::int64_t>(generate.answer.tokens.size());
    completions_.push_back([done = std::move(generate.done), answer = std::move(generate.answer)]() mutable {
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
      sums.push_back(sum);
    }
    score.scores.logprobs.push_back(std::move(sums));
  }
  score.first = score.end;
  if (score.first < score.questions.size()) {
    waiting_score_.emplace_front(static_cast<ScoreJob*>(job.release()));
    return;
  }
  if (score.request.patience.limited()) --impatient_;
  completions_.push_back([done = std::move(score.done), scores = std::move(score.scores)]() mutable {
    done(std::move(scores));
  });
}

}  // namespace precept::infer
