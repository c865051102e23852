#include "precept/text/chat_format.h"

#include <algorithm>
#include <initializer_list>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using Ordered = nlohmann::ordered_json;

// A list of names of special tokens, with their ids. Absent: empty.
Status read_names(const Json& owner, const char* key, const Tokenizer& tokenizer, const std::string& file,
                  std::vector<std::string>& names, std::vector<std::int32_t>& ids) {
  const auto list = owner.find(key);
  if (list == owner.end()) return {};
  if (!list->is_array()) return bad_input("\"" + std::string(key) + "\" is not a list", "write [\"<|end|>\"]", file);
  for (const Json& name : *list) {
    const auto id = name.is_string() ? tokenizer.special(name.get<std::string>()) : std::nullopt;
    if (!id) {
      const std::string shown = name.is_string() ? in_quotes(name.get<std::string>()) : name.type_name();
      return bad_input("\"" + std::string(key) + "\" names " + shown + ", which is no special token of the tokenizer",
                       "chat.json and tokenizer.json belong together: get both from one place", file);
    }
    names.push_back(name.get<std::string>());
    ids.push_back(*id);
  }
  return {};
}

Status only_keys(const Json& object, std::initializer_list<const char*> known, const std::string& file) {
  for (auto entry = object.begin(); entry != object.end(); ++entry) {
    if (std::none_of(known.begin(), known.end(), [&](const char* key) { return entry.key() == key; })) {
      std::string all;
      for (const char* key : known) all += (all.empty() ? "" : ", ") + std::string(key);
      return bad_input("unknown key " + in_quotes(entry.key()), "known keys: " + all, file);
    }
  }
  return {};
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const std::string& name : names) all += name;
  return all;
}

// As a Jinja string literal.
std::string literal(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    if (c == '\n') out += "\\n";
    else out += c;
  }
  return out + "'";
}

}  // namespace

Result<ChatFormat> ChatFormat::parse(std::string_view json, const Tokenizer& tokenizer, const std::string& file) {
  const auto root = parse_json_object(json, file);
  if (!root) return tl::unexpected<Error>(root.error());
  ChatFormat format;
  Status fine = only_keys(*root, {"roles", "begin", "stop"}, file);
  if (fine) fine = read_names(*root, "begin", tokenizer, file, format.begin, format.begin_ids);
  if (fine) fine = read_names(*root, "stop", tokenizer, file, format.stop, format.stop_ids);
  if (!fine) return tl::unexpected<Error>(fine.error());
  const auto roles = root->find("roles");
  if (roles == root->end() || !roles->is_object() || !roles->contains("user") || !roles->contains("assistant")) {
    return bad_input("\"roles\" with \"user\" and \"assistant\" is missing", "is this a chat.json?", file);
  }
  for (auto entry = roles->begin(); entry != roles->end(); ++entry) {
    if (!entry->is_object()) return bad_input("role " + in_quotes(entry.key()) + " is not an object", "give it prefix and suffix", file);
    Role role;
    fine = only_keys(*entry, {"prefix", "suffix"}, file);
    if (fine) fine = read_names(*entry, "prefix", tokenizer, file, role.prefix, role.prefix_ids);
    if (fine) fine = read_names(*entry, "suffix", tokenizer, file, role.suffix, role.suffix_ids);
    if (!fine) return tl::unexpected<Error>(fine.error());
    format.roles.emplace(entry.key(), std::move(role));
  }
  if (format.stop_ids.empty()) return bad_input("\"stop\" is empty", "name the token that ends an answer", file);
  return format;
}

