// tokenizer.json -> Tables. What would change the ids that `tokenizers` gives, and is not supported,
// is refused by name.

#include <algorithm>
#include <unordered_map>

#include "precept/core/strict_json.h"
#include "precept/text/byte_alphabet.h"
#include "precept/text/json_fields.h"
#include "precept/text/tokenizer_build.h"

namespace precept {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMaxVocabulary = 1 << 20;
constexpr std::size_t kMaxAddedBytes = 1024;

bool is_off(const Json& value) {  // absent, null, false, 0 or ""
  return value.is_null() || value == false || value == 0 || value == "";
}

std::string kept(const Json& part) {
  if (part.is_null()) return {};
  return part == Json::parse(kByteLevelJson) ? kByteLevelJson : part.dump();
}

class Parser {
 public:
  Parser(const Json& root, const std::string& file) : root_(root), model_(json_field(root, "model")), file_(file) {}

  Result<std::shared_ptr<Tokenizer::Tables>> run() {
    auto tables = std::make_shared<Tokenizer::Tables>();
    tables_ = tables.get();
    for (const auto step : {&Parser::model, &Parser::added, &Parser::vocabulary, &Parser::no_gaps, &Parser::merges, &Parser::unknown}) {
      if (auto fine = (this->*step)(); !fine) return tl::unexpected<Error>(fine.error());
    }
    if (auto fine = tables->pipeline(file_); !fine) return tl::unexpected<Error>(fine.error());
    if (tables->kind == ModelKind::kByteBpe && tables->decoder_json.empty()) {
      return refuse("a byte-level vocabulary without a decoder", "it needs the decoder ByteLevel");
    }
    if (auto fine = tables->index(file_); !fine) return tl::unexpected<Error>(fine.error());
    return tables;
  }

 private:
  tl::unexpected<Error> refuse(std::string what, std::string hint) const {
    return bad_input(std::move(what), std::move(hint), file_);
  }

