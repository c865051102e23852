#include "precept/text/chat_codec.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

const std::vector<std::string> kRoles = {"system", "user", "assistant", "tool"};

using Specials = std::map<std::string, std::string>;

std::tm day(int year, int month, int of_month) {
  std::tm out{};
  out.tm_year = year - 1900;
  out.tm_mon = month - 1;
  out.tm_mday = of_month;
  ::timegm(&out);  // fills in the day of the week and of the year
  return out;
}

// $PRECEPT_DATE as a day: YYYY-MM-DD, or "today". nullopt: not set.
Result<std::optional<std::tm>> given_day() {
  const char* text = std::getenv("PRECEPT_DATE");
  if (text == nullptr || *text == '\0') return std::optional<std::tm>();
  std::tm out{};
  if (std::string_view(text) == "today") {
    const std::time_t now = std::time(nullptr);
    ::localtime_r(&now, &out);
    return std::optional<std::tm>(out);
  }
  int year = 0, month = 0, of_month = 0, length = 0;
  const bool shape = std::sscanf(text, "%4d-%2d-%2d%n", &year, &month, &of_month, &length) == 3 && text[length] == '\0' && year >= 1970;
  if (shape) out = day(year, month, of_month);
  if (!shape || out.tm_mon != month - 1 || out.tm_mday != of_month) {
    return bad_input("PRECEPT_DATE is no day: " + in_quotes(text), "write it as 2026-01-31, or today");
  }
  return std::optional<std::tm>(out);
}

Result<RenderedChat> rendered(const ChatTemplate& chat, const Specials& specials, Conversation messages, bool add_generation_prompt) {
  ChatInput input;
  input.special_tokens = specials;
  input.messages = std::move(messages);
  input.add_generation_prompt = add_generation_prompt;
  input.known_roles = kRoles;
  auto now = given_day();
  if (!now) return tl::unexpected<Error>(now.error());
  input.now = *now;
  // No clock: the same conversation is the same text tomorrow. This day is the one that Llama's own templates fall back on.
  input.unasked_now = day(2024, 7, 26);
  return chat.render(input);
}

// What a person wrote is text, whatever it looks like; the template's own special tokens are tokens.
EncodeOptions outside_of(const RenderedChat& text) {
  EncodeOptions options;
  options.specials = EncodeOptions::Specials::outside;
  for (const TextSpan& span : text.input) options.spans.push_back({span.begin, span.end});
  return options;
}

bool begins_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

// eos_token_id of generation_config.json, one or several; none where there is no such file.
Result<std::vector<std::int32_t>> generation_ends(const std::string& folder) {
  const std::string path = folder + "/generation_config.json";
  std::error_code error;
  std::vector<std::int32_t> ends;
  if (!std::filesystem::exists(path, error)) return ends;
  const auto text = read_text(path, std::size_t{16} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = parse_json_object(*text, path, 1);
  if (!json) return tl::unexpected<Error>(json.error());
  const nlohmann::json given = json->value("eos_token_id", nlohmann::json());
  for (const nlohmann::json& id : given.is_array() ? given : given.is_null() ? nlohmann::json::array() : nlohmann::json::array({given})) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > 0x7FFFFFFF) {
      return bad_input("\"eos_token_id\": " + in_quotes(given.dump()) + " is no token id", "check the file", path);
    }
    ends.push_back(id.get<std::int32_t>());
  }
  return ends;
}

// Of one rendered conversation: where the assistant's turns from `first` on lie.
Result<std::vector<TextSpan>> answers_of(const ChatTemplate& chat, const Specials& specials, const Conversation& messages, std::size_t first, const std::string& whole) {
  std::vector<TextSpan> spans;
  for (std::size_t i = first; i < messages.size(); ++i) {
    if (messages[i].role != "assistant") continue;
    const auto until = messages.begin() + static_cast<std::ptrdiff_t>(i);
    const auto before = rendered(chat, specials, Conversation(messages.begin(), until), true);
    if (!before) return tl::unexpected<Error>(before.error());
    const auto with = i + 1 == messages.size() ? Result<RenderedChat>(RenderedChat{whole, {}})
                                               : rendered(chat, specials, Conversation(messages.begin(), until + 1), false);
    if (!with) return tl::unexpected<Error>(with.error());
    if (!begins_with(with->text, before->text) || !begins_with(whole, with->text)) {
      return bad_input("the chat template rewrites what comes before turn " + std::to_string(i + 1),
                       "train on conversations with one answer, or give the checkpoint a template that only adds");
    }
    spans.push_back({before->text.size(), with->text.size()});
  }
  return spans;
}

}  // namespace

ChatCodec::ChatCodec(ChatTemplate chat, std::vector<std::int32_t> stop_ids, std::map<std::string, std::string> special_tokens)
    : way_(Templated{std::move(chat), std::move(stop_ids), std::move(special_tokens)}) {}

