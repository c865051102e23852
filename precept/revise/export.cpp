#include "precept/revise/export.h"

#include <optional>

#include <nlohmann/json.hpp>

#include "precept/revise/summary.h"

namespace precept {
namespace {

using Json = nlohmann::ordered_json;

Json messages_json(const Conversation& messages) {
  Json list = Json::array();
  for (const Message& message : messages) list.push_back({{"role", message.role}, {"content", message.content}});
  return list;
}

// The reply as a string or as one assistant turn.
Json reply_json(const std::string& text, bool as_messages) {
  if (!as_messages) return text;
  return Json::array({{{"role", "assistant"}, {"content", text}}});
}

bool one_user_turn(const Conversation& messages) { return messages.size() == 1 && messages[0].role == "user"; }

Json step_json(const StepRecord& step) {
  Json json = {{"step", step_name(step.kind)}, {"round", step.round}};
  if (!step.principles.empty()) json["principles"] = step.principles;
  if (!step.verdicts.empty()) {
    Json list = Json::array();
    for (const Verdict& verdict : step.verdicts) {
      Json entry = {{"principle", verdict.principle}, {"verdict", verdict_name(step.kind, verdict.value)}};
      if (verdict.probability) entry["p"] = *verdict.probability;
      list.push_back(std::move(entry));
    }
    json["verdicts"] = std::move(list);
  }
  const bool wrote = step.kind != StepKind::kSelect && step.kind != StepKind::kJudge;
  if (wrote || !step.text.empty()) json["text"] = step.text;
  if (step.cut) json["cut"] = true;
  if (step.logprob) json["logprob"] = *step.logprob;
  json["seed"] = step.seed;
  json["model"] = step.model;
  json["inputs"] = step.inputs;
  return json;
}

Json trace_json(const TraceView& trace) {
  const RunItem& item = *trace.item;
  Json json = {{"id", item.id}, {"messages", messages_json(item.messages)}};
  if (!item.tags.empty()) json["tags"] = item.tags;
  json["ending"] = ending_name(item.ending);
  json["settled"] = trace.settled();
  if (trace.final) json["final"] = trace.final->text;
  json["steps"] = Json::array();
  for (const StepRecord& step : *trace.steps) json["steps"].push_back(step_json(step));
  return json;
}

// The record of one finished item, or nothing and a count of why.
std::optional<Json> record_of(const TraceView& trace, const ExportOptions& options, bool as_messages,
                              ExportCounts& counts) {
  if (options.what == "traces") return trace_json(trace);
  const bool preferences = options.what == "preferences";
  if (!options.include_unsettled && trace.item->ending == Ending::kUnsettled) {
    ++counts.unsettled;
    return std::nullopt;
  }
  if (!options.include_unsettled && trace.item->ending == Ending::kUnparseable) {
    ++counts.unparseable;
    return std::nullopt;
  }
  const std::string& draft = trace.draft->text;
  const std::string& final = trace.final->text;
  if (preferences && draft == final) {
    ++counts.unchanged;
    return std::nullopt;
  }
  if (final.empty() || (preferences && draft.empty())) {
    ++counts.empty;
    return std::nullopt;
  }
  Json json;
  if (as_messages) {
    json["prompt"] = messages_json(trace.item->messages);
  } else {
    json["prompt"] = trace.item->messages[0].content;
  }
  json[preferences ? "chosen" : "completion"] = reply_json(final, as_messages);
  if (preferences) json["rejected"] = reply_json(draft, as_messages);
  return json;
}

}  // namespace

Result<ExportCounts> export_run(const RunStore& store, const ExportOptions& options,
                                const std::function<bool(std::string_view line)>& sink) {
  if (options.what != "sft" && options.what != "preferences" && options.what != "traces") {
    return bad_input("there is no export \"" + options.what + "\"", "use sft, preferences or traces");
  }
  bool as_messages = false;
  Status status = store.visit_items([&](const RunItem& item) {
    as_messages = !one_user_turn(item.messages);
    return !as_messages;
  });
  if (!status) return tl::unexpected<Error>(status.error());

  ExportCounts counts;
  status = store.visit([&](const RunItem& item, const std::vector<StepRecord>& steps) {
    const TraceView trace = view(item, steps);
    if (item.ending == Ending::kPending || item.ending == Ending::kFailed || !trace.draft) {
      ++(item.ending == Ending::kFailed ? counts.failed : counts.pending);
      return true;
    }
    const auto record = record_of(trace, options, as_messages, counts);
    if (!record) return true;
    ++counts.written;
    return sink(record->dump(-1, ' ', false, Json::error_handler_t::replace) + '\n');
  });
  if (!status) return tl::unexpected<Error>(status.error());
  return counts;
}

}  // namespace precept