  Status model() {
    if (!model_.is_object()) return refuse("no \"model\"", "is this a tokenizer.json?");
    // Old files do not name the type: a list of pieces with their scores is Unigram, merges are BPE.
    std::string type = json_type(model_);
    if (!model_.contains("type")) type = json_field(model_, "vocab").is_array() ? "Unigram" : model_.contains("merges") ? "BPE" : "unknown";
    if (type != "BPE" && type != "Unigram") return refuse("model type " + in_quotes(type) + " is not supported", "supported: BPE, Unigram");
    for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!is_off(json_field(model_, key))) return refuse("model option \"" + std::string(key) + "\" is not supported", "it must be null");
    }
    for (const char* key : {"byte_fallback", "fuse_unk", "ignore_merges"}) {
      const Json& value = json_field(model_, key);
      if (!value.is_null() && !value.is_boolean()) return refuse("model option \"" + std::string(key) + "\" is not true or false", "is this a tokenizer.json?");
    }
    tables_->normalizer_json = kept(json_field(root_, "normalizer"));
    tables_->pre_json = kept(json_field(root_, "pre_tokenizer"));
    tables_->post_json = kept(json_field(root_, "post_processor"));
    tables_->decoder_json = kept(json_field(root_, "decoder"));
    const auto pre = PreTokenizer::parse(json_field(root_, "pre_tokenizer"), file_);
    if (!pre) return tl::unexpected<Error>(pre.error());
    tables_->kind = type == "Unigram" ? ModelKind::kUnigram : pre->byte_level() ? ModelKind::kByteBpe : ModelKind::kCharBpe;
    if (type == "Unigram" && pre->byte_level()) return refuse("model Unigram with the pre_tokenizer ByteLevel is not supported", "usually it comes with Metaspace");
    tables_->byte_fallback = json_field(model_, "byte_fallback") == true;
    tables_->fuse_unk = type == "Unigram" || json_field(model_, "fuse_unk") == true;
    tables_->ignore_merges = json_field(model_, "ignore_merges") == true;
    return {};
  }

  // Puts a token at its id. `tokens` grows as ids come; what stays unset is found later.
  Status place(const Json& id, std::string_view name, BpeToken token) {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= kMaxVocabulary) {
      return refuse("token " + in_quotes(name) + " has no id within 0 and " + std::to_string(kMaxVocabulary - 1),
                    "ids are numbers from 0 on");
    }
    const auto at = static_cast<std::size_t>(id.get<std::int64_t>());
    if (at >= tables_->tokens.size()) {
      tables_->tokens.resize(at + 1);
      set_.resize(at + 1);
    }
    if (set_[at]) {
      return refuse("token " + in_quotes(name) + " has the id " + std::to_string(at) + " of another",
                    "give every token its own id");
    }
    set_[at] = true;
    tables_->tokens[at] = std::move(token);
    return {};
  }

  Status added() {
    const Json& list = json_field(root_, "added_tokens");
    if (!list.is_null() && !list.is_array()) return refuse("\"added_tokens\" is not a list", "is this a tokenizer.json?");
    for (const Json& entry : list) {
      const Json& content = json_field(entry, "content");
      if (!content.is_string() || content.get_ref<const std::string&>().empty() || content.get_ref<const std::string&>().size() > kMaxAddedBytes) {
        return refuse("an added token without \"content\" of 1 to " + std::to_string(kMaxAddedBytes) + " bytes", "name it, e.g. <|end|>");
      }
      const std::string& name = content.get_ref<const std::string&>();
      if (!added_.emplace(name, &entry).second) {
        return refuse("added token " + in_quotes(name) + " is listed twice", "list every token once");
      }
      AddedToken token;
      token.content = name;
      token.special = json_field(entry, "special") == true;
      token.normalized = entry.contains("normalized") ? entry["normalized"] == true : !token.special;
      token.single_word = json_field(entry, "single_word") == true;
      token.lstrip = json_field(entry, "lstrip") == true;
      token.rstrip = json_field(entry, "rstrip") == true;
      BpeToken made = token.special ? BpeToken{"", name, false, false} : BpeToken{name, "", true, false};
      if (auto fine = place(json_field(entry, "id"), name, std::move(made)); !fine) return fine;
      token.id = entry["id"].get<std::int32_t>();
      tables_->added.push_back(std::move(token));
    }
    return {};
  }

  Status vocabulary() {
    const Json& vocab = json_field(model_, "vocab");
    if (tables_->kind == ModelKind::kUnigram) return pieces(vocab);
    if (!vocab.is_object()) return refuse("the model has no \"vocab\" object", "is this a tokenizer.json?");
    for (auto entry = vocab.begin(); entry != vocab.end(); ++entry) {
      if (auto fine = in_vocabulary(entry.key(), entry.value()); !fine) return fine;
    }
    return {};
  }

  Status in_vocabulary(const std::string& name, const Json& id) {
    if (const auto known = added_.find(name); known != added_.end()) {
      if (json_field(*known->second, "id") != id) {
        return refuse("added token " + in_quotes(name) + " has another id in the vocabulary", "make the two agree");
      }
      if (!ids_.emplace(name, id.get<std::int32_t>()).second) return refuse("token " + in_quotes(name) + " stands twice", "list every token once");
      return {};
    }
    BpeToken token{name, "", false, false};
    if (tables_->kind == ModelKind::kByteBpe) {
      auto bytes = from_byte_alphabet(name);
      token.raw = !bytes;
      if (bytes) token.bytes = std::move(*bytes);
    }
    if (auto fine = place(id, name, std::move(token)); !fine) return fine;
    if (!ids_.emplace(name, id.get<std::int32_t>()).second) return refuse("token " + in_quotes(name) + " stands twice", "list every token once");
    return {};
  }

  // Unigram: [["piece", score], ...], the id is the place.
  Status pieces(const Json& vocab) {
    if (!vocab.is_array() || vocab.size() > static_cast<std::size_t>(kMaxVocabulary)) {
      return refuse("model Unigram has no \"vocab\" list", "is this a tokenizer.json?");
    }
    tables_->scores.reserve(vocab.size());
    std::int32_t id = 0;
    for (const Json& entry : vocab) {
      if (!entry.is_array() || entry.size() != 2 || !entry[0].is_string() || !entry[1].is_number()) {
        return refuse("piece " + std::to_string(id) + " of the vocabulary is not [\"PIECE\", SCORE]", "is this a tokenizer.json?");
      }
      const std::string& name = entry[0].get_ref<const std::string&>();
      if (auto fine = in_vocabulary(name, Json(id)); !fine) return fine;
      tables_->scores.push_back(entry[1].get<double>());
      // As in the reference all pieces count for the least score; special ones are never found in text.
      tables_->unigram_ids.push_back(id++);
    }
    return {};
  }

  Status no_gaps() {
    for (std::size_t id = 0; id < set_.size(); ++id) {
      if (!set_[id]) return refuse("no token has the id " + std::to_string(id), "ids are 0, 1, 2... without gaps");
    }
    if (set_.empty()) return refuse("an empty vocabulary", "is this a tokenizer.json?");
    return {};
  }

  Status merges() {
    if (tables_->kind == ModelKind::kUnigram) return {};
    const Json& list = json_field(model_, "merges");
    if (!list.is_array()) return refuse("the model has no \"merges\" list", "is this a tokenizer.json?");
    tables_->merges.reserve(list.size());
    std::size_t number = 0;
    for (const Json& entry : list) {
      const std::string which = "merge " + std::to_string(number++);
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
      if (auto fine = merge(which, left, right); !fine) return fine;
    }
    return {};
  }

  // A merge that would spell a special token is left out: no text becomes one.
  Status merge(const std::string& which, const std::string& left, const std::string& right) {
    const std::string both = left + right;
    BpeMerge made;
    bool special = false;
    for (const auto& [name, id] : {std::pair<const std::string*, std::int32_t*>{&left, &made.left},
                                   {&right, &made.right}, {&both, &made.result}}) {
      const auto found = ids_.find(*name);
      if (found == ids_.end()) {
        return refuse(which + " needs " + in_quotes(*name) + ", which is no token of the vocabulary",
                      "vocabulary and merges belong together: get both from one place");
      }
      *id = found->second;
      special = special || !tables_->tokens[static_cast<std::size_t>(*id)].special_name.empty();
    }
    if (!special) tables_->merges.push_back(made);
    return {};
  }

  Status unknown() {
    if (tables_->kind == ModelKind::kUnigram) {
      const Json& id = json_field(model_, "unk_id");
      if (id.is_null()) return refuse("model Unigram without \"unk_id\"", "unknown characters need a token");
      if (!id.is_number_unsigned() || id.get<std::uint64_t>() >= tables_->scores.size()) return refuse("\"unk_id\" is no id of the vocabulary", "the file is damaged: get it again");
      tables_->unk = id.get<std::int32_t>();
      tables_->unk_in_model = true;
      return {};
    }
    const Json& name = json_field(model_, "unk_token");
    if (name.is_null()) return {};
    const auto found = name.is_string() ? ids_.find(name.get<std::string>()) : ids_.end();
    if (found == ids_.end()) {
      // A byte-level vocabulary never needs it.
      if (tables_->kind == ModelKind::kByteBpe && name.is_string()) return {};
      return refuse("\"unk_token\" is no token of the vocabulary", "name a token, or leave it out");
    }
    tables_->unk = found->second;
    tables_->unk_in_model = true;
    return {};
  }

  const Json& root_;
  const Json& model_;
  const std::string& file_;
  Tokenizer::Tables* tables_ = nullptr;
  std::vector<bool> set_;
  std::unordered_map<std::string_view, const Json*> added_;
  std::unordered_map<std::string, std::int32_t> ids_;
};

}  // namespace

Result<std::shared_ptr<Tokenizer::Tables>> tables_from_json(const Json& root, const std::string& file) {
  return Parser(root, file).run();
}

Result<Tokenizer> Tokenizer::parse(std::string_view json, const std::string& file) {
  const auto root = parse_json_object(json, file);
  if (!root) return tl::unexpected<Error>(root.error());
  auto tables = tables_from_json(*root, file);
  if (!tables) return tl::unexpected<Error>(tables.error());
  return Tokenizer(std::move(*tables));
}

}  // namespace precept
