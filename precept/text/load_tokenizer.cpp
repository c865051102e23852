// The tokenizer of a checkpoint folder.

#include <filesystem>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/fast_split.h"
#include "precept/text/json_fields.h"
#include "precept/text/tokenizer_build.h"

namespace precept {
namespace {

using Json = nlohmann::json;
constexpr std::size_t kMaxBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxConfig = std::size_t{8} << 20;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

// An object, empty where there is no such file.
Result<Json> optional_json(const std::string& path) {
  if (!exists(path)) return Json::object();
  const auto text = read_text(path, kMaxConfig);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse_json_object(*text, path);
}

// "bos_token": "<s>" or {"content": "<s>"}; empty when absent.
std::string token_name(const Json& owner, const char* key) {
  const Json& token = json_field(owner, key);
  const Json& content = token.is_object() ? json_field(token, "content") : token;
  return content.is_string() ? content.get<std::string>() : std::string();
}

class Folder {
 public:
  explicit Folder(const std::string& path) : path_(path) {}

  Result<Tokenizer> load() {
    for (const auto& [name, json] : {std::pair<const char*, Json*>{"tokenizer_config.json", &config_}, {"special_tokens_map.json", &map_},
                                     {"added_tokens.json", &added_tokens_}}) {
      auto read = optional_json(path_ + "/" + name);
      if (!read) return tl::unexpected<Error>(read.error());
      *json = std::move(*read);
    }
    auto tables = read_tables();
    if (!tables) return tl::unexpected<Error>(tables.error());
    const Tokenizer named(*tables);
    for (const auto& [key, id] : {std::pair<const char*, std::optional<std::int32_t>*>{"bos_token", &(*tables)->bos},
                                  {"eos_token", &(*tables)->eos}, {"unk_token", &(*tables)->unk}, {"pad_token", &(*tables)->pad}}) {
      if (std::string(key) == "unk_token" && (*tables)->unk_in_model) continue;
      if (const auto found = named.token_id(name(key))) *id = found;
    }
    return Tokenizer(std::move(*tables));
  }

 private:
  std::string name(const char* key) const {
    const std::string found = token_name(config_, key);
    return found.empty() ? token_name(map_, key) : found;
  }

  Result<std::shared_ptr<Tokenizer::Tables>> read_tables() {
    if (exists(path_ + "/tokenizer.json")) {
      const std::string file = path_ + "/tokenizer.json";
      const auto text = read_text(file, kMaxBytes);
      if (!text) return tl::unexpected<Error>(text.error());
      const auto root = parse_json_object(*text, file);
      if (!root) return tl::unexpected<Error>(root.error());
      return tables_from_json(*root, file);
    }
    if (exists(path_ + "/vocab.json") && exists(path_ + "/merges.txt")) return vocabulary_and_merges();
    if (exists(path_ + "/tokenizer.model")) return sentencepiece();
    return bad_input("no tokenizer", "a folder has tokenizer.json, vocab.json with merges.txt, or tokenizer.model", path_);
  }

  Result<std::shared_ptr<Tokenizer::Tables>> vocabulary_and_merges() {
    const std::string file = path_ + "/vocab.json";
    const auto text = read_text(file, kMaxBytes);
    if (!text) return tl::unexpected<Error>(text.error());
    auto vocab = parse_json_object(*text, file);
    if (!vocab) return tl::unexpected<Error>(vocab.error());
    auto merges = read_merges(path_ + "/merges.txt");
    if (!merges) return tl::unexpected<Error>(merges.error());
    const std::string kind = json_field(config_, "tokenizer_class").is_string() ? config_["tokenizer_class"].get<std::string>() : "";
    const bool qwen = kind.rfind("Qwen2Tokenizer", 0) == 0;
    if (!qwen && json_field(config_, "add_prefix_space") == true) {
      return bad_input("add_prefix_space is not supported with vocab.json", "use a conversion to tokenizer.json", path_ + "/tokenizer_config.json");
    }
    Json root = {{"added_tokens", added(*vocab)}, {"normalizer", nullptr}, {"decoder", Json::parse(kByteLevelJson)}};
    if (qwen) root["normalizer"] = {{"type", "NFC"}};
    root["pre_tokenizer"] = byte_level_split({std::string(split_pattern(qwen ? SplitFamily::kQwen2 : SplitFamily::kGpt2))});
    const std::string bos = name("bos_token");
    NamedToken before;
    if (json_field(config_, "add_bos_token") == true && vocab->contains(bos) && (*vocab)[bos].is_number_integer()) before = {bos, (*vocab)[bos].get<std::int32_t>()};
    root["post_processor"] = around_text(before, std::nullopt);
    root["model"] = {{"type", "BPE"}};
    root["model"]["vocab"] = std::move(*vocab);
    root["model"]["merges"] = std::move(*merges);
    return tables_from_json(root, file);
  }

