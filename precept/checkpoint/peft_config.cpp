// adapter_config.json: what it may say, and which modules of a base it means.

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "precept/checkpoint/module_pattern.h"
#include "precept/checkpoint/peft.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"

namespace precept {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMaxConfigBytes = std::size_t{4} << 20;
const char* const kLinear = "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj and down_proj can be adapted";

// Of no effect on what the model computes, whatever they say.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {"auto_mapping", "revision", "inference_mode", "peft_version", "megatron_core",
                                             "qalora_group_size", "runtime_config", "ensure_weight_tying"};
  return keys;
}

// Off: what a key that we do not know may say.
bool is_off(const Json& value) {
  return value.is_null() || value == false || ((value.is_array() || value.is_object()) && value.empty());
}

class Reader {
 public:
  Reader(const Json& json, const std::string& file) : json_(json), file_(file) {}

  Result<LoraConfig> run() {
    for (const auto step : {&Reader::kind, &Reader::numbers, &Reader::names, &Reader::patterns, &Reader::rest}) {
      if (Status fine = (this->*step)(); !fine) return tl::unexpected(fine.error());
    }
    return config_;
  }

 private:
  tl::unexpected<Error> refuse(const std::string& what, const std::string& hint) const { return bad_input(what, hint, file_); }
  tl::unexpected<Error> refuse_value(const std::string& key, const Json& value, const std::string& hint) const {
    return refuse(in_quotes(key) + ": " + in_quotes(value.dump(-1, ' ', false, Json::error_handler_t::replace)) + " is not supported", hint);
  }

  const Json& take(const std::string& key) {
    static const Json null;
    seen_.insert(key);
    const auto found = json_.find(key);
    return found != json_.end() ? *found : null;
  }

  Status kind() {
    const Json& type = take("peft_type");
    if (type != "LORA") return refuse_value("peft_type", type, "supported: \"LORA\"");
    const Json& task = take("task_type");
    if (!task.is_null() && task != "CAUSAL_LM") return refuse_value("task_type", task, "supported: \"CAUSAL_LM\" or null");
    const Json& bias = take("bias");
    if (!bias.is_null() && bias != "none") return refuse_value("bias", bias, "supported: \"none\"");
    const Json& start = take("init_lora_weights");  // some change the base's weights when the adapter is loaded
    static const std::set<Json> fine = {nullptr, true, false, "gaussian", "eva", "orthogonal"};
    if (fine.count(start) == 0) {
      return refuse_value("init_lora_weights", start, "it changes the base; convert the adapter to plain LoRA with PEFT first");
    }
    return {};
  }

