#include "precept/text/json_fields.h"

#include <algorithm>

#include "precept/core/strict_json.h"

namespace precept {

using Json = nlohmann::json;

const Json& json_field(const Json& object, const char* key) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(key);
  return found != object.end() ? *found : null;
}

std::string json_type(const Json& part) {
  const Json& type = json_field(part, "type");
  return type.is_string() ? type.get<std::string>() : std::string(part.type_name());
}

void PartReader::wrong(const char* key, const char* wanted) {
  if (wrong_.empty()) wrong_ = "\"" + std::string(key) + "\" is not " + wanted;
}

bool PartReader::flag(const char* key, bool otherwise) {
  const Json& value = any(key);
  if (value.is_boolean()) return value.get<bool>();
  if (!value.is_null()) wrong(key, "true or false");
  return otherwise;
}

std::string PartReader::text(const char* key, const std::string& otherwise) {
  const Json& value = any(key);
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_null()) wrong(key, "a string");
  return otherwise;
}

int PartReader::count(const char* key, int otherwise, int most) {
  const Json& value = any(key);
  if (value.is_number_unsigned() && value.get<std::uint64_t>() <= static_cast<std::uint64_t>(most)) return value.get<int>();
  if (!value.is_null()) wrong(key, ("a number from 0 to " + std::to_string(most)).c_str());
  return otherwise;
}

const Json& PartReader::any(const char* key) {
  asked_.emplace_back(key);
  return json_field(part_, key);
}

void PartReader::pass_over(std::initializer_list<const char*> keys) {
  for (const char* key : keys) asked_.emplace_back(key);
}

Status PartReader::finish() const {
  if (!wrong_.empty()) return refuse(wrong_, "is this a tokenizer.json?");
  for (auto entry = part_.begin(); part_.is_object() && entry != part_.end(); ++entry) {
    const bool known = entry.key() == "type" || std::find(asked_.begin(), asked_.end(), entry.key()) != asked_.end();
    if (!known) return refuse("the option " + in_quotes(entry.key()) + " is not supported", "leave it out, if that keeps the meaning");
  }
  return {};
}

tl::unexpected<Error> PartReader::refuse(const std::string& what, const std::string& hint) const {
  return bad_input(kind_ + " " + in_quotes(type_) + ": " + what, hint, file_);
}

tl::unexpected<Error> PartReader::unsupported(const std::string& what, const std::string& supported) const {
  return bad_input(kind_ + " " + in_quotes(type_) + what + " is not supported", "supported: " + supported, file_);
}

}  // namespace precept
