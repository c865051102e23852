// tokenizer.json -> Tables. What would change the ids that `tokenizers` gives, and is not supported,
// is refused by name.

#include <algorithm>
#include <initializer_list>
#include <unordered_map>

#include "precept/text/bpe.h"
#include "precept/text/byte_alphabet.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

using Json = nlohmann::json;
using Ids = std::unordered_map<std::string_view, std::int32_t>;

constexpr std::int64_t kMaxVocabulary = 1 << 20;

// The value of a key; null when absent or when `object` is no object.
const Json& field(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found != object.end() ? *found : null;
}

std::string type_of(const Json& part) {
  const Json& type = field(part, "type");
  return type.is_string() ? type.get<std::string>() : std::string(part.type_name());
}

bool one_of(const std::string& type, std::initializer_list<const char*> known) {
  return std::any_of(known.begin(), known.end(), [&](const char* name) { return type == name; });
}

bool is_off(const Json& value) {  // absent, null, false, 0 or ""
  return value.is_null() || value == false || value == 0 || value == "";
}

class Parser {
 public:
  Parser(const Json& root, const std::string& file) : root_(root), file_(file) {}

  Result<std::shared_ptr<Tokenizer::Tables>> run() {
    auto tables = std::make_shared<Tokenizer::Tables>();
    for (const auto step : {&Parser::pipeline, &Parser::vocabulary, &Parser::merges}) {
      if (auto fine = (this->*step)(*tables); !fine) return tl::unexpected<Error>(fine.error());
    }
    if (auto fine = tables->index(file_); !fine) return tl::unexpected<Error>(fine.error());
    return tables;
  }

 private:
  tl::unexpected<Error> refuse(std::string what, std::string hint) const {
    return bad_input(std::move(what), std::move(hint), file_);
  }
  tl::unexpected<Error> unsupported(const std::string& what) const {
    return refuse(what + " is not supported",
                  "supported: model BPE, no normalizer, pre_tokenizer and decoder ByteLevel");
  }