Result<ChatFormat> ChatFormat::load(const std::string& path, const Tokenizer& tokenizer) {
  const auto text = read_text(path, std::size_t{1} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse(*text, tokenizer, path);
}

Result<std::vector<std::int32_t>> ChatFormat::render(const Tokenizer& tokenizer, const Conversation& messages,
                                                     bool add_generation_prompt) const {
  std::vector<std::int32_t> ids = begin_ids;
  const auto append = [&](const std::vector<std::int32_t>& more) { ids.insert(ids.end(), more.begin(), more.end()); };
  for (const Message& message : messages) {
    const auto role = roles.find(message.role);
    if (role == roles.end()) {
      std::string known;
      for (const auto& entry : roles) known += (known.empty() ? "" : ", ") + entry.first;
      return bad_input("the model's chat format has no role " + in_quotes(message.role), "it has " + known);
    }
    append(role->second.prefix_ids);
    append(tokenizer.encode(message.content));
    append(role->second.suffix_ids);
  }
  if (add_generation_prompt) {
    const auto assistant = roles.find("assistant");
    if (assistant == roles.end()) return bad_input("the model's chat format has no role \"assistant\"", "add it to chat.json");
    append(assistant->second.prefix_ids);
  }
  return ids;
}

std::vector<std::string> pocket_special_tokens() {
  return {"<|pad|>", "<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"};
}

ChatFormat ChatFormat::pocket(const Tokenizer& tokenizer) {
  const auto id = [&](const std::string& name) {
    const auto found = tokenizer.special(name);
    PRECEPT_CHECK(found.has_value());
    return *found;
  };
  ChatFormat format;
  format.begin = {"<|begin|>"};
  format.begin_ids = {id("<|begin|>")};
  format.stop = {"<|end|>"};
  format.stop_ids = {id("<|end|>")};
  for (const std::string role : {"system", "user", "assistant"}) {
    const std::string prefix = "<|" + role + "|>";
    format.roles.emplace(role, Role{{prefix}, {"<|end|>"}, {id(prefix)}, {id("<|end|>")}});
  }
  return format;
}

std::string ChatFormat::to_json() const {
  Ordered all = Ordered::object();
  all["roles"] = Ordered::object();
  for (const auto& entry : roles) {
    all["roles"][entry.first] = {{"prefix", entry.second.prefix}, {"suffix", entry.second.suffix}};
  }
  all["begin"] = begin;
  all["stop"] = stop;
  return all.dump(1) + "\n";
}

std::string ChatFormat::jinja() const {
  std::string out;
  if (!begin.empty()) out += "{{- " + literal(joined(begin)) + " -}}\n";
  out += "{%- for message in messages -%}\n";
  bool first = true;
  for (const auto& entry : roles) {
    out += std::string(first ? "{%- if" : "{%- elif") + " message['role'] == " + literal(entry.first) + " -%}\n";
    out += "{{- " + literal(joined(entry.second.prefix)) + " + message['content'] + " +
           literal(joined(entry.second.suffix)) + " -}}\n";
    first = false;
  }
  if (!first) {
    out += "{%- else -%}\n{{- raise_exception('unknown role: ' + message['role']) -}}\n{%- endif -%}\n";
  }
  out += "{%- endfor -%}\n";
  if (const auto assistant = roles.find("assistant"); assistant != roles.end()) {
    out += "{%- if add_generation_prompt -%}\n{{- " + literal(joined(assistant->second.prefix)) + " -}}\n{%- endif -%}\n";
  }
  return out;
}

Status write_tokenizer_files(const std::string& folder, const Tokenizer& tokenizer, const ChatFormat& chat) {
  Ordered config = {{"tokenizer_class", "PreTrainedTokenizerFast"}, {"add_prefix_space", false},
                    {"clean_up_tokenization_spaces", false}};
  Ordered map = Ordered::object();
  const auto name = [&](const char* key, const std::string& token) {
    config[key] = token;
    map[key] = token;
  };
  if (!chat.begin.empty()) name("bos_token", chat.begin.front());
  if (!chat.stop.empty()) name("eos_token", chat.stop.front());
  if (tokenizer.special("<|pad|>")) name("pad_token", "<|pad|>");
  config["chat_template"] = chat.jinja();

  if (auto fine = make_folder(folder); !fine) return fine;
  const std::initializer_list<std::pair<const char*, std::string>> files = {
      {"tokenizer.json", tokenizer.to_json()},
      {"tokenizer_config.json", config.dump(1) + "\n"},
      {"special_tokens_map.json", map.dump(1) + "\n"},
      {"chat.json", chat.to_json()}};
  for (const auto& file : files) {
    if (auto fine = write_file(folder + "/" + file.first, file.second); !fine) return fine;
  }
  return {};
}

}  // namespace precept
