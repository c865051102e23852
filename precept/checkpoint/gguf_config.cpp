#include "precept/checkpoint/gguf_config.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "precept/checkpoint/gguf_llama.h"

namespace precept {
namespace {

using Type = RopeScaling::Type;

tl::unexpected<Error> refuse(const Gguf& file, std::string what) {
  return bad_input(std::move(what), "convert the model from its Hugging Face checkpoint", file.metadata().file);
}

bool gives(const Llama3Rope& rope, const std::vector<float>& factors, const GgufShape& shape) {
  const std::vector<float> expected = llama3_rope_factors(rope, shape.rope_freq_base, shape.rope_dimension_count);
  bool same = expected.size() == factors.size();
  for (std::size_t i = 0; same && i < factors.size(); ++i) same = std::abs(expected[i] - factors[i]) <= 1e-4F * factors[i];
  return same;
}

// Parameters of llama3's rule that give these factors: between its two thresholds s = (original / wavelength - low) / (high - low)
// is a line over 1 / wavelength, and 1 / factor = (1 - s) / most + s. Only original / low and original / high count: original is
// set to 8192.
std::optional<Llama3Rope> fitted(const std::vector<float>& factors, const GgufShape& shape) {
  const double most = factors.back(), kOriginal = 8192;
  std::vector<std::pair<double, double>> between;  // 1 / wavelength, s
  double kept = 0, stretched = 0;                  // the last that is kept, the first that is wholly stretched
  for (std::size_t i = 0; i < factors.size(); ++i) {
    const double turn = std::pow(shape.rope_freq_base, -2.0 * static_cast<double>(i) / static_cast<double>(shape.rope_dimension_count)) / (2 * std::numbers::pi);
    const double s = (1 / static_cast<double>(factors[i]) - 1 / most) / (1 - 1 / most);
    if (s > 1 - 1e-6) kept = turn;
    else if (s > 1e-6) between.emplace_back(turn, s);
    else if (stretched == 0) stretched = turn;
  }
  if (stretched == 0 || most <= 1) return std::nullopt;
  if (between.size() < 2) between.emplace_back(stretched * (1 + 1e-9), 1e-9);
  if (between.size() < 2) between.emplace_back(kept > 0 ? kept * (1 - 1e-9) : 2 * stretched, 1 - 1e-9);
  const auto [x, s] = between.front();
  const auto [y, t] = between.back();
  const double slope = (s - t) / (x - y), width = kOriginal / slope, low = (slope * x - s) * width;
  const Llama3Rope rope{most, low, low + width, kOriginal};
  return low > 1e-3 && width > 0 && gives(rope, factors, shape) ? std::optional(rope) : std::nullopt;
}

// The parameters behind rope_freqs.weight, which keeps only the factors that follow from them: those of Llama 3.1 and 3.2 where
// they fit, else some that give the same.
std::optional<RopeScaling> llama3_of(const std::vector<float>& factors, const GgufShape& shape) {
  std::optional<Llama3Rope> found;
  for (const double factor : {8.0, 32.0, 16.0, 4.0, 2.0}) {
    for (const double original : {8192.0, 4096.0, 2048.0, 1024.0}) {
      const Llama3Rope rope{factor, 1, 4, original};
      if (!found && gives(rope, factors, shape)) found = rope;
    }
  }
  if (!found) found = fitted(factors, shape);
  if (!found) return std::nullopt;
  RopeScaling out;
  out.type = Type::kLlama3;
  out.factor = found->factor;
  out.original_max_position_embeddings = static_cast<int>(found->original_max_position);
  out.low_freq_factor = found->low_freq_factor;
  out.high_freq_factor = found->high_freq_factor;
  return out;
}

Status read_rope(const Gguf& file, const GgufShape& shape, LlamaConfig& config) {
  const GgufRopeScaling& scaling = shape.rope_scaling;
  RopeScaling& out = config.rope_scaling;
  const auto original = static_cast<int>(scaling.original_context_length);
  if (scaling.type == "linear") {
    out.type = Type::kLinear;
    out.factor = scaling.factor;
  } else if (scaling.type == "yarn") {
    if (scaling.attn_factor || scaling.yarn_log_multiplier || scaling.yarn_ext_factor || scaling.yarn_attn_factor) {
      return refuse(file, "yarn with factors of its own (rope.scaling.*) is not supported");
    }
    out.type = Type::kYarn;
    out.factor = scaling.factor;
    out.original_max_position_embeddings = original;
    out.beta_fast = scaling.yarn_beta_fast.value_or(out.beta_fast);
    out.beta_slow = scaling.yarn_beta_slow.value_or(out.beta_slow);
  } else if (scaling.type != "none") {
    return refuse(file, "rope scaling \"" + scaling.type + "\" is not supported");
  }
  const auto factors = read_rope_factors(file, shape);
  if (!factors) return tl::unexpected<Error>(factors.error());
  if (!*factors) return {};
  const auto llama3 = llama3_of(**factors, shape);
  if (!llama3 || out.type != Type::kNone) return refuse(file, "rope_freqs.weight holds factors that do not follow the rule of Llama 3.1");
  out = *llama3;
  return {};
}

}  // namespace

Result<LlamaConfig> config_of_gguf(const Gguf& file, const GgufShape& shape) {
  LlamaConfig config;
  if (shape.key_length != shape.value_length) return refuse(file, "keys and values of different widths are not supported");
  if (shape.rope_dimension_count != shape.key_length) return refuse(file, "heads of which only a part is rotated are not supported");
  const bool llama = shape.architecture == "llama";
  config.architecture = !llama ? (shape.architecture == "qwen2" ? Architecture::kQwen2 : Architecture::kQwen3)
                        : shape.sliding_window > 0 ? Architecture::kMistral
                                                   : Architecture::kLlama;
  config.vocab_size = static_cast<int>(shape.vocab_size);
  config.hidden_size = static_cast<int>(shape.embedding_length);
  config.intermediate_size = static_cast<int>(shape.feed_forward_length);
  config.num_hidden_layers = static_cast<int>(shape.block_count);
  config.num_attention_heads = static_cast<int>(shape.head_count);
  config.num_key_value_heads = static_cast<int>(shape.head_count_kv);
  config.head_dim = static_cast<int>(shape.key_length);
  config.max_position_embeddings = static_cast<int>(shape.context_length);
  config.rms_norm_eps = shape.rms_epsilon;
  config.rope_theta = shape.rope_freq_base;
  config.sliding_window = static_cast<int>(shape.sliding_window);
  config.qkv_bias = file.find("blk.0.attn_q.bias") != nullptr;
  config.out_bias = file.find("blk.0.attn_output.bias") != nullptr;
  config.qk_norm = config.architecture == Architecture::kQwen3;
  config.tie_word_embeddings = file.find("output.weight") == nullptr;
  if (const Status rope = read_rope(file, shape, config); !rope) return tl::unexpected<Error>(rope.error());
  return config;
}

Result<GgufShape> gguf_shape_of(const LlamaConfig& c) {
  const char* hint = "keep it as safetensors";
  if (!c.slides.empty()) return bad_input("a sliding window in some layers only cannot be written as GGUF", hint);
  const RopeScaling& scaling = c.rope_scaling;
  if (scaling.type == Type::kYarn && (scaling.attention_factor > 0 || !scaling.truncate)) {
    return bad_input("yarn with an attention factor or a ramp of its own cannot be written as GGUF", hint);
  }
  GgufShape shape;
  shape.architecture = c.architecture == Architecture::kQwen2 ? "qwen2" : c.architecture == Architecture::kQwen3 ? "qwen3" : "llama";
  if (shape.architecture == "qwen3" && (c.qkv_bias || c.out_bias)) return bad_input("qwen3 with biases cannot be written as GGUF", hint);
  if (shape.architecture == "qwen2" && c.head_dim * c.num_attention_heads != c.hidden_size) {
    return bad_input("qwen2 with heads that do not add up to the hidden size cannot be written as GGUF", hint);
  }
  shape.block_count = c.num_hidden_layers;
  shape.context_length = c.max_position_embeddings;
  shape.embedding_length = c.hidden_size;
  shape.feed_forward_length = c.intermediate_size;
  shape.head_count = c.num_attention_heads;
  shape.head_count_kv = c.num_key_value_heads;
  shape.key_length = shape.value_length = shape.rope_dimension_count = c.head_dim;
  shape.vocab_size = c.vocab_size;
  shape.sliding_window = c.sliding_window;
  shape.rms_epsilon = c.rms_norm_eps;
  shape.rope_freq_base = c.rope_theta;
  GgufRopeScaling& rope = shape.rope_scaling;
  if (scaling.type == Type::kLinear) {
    rope.type = "linear";
    rope.factor = scaling.factor;
  }
  if (scaling.type == Type::kYarn) {
    const int original = scaling.original_max_position_embeddings;
    rope.type = "yarn";
    rope.factor = scaling.factor;
    rope.original_context_length = original > 0 ? original : c.max_position_embeddings;
    rope.yarn_beta_fast = scaling.beta_fast;
    rope.yarn_beta_slow = scaling.beta_slow;
  }
  return shape;
}

std::vector<float> gguf_rope_factors(const LlamaConfig& c) {
  const RopeScaling& s = c.rope_scaling;
  if (s.type != Type::kLlama3) return {};
  return llama3_rope_factors({s.factor, s.low_freq_factor, s.high_freq_factor, double(s.original_max_position_embeddings)}, c.rope_theta, c.head_dim);
}

}  // namespace precept
