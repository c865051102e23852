#include <cstring>
#include <string>

#include "precept/core/digest.h"
#include "precept/store/run_store.h"

namespace precept {
namespace {

// Every field with its length or as eight bytes, so that no two requests share their bytes.
class Fields {
 public:
  Fields& text(std::string_view value) {
    number(value.size());
    bytes_.append(value);
    return *this;
  }
  Fields& number(std::uint64_t value) {
    for (int shift = 0; shift < 64; shift += 8) bytes_ += static_cast<char>((value >> shift) & 0xff);
    return *this;
  }
  Fields& real(double value) {
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    return number(bits);
  }
  Fields& messages(const Conversation& conversation, bool raw) {
    number(raw ? 1 : 0).number(conversation.size());
    for (const Message& message : conversation) text(message.role).text(message.content);
    return *this;
  }
  std::string digest() const { return sha256(bytes_); }

 private:
  std::string bytes_;
};

}  // namespace

std::string request_digest(const GenerateRequest& request, std::string_view model_digest) {
  Fields fields;
  fields.text("generate").text(model_digest).messages(request.messages, request.raw);
  const Sampling& sampling = request.sampling;
  fields.number(static_cast<std::uint64_t>(sampling.max_tokens)).real(sampling.temperature).real(sampling.top_p);
  fields.number(sampling.stop.size());
  for (const std::string& stop : sampling.stop) fields.text(stop);
  fields.number(request.key.seed).number(request.key.item).number(request.key.step).number(request.key.round);
  return fields.digest();
}

std::string request_digest(const ScoreRequest& request, std::string_view model_digest) {
  Fields fields;
  fields.text("score").text(model_digest).messages(request.messages, request.raw);
  fields.number(request.questions.size());
  for (const ScoreQuestion& question : request.questions) {
    fields.text(question.tail).number(question.options.size());
    for (const std::string& option : question.options) fields.text(option);
  }
  return fields.digest();
}

}  // namespace precept
