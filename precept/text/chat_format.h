#pragma once
// How a conversation becomes token ids, for models that have a tokenizer file of ours: `chat.json`
// in the checkpoint folder:
//   {"roles": {"user": {"prefix": ["<|user|>"], "suffix": ["<|end|>"]}, ...},
//    "begin": ["<|begin|>"], "stop": ["<|end|>"]}
// Everything between quotes in the lists is the name of a special token. Contents are encoded as
// text, so what looks like a special token inside a message stays text.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"
#include "precept/text/tokenizer.h"

namespace precept {

struct ChatFormat {
  struct Role {
    std::vector<std::string> prefix, suffix;  // names of special tokens
    std::vector<std::int32_t> prefix_ids, suffix_ids;
  };
  std::map<std::string, Role> roles;
  std::vector<std::string> begin, stop;
  std::vector<std::int32_t> begin_ids;  // once, before the first message
  std::vector<std::int32_t> stop_ids;   // any of these ends an answer

  static Result<ChatFormat> load(const std::string& path, const Tokenizer& tokenizer);
  static Result<ChatFormat> parse(std::string_view json, const Tokenizer& tokenizer,
                                  const std::string& file_for_errors);

  // begin, then prefix + content + suffix of each message, then (if asked) the assistant's prefix.
  // An unknown role is an error.
  Result<std::vector<std::int32_t>> render(const Tokenizer& tokenizer, const Conversation& messages,
                                           bool add_generation_prompt) const;

  // The format of the built-in model: <|begin|>, <|system|>, <|user|>, <|assistant|>, <|end|>.
  // The tokenizer must have these (pocket_special_tokens() lists them).
  static ChatFormat pocket(const Tokenizer& tokenizer);

  std::string to_json() const;
  // An equivalent chat_template for tokenizer_config.json.
  std::string jinja() const;
};

// Special tokens of the built-in model in the order of their ids: <|pad|>, <|begin|>, <|end|>,
// <|system|>, <|user|>, <|assistant|>.
std::vector<std::string> pocket_special_tokens();

// Writes tokenizer.json, tokenizer_config.json, special_tokens_map.json and chat.json; makes the folder.
Status write_tokenizer_files(const std::string& folder, const Tokenizer& tokenizer, const ChatFormat& chat);

}  // namespace precept