  static std::optional<int> rank_of(const Json& value) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() < 1 || value.get<std::uint64_t>() > kMaxLoraRank) return std::nullopt;
    return static_cast<int>(value.get<std::uint64_t>());
  }
  static std::optional<double> alpha_of(const Json& value) {
    if (!value.is_number()) return std::nullopt;
    const double number = value.get<double>();
    return std::isfinite(number) && std::fabs(number) <= 1e9 ? std::optional(number) : std::nullopt;
  }

  Status numbers() {
    const Json& rank = take("r");
    const auto r = rank_of(rank);
    if (!r) return refuse("\"r\" is " + in_quotes(rank.dump()) + ", not a rank", "it is a whole number from 1 to 65536");
    config_.r = *r;
    const Json& alpha = take("lora_alpha");
    const auto number = alpha_of(alpha);
    if (!number) return refuse("\"lora_alpha\" is " + in_quotes(alpha.dump()) + ", not a number", "it is a number");
    config_.lora_alpha = *number;
    const Json& dropout = take("lora_dropout");
    if (!dropout.is_null()) {
      if (!dropout.is_number() || !(dropout.get<double>() >= 0 && dropout.get<double>() <= 1)) {
        return refuse("\"lora_dropout\" is " + in_quotes(dropout.dump()), "it is a number from 0 to 1");
      }
      config_.lora_dropout = dropout.get<double>();
    }
    const Json& rslora = take("use_rslora");
    if (!rslora.is_null() && !rslora.is_boolean()) return refuse("\"use_rslora\" is " + in_quotes(rslora.dump()), "it is true or false");
    config_.use_rslora = rslora == true;
    return {};
  }

  Status names() {
    const Json& base = take("base_model_name_or_path");
    if (!base.is_null() && !base.is_string()) return refuse("\"base_model_name_or_path\" is not a text", "give the folder of the base model");
    if (base.is_string()) config_.base_model_name_or_path = base.get<std::string>();
    const Json& targets = take("target_modules");
    if (targets.is_string()) {
      config_.target_pattern = targets.get<std::string>();
      if (config_.target_pattern == "all-linear") return {};
      const auto pattern = ModulePattern::parse(config_.target_pattern, file_);
      return pattern ? Status() : tl::unexpected(pattern.error());
    }
    if (!targets.is_array() || targets.empty()) return refuse("\"target_modules\" is neither a list nor a text", kLinear);
    for (const Json& target : targets) {
      if (!target.is_string()) return refuse("\"target_modules\" lists what is not a text", kLinear);
      config_.target_modules.push_back(target.get<std::string>());
    }
    return {};
  }

  template <class Value, class Read>
  Status pattern(const char* key, Read read, std::vector<std::pair<std::string, Value>>& out) {
    const Json& entries = take(key);
    if (entries.is_null()) return {};
    if (!entries.is_object()) return refuse("\"" + std::string(key) + "\" is not an object", "it maps patterns of modules to numbers");
    for (const auto& [name, value] : entries.items()) {
      const auto number = read(value);
      if (!number) return refuse("\"" + std::string(key) + "\" gives " + in_quotes(name) + " the value " + in_quotes(value.dump()), "ranks are whole numbers from 1 to 65536, alphas are numbers");
      if (const auto pattern = ModulePattern::parse(name, file_); !pattern) return tl::unexpected(pattern.error());
      out.emplace_back(name, *number);
    }
    return {};
  }
  Status patterns() {
    if (Status fine = pattern("rank_pattern", rank_of, config_.rank_pattern); !fine) return fine;
    return pattern("alpha_pattern", alpha_of, config_.alpha_pattern);
  }

  Status rest() {
    for (const auto& [key, value] : json_.items()) {
      if (seen_.count(key) != 0 || harmless_keys().count(key) != 0 || is_off(value)) continue;
      if (key == "modules_to_save") {
        return refuse_value(key, value, "whole modules beside the low-rank ones are not supported: merge the adapter with PEFT");
      }
      return refuse_value(key, value, "it may change what the adapter computes; supported: null, false or empty");
    }
    return {};
  }

  const Json& json_;
  const std::string& file_;
  std::set<std::string> seen_;
  LoraConfig config_;
};

Json number(double value) {
  if (value == std::floor(value) && std::fabs(value) < 1e15) return static_cast<std::int64_t>(value);
  return value;
}

bool named_by(const std::string& module, const std::string& target) {
  if (module == target) return true;
  return module.size() > target.size() && module.compare(module.size() - target.size(), std::string::npos, target) == 0 &&
         module[module.size() - target.size() - 1] == '.';
}

// Indices of the modules that the config's targets mean, as PEFT reads them.
Result<std::vector<bool>> targeted(const LoraConfig& config, const std::vector<LoraModule>& modules, const std::string& file) {
  std::vector<bool> chosen(modules.size(), config.target_pattern == "all-linear");
  for (const std::string& target : config.target_modules) {
    bool any = false;
    for (std::size_t i = 0; i < modules.size(); ++i) {
      if (!named_by(modules[i].name, target)) continue;
      any = chosen[i] = true;
    }
    if (!any) return bad_input("no module that can be adapted is called " + in_quotes(target), kLinear, file);
  }
  if (config.target_modules.empty() && config.target_pattern != "all-linear") {
    const auto pattern = ModulePattern::parse(config.target_pattern, file);
    if (!pattern) return tl::unexpected(pattern.error());
    for (std::size_t i = 0; i < modules.size(); ++i) chosen[i] = pattern->matches(modules[i].name);
    for (const char* other : {"lm_head", "model.embed_tokens"}) {
      if (pattern->matches(other)) return bad_input("\"target_modules\" means " + std::string(other) + " too", kLinear, file);
    }
  }
  if (std::find(chosen.begin(), chosen.end(), true) == chosen.end()) {
    return bad_input("\"target_modules\": " + in_quotes(config.target_pattern) + " means no module of the base", kLinear, file);
  }
  return chosen;
}