Result<ChatCodec> ChatCodec::load(const std::string& folder, const Tokenizer& tokenizer) {
  std::error_code error;
  if (std::filesystem::exists(folder + "/chat.json", error)) {
    auto format = ChatFormat::load(folder + "/chat.json", tokenizer);
    if (!format) return tl::unexpected<Error>(format.error());
    return ChatCodec(std::move(*format));
  }
  auto chat = ChatTemplate::load(folder);
  if (!chat) return tl::unexpected<Error>(chat.error());
  if (!*chat) return ChatCodec();
  auto ends = generation_ends(folder);
  if (!ends) return tl::unexpected<Error>(ends.error());
  if (const auto eos = tokenizer.eos_id(); eos && std::find(ends->begin(), ends->end(), *eos) == ends->end()) ends->push_back(*eos);
  return ChatCodec(std::move(**chat), std::move(*ends));
}

Result<std::vector<std::int32_t>> ChatCodec::render(const Tokenizer& tokenizer, const Conversation& messages, bool add_generation_prompt) const {
  if (const auto* format = std::get_if<ChatFormat>(&way_)) return format->render(tokenizer, messages, add_generation_prompt);
  const auto* templated = std::get_if<Templated>(&way_);
  if (templated == nullptr) {
    return bad_input("the model has no chat template", "continue text with --raw, or put a chat_template.jinja into its folder");
  }
  const auto text = rendered(templated->chat, templated->special_tokens, messages, add_generation_prompt);
  if (!text) return tl::unexpected<Error>(text.error());
  return tokenizer.encode(text->text, outside_of(*text));
}

Result<ChatTokens> ChatCodec::tokenize(const Tokenizer& tokenizer, const Conversation& messages, std::size_t first_answer) const {
  ChatTokens out;
  if (const auto* format = std::get_if<ChatFormat>(&way_)) {
    const auto put = [&](const std::vector<std::int32_t>& ids, bool answer) {
      out.tokens.insert(out.tokens.end(), ids.begin(), ids.end());
      out.answer.insert(out.answer.end(), ids.size(), answer);
    };
    put(format->begin_ids, false);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      const auto role = format->roles.find(messages[i].role);
      if (role == format->roles.end()) return bad_input("unknown role '" + messages[i].role + "'", "use system, user or assistant");
      const bool answer = i >= first_answer && messages[i].role == "assistant";
      put(role->second.prefix_ids, false);
      put(tokenizer.encode(messages[i].content), answer);
      put(role->second.suffix_ids, answer);
    }
    return out;
  }
  const auto* templated = std::get_if<Templated>(&way_);
  if (templated == nullptr) return bad_input("the model has no chat template", "put a chat_template.jinja into its folder");
  const auto text = rendered(templated->chat, templated->special_tokens, messages, false);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto spans = answers_of(templated->chat, templated->special_tokens, messages, first_answer, text->text);
  if (!spans) return tl::unexpected<Error>(spans.error());
  auto span = spans->begin();
  bool ended = false;  // the answer's end token has been seen: what the template writes after it is nobody's
  for (const TokenAt& token : tokenizer.encode_with_offsets(text->text, outside_of(*text))) {
    while (span != spans->end() && token.begin >= span->end) {
      ++span;
      ended = false;
    }
    const bool answer = span != spans->end() && token.begin >= span->begin && !ended;
    out.tokens.push_back(token.id);
    out.answer.push_back(answer);
    const auto& stops = templated->stop_ids;
    if (answer && std::find(stops.begin(), stops.end(), token.id) != stops.end()) ended = true;
  }
  return out;
}

std::vector<std::int32_t> ChatCodec::raw(const Tokenizer& tokenizer, std::string_view text) const {
  if (const auto* format = std::get_if<ChatFormat>(&way_)) {
    std::vector<std::int32_t> ids = format->begin_ids;
    const std::vector<std::int32_t> rest = tokenizer.encode(text);
    ids.insert(ids.end(), rest.begin(), rest.end());
    return ids;
  }
  EncodeOptions options;
  options.add_special_tokens = true;
  std::vector<std::int32_t> ids = tokenizer.encode(text, options);
  // A post-processor may end the text too; what is to be continued has no end.
  while (!ids.empty() && tokenizer.eos_id() == ids.back()) ids.pop_back();
  return ids;
}

const std::vector<std::int32_t>& ChatCodec::stop_ids() const {
  if (const auto* format = std::get_if<ChatFormat>(&way_)) return format->stop_ids;
  if (const auto* templated = std::get_if<Templated>(&way_)) return templated->stop_ids;
  return none_;
}

Result<TokenizerFiles> load_tokenizer_files(const std::string& folder) {
  auto tokenizer = load_tokenizer(folder);
  if (!tokenizer) return tl::unexpected<Error>(tokenizer.error());
  auto chat = ChatCodec::load(folder, *tokenizer);
  if (!chat) return tl::unexpected<Error>(chat.error());
  return TokenizerFiles{std::move(*tokenizer), std::move(*chat)};
}

}  // namespace precept
