#include "precept/text/chat_template.h"

#include <algorithm>
#include <filesystem>

#include <nlohmann/json.hpp>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/jinja_interpreter.h"
#include "precept/text/jinja_json.h"
#include "precept/text/jinja_parser.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using jinja::Kind;
using jinja::Runtime;
using jinja::Value;

constexpr std::size_t kConfigBytes = std::size_t{64} << 20;

Value text_of(Runtime& run, const std::string& bytes, bool input, const char* what) {
  if (find_invalid_utf8(bytes)) return run.fail(std::string(what) + " is not UTF-8", "convert it first");
  return run.text(bytes, input);
}

void put_text(Runtime& run, jinja::Dict& dict, const char* key, const Value& value) {
  const Value name = run.text(key, true);
  if (!run.failed()) jinja::put(run, dict, name, value);
}

bool is_known(const ChatInput& input, const std::string& role) {
  return std::find(input.known_roles.begin(), input.known_roles.end(), role) != input.known_roles.end();
}

Value messages_of(Runtime& run, const ChatInput& input) {
  if (!input.messages_json.empty()) {
    const Value list = jinja::from_json(run, input.messages_json, "messages");
    if (run.failed()) return {};
    if (!list.is(Kind::kList)) return run.fail("messages: not a list", "write [{\"role\": ..., \"content\": ...}]");
    for (const Value& message : list.list->items) {
      if (!message.is(Kind::kDict)) return run.fail("messages: a message is not an object", "write {\"role\": ..., \"content\": ...}");
      const Value* role = jinja::find(*message.dict, "role");
      if (role != nullptr && role->is(Kind::kText) && is_known(input, role->text->bytes)) {
        const_cast<Value&>(*role) = run.text(role->text->bytes, false);
      }
    }
    return list;
  }
  std::vector<Value> all;
  for (const Message& message : input.messages) {
    jinja::Dict* dict = run.dict(true);
    put_text(run, *dict, "role", text_of(run, message.role, !is_known(input, message.role), "a role"));
    put_text(run, *dict, "content", text_of(run, message.content, true, "a message"));
    if (run.failed()) return {};
    all.push_back(Value::of(dict));
  }
  return run.list(std::move(all), jinja::ListKind::kList, true);
}

Value optional_list(Runtime& run, const std::string& json, const char* what) {
  if (json.empty()) return Value::none();
  const Value value = jinja::from_json(run, json, what);
  if (run.failed() || value.is(Kind::kList) || value.is(Kind::kNone)) return value;
  return run.fail(std::string(what) + ": not a list", "write [...]");
}

// A special token: a text, or an object with "content"; anything else is none.
std::optional<std::string> token_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_object()) return std::nullopt;
  const auto content = value.find("content");
  if (content == value.end() || !content->is_string()) return std::nullopt;
  return content->get<std::string>();
}

void add_special_tokens(const Json& config, std::map<std::string, std::string>& tokens) {
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"}) {
    const auto entry = config.find(name);
    if (entry == config.end()) continue;
    if (const auto token = token_of(*entry)) tokens.emplace(name, *token);
  }
}

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

Result<std::optional<Json>> read_json(const std::string& path) {
  if (!exists(path)) return std::nullopt;
  const auto text = read_text(path, kConfigBytes);
  if (!text) return tl::unexpected<Error>(text.error());
  auto json = parse_json_object(*text, path);
  if (!json) return tl::unexpected<Error>(json.error());
  return std::optional<Json>(std::move(*json));
}