// The value that a pattern gives each module; refuses keys without a module and modules with two values.
template <class Value>
Result<std::map<std::string, Value>> by_module(const std::vector<std::pair<std::string, Value>>& patterns, const char* key,
                                               const std::vector<LoraModule>& modules, const std::string& file) {
  std::map<std::string, Value> values;
  for (const auto& [text, value] : patterns) {
    const auto pattern = ModulePattern::parse(text, file);
    if (!pattern) return tl::unexpected(pattern.error());
    bool any = false;
    for (const LoraModule& module : modules) {
      if (!pattern->matches_end(module.name)) continue;
      any = true;
      const auto [at, fresh] = values.emplace(module.name, value);
      if (!fresh && at->second != value) {
        return bad_input("\"" + std::string(key) + "\" gives " + module.name + " two values", "let one pattern decide", file);
      }
    }
    if (!any) return bad_input("\"" + std::string(key) + "\": no module matches " + in_quotes(text), "remove it", file);
  }
  return values;
}

}  // namespace

std::vector<LoraModule> lora_modules(const LlamaConfig& c) {
  const int dim = c.head_dim ? c.head_dim : c.hidden_size / c.num_attention_heads;
  const int queries = c.num_attention_heads * dim, keys = c.num_key_value_heads * dim;
  std::vector<LoraModule> modules;
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".", attention = layer + "self_attn.", mlp = layer + "mlp.";
    modules.push_back({attention + "q_proj", queries, c.hidden_size});
    modules.push_back({attention + "k_proj", keys, c.hidden_size});
    modules.push_back({attention + "v_proj", keys, c.hidden_size});
    modules.push_back({attention + "o_proj", c.hidden_size, queries});
    modules.push_back({mlp + "gate_proj", c.intermediate_size, c.hidden_size});
    modules.push_back({mlp + "up_proj", c.intermediate_size, c.hidden_size});
    modules.push_back({mlp + "down_proj", c.hidden_size, c.intermediate_size});
  }
  return modules;
}

Result<std::vector<LoraTarget>> lora_targets(const LoraConfig& config, const LlamaConfig& base, const std::string& file) {
  const std::vector<LoraModule> modules = lora_modules(base);
  const auto chosen = targeted(config, modules, file);
  if (!chosen) return tl::unexpected(chosen.error());
  const auto ranks = by_module(config.rank_pattern, "rank_pattern", modules, file);
  if (!ranks) return tl::unexpected(ranks.error());
  const auto alphas = by_module(config.alpha_pattern, "alpha_pattern", modules, file);
  if (!alphas) return tl::unexpected(alphas.error());
  std::vector<LoraTarget> targets;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    if (!(*chosen)[i]) continue;
    LoraTarget target{modules[i], config.r, 0};
    if (const auto rank = ranks->find(target.name); rank != ranks->end()) target.rank = rank->second;
    const auto alpha = alphas->find(target.name);
    const double scaled = alpha != alphas->end() ? alpha->second : config.lora_alpha;
    target.scale = scaled / (config.use_rslora ? std::sqrt(target.rank) : target.rank);
    targets.push_back(std::move(target));
  }
  return targets;
}

Result<LoraConfig> parse_lora_config(std::string_view text, const std::string& file) {
  const auto json = parse_json_object(text, file, 1);
  if (!json) return tl::unexpected(json.error());
  return Reader(*json, file).run();
}

Result<LoraConfig> load_lora_config(const std::string& folder) {
  const std::string file = folder + "/adapter_config.json";
  const auto text = read_text(file, kMaxConfigBytes);
  if (!text) return tl::unexpected(text.error());
  return parse_lora_config(*text, file);
}

std::string lora_config_json(const LoraConfig& c) {
  Json ranks = Json::object(), alphas = Json::object();
  for (const auto& [key, value] : c.rank_pattern) ranks[key] = value;
  for (const auto& [key, value] : c.alpha_pattern) alphas[key] = number(value);
  Json base, targets = c.target_modules;
  if (!c.base_model_name_or_path.empty()) base = c.base_model_name_or_path;
  if (c.target_modules.empty()) targets = c.target_pattern;
  const Json json = {{"alpha_pattern", alphas}, {"auto_mapping", nullptr}, {"base_model_name_or_path", base}, {"bias", "none"},
                     {"fan_in_fan_out", false}, {"inference_mode", true}, {"init_lora_weights", true},
                     {"layers_pattern", nullptr}, {"layers_to_transform", nullptr}, {"lora_alpha", number(c.lora_alpha)},
                     {"lora_dropout", c.lora_dropout}, {"modules_to_save", nullptr}, {"peft_type", "LORA"}, {"r", c.r},
                     {"rank_pattern", ranks}, {"revision", nullptr}, {"target_modules", targets}, {"task_type", "CAUSAL_LM"},
                     {"use_dora", false}, {"use_rslora", c.use_rslora}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace precept
