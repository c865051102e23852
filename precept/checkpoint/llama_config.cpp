#include "precept/checkpoint/llama_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "precept/core/strict_json.h"
#include "precept/core/io.h"

namespace precept {
namespace {

using Json = nlohmann::json;

// One row an architecture: as config.json names it.
struct Named {
  Architecture architecture;
  const char* model_type;
  const char* class_name;
};
constexpr std::array kArchitectures = {Named{Architecture::kLlama, "llama", "LlamaForCausalLM"},
                                       Named{Architecture::kMistral, "mistral", "MistralForCausalLM"},
                                       Named{Architecture::kQwen2, "qwen2", "Qwen2ForCausalLM"},
                                       Named{Architecture::kQwen3, "qwen3", "Qwen3ForCausalLM"}};

const Named& named(Architecture architecture) { return kArchitectures[static_cast<std::size_t>(architecture)]; }

std::string supported_architectures() {
  std::string text = "supported:";
  for (const Named& one : kArchitectures) text += std::string(" ") + one.model_type + " (" + one.class_name + ")";
  return text;
}

// Keys that do not change what the model computes.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {
      "torch_dtype", "dtype", "use_cache", "transformers_version", "initializer_range", "attention_dropout",
      "pretraining_tp", "_name_or_path", "pad_token_id", "transformers.js_config", "is_llama_config",
      "max_sequence_length", "max_length", "tokenizer_class", "unsloth_fixed", "output_attentions", "output_hidden_states", "return_dict", "unsloth_version",
      "task_specific_params", "name_or_path", "_attn_implementation_autoset"};
  return keys;
}

class Reader {
 public:
  Reader(const Json& json, const std::string& file) : json_(json), file_(file) {}

  Result<LlamaConfig> run() {
    for (const auto step : {&Reader::architecture, &Reader::options, &Reader::numbers, &Reader::sanity}) {
      if (auto fine = (this->*step)(); !fine) return tl::unexpected<Error>(fine.error());
    }
    return config_;
  }

 private:
  tl::unexpected<Error> refuse(std::string what, std::string hint) const {
    return bad_input(std::move(what), std::move(hint), file_);
  }

  const Json& take(const char* key) {
    static const Json null;
    seen_.insert(key);
    const auto found = json_.find(key);
    return found != json_.end() ? *found : null;
  }

  Status architecture() {
    const Json& type = take("model_type");
    const Json& names = take("architectures");
    if (type.is_null() && names.is_null()) return refuse("no \"model_type\"", supported_architectures());
    for (const Named& one : kArchitectures) {
      const bool class_fits = names.is_null() || names == Json::array({one.class_name});
      if ((type.is_null() && class_fits) || type == one.model_type) {
        if (!class_fits) break;
        config_.architecture = one.architecture;
        return {};
      }
    }
    const bool by_type = !type.is_null() && std::none_of(kArchitectures.begin(), kArchitectures.end(),
                                                         [&](const Named& one) { return type == one.model_type; });
    return by_type ? refuse("model_type " + in_quotes(type.dump()) + " is not supported", supported_architectures())
                   : refuse("architectures " + in_quotes(names.dump()) + " is not supported", supported_architectures());
  }

  // Options that change the computation: only their plain values are supported.
  Status options() {
    struct Option {
      const char* key;
      Json plain;
    };
    for (const Option& option : {Option{"mlp_bias", false}, Option{"hidden_act", "silu"},
                                 Option{"quantization_config", nullptr}, Option{"partial_rotary_factor", 1.0},
                                 Option{"rope_interleaved", false}, Option{"use_mrope", false}}) {
      const Json& value = take(option.key);
      if (value.is_null() || value == option.plain) continue;
      return refuse("\"" + std::string(option.key) + "\": " + in_quotes(value.dump()) + " is not supported",
                    "supported: " + (option.plain.is_null() ? std::string("null or absent") : option.plain.dump()));
    }
    for (auto entry = json_.begin(); entry != json_.end(); ++entry) {
      static const std::set<std::string> numbers = {
          "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta",
          "tie_word_embeddings", "bos_token_id", "eos_token_id", "rope_parameters", "rope_scaling", "attention_bias",
          "sliding_window", "use_sliding_window", "max_window_layers", "layer_types"};
      if (seen_.count(entry.key()) == 0 && numbers.count(entry.key()) == 0 && harmless_keys().count(entry.key()) == 0) {
        return refuse("unknown key " + in_quotes(entry.key()),
                      "it may change what the model computes; docs/formats.md lists the keys that are supported");
      }
    }
    return {};
  }