  // added_tokens_decoder says it all; older folders have added_tokens.json and names of special tokens.
  Json added(const Json& vocab) const {
    Json list = Json::array();
    const Json& decoder = json_field(config_, "added_tokens_decoder");
    if (decoder.is_object() && !decoder.empty()) {
      for (auto entry = decoder.begin(); entry != decoder.end(); ++entry) {
        Json token = entry.value();
        if (!token.is_object() || entry.key().empty() || entry.key().size() > 9 || entry.key().find_first_not_of("0123456789") != std::string::npos) continue;
        token["id"] = std::stoi(entry.key());
        list.push_back(std::move(token));
      }
      return list;
    }
    std::map<std::string, Json> tokens;
    for (auto entry = added_tokens_.begin(); entry != added_tokens_.end(); ++entry) {
      tokens[entry.key()] = {{"content", entry.key()}, {"id", entry.value()}, {"special", false}, {"normalized", true}};
    }
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
      const std::string token = name(key);
      if (token.empty()) continue;
      if (vocab.contains(token)) tokens[token] = {{"content", token}, {"id", vocab[token]}};
      const auto known = tokens.find(token);
      if (known == tokens.end()) continue;
      known->second["special"] = true;
      known->second["normalized"] = false;
    }
    const std::string end = "<|endoftext|>";  // GPT-2's, which is never anything else
    if (tokens.empty() && vocab.contains(end)) tokens[end] = {{"content", end}, {"id", vocab[end]}, {"special", true}, {"normalized", false}};
    for (const auto& entry : tokens) list.push_back(entry.second);
    return list;
  }

  static Result<Json> read_merges(const std::string& file) {
    const auto text = read_text(file, kMaxBytes);
    if (!text) return tl::unexpected<Error>(text.error());
    Json merges = Json::array();
    std::string_view rest = *text;
    for (int line = 1; !rest.empty(); ++line) {
      const std::size_t end = rest.find('\n');
      std::string_view entry = rest.substr(0, end);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
      if (!entry.empty() && entry.back() == '\r') entry.remove_suffix(1);
      if (entry.empty() || (line == 1 && entry.substr(0, 8) == "#version")) continue;
      const std::size_t space = entry.find(' ');
      if (space == 0 || space == std::string_view::npos || space + 1 == entry.size() || entry.find(' ', space + 1) != std::string_view::npos) {
        return bad_input("not a pair", "every line is \"LEFT RIGHT\"", file, line);
      }
      merges.push_back(std::string(entry));
    }
    return merges;
  }

  Result<std::shared_ptr<Tokenizer::Tables>> sentencepiece() {
    const std::string file = path_ + "/tokenizer.model";
    const auto bytes = read_file(file, kMaxBytes);
    if (!bytes) return tl::unexpected<Error>(bytes.error());
    auto pieces = read_sentencepiece(*bytes, file);
    if (!pieces) return tl::unexpected<Error>(pieces.error());
    const Json& bos = json_field(config_, "add_bos_token");
    pieces->add_bos = bos.is_boolean() ? bos.get<bool>() : !pieces->unigram;  // as Llama and Gemma do
    pieces->add_eos = json_field(config_, "add_eos_token") == true;
    return tables_from_pieces(std::move(*pieces), file);
  }

  std::string path_;
  Json config_, map_, added_tokens_;
};

}  // namespace

Result<Tokenizer> load_tokenizer(const std::string& folder) { return Folder(folder).load(); }

}  // namespace precept
