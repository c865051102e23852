#pragma once
// Reading the parts of a tokenizer.json: fields with their types, and refusals that name the part. Internal to text/.

#include <initializer_list>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"

namespace precept {

// The value of a key; null when absent or when `object` is no object.
const nlohmann::json& json_field(const nlohmann::json& object, const char* key);

// "type" of a part, or what the part is instead.
std::string json_type(const nlohmann::json& part);

// One part (a normalizer, a decoder...) of a file: what is asked for is noted, so that finish() can refuse what nobody asked for.
class PartReader {
 public:
  PartReader(const nlohmann::json& part, std::string kind, const std::string& file)
      : part_(part), kind_(std::move(kind)), type_(json_type(part)), file_(file) {}

  const std::string& type() const { return type_; }
  // Each returns `otherwise` when the key is absent or null; of another type: an error, which finish() gives.
  bool flag(const char* key, bool otherwise);
  std::string text(const char* key, const std::string& otherwise);
  int count(const char* key, int otherwise, int most);
  const nlohmann::json& any(const char* key);
  // Keys that change nothing.
  void pass_over(std::initializer_list<const char*> keys);

  // Refuses keys that were not asked for, and what was of the wrong type.
  Status finish() const;
  tl::unexpected<Error> refuse(const std::string& what, const std::string& hint) const;
  tl::unexpected<Error> unsupported(const std::string& what, const std::string& supported) const;

 private:
  void wrong(const char* key, const char* wanted);

  const nlohmann::json& part_;
  std::string kind_, type_;
  const std::string& file_;
  std::vector<std::string> asked_;
  std::string wrong_;
};

}  // namespace precept