  Status integer(const char* key, int low, int high, std::optional<int> absent, int& out) {
    const Json& value = take(key);
    if (value.is_null() && absent) {
      out = *absent;
      return {};
    }
    if (value.is_null()) return refuse("\"" + std::string(key) + "\" is missing", "is this the config.json of a Llama checkpoint?");
    const bool in_range = value.is_number_unsigned() && value.get<std::uint64_t>() <= static_cast<std::uint64_t>(high) &&
                          value.get<std::int64_t>() >= low;
    if (!in_range) {
      return refuse("\"" + std::string(key) + "\": " + in_quotes(value.dump()) + " is not an integer within " +
                        std::to_string(low) + " and " + std::to_string(high), "check the file");
    }
    out = value.get<int>();
    return {};
  }

  Status real(const char* key, const Json& value, double low, double high, double& out) const {
    if (value.is_null()) return {};  // keeps the default
    if (!value.is_number() || !(value.get<double>() >= low && value.get<double>() <= high)) {
      return refuse("\"" + std::string(key) + "\": " + in_quotes(value.dump()) + " is out of range", "check the file");
    }
    out = value.get<double>();
    return {};
  }

  // One id, or a list of ids; checkpoints carry both forms.
  Status token(const char* key, int& first, std::vector<int>* more) {
    const Json& value = take(key);
    if (value.is_null()) return {};
    const Json list = value.is_array() ? value : Json::array({value});
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_number_unsigned() || list[i].get<std::uint64_t>() >= static_cast<std::uint64_t>(config_.vocab_size)) {
        return refuse("\"" + std::string(key) + "\": " + in_quotes(value.dump()) + " is no id of the vocabulary", "check the file");
      }
      if (i == 0) first = list[i].get<int>();
      else if (more == nullptr) return refuse("\"" + std::string(key) + "\" is a list", "it must be one id");
      else more->push_back(list[i].get<int>());
    }
    return {};
  }

  Status numbers() {
    LlamaConfig& c = config_;
    Status fine = integer("vocab_size", 1, 1 << 21, std::nullopt, c.vocab_size);
    if (fine) fine = integer("hidden_size", 1, 1 << 17, std::nullopt, c.hidden_size);
    if (fine) fine = integer("intermediate_size", 1, 1 << 20, std::nullopt, c.intermediate_size);
    if (fine) fine = integer("num_hidden_layers", 1, 1024, std::nullopt, c.num_hidden_layers);
    if (fine) fine = integer("num_attention_heads", 1, 1024, std::nullopt, c.num_attention_heads);
    // Absent keys mean what the Hugging Face class of the architecture makes of them.
    const bool llama = c.architecture == Architecture::kLlama;
    if (fine) fine = integer("num_key_value_heads", 1, 1024, llama ? std::optional(c.num_attention_heads) : std::nullopt, c.num_key_value_heads);
    const int head_dim = c.architecture == Architecture::kQwen3 ? 128 : c.hidden_size / std::max(1, c.num_attention_heads);
    if (fine) fine = integer("head_dim", 1, 4096, head_dim, c.head_dim);
    if (fine) fine = integer("max_position_embeddings", 1, 1 << 26, llama ? std::optional(2048) : std::nullopt, c.max_position_embeddings);
    c.rms_norm_eps = 1e-6;
    if (fine) fine = real("rms_norm_eps", take("rms_norm_eps"), 0, 1, c.rms_norm_eps);
    if (fine) fine = rope();
    if (fine) fine = attention();
    if (fine) fine = token("bos_token_id", c.bos_token_id, nullptr);
    if (fine) fine = token("eos_token_id", c.eos_token_id, &c.more_eos_token_ids);
    if (!fine) return fine;
    const Json& tied = take("tie_word_embeddings");
    if (!tied.is_null() && !tied.is_boolean()) return refuse("\"tie_word_embeddings\" is neither true nor false", "check the file");
    c.tie_word_embeddings = tied == true;
    return {};
  }

  Status flag(const char* key, bool& out) {
    const Json& value = take(key);
    if (value.is_null()) return {};
    if (!value.is_boolean()) return refuse("\"" + std::string(key) + "\" is neither true nor false", "check the file");
    out = value.get<bool>();
    return {};
  }

  // Biases, norms of heads, and where a sliding window holds.
  Status attention() {
    LlamaConfig& c = config_;
    const bool qwen = c.architecture == Architecture::kQwen2 || c.architecture == Architecture::kQwen3;
    bool bias = false;
    if (auto fine = flag("attention_bias", bias); !fine) return fine;
    if (bias && (c.architecture == Architecture::kQwen2 || c.architecture == Architecture::kMistral)) {
      return refuse("\"attention_bias\" is not supported for " + std::string(named(c.architecture).model_type),
                    "Qwen2 has biases of q, k and v always, Mistral none");
    }
    c.qkv_bias = bias || c.architecture == Architecture::kQwen2;
    c.out_bias = bias;
    c.qk_norm = c.architecture == Architecture::kQwen3;
    bool slides = !qwen;
    if (auto fine = flag("use_sliding_window", slides); !fine) return fine;
    for (const char* key : {"use_sliding_window", "max_window_layers"}) {
      if (json_.contains(key) && !qwen) return refuse("\"" + std::string(key) + "\" belongs to Qwen models", "check the file");
    }
    int window = 0;  // null: none
    const bool absent = !json_.contains("sliding_window");
    if (auto fine = integer("sliding_window", 0, 1 << 26, absent && c.architecture != Architecture::kLlama ? 4096 : 0, window); !fine) return fine;
    if (c.architecture == Architecture::kLlama && window > 0) {
      return refuse("\"sliding_window\": " + std::to_string(window) + " is not supported for llama", "supported: null or absent");
    }
    c.sliding_window = slides ? window : 0;
    return layers_that_slide(qwen);
  }

  // Qwen: a list of layer types, or every layer from max_window_layers on. Mistral: all.
  Status layers_that_slide(bool qwen) {
    LlamaConfig& c = config_;
    int first = 0;
    const Json& types = take("layer_types");
    if (auto fine = integer("max_window_layers", 0, 1024, qwen ? 28 : 0, first); !fine) return fine;
    std::vector<bool> slides;
    slides.reserve(static_cast<std::size_t>(c.num_hidden_layers));
    for (int i = 0; i < c.num_hidden_layers; ++i) slides.push_back(i >= first);
    if (!types.is_null()) {
      if (!types.is_array() || types.size() != slides.size()) {
        return refuse("\"layer_types\" is not a list of num_hidden_layers entries", "check the file");
      }
      for (std::size_t i = 0; i < slides.size(); ++i) {
        if (types[i] != "full_attention" && types[i] != "sliding_attention") {
          return refuse("layer_types has " + in_quotes(types[i].dump()), "supported: full_attention, sliding_attention");
        }
        slides[i] = types[i] == "sliding_attention";
      }
    }
    const bool some = std::find(slides.begin(), slides.end(), true) != slides.end();
    if (!types.is_null() && some && c.sliding_window == 0) {
      return refuse("layer_types asks for sliding attention, but there is no sliding_window", "check the file");
    }
    const bool all = std::find(slides.begin(), slides.end(), false) == slides.end();
    // Mistral's class passes layer_types over: what they say must be what it does.
    if (!qwen && !types.is_null() && (c.sliding_window > 0 ? !all : some)) {
      return refuse("\"layer_types\" contradicts sliding_window: every layer of a " + std::string(named(c.architecture).model_type) + " attends alike", "remove it");
    }
    if (!some) c.sliding_window = 0;
    if (c.sliding_window > 0 && !all) c.slides = std::move(slides);
    return {};
  }

  // rope_theta and rope_scaling stand by themselves, or (newer files) together in rope_parameters.
  Status rope() {
    const Json& parameters = take("rope_parameters");
    const Json& scaling = take("rope_scaling");
    if (auto fine = real("rope_theta", take("rope_theta"), 1, 1e12, config_.rope_theta); !fine) return fine;
    if (!parameters.is_null() && !scaling.is_null() && parameters != scaling) {
      return refuse("\"rope_parameters\" and \"rope_scaling\" differ", "keep one of them");
    }
    if (!parameters.is_null()) return rope_scaling("rope_parameters", parameters);
    return scaling.is_null() ? Status{} : rope_scaling("rope_scaling", scaling);
  }

  Status rope_scaling(const std::string& where, const Json& given) {
    using Type = RopeScaling::Type;
    struct Kind {
      const char* name;
      Type type;
      std::set<std::string> keys;
    };
    static const std::vector<Kind> kinds = {
        {"default", Type::kNone, {}},
        {"linear", Type::kLinear, {"factor"}},
        {"llama3", Type::kLlama3, {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}},
        {"yarn", Type::kYarn, {"factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "attention_factor",
                               "mscale", "mscale_all_dim", "truncate"}}};
    if (!given.is_object()) return refuse("\"" + where + "\" is not an object", "check the file");
    const Json type = given.value("rope_type", given.value("type", Json("default")));
    const auto kind = std::find_if(kinds.begin(), kinds.end(), [&](const Kind& one) { return type == one.name; });
    if (kind == kinds.end()) {
      return refuse("\"" + where + "\": type " + in_quotes(type.dump()) + " is not supported",
                    "supported: default, linear, llama3, yarn");
    }
    for (auto entry = given.begin(); entry != given.end(); ++entry) {
      const bool known = entry.key() == "rope_type" || entry.key() == "type" || entry.key() == "rope_theta" || kind->keys.count(entry.key());
      if (!known) return refuse(where + " has the unknown key " + in_quotes(entry.key()), "it may change what the model computes");
    }
    const auto value = [&](const char* key) { return given.value(key, Json()); };
    RopeScaling& out = config_.rope_scaling;
    out.type = kind->type;
    double positions = 0;
    double mscale = 0, mscale_all_dim = 0;
    Status fine = real("rope_theta", value("rope_theta"), 1, 1e12, config_.rope_theta);
    if (fine) fine = real("original_max_position_embeddings", value("original_max_position_embeddings"), 1, 1 << 26, positions);
    if (fine) fine = real("low_freq_factor", value("low_freq_factor"), 1e-3, 1e6, out.low_freq_factor);
    if (fine) fine = real("high_freq_factor", value("high_freq_factor"), 1e-3, 1e6, out.high_freq_factor);
    if (fine) fine = real("beta_fast", value("beta_fast"), 1e-3, 1e6, out.beta_fast);
    if (fine) fine = real("beta_slow", value("beta_slow"), 1e-3, 1e6, out.beta_slow);
    if (fine) fine = real("attention_factor", value("attention_factor"), 1e-3, 1e3, out.attention_factor);
    if (fine) fine = real("mscale", value("mscale"), 0, 1e3, mscale);
    if (fine) fine = real("mscale_all_dim", value("mscale_all_dim"), 0, 1e3, mscale_all_dim);
    if (!fine || kind->type == Type::kNone) return fine;
    out.original_max_position_embeddings = static_cast<int>(positions);
    if (value("factor").is_null() && kind->type == Type::kYarn && positions > 0) {
      out.factor = config_.max_position_embeddings / positions;
    } else if (value("factor").is_null()) {
      return refuse("\"" + where + "\" lacks \"factor\"", "check the file");
    }
    if (fine = real("factor", value("factor"), 1, 1e6, out.factor); !fine) return fine;
    if (kind->type == Type::kLlama3) {
      for (const char* key : {"low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
        if (value(key).is_null()) return refuse("\"" + where + "\" lacks \"" + key + "\"", "check the file");
      }
      if (out.high_freq_factor <= out.low_freq_factor) return refuse("high_freq_factor is not above low_freq_factor", "check the file");
    }
    if (kind->type == Type::kYarn) {
      if (config_.rope_theta <= 1) return refuse("\"rope_theta\" is not above 1, which yarn needs", "check the file");
      if (!value("truncate").is_null() && !value("truncate").is_boolean()) return refuse("\"truncate\" is neither true nor false", "check the file");
      out.truncate = value("truncate") != false;
      if (out.attention_factor == 0 && mscale > 0 && mscale_all_dim > 0) {
        const auto scale = [&](double by) { return out.factor > 1 ? 0.1 * by * std::log(out.factor) + 1 : 1.0; };
        out.attention_factor = scale(mscale) / scale(mscale_all_dim);
      }
    }
    return {};
  }

  Status sanity() {
    const LlamaConfig& c = config_;
    if (c.num_attention_heads % c.num_key_value_heads != 0) {
      return refuse("num_key_value_heads does not divide num_attention_heads", "check the file");
    }
    if (c.head_dim % 2 != 0) return refuse("head_dim is odd or zero", "rotary embeddings need an even one");
    if (json_.value("head_dim", Json()).is_null() && c.architecture != Architecture::kQwen3 && c.hidden_size % c.num_attention_heads != 0) {
      return refuse("num_attention_heads does not divide hidden_size", "check the file, or give head_dim");
    }
    if (c.head_dim < 2) return refuse("head_dim is below 2", "check the file");
    constexpr std::int64_t kMost = std::int64_t{1} << 41;
    if (c.parameters() > kMost) return refuse("its sizes make more than 2^41 parameters", "check the file");
    return {};
  }

  const Json& json_;
  const std::string& file_;
  std::set<std::string> seen_;
  LlamaConfig config_;
};

}  // namespace

