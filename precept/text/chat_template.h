#pragma once
// Chat templates as checkpoints carry them: Jinja2 in the dialect of `transformers` (trim_blocks and lstrip_blocks
// on, loop controls, generation blocks, tojson that leaves characters as they are). What is supported, and where we
// deviate: docs/formats.md, "Chat templates".
//
// A template is text that nobody vouches for: every limit below ends in an Error with FILE:LINE, never in a crash.
//
// Provenance. RenderedChat says which bytes of the text came from input: everything in messages, tools, documents
// and arguments (names of roles and numbers too), and everything computed from it: parts of it, joined, replaced,
// upper-cased, as JSON, its length. Bytes written by the template itself and the special tokens are not input. What
// the template chooses to write because of the input (`'a' if message.content else 'b'`) is the template's. A
// tokenizer reads special tokens safely where no byte of the token is input. A template that writes
// '<|' + message['role'] + '|>' makes special tokens out of input: name the roles you know (`known_roles`).

#include <cstddef>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "precept/core/result.h"
#include "precept/model/message.h"
#include "precept/text/text_span.h"

namespace precept {

struct TemplateLimits {
  std::size_t source_bytes = std::size_t{1} << 20;    // of a template
  std::size_t nesting = 100;                          // of blocks and brackets in the template; of values
  std::size_t depth = 800;                            // of the evaluation: expressions, blocks and macros in each other
  std::size_t steps = 20'000'000;                     // about 10 ns to 100 ns each
  std::size_t memory_bytes = std::size_t{256} << 20;  // of all values made while rendering, freed or not
  std::size_t output_bytes = std::size_t{32} << 20;
  std::size_t range = 100'000;                        // numbers in one range()
};

struct ChatInput {
  Conversation messages;
  // JSON text, each empty when there is none. `messages_json`, a list of objects, stands in place of `messages`:
  // tool calls, contents in parts. `arguments_json`, an object, holds further variables ("enable_thinking").
  std::string messages_json, tools_json, documents_json, arguments_json;
  bool add_generation_prompt = false;
  // Variables that hold special tokens; these override those that load() found. Not input.
  std::map<std::string, std::string> special_tokens;
  // What strftime_now() tells; without it that function is undefined, which templates are prepared for. Those that call it
  // without asking whether it is there are told `unasked_now`.
  std::optional<std::tm> now, unasked_now;
  // A message's role that is one of these is not input.
  std::vector<std::string> known_roles;
};

struct RenderedChat {
  std::string text;             // UTF-8
  std::vector<TextSpan> input;  // bytes that came from input; sorted, apart from each other, never empty
};

namespace jinja {
struct Program;
}

// Immutable and cheap to copy; const use from several threads is safe.
class ChatTemplate {
 public:
  // Errors name `file_for_errors` and the line inside the template.
  static Result<ChatTemplate> parse(std::string_view source, const std::string& file_for_errors,
                                    const TemplateLimits& limits = {});

  // The template of a checkpoint folder, with its special tokens (bos_token and so on, of tokenizer_config.json and
  // special_tokens_map.json): chat_template.jinja, else "chat_template" of tokenizer_config.json. Of a list of
  // templates the one called `name`. nullopt: the folder has no template.
  static Result<std::optional<ChatTemplate>> load(const std::string& folder, const std::string& name = "default",
                                                  const TemplateLimits& limits = {});

  // The same text for the same input: no clock, no locale, no global state.
  Result<RenderedChat> render(const ChatInput& input) const;

  const std::map<std::string, std::string>& special_tokens() const { return special_tokens_; }

 private:
  ChatTemplate() = default;
  std::shared_ptr<const jinja::Program> program_;
  std::map<std::string, std::string> special_tokens_;
  TemplateLimits limits_;
};

}  // namespace precept