// "chat_template" of tokenizer_config.json: a text, or a list of {"name", "template"}.
Result<std::optional<std::string>> template_of(const Json& config, const std::string& name, const std::string& path) {
  const auto entry = config.find("chat_template");
  if (entry == config.end() || entry->is_null()) return std::nullopt;
  if (entry->is_string()) return std::optional<std::string>(entry->get<std::string>());
  if (!entry->is_array()) return bad_input("\"chat_template\" is neither a text nor a list", "get the file again", path);
  std::string names;
  for (const Json& one : *entry) {
    const auto its_name = one.is_object() ? one.find("name") : one.end();
    const auto source = one.is_object() ? one.find("template") : one.end();
    if (!one.is_object() || its_name == one.end() || source == one.end() || !its_name->is_string() || !source->is_string()) {
      return bad_input("an entry of \"chat_template\" is no object with name and template", "get the file again", path);
    }
    if (*its_name == name) return std::optional<std::string>(source->get<std::string>());
    names += (names.empty() ? "" : ", ") + in_quotes(its_name->get<std::string>());
  }
  return bad_input("no chat template is called " + in_quotes(name), names.empty() ? "the list is empty" : "there is " + names, path);
}

}  // namespace

Result<ChatTemplate> ChatTemplate::parse(std::string_view source, const std::string& file, const TemplateLimits& limits) {
  if (source.size() > limits.source_bytes) {
    return bad_input("the template has more than " + std::to_string(limits.source_bytes) + " bytes", "is this the right file?", file);
  }
  if (const auto bad = find_invalid_utf8(source)) {
    return bad_input("the template is not UTF-8", "save it as UTF-8", file, line_of(source, *bad));
  }
  auto program = jinja::parse_program(source, file, limits);
  if (!program) return tl::unexpected<Error>(program.error());
  ChatTemplate made;
  made.program_ = std::move(*program);
  made.limits_ = limits;
  return made;
}

Result<std::optional<ChatTemplate>> ChatTemplate::load(const std::string& folder, const std::string& name,
                                                       const TemplateLimits& limits) {
  const std::string own = folder + "/chat_template.jinja", config_path = folder + "/tokenizer_config.json";
  const auto config = read_json(config_path);
  if (!config) return tl::unexpected<Error>(config.error());
  std::optional<std::string> source;
  std::string file = own;
  if (exists(own)) {
    auto text = read_text(own, limits.source_bytes);
    if (!text) return tl::unexpected<Error>(text.error());
    source = std::move(*text);
  } else if (*config) {
    auto found = template_of(**config, name, config_path);
    if (!found) return tl::unexpected<Error>(found.error());
    source = std::move(*found);
    file = config_path + " (chat_template)";
  }
  if (!source) return std::nullopt;
  auto made = parse(*source, file, limits);
  if (!made) return tl::unexpected<Error>(made.error());
  if (*config) add_special_tokens(**config, made->special_tokens_);
  const auto map = read_json(folder + "/special_tokens_map.json");
  if (!map) return tl::unexpected<Error>(map.error());
  if (*map) add_special_tokens(**map, made->special_tokens_);
  return std::optional<ChatTemplate>(std::move(*made));
}

Result<RenderedChat> ChatTemplate::render(const ChatInput& input) const {
  Runtime run(limits_, program_->file);
  run.now = input.now;
  run.unasked_now = input.unasked_now;
  jinja::Interpreter interpreter(run);
  const auto set = [&](std::string_view name, const Value& value) {
    if (!run.failed()) interpreter.set(name, value);
  };
  set("messages", messages_of(run, input));
  set("tools", optional_list(run, input.tools_json, "tools"));
  set("documents", optional_list(run, input.documents_json, "documents"));
  set("add_generation_prompt", Value::of_bool(input.add_generation_prompt));
  for (const auto* tokens : {&special_tokens_, &input.special_tokens}) {
    for (const auto& token : *tokens) set(token.first, text_of(run, token.second, false, "a special token"));
  }
  if (!input.arguments_json.empty() && !run.failed()) {
    const Value arguments = jinja::from_json(run, input.arguments_json, "arguments");
    if (!run.failed() && !arguments.is(Kind::kDict)) run.fail("arguments: not an object", "write {\"name\": value}");
    if (!run.failed()) {
      for (const auto& entry : arguments.dict->entries) set(entry.first.text->bytes, entry.second);
    }
  }
  if (run.failed()) return tl::unexpected<Error>(run.error());
  jinja::Text text = interpreter.render(*program_);
  if (run.failed()) return tl::unexpected<Error>(run.error());
  return RenderedChat{std::move(text.bytes), std::move(text.input)};
}

}  // namespace precept
