#pragma once
// co_await generate(model, request) / score(model, request) inside a Task. A Task may be destroyed while it
// waits: the answer is then dropped when it comes.

#include <coroutine>
#include <memory>
#include <optional>
#include <utility>

#include "precept/model/model.h"

namespace precept {

template <class Request, class Answer>
class Awaiting {
 public:
  Awaiting(Model& model, Request request) : model_(model), request_(std::move(request)) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> waiting) {
    model_.submit(std::move(request_), [this, waiting, alive = std::weak_ptr<char>(alive_)](Result<Answer> answer) {
      if (alive.expired()) return;
      answer_.emplace(std::move(answer));
      waiting.resume();  // destroys this object when the coroutine ends: nothing may follow
    });
  }
  Result<Answer> await_resume() { return std::move(*answer_); }

 private:
  Model& model_;
  Request request_;
  std::optional<Result<Answer>> answer_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

inline auto generate(Model& model, GenerateRequest request) {
  return Awaiting<GenerateRequest, Generation>(model, std::move(request));
}
inline auto score(Model& model, ScoreRequest request) {
  return Awaiting<ScoreRequest, Scores>(model, std::move(request));
}

}  // namespace precept
