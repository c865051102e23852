// Admission: from a request that waits to works that have their places in the cache.

#include <algorithm>

#include <fmt/format.h>

#include "precept/lm/infer/engine.h"

namespace precept::infer {
namespace {

constexpr std::int64_t kPendingRows = 4096;  // enough for full steps; more would only hold memory

int blocks_for(int tokens) { return (tokens + kBlockTokens - 1) / kBlockTokens; }

std::optional<std::uint32_t> last_of(const std::vector<std::uint32_t>& blocks) {
  return blocks.empty() ? std::nullopt : std::optional(blocks.back());
}

}  // namespace

std::int64_t Engine::pending_rows() const {
  std::int64_t rows = 0;
  for (const std::unique_ptr<Job>& job : active_) {
    for (const std::unique_ptr<Work>& work : job->works) rows += work->pending();
  }
  return rows;
}

void Engine::fail(std::unique_ptr<Job> job, Error error) {
  const auto complete = [&](auto& known) {
    if (known.request.patience.limited()) --impatient_;
    completions_.push_back([done = std::move(known.done), error = std::move(error)] { done(tl::unexpected(error)); });
  };
  if (job->generates) return complete(static_cast<GenerateJob&>(*job));
  complete(static_cast<ScoreJob&>(*job));
}

// In the order of arrival; only a full batch of answers lets scores overtake.
void Engine::admit() {
  std::int64_t rows = pending_rows();
  while (rows < kPendingRows) {
    const bool generate = !waiting_generate_.empty() && generating_ < max_batch_;
    const bool score = !waiting_score_.empty();
    if (!generate && !score) return;
    const bool first = generate && (!score || waiting_generate_[0]->arrival < waiting_score_[0]->arrival);
    Job& job = first ? static_cast<Job&>(*waiting_generate_[0]) : static_cast<Job&>(*waiting_score_[0]);
    if (!job.prepared) {
      Status ready = first ? prepare(*waiting_generate_[0]) : prepare(*waiting_score_[0]);
      if (!ready) {
        if (first) {
          fail(std::move(waiting_generate_[0]), ready.error());
          waiting_generate_.pop_front();
        } else {
          fail(std::move(waiting_score_[0]), ready.error());
          waiting_score_.pop_front();
        }
        continue;
      }
      job.prepared = true;
    }
    if (!(first ? admit(*waiting_generate_[0]) : admit(*waiting_score_[0]))) return;
    for (const std::unique_ptr<Work>& work : job.works) rows += work->pending();
    if (first) {
      active_.push_back(std::move(waiting_generate_[0]));
      waiting_generate_.pop_front();
      ++generating_;
    } else {
      active_.push_back(std::move(waiting_score_[0]));
      waiting_score_.pop_front();
    }
  }
}

Result<std::vector<std::int32_t>> Engine::prompt_of(const Conversation& messages, bool raw) const {
  std::vector<std::int32_t> tokens;
  if (raw) {
    tokens = chat_.raw(tokenizer_, messages[0].content);
  } else {
    Result<std::vector<std::int32_t>> rendered = chat_.render(tokenizer_, messages, true);
    if (!rendered) return rendered;
    tokens = std::move(*rendered);
  }
  if (tokens.empty()) return bad_input("the prompt is empty", "give the model some text to continue");
  return tokens;
}

Status Engine::prepare(GenerateJob& job) {
  Result<std::vector<std::int32_t>> prompt = prompt_of(job.request.messages, job.request.raw);
  if (!prompt) return tl::unexpected(prompt.error());
  const int context = info_.context_tokens;
  if (prompt->size() >= static_cast<std::size_t>(context)) {
    return bad_input(fmt::format("the prompt has {} tokens, but the model's context holds {}, answer included",
                                 prompt->size(), context),
                     "shorten the prompt");
  }
  const int size = static_cast<int>(prompt->size());
  job.limit = std::min(context, size + std::min(job.request.sampling.max_tokens, context));
  if (blocks_for(job.limit) > cache_.capacity()) {
    return bad_input(fmt::format("the prompt and its answer may take {} tokens, but the key/value cache holds {}",
                                 job.limit, cache_.capacity() * kBlockTokens),
                     "lower max_tokens or give the cache more memory");
  }
  // A text that is continued has begun already: what the decoder does at the beginning (SentencePiece's drops a space) is done.
  if (job.request.raw) {
    for (const std::int32_t token : *prompt) job.decoder.feed(token);
  }
  job.answer.usage.prompt_tokens = size;
  job.prompt = std::move(*prompt);
  return {};
}

Status Engine::prepare(ScoreJob& job) {
  for (const ScoreQuestion& question : job.request.questions) {
    Conversation messages = job.request.messages;
    messages.back().content += question.tail;
    Result<std::vector<std::int32_t>> prompt = prompt_of(messages, job.request.raw);
    if (!prompt) return tl::unexpected(prompt.error());
    ScoreJob::Question one;
    one.prompt = std::move(*prompt);
    std::size_t total = one.prompt.size(), longest = 0;
    for (const std::string& option : question.options) {
      one.options.push_back(tokenizer_.encode(option));
      longest = std::max(longest, one.options.back().size());
      total += one.options.back().size() + 4 * kBlockTokens;  // a leaf and a branching, each with a first and a last block of its own
    }
    if (one.prompt.size() + longest > static_cast<std::size_t>(info_.context_tokens)) {
      return bad_input(fmt::format("a prompt with its option has {} tokens, but the model's context holds {}",
                                   one.prompt.size() + longest, info_.context_tokens),
                       "shorten the prompt");
    }
    if (blocks_for(static_cast<int>(std::min<std::size_t>(total, 1U << 30))) > cache_.capacity()) {
      return bad_input(fmt::format("a question takes up to {} tokens, but the key/value cache holds {}", total,
                                   cache_.capacity() * kBlockTokens),
                       "ask about fewer options at once or give the cache more memory");
    }
    job.questions.push_back(std::move(one));
  }
  return {};
}

// Gives a work that starts at position 0 places for `tokens` positions; up to `reusable` leading tokens may be ones that
// others have computed, or are about to.
bool Engine::place(Work& work, int tokens, int reusable) {
  const auto known = [&](int block, int count) { return cache_.closest(work.serial, work.tokens.data() + block * kBlockTokens, count); };
  const auto take = [&](std::uint32_t block) {
    cache_.hold(block);
    work.held.push_back(block);
    if (!cache_.ready(block)) work.awaited = block;
  };
  int found = 0;
  std::optional<Cache::Match> part;
  while (true) {
    const int most = std::min(kBlockTokens, reusable - found * kBlockTokens);
    part = most > 0 ? known(found, most) : std::nullopt;
    if (!part || part->tokens < kBlockTokens) break;
    take(part->block);
    work.blocks.push_back(part->block);
    work.serial = cache_.serial(part->block);
    part.reset();
    ++found;
  }
  // Worth waiting for are whole blocks only: where beginnings differ within one, each request would wait for the one before it.
  if (part && !cache_.ready(part->block)) part.reset();
  const int fresh = blocks_for(tokens) - found;
  // Held until the work ends, though it is read once: so few blocks are not worth another state. That is one more than the work needs:
  // where it would be the one that is missing, the work goes without, or what needs the whole cache would wait for ever.
  if (part) take(part->block);
  if (part && cache_.available() < fresh) {
    cache_.release(part->block);
    work.held.pop_back();
    part.reset();
  }
  if (cache_.available() < fresh) {
    unplace(work);
    return false;
  }
  for (int i = 0; i < fresh; ++i) {
    work.held.push_back(cache_.allocate(last_of(work.blocks)));
    work.blocks.push_back(work.held.back());
  }
  work.computed = found * kBlockTokens;
  if (part) {
    work.copy = Work::Copy{part->block, work.blocks[static_cast<std::size_t>(found)]};
    work.computed += part->tokens;
  }
  work.published = work.ready = found;
  work.chain = true;
  const int whole = static_cast<int>(work.tokens.size()) / kBlockTokens;
  for (int i = found; i < whole && work.chain; ++i) {
    const std::uint32_t block = work.blocks[static_cast<std::size_t>(i)];
    work.chain = cache_.publish(block, work.serial, work.tokens.data() + i * kBlockTokens, kBlockTokens);
    if (!work.chain) break;
    work.serial = cache_.serial(block);
    ++work.published;
  }
  return true;
}

// Last blocks first, so that the beginnings, which more requests share, are dropped last.
void Engine::release(Work& work) {
  for (std::size_t i = work.held.size(); i-- > 0;) cache_.release(work.held[i]);
  work.held.clear();
}

// As if it had never been placed.
void Engine::unplace(Work& work) {
  release(work);
  work.blocks.clear();
  work.serial = work.job->root();
  work.awaited.reset();
  work.copy.reset();
  work.computed = work.published = work.ready = 0;
}

bool Engine::admit(GenerateJob& job) {
  auto work = std::make_unique<Work>();
  work->job = &job;
  work->serial = job.root();
  work->tokens = job.prompt;
  const int size = static_cast<int>(job.prompt.size());
  if (!place(*work, job.limit, size - 1)) return false;
  sharing_.see(job.root(), job.prompt, job.prompt.size() - 1);  // the last one must be computed
  job.answer.usage.cached_tokens = work->computed;
  job.works.push_back(std::move(work));
  return true;
}

// Builds the tree of as many of the next questions as the cache could ever hold.
void Engine::build_part(ScoreJob& job) {
  for (job.end = job.questions.size();; job.end = job.first + (job.end - job.first + 1) / 2) {
    ScoreTrie trie;
    Usage usage;
    for (std::size_t q = job.first; q < job.end; ++q) {
      const ScoreJob::Question& question = job.questions[q];
      const int fresh = trie.insert(question.prompt);
      usage.prompt_tokens += static_cast<std::int64_t>(question.prompt.size());
      usage.cached_tokens += static_cast<std::int64_t>(question.prompt.size()) - fresh;
      for (const std::vector<std::int32_t>& option : question.options) {
        usage.output_tokens += static_cast<std::int64_t>(option.size());
        if (option.size() < 2) continue;
        std::vector<std::int32_t> path = question.prompt;
        path.insert(path.end(), option.begin(), option.end() - 1);
        trie.insert(path);
      }
    }
    int blocks = 0;
    for (const ScoreTrie::Node& node : trie.nodes()) {
      blocks += blocks_for(node.start % kBlockTokens + static_cast<int>(node.tokens.size()));
      if (node.parent < 0) ++blocks;  // one that place() may hold to copy it; what prepare() allows one question has room for it
    }
    if (blocks > cache_.capacity() && job.end - job.first > 1) continue;

    std::size_t value = 0;
    for (std::size_t q = job.first; q < job.end; ++q) {
      for (const std::vector<std::int32_t>& option : job.questions[q].options) {
        std::vector<std::int32_t> path = job.questions[q].prompt;
        for (const std::int32_t token : option) {
          trie.want(path, static_cast<int>(path.size()) - 1, token, value++);
          path.push_back(token);
        }
      }
    }
    job.values.assign(value, 0.0);
    job.scores.usage += usage;
    std::vector<Work*> by_node(trie.nodes().size());
    for (const int id : trie.sort()) {
      const ScoreTrie::Node& node = trie.nodes()[id];
      auto work = std::make_unique<Work>();
      work->job = &job;
      work->serial = job.root();
      work->parent = node.parent < 0 ? nullptr : by_node[node.parent];
      work->start = node.start;
      work->tokens = node.tokens;
      work->wants = node.wants;
      by_node[id] = work.get();
      job.works.push_back(std::move(work));
    }
    return;
  }
}

bool Engine::admit(ScoreJob& job) {
  if (job.works.empty()) build_part(job);
  std::int64_t reused = 0;
  for (std::size_t i = 0; i < job.works.size(); ++i) {
    Work& work = *job.works[i];
    const int size = static_cast<int>(work.tokens.size()), inside = work.start % kBlockTokens;
    bool placed = true;
    if (work.parent == nullptr) {
      placed = place(work, size, work.wants.empty() ? size : work.wants.front().offset);
      reused += work.computed;
    } else {
      placed = cache_.available() >= blocks_for(inside + size);
    }
    if (!placed) {
      for (std::size_t j = 0; j < i; ++j) unplace(*job.works[j]);
      return false;
    }
    if (work.parent == nullptr) continue;
    // Whole blocks of the parent are shared; the one in which this work starts is copied.
    const auto shared = static_cast<std::size_t>(work.start / kBlockTokens);
    work.blocks.assign(work.parent->blocks.begin(), work.parent->blocks.begin() + static_cast<std::ptrdiff_t>(shared));
    for (int b = 0; b < blocks_for(inside + size); ++b) {
      work.held.push_back(cache_.allocate(last_of(work.blocks)));
      work.blocks.push_back(work.held.back());
    }
    if (inside > 0) work.copy = Work::Copy{work.parent->blocks[shared], work.blocks[shared]};
  }
  job.scores.usage.cached_tokens += reused;
  for (std::size_t q = job.first; q < job.end; ++q) {
    sharing_.see(job.root(), job.questions[q].prompt, job.questions[q].prompt.size());
  }
  return true;
}

}  // namespace precept::infer
