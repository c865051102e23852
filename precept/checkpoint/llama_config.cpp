#include "precept/checkpoint/llama_config.h"

#include <array>
#include <cmath>
#include <set>

#include "precept/core/strict_json.h"
#include "precept/core/io.h"

namespace precept {
namespace {

using Json = nlohmann::json;

// Keys that do not change what the model computes.
const std::set<std::string>& harmless_keys() {
  static const std::set<std::string> keys = {
      "torch_dtype", "dtype", "use_cache", "transformers_version", "initializer_range", "attention_dropout",
      "pretraining_tp", "_name_or_path", "pad_token_id", "transformers.js_config", "is_llama_config",
      "rope_interleaved", "output_attentions", "output_hidden_states", "return_dict", "unsloth_version",
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
    const char* hint = "supported: model_type \"llama\", architectures [\"LlamaForCausalLM\"]";
    if (type.is_null() && names.is_null()) return refuse("no \"model_type\"", hint);
    if (!type.is_null() && type != "llama") return refuse("model_type " + in_quotes(type.dump()) + " is not supported", hint);
    if (!names.is_null() && names != Json::array({"LlamaForCausalLM"})) {
      return refuse("architectures " + in_quotes(names.dump()) + " is not supported", hint);
    }
    return {};
  }

  // Options that change the computation: only their plain values are supported.
  Status options() {
    struct Option {
      const char* key;
      Json plain;
    };
    for (const Option& option : {Option{"rope_scaling", nullptr}, Option{"attention_bias", false},
                                 Option{"mlp_bias", false}, Option{"hidden_act", "silu"},
                                 Option{"quantization_config", nullptr}, Option{"sliding_window", nullptr},
                                 Option{"partial_rotary_factor", 1.0}}) {
      const Json& value = take(option.key);
      if (value.is_null() || value == option.plain) continue;
      return refuse("\"" + std::string(option.key) + "\": " + in_quotes(value.dump()) + " is not supported",
                    "supported: " + (option.plain.is_null() ? std::string("null or absent") : option.plain.dump()));
    }
    for (auto entry = json_.begin(); entry != json_.end(); ++entry) {
      static const std::set<std::string> numbers = {
          "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
          "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps", "rope_theta",
          "tie_word_embeddings", "bos_token_id", "eos_token_id", "rope_parameters"};
      if (seen_.count(entry.key()) == 0 && numbers.count(entry.key()) == 0 && harmless_keys().count(entry.key()) == 0) {
        return refuse("unknown key " + in_quotes(entry.key()),
                      "it may change what the model computes; remove it if it does not");
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

  // One id, or a list of ids of which the first counts; checkpoints carry both forms.
  Status token(const char* key, int& out) {
    const Json& value = take(key);
    if (value.is_null()) return {};
    const Json& first = value.is_array() && !value.empty() ? value[0] : value;
    if (!first.is_number_unsigned() || first.get<std::uint64_t>() >= static_cast<std::uint64_t>(config_.vocab_size)) {
      return refuse("\"" + std::string(key) + "\": " + in_quotes(value.dump()) + " is no id of the vocabulary", "check the file");
    }
    out = first.get<int>();
    return {};
  }

  Status numbers() {
    LlamaConfig& c = config_;
    Status fine = integer("vocab_size", 1, 1 << 21, std::nullopt, c.vocab_size);
    if (fine) fine = integer("hidden_size", 1, 1 << 17, std::nullopt, c.hidden_size);
    if (fine) fine = integer("intermediate_size", 1, 1 << 20, std::nullopt, c.intermediate_size);
    if (fine) fine = integer("num_hidden_layers", 1, 1024, std::nullopt, c.num_hidden_layers);
    if (fine) fine = integer("num_attention_heads", 1, 1024, std::nullopt, c.num_attention_heads);
    if (fine) fine = integer("num_key_value_heads", 1, 1024, c.num_attention_heads, c.num_key_value_heads);
    if (fine) fine = integer("head_dim", 1, 4096, c.hidden_size / std::max(1, c.num_attention_heads), c.head_dim);
    if (fine) fine = integer("max_position_embeddings", 1, 1 << 26, 2048, c.max_position_embeddings);
    if (fine) fine = real("rms_norm_eps", take("rms_norm_eps"), 0, 1, c.rms_norm_eps);
    if (fine) fine = rope();
    if (fine) fine = token("bos_token_id", c.bos_token_id);
    if (fine) fine = token("eos_token_id", c.eos_token_id);
    if (!fine) return fine;
    const Json& tied = take("tie_word_embeddings");
    if (!tied.is_null() && !tied.is_boolean()) return refuse("\"tie_word_embeddings\" is neither true nor false", "check the file");
    c.tie_word_embeddings = tied == true;
    return {};
  }

  // rope_theta stands by itself, or (newer files) in rope_parameters of type "default".
  Status rope() {
    const Json& parameters = take("rope_parameters");
    if (!parameters.is_null()) {
      if (!parameters.is_object() || parameters.value("rope_type", Json("default")) != "default") {
        return refuse("\"rope_parameters\": " + in_quotes(parameters.dump()) + " is not supported", "supported: rope_type \"default\"");
      }
      for (auto entry = parameters.begin(); entry != parameters.end(); ++entry) {
        if (entry.key() != "rope_type" && entry.key() != "rope_theta") {
          return refuse("rope_parameters has the unknown key " + in_quotes(entry.key()), "supported: rope_type, rope_theta");
        }
      }
      const auto theta = parameters.find("rope_theta");
      if (theta != parameters.end()) {
        if (auto fine = real("rope_theta", *theta, 1, 1e12, config_.rope_theta); !fine) return fine;
      }
    }
    return real("rope_theta", take("rope_theta"), 1, 1e12, config_.rope_theta);
  }

  Status sanity() {
    const LlamaConfig& c = config_;
    if (c.num_attention_heads % c.num_key_value_heads != 0) {
      return refuse("num_key_value_heads does not divide num_attention_heads", "check the file");
    }
    if (c.head_dim % 2 != 0) return refuse("head_dim is odd or zero", "rotary embeddings need an even one");
    if (json_.find("head_dim") == json_.end() && c.hidden_size % c.num_attention_heads != 0) {
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
  const std::int64_t layer = h * q * 2 + h * kv * 2 + h * f * 3 + h * 2;
  const std::int64_t embeddings = std::int64_t{vocab_size} * h * (tie_word_embeddings ? 1 : 2);
  return num_hidden_layers * layer + embeddings + h;
}

Result<LlamaConfig> load_llama_config(const std::string& folder) {
  const std::string path = folder + "/config.json";
  const auto text = read_text(path, std::size_t{16} << 20);
  if (!text) return tl::unexpected<Error>(text.error());
  const auto json = parse_json_object(*text, path, 1);
  if (!json) return tl::unexpected<Error>(json.error());
  return Reader(*json, path).run();
}

std::string llama_config_json(const LlamaConfig& c) {
  nlohmann::ordered_json out = {{"architectures", nlohmann::ordered_json::array({"LlamaForCausalLM"})},
                                {"model_type", "llama"},
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
                                {"hidden_act", "silu"},
                                {"attention_bias", false},
                                {"mlp_bias", false},
                                {"torch_dtype", "bfloat16"}};
  out["bos_token_id"] = c.bos_token_id >= 0 ? nlohmann::ordered_json(c.bos_token_id) : nlohmann::ordered_json();
  out["eos_token_id"] = c.eos_token_id >= 0 ? nlohmann::ordered_json(c.eos_token_id) : nlohmann::ordered_json();
  return out.dump(1) + "\n";
}

}  // namespace precept
