#include "precept/store/step_codec.h"

#include <nlohmann/json.hpp>

namespace precept {
namespace {

using Json = nlohmann::json;

std::string dumped(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

tl::unexpected<Error> damaged(const char* what) {
  return bad_input(std::string("damaged run database: ") + what,
                   "restore the file from a copy, or give another run folder");
}

}  // namespace

std::string encode_strings(const std::vector<std::string>& strings) {
  return strings.empty() ? std::string("[]") : dumped(Json(strings));
}

std::string encode_messages(const Conversation& messages) {
  Json list = Json::array();
  for (const Message& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
  return dumped(list);
}

std::string encode_verdicts(StepKind kind, const std::vector<Verdict>& verdicts) {
  if (verdicts.empty()) return "[]";
  Json list = Json::array();
  for (const Verdict& verdict : verdicts) {
    Json entry = {{"principle", verdict.principle}, {"verdict", verdict_name(kind, verdict.value)}};
    if (verdict.probability) entry["p"] = *verdict.probability;
    list.push_back(std::move(entry));
  }
  return dumped(list);
}

Result<std::vector<std::string>> decode_strings(const std::string& text) {
  std::vector<std::string> strings;
  if (text == "[]") return strings;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array()) return damaged("a list that is none");
  for (const Json& entry : json) {
    if (!entry.is_string()) return damaged("a list with something other than strings");
    strings.push_back(entry.get<std::string>());
  }
  return strings;
}

Result<Conversation> decode_messages(const std::string& text) {
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array() || json.empty()) return damaged("an item without messages");
  Conversation messages;
  for (const Json& entry : json) {
    if (!entry.is_object()) return damaged("a message that is none");
    const auto role = entry.find("role");
    const auto content = entry.find("content");
    if (role == entry.end() || content == entry.end() || !role->is_string() || !content->is_string()) {
      return damaged("a message without role or content");
    }
    messages.push_back({role->get<std::string>(), content->get<std::string>()});
  }
  return messages;
}

Result<std::vector<Verdict>> decode_verdicts(StepKind kind, const std::string& text) {
  std::vector<Verdict> verdicts;
  if (text == "[]") return verdicts;
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_array()) return damaged("verdicts that are no list");
  for (const Json& entry : json) {
    if (!entry.is_object()) return damaged("a verdict that is none");
    const auto principle = entry.find("principle");
    const auto name = entry.find("verdict");
    const auto p = entry.find("p");
    if (principle == entry.end() || name == entry.end() || !principle->is_string() || !name->is_string()) {
      return damaged("a verdict without principle");
    }
    Verdict verdict;
    verdict.principle = principle->get<std::string>();
    bool known = false;
    for (const auto value : {Verdict::Value::kNo, Verdict::Value::kYes, Verdict::Value::kUnparseable}) {
      if (*name == verdict_name(kind, value)) {
        verdict.value = value;
        known = true;
      }
    }
    if (!known) return damaged("an unknown verdict");
    if (p != entry.end() && p->is_number()) verdict.probability = p->get<double>();
    verdicts.push_back(std::move(verdict));
  }
  return verdicts;
}

}  // namespace precept
