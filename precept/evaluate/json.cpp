#include "precept/evaluate/json.h"

#include <cmath>

#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept::json {
namespace {

const Json* member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(key);
  return it == object.end() ? nullptr : &*it;
}

Json step_quality(const StepQuality& q) {
  Json bins = Json::array();
  for (const ReliabilityBin& bin : q.reliability) {
    bins.push_back({{"low", bin.low},
                    {"high", bin.high},
                    {"n", bin.n},
                    {"positive", bin.positive},
                    {"mean_probability", bin.n > 0 ? Json(bin.mean_probability) : Json(nullptr)}});
  }
  Json principles = Json::object();
  for (const auto& entry : q.per_principle) principles[entry.first] = estimate(entry.second);
  return {{"accuracy", estimate(q.accuracy)},
          {"precision", estimate(q.precision)},
          {"recall", estimate(q.recall)},
          {"false_alarms", estimate(q.false_alarms)},
          {"ece", number(q.ece)},
          {"brier", number(q.brier)},
          {"auroc", number(q.auroc)},
          {"unparseable", estimate(q.unparseable)},
          {"uncertain", estimate(q.uncertain)},
          {"reliability", bins},
          {"per_principle", principles}};
}

}  // namespace

Json number(std::optional<double> value) {
  return value && std::isfinite(*value) ? Json(*value) : Json(nullptr);
}

Json estimate(const Estimate& e) {
  Json out = {{"value", number(e.value)}, {"low", number(e.low)}, {"high", number(e.high)},
              {"n", e.n}, {"unscored", e.unscored}};
  if (e.level != 0.95) out["level"] = e.level;
  if (e.one_sided) out["one_sided"] = true;
  return out;
}

Json share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? Json(static_cast<double>(part) / static_cast<double>(whole)) : Json(nullptr);
}

Json paired_rate(const PairedRate& r, const char* standing) {
  return {{"both", r.counts.both},
          {"before_only", r.counts.before_only},
          {"after_only", r.counts.after_only},
          {"neither", r.counts.neither},
          {"difference", estimate(r.difference)},
          {"p", number(r.p)},
          {"p_holm", number(r.p_holm)},
          {"standing", standing}};
}

Json comparison(const Comparison& c) {
  Json out = Json::object();
  for (const PairedRate* rate : {&c.violation_rate, &c.helpfulness, &c.over_refusal}) {
    out[rate->id] = paired_rate(*rate, overall_standing(*rate));
  }
  out["per_principle"] = Json::object();
  for (const PairedRate& rate : c.per_principle) out["per_principle"][rate.id] = paired_rate(rate, principle_standing(rate));
  return out;
}

Json judge_quality(const JudgeQuality& q) {
  return {{"model", q.model},
          {"cases", q.cases},
          {"unscored", q.unscored},
          {"selection", step_quality(q.selection)},
          {"judgment", step_quality(q.judgment)}};
}

Json collapse(const CollapseSigns& c) {
  return {{"distinct_1", number(c.distinct_1)},
          {"distinct_2", number(c.distinct_2)},
          {"distinct_3", number(c.distinct_3)},
          {"repeated_endings", estimate(c.repeated_endings)},
          {"looping", estimate(c.looping)},
          {"empty", estimate(c.empty)},
          {"truncated", estimate(c.truncated)},
          {"mean_words", estimate(c.mean_words)}};
}

Json usage(const Usage& u) {
  return {{"prompt", u.prompt_tokens}, {"cached", u.cached_tokens}, {"output", u.output_tokens}};
}

Json perplexity(const Perplexity& p) {
  return {{"texts", p.texts},
          {"unscored", p.unscored},
          {"bytes", p.bytes},
          {"tokens", p.tokens},
          {"bits_per_byte", number(p.bits_per_byte)},
          {"per_token", number(p.per_token)},
          {"text_bits_per_byte", estimate(p.text_bits_per_byte)}};
}

Json familiarity(const Familiarity& f) {
  const auto outside = f.far_outside();
  return {{"model", f.model},
          {"prompts", f.prompts},
          {"text", perplexity(f.text)},
          {"own", f.own ? perplexity(*f.own) : Json(nullptr)},
          {"threshold", f.threshold()},
          {"far_outside", outside ? Json(*outside) : Json(nullptr)}};
}

Json verdicts(const VerdictCount& count) {
  return {{"n", count.n},
          {"unparseable", count.unparseable},
          {"scored", count.scored},
          {"uncertain", count.uncertain},
          {"unparseable_share", share(count.unparseable, count.n)},
          {"uncertain_share", share(count.uncertain, count.scored)}};
}

std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Result<Json> load(const std::string& path, std::size_t max_bytes) {
  auto text = read_text(path, max_bytes);
  if (!text) return tl::unexpected(text.error());
  if (const auto at = nested_too_deeply(*text)) {
    return bad_input("JSON is nested too deeply", "was this file written by precept?", path, line_of(*text, *at));
  }
  Json value;
  try {
    value = Json::parse(*text);
  } catch (const Json::parse_error& e) {
    const std::size_t at = e.byte > 0 ? e.byte - 1 : 0;
    return bad_input("not JSON", "was this file written by precept, and wholly?", path, line_of(*text, at));
  } catch (const Json::exception&) {  // a number that no double holds
    return bad_input("not JSON that can be read", "was this file written by precept?", path);
  }
  return value;
}

std::optional<double> get_number(const Json& object, const char* key) {
  const Json* m = member(object, key);
  if (!m || !m->is_number()) return std::nullopt;
  return m->get<double>();
}
std::optional<std::string> get_text(const Json& object, const char* key) {
  const Json* m = member(object, key);
  if (!m || !m->is_string()) return std::nullopt;
  return m->get<std::string>();
}
std::optional<std::int64_t> get_integer(const Json& object, const char* key) {
  const Json* m = member(object, key);
  if (!m || !m->is_number_integer()) return std::nullopt;
  return m->get<std::int64_t>();
}
std::optional<bool> get_bool(const Json& object, const char* key) {
  const Json* m = member(object, key);
  if (!m || !m->is_boolean()) return std::nullopt;
  return m->get<bool>();
}

Estimate get_estimate(const Json& object, const char* key) {
  Estimate e;
  const Json* m = member(object, key);
  if (!m) return e;
  e.value = get_number(*m, "value");
  e.low = get_number(*m, "low");
  e.high = get_number(*m, "high");
  e.n = get_integer(*m, "n").value_or(0);
  e.unscored = get_integer(*m, "unscored").value_or(0);
  e.level = get_number(*m, "level").value_or(0.95);
  e.one_sided = get_bool(*m, "one_sided").value_or(false);
  return e;
}

Perplexity get_perplexity(const Json& value) {
  Perplexity p;
  p.texts = get_integer(value, "texts").value_or(0);
  p.unscored = get_integer(value, "unscored").value_or(0);
  p.bytes = get_integer(value, "bytes").value_or(0);
  p.tokens = get_integer(value, "tokens").value_or(0);
  p.bits_per_byte = get_number(value, "bits_per_byte");
  p.per_token = get_number(value, "per_token");
  p.text_bits_per_byte = get_estimate(value, "text_bits_per_byte");
  return p;
}

}  // namespace precept::json