std::int64_t LlamaConfig::parameters() const {
  const std::int64_t h = hidden_size, f = intermediate_size;
  const std::int64_t q = std::int64_t{num_attention_heads} * head_dim, kv = std::int64_t{num_key_value_heads} * head_dim;
  const std::int64_t biases = (qkv_bias ? q + 2 * kv : 0) + (out_bias ? h : 0) + (qk_norm ? 2 * head_dim : 0);
  const std::int64_t layer = h * q * 2 + h * kv * 2 + h * f * 3 + h * 2 + biases;
  const std::int64_t embeddings = std::int64_t{vocab_size} * h * (tie_word_embeddings ? 1 : 2);
  return num_hidden_layers * layer + embeddings + h;
}

Result<LlamaConfig> load_llama_config(const std::string& folder) {
  const std::string path = folder + "/config.json";
  const auto text = read_text(path, std::size_t{16} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  return parse_llama_config(*text, path);
}

Result<LlamaConfig> parse_llama_config(std::string_view text, const std::string& file) {
  const auto json = parse_json_object(text, file, 1);
  if (!json) return tl::unexpected<Error>(json.error());
  return Reader(*json, file).run();
}

namespace {

using Out = nlohmann::ordered_json;

Out rope_scaling_json(const RopeScaling& scaling) {
  using Type = RopeScaling::Type;
  if (scaling.type == Type::kNone) return nullptr;
  Out out = {{"rope_type", scaling.type == Type::kLinear ? "linear" : scaling.type == Type::kLlama3 ? "llama3" : "yarn"},
             {"factor", scaling.factor}};
  if (scaling.original_max_position_embeddings > 0) {
    out["original_max_position_embeddings"] = scaling.original_max_position_embeddings;
  }
  if (scaling.type == Type::kLlama3) {
    out["low_freq_factor"] = scaling.low_freq_factor;
    out["high_freq_factor"] = scaling.high_freq_factor;
  }
  if (scaling.type == Type::kYarn) {
    out["beta_fast"] = scaling.beta_fast;
    out["beta_slow"] = scaling.beta_slow;
    if (scaling.attention_factor > 0) out["attention_factor"] = scaling.attention_factor;
    if (!scaling.truncate) out["truncate"] = false;
  }
  return out;
}

// What only some architectures write.
void add_variations(const LlamaConfig& c, Out& out) {
  const bool qwen = c.architecture == Architecture::kQwen2 || c.architecture == Architecture::kQwen3;
  if (c.architecture == Architecture::kLlama || c.architecture == Architecture::kQwen3) out["attention_bias"] = c.out_bias;
  if (c.architecture == Architecture::kLlama) out["mlp_bias"] = false;
  if (const Out scaling = rope_scaling_json(c.rope_scaling); !scaling.is_null()) out["rope_scaling"] = scaling;
  if (c.architecture == Architecture::kLlama) return;
  out["sliding_window"] = c.sliding_window > 0 ? Out(c.sliding_window) : Out();
  if (!qwen) return;
  out["use_sliding_window"] = c.sliding_window > 0;
  if (c.sliding_window == 0) return;
  out["max_window_layers"] = 0;
  out["layer_types"] = Out::array();
  for (int i = 0; i < c.num_hidden_layers; ++i) out["layer_types"].push_back(c.window(i) > 0 ? "sliding_attention" : "full_attention");
}

}  // namespace

std::string llama_config_json(const LlamaConfig& c, const std::string& torch_dtype) {
  Out out = {{"architectures", Out::array({named(c.architecture).class_name})},
                                {"model_type", named(c.architecture).model_type},
                                {"vocab_size", c.vocab_size},
                                {"hidden_size", c.hidden_size},
                                {"intermediate_size", c.intermediate_size},
                                {"num_hidden_layers", c.num_hidden_layers},
                                {"num_attention_heads", c.num_attention_heads},
                                {"num_key_value_heads", c.num_key_value_heads},
                                {"head_dim", c.head_dim},
                                {"max_position_embeddings", c.max_position_embeddings},
                                {"rms_norm_eps", c.rms_norm_eps},
                                {"rope_theta", c.rope_theta},
                                {"tie_word_embeddings", c.tie_word_embeddings},
                                {"hidden_act", "silu"}};
  add_variations(c, out);
  out["torch_dtype"] = torch_dtype;
  out["bos_token_id"] = c.bos_token_id >= 0 ? Out(c.bos_token_id) : Out();
  out["eos_token_id"] = c.eos_token_id >= 0 ? Out(c.eos_token_id) : Out();
  if (!c.more_eos_token_ids.empty()) {
    out["eos_token_id"] = Out::array({c.eos_token_id});
    for (const int id : c.more_eos_token_ids) out["eos_token_id"].push_back(id);
  }
  return out.dump(1) + "\n";
}

}  // namespace precept
