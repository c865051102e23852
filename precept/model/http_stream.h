#pragma once
// An answer that comes in parts: server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html), each
// with an object like that of a whole answer, and `[DONE]` at the end. No network here; takes hostile bytes.

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/model/http_wire.h"

namespace precept {

// One attempt to get one answer.
class AnswerStream {
 public:
  // Gives text to request.on_text as soon as it is final: never a part of what may become a stop string or one of `secrets`,
  // which turn into "***". `request` outlives the stream.
  AnswerStream(const GenerateRequest& request, std::vector<std::string> secrets);

  // Bytes of the body of a 200 reply, as they come.
  void feed(std::string_view bytes);
  // Some text is out: another attempt would say it twice.
  bool begun() const { return !out_.empty(); }
  // At the end of `body`, all that was fed. A server that answers as a whole is read as such. The texts that were given out,
  // joined, are the answer's text.
  std::optional<HttpProblem> finish(std::string_view body, Generation& answer);

 private:
  void line(std::string_view text);
  void event();
  void add(const std::string& text);
  void give(std::size_t end);
  std::size_t held() const;

  const GenerateRequest& request_;
  std::vector<std::string> secrets_;
  std::string line_, data_;       // not ended yet
  bool carriage_ = false;         // the last byte was a carriage return
  bool whole_ = false, seen_ = false, any_event_ = false;  // the body is surely no stream; some of it has come
  bool done_ = false, stopped_ = false, ended_ = false;  // [DONE]; a stop string; a finish_reason
  std::optional<HttpProblem> problem_;  // the first
  std::string pending_, out_;     // text that may be part of something longer; text given out
  Generation answer_;
};

}  // namespace precept
