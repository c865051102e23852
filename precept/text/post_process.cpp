#include "precept/text/post_process.h"

#include "precept/text/json_fields.h"

namespace precept {
namespace {

using Json = nlohmann::json;

class Reader {
 public:
  Reader(std::size_t size, const std::string& file) : size_(size), file_(file) {}

  Status add(const Json& part, PostProcess& out, int depth) {
    PartReader reader(part, "post_processor", file_);
    if (reader.type() == "Sequence" && depth < 8) {
      const Json& list = reader.any("processors");
      if (!list.is_array()) return reader.refuse("\"processors\" is not a list", "is this a tokenizer.json?");
      for (const Json& entry : list) {
        if (auto fine = add(entry, out, depth + 1); !fine) return fine;
      }
      return reader.finish();
    }
    if (reader.type() == "ByteLevel") return {};  // only about offsets
    if (reader.type() == "TemplateProcessing") return of_template(reader, out);
    if (reader.type() == "RobertaProcessing" || reader.type() == "BertProcessing") {
      reader.pass_over({"trim_offsets", "add_prefix_space"});
      for (const auto& [key, ids] : {std::pair<const char*, std::vector<std::int32_t>*>{"cls", &out.before}, {"sep", &out.after}}) {
        const Json& pair = reader.any(key);
        if (!pair.is_array() || pair.size() != 2) return reader.refuse("\"" + std::string(key) + "\" is not a token with its id", "is this a tokenizer.json?");
        const auto id = token(pair[1]);
        if (!id) return reader.refuse("an id that no token has", "the file is damaged: get it again");
        // Around what is there already: this one comes later.
        ids->insert(ids == &out.before ? ids->begin() : ids->end(), *id);
      }
      return reader.finish();
    }
    return reader.unsupported("", "TemplateProcessing, ByteLevel, Sequence, RobertaProcessing, BertProcessing");
  }

 private:
  std::optional<std::int32_t> token(const Json& id) const {
    if (!id.is_number_integer() || id.get<std::int64_t>() < 0 || id.get<std::int64_t>() >= static_cast<std::int64_t>(size_)) return std::nullopt;
    return id.get<std::int32_t>();
  }

  Status of_template(PartReader& reader, PostProcess& out) {
    const Json& single = reader.any("single");
    const Json& specials = reader.any("special_tokens");
    reader.pass_over({"pair"});
    if (!single.is_array()) return reader.refuse("\"single\" is not a list", "is this a tokenizer.json?");
    PostProcess outer;
    bool seen = false;
    for (const Json& piece : single) {
      const Json& sequence = json_field(piece, "Sequence");
      if (sequence.is_object()) {
        if (seen || json_field(sequence, "id") != "A") return reader.refuse("a template that does not hold the text once", "\"single\" holds sequence A once");
        seen = true;
        continue;
      }
      const Json& name = json_field(json_field(piece, "SpecialToken"), "id");
      const Json& ids = name.is_string() ? json_field(json_field(specials, name.get_ref<const std::string&>().c_str()), "ids") : name;
      if (!ids.is_array()) return reader.refuse("a special token of the template has no ids", "the file is damaged: get it again");
      for (const Json& each : ids) {
        const auto id = token(each);
        if (!id) return reader.refuse("an id that no token has", "the file is damaged: get it again");
        (seen ? outer.after : outer.before).push_back(*id);
      }
    }
    if (!seen) return reader.refuse("a template without the text", "\"single\" holds sequence A once");
    out.before.insert(out.before.begin(), outer.before.begin(), outer.before.end());
    out.after.insert(out.after.end(), outer.after.begin(), outer.after.end());
    return reader.finish();
  }

  std::size_t size_;
  const std::string& file_;
};

}  // namespace

Result<PostProcess> parse_post_process(const Json& part, std::size_t size, const std::string& file) {
  PostProcess out;
  if (part.is_null()) return out;
  if (auto fine = Reader(size, file).add(part, out, 0); !fine) return tl::unexpected<Error>(fine.error());
  constexpr std::size_t kMost = 64;
  if (out.before.size() + out.after.size() > kMost) {
    return bad_input("post_processor: more than 64 special tokens", "is this the right file?", file);
  }
  return out;
}

}  // namespace precept
