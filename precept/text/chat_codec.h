#pragma once
// How a conversation becomes token ids for one model: by our own chat.json (chat_format.h), or by the Jinja template that
// the checkpoint carries (chat_template.h). What a person wrote never becomes a special token.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"
#include "precept/text/chat_format.h"
#include "precept/text/chat_template.h"
#include "precept/text/tokenizer.h"

namespace precept {

struct ChatTokens {
  std::vector<std::int32_t> tokens;
  std::vector<bool> answer;  // same length: true for the assistant's content and its end token
};

class ChatCodec {
 public:
  ChatCodec() = default;  // a model without chat: rendering is an Error, raw text is not
  explicit ChatCodec(ChatFormat format) : way_(std::move(format)) {}
  // `stop_ids` end an answer; `special_tokens` are variables of the template, beside those that it brings.
  ChatCodec(ChatTemplate chat, std::vector<std::int32_t> stop_ids, std::map<std::string, std::string> special_tokens = {});

  // chat.json of the folder, else its chat template, else none. The template's special tokens are the tokenizer's, and
  // answers end with eos and with what generation_config.json names.
  static Result<ChatCodec> load(const std::string& folder, const Tokenizer& tokenizer);

  // The whole conversation, and (if asked) the beginning of the assistant's next turn.
  Result<std::vector<std::int32_t>> render(const Tokenizer& tokenizer, const Conversation& messages, bool add_generation_prompt) const;
  // Without it, with what the assistant said marked. Turns before `first_answer` belong to the prompt, whoever said them.
  // With a template, a turn is what it adds to the turns before it; a template that rewrites these is an Error.
  Result<ChatTokens> tokenize(const Tokenizer& tokenizer, const Conversation& messages, std::size_t first_answer = 0) const;
  // Text to be continued as it stands, with what the model wants before any text.
  std::vector<std::int32_t> raw(const Tokenizer& tokenizer, std::string_view text) const;

  const std::vector<std::int32_t>& stop_ids() const;
  bool has_chat() const { return !std::holds_alternative<std::monostate>(way_); }
  const ChatFormat* format() const { return std::get_if<ChatFormat>(&way_); }  // nullptr: a template, or none

 private:
  struct Templated {
    ChatTemplate chat;
    std::vector<std::int32_t> stop_ids;
    std::map<std::string, std::string> special_tokens;
  };
  std::variant<std::monostate, ChatFormat, Templated> way_;
  std::vector<std::int32_t> none_;
};

struct TokenizerFiles {
  Tokenizer tokenizer;
  ChatCodec chat;
};
// Tokenizer and chat of a checkpoint folder.
Result<TokenizerFiles> load_tokenizer_files(const std::string& folder);

}  // namespace precept