  Status pipeline(Tokenizer::Tables& tables) {
    const Json& model = field(root_, "model");
    if (!model.is_object()) return refuse("no \"model\"", "is this a tokenizer.json?");
    if (type_of(model) != "BPE") return unsupported("model type " + in_quotes(type_of(model)));
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"}) {
      if (!is_off(field(model, key))) return unsupported("model option \"" + std::string(key) + "\"");
    }
    tables.ignore_merges = field(model, "ignore_merges") == true;
    const Json& normalizer = field(root_, "normalizer");
    if (!normalizer.is_null()) return unsupported("normalizer " + in_quotes(type_of(normalizer)));
    const Json& pre = field(root_, "pre_tokenizer");
    if (type_of(pre) != "ByteLevel") return unsupported("pre_tokenizer " + in_quotes(type_of(pre)));
    if (!is_off(field(pre, "add_prefix_space"))) return unsupported("add_prefix_space of the pre_tokenizer");
    if (field(pre, "use_regex") == false) return unsupported("a pre_tokenizer with use_regex false");
    const Json& decoder = field(root_, "decoder");
    if (type_of(decoder) != "ByteLevel") return unsupported("decoder " + in_quotes(type_of(decoder)));
    const Json& post = field(root_, "post_processor");
    if (!post.is_null() && !one_of(type_of(post), {"ByteLevel", "TemplateProcessing"})) {
      return unsupported("post_processor " + in_quotes(type_of(post)));
    }
    return {};
  }

  // Puts a token at its id. `tables.tokens` grows as ids come; what stays unset is found later.
  Status place(Tokenizer::Tables& tables, const Json& id, std::string_view name, BpeToken token) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= kMaxVocabulary) {
      return refuse("token " + in_quotes(name) + " has no id within 0 and " + std::to_string(kMaxVocabulary - 1),
                    "ids are numbers from 0 on");
    }
    const auto at = static_cast<std::size_t>(id.get<std::int64_t>());
    if (at >= tables.tokens.size()) tables.tokens.resize(at + 1);
    BpeToken& slot = tables.tokens[at];
    if (!slot.bytes.empty() || !slot.special_name.empty()) {
      return refuse("token " + in_quotes(name) + " has the id " + std::to_string(at) + " of another",
                    "give every token its own id");
    }
    slot = std::move(token);
    return {};
  }

  Status vocabulary(Tokenizer::Tables& tables) {
    std::unordered_map<std::string_view, const Json*> added;
    const Json& list = field(root_, "added_tokens");
    if (!list.is_null() && !list.is_array()) return refuse("\"added_tokens\" is not a list", "is this a tokenizer.json?");
    for (const Json& entry : list) {
      const Json& content = field(entry, "content");
      if (!content.is_string() || content.get_ref<const std::string&>().empty()) {
        return refuse("an added token without \"content\"", "name it, e.g. <|end|>");
      }
      const std::string& name = content.get_ref<const std::string&>();
      if (!added.emplace(name, &entry).second) {
        return refuse("added token " + in_quotes(name) + " is listed twice", "list every token once");
      }
      const bool special = field(entry, "special") == true;
      BpeToken token = special ? BpeToken{"", name, false} : BpeToken{name, "", true};
      if (auto fine = place(tables, field(entry, "id"), name, std::move(token)); !fine) return fine;
    }
    const Json& vocab = field(field(root_, "model"), "vocab");
    if (!vocab.is_object()) return refuse("the model has no \"vocab\" object", "is this a tokenizer.json?");
    for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
      if (const auto known = added.find(entry.key()); known != added.end()) {
        if (field(*known->second, "id") != entry.value()) {
          return refuse("added token " + in_quotes(entry.key()) + " has another id in the vocabulary", "make the two agree");
        }
        continue;
      }
      auto bytes = from_byte_alphabet(entry.key());
      if (!bytes || bytes->empty()) {
        return refuse("token " + in_quotes(entry.key()) + " is not spelled in the byte-level alphabet",
                      "only byte-level vocabularies are supported (a space is spelled U+0120)");
      }
      if (auto fine = place(tables, entry.value(), entry.key(), BpeToken{std::move(*bytes), "", false}); !fine) return fine;
      ids_.emplace(entry.key(), entry.value().get<std::int32_t>());
    }
    return no_gaps(tables);
  }

  Status no_gaps(const Tokenizer::Tables& tables) const {
    for (std::size_t id = 0; id < tables.tokens.size(); ++id) {
      if (tables.tokens[id].bytes.empty() && tables.tokens[id].special_name.empty()) {
        return refuse("no token has the id " + std::to_string(id), "ids are 0, 1, 2... without gaps");
      }
    }
    return {};
  }

  Status merges(Tokenizer::Tables& tables) {
    const Json& list = field(field(root_, "model"), "merges");
    if (!list.is_array()) return refuse("the model has no \"merges\" list", "is this a tokenizer.json?");
    tables.merges.reserve(list.size());
    for (const Json& entry : list) {
      const std::string which = "merge " + std::to_string(tables.merges.size());
      std::string left, right;
      if (entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_string()) {
        left = entry[0].get<std::string>();
        right = entry[1].get<std::string>();
      } else if (entry.is_string()) {
        const auto& text = entry.get_ref<const std::string&>();
        const std::size_t space = text.find(' ');
        left = text.substr(0, space);
        if (space != std::string::npos) right = text.substr(space + 1);
      }
      if (left.empty() || right.empty()) return refuse(which + " is not a pair", "write it as \"LEFT RIGHT\"");
      const std::string both = left + right;
      BpeMerge merge;
      for (const auto& [name, id] : {std::pair<const std::string*, std::int32_t*>{&left, &merge.left},
                                     {&right, &merge.right}, {&both, &merge.result}}) {
        const auto found = ids_.find(*name);
        if (found == ids_.end()) {
          return refuse(which + " needs " + in_quotes(*name) + ", which is no ordinary token of the vocabulary",
                        "vocabulary and merges belong together: get both from one place");
        }
        *id = found->second;
      }
      tables.merges.push_back(merge);
    }
    return {};
  }

  const Json& root_;
  const std::string& file_;
  Ids ids_;
};

}  // namespace

Result<Tokenizer> Tokenizer::parse(std::string_view json, const std::string& file) {
  const auto root = parse_json_object(json, file);
  if (!root) return tl::unexpected<Error>(root.error());
  auto tables = Parser(*root, file).run();
  if (!tables) return tl::unexpected<Error>(tables.error());
  return Tokenizer(std::move(*tables));
}

}  // namespace precept
