#include "precept/checkpoint/gguf_shape.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <vector>

#include "precept/core/strict_json.h"

namespace precept {
namespace {

constexpr std::array<std::string_view, 3> kArchitectures{"llama", "qwen2", "qwen3"};
const char* const kHint = "convert the model again, with llama.cpp's converter";

struct Count {
  const char* key;
  std::int64_t GgufShape::* at;
  std::int64_t most;
  bool needed;
};
constexpr Count kCounts[] = {{"block_count", &GgufShape::block_count, 1024, true},
                             {"context_length", &GgufShape::context_length, std::int64_t{1} << 31, true},
                             {"embedding_length", &GgufShape::embedding_length, 1 << 20, true},
                             {"feed_forward_length", &GgufShape::feed_forward_length, 1 << 22, true},
                             {"attention.head_count", &GgufShape::head_count, 1 << 14, true},
                             {"attention.head_count_kv", &GgufShape::head_count_kv, 1 << 14, false},
                             {"attention.key_length", &GgufShape::key_length, 1 << 14, false},
                             {"attention.value_length", &GgufShape::value_length, 1 << 14, false},
                             {"rope.dimension_count", &GgufShape::rope_dimension_count, 1 << 14, false},
                             {"vocab_size", &GgufShape::vocab_size, 1 << 24, false},
                             {"attention.sliding_window", &GgufShape::sliding_window, std::int64_t{1} << 31, false}};

struct Real {
  const char* key;
  std::optional<double> GgufRopeScaling::* at;
};
constexpr Real kReals[] = {{"rope.scaling.attn_factor", &GgufRopeScaling::attn_factor},
                           {"rope.scaling.yarn_log_multiplier", &GgufRopeScaling::yarn_log_multiplier},
                           {"rope.scaling.yarn_ext_factor", &GgufRopeScaling::yarn_ext_factor},
                           {"rope.scaling.yarn_attn_factor", &GgufRopeScaling::yarn_attn_factor},
                           {"rope.scaling.yarn_beta_fast", &GgufRopeScaling::yarn_beta_fast},
                           {"rope.scaling.yarn_beta_slow", &GgufRopeScaling::yarn_beta_slow}};

// The double that the shortest decimal of an f32 stands for: 1e-5, not 0.00000999999974.
double shortest(double value) {
  std::array<char, 64> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), static_cast<float>(value)).ptr;
  double out = value;
  std::from_chars(text.data(), end, out);
  return out;
}

class ShapeReader {
 public:
  explicit ShapeReader(const GgufMetadata& metadata) : metadata_(metadata) {}

  Result<GgufShape> run() {
    for (const auto step : {&ShapeReader::architecture, &ShapeReader::counts, &ShapeReader::reals, &ShapeReader::scaling,
                            &ShapeReader::others, &ShapeReader::sanity}) {
      if (auto fine = (this->*step)(); !fine) return tl::unexpected<Error>(fine.error());
    }
    return shape_;
  }

 private:
  tl::unexpected<Error> refuse(const std::string& what, const std::string& hint = kHint) const {
    return bad_input(what, hint, metadata_.file);
  }

  // The whole key; from now on it counts as known.
  std::string take(const char* name) {
    std::string key = shape_.architecture + "." + name;
    known_.insert(key);
    return key;
  }

  Status architecture() {
    auto name = metadata_.text("general.architecture");
    if (!name) return tl::unexpected<Error>(name.error());
    if (!gguf_architecture_supported(*name)) {
      return refuse("the architecture " + in_quotes(*name) + " is not supported", "supported: llama, qwen2, qwen3");
    }
    shape_.architecture = std::move(*name);
    if (metadata_.has("split.count") && !metadata_.integer("split.count", 0, 1)) {
      return refuse("is one part of a split file", "join the parts first: llama-gguf-split --merge");
    }
    return {};
  }

  // A count, or a list of the same count for every layer.
  Result<std::int64_t> count(const std::string& key, std::int64_t most) const {
    const auto lists = metadata_.integers(key, 0, most);
    if (!lists) return metadata_.integer(key, 0, most);
    if (lists->empty() || std::any_of(lists->begin(), lists->end(), [&](std::int64_t n) { return n != lists->front(); })) {
      return refuse("metadata " + in_quotes(key) + " differs from layer to layer, which is not supported", "supported: equal layers");
    }
    return lists->front();
  }

  Status counts() {
    for (const Count& row : kCounts) {
      const std::string key = take(row.key);
      if (!row.needed && !metadata_.has(key)) continue;
      const auto value = count(key, row.most);
      if (!value) return tl::unexpected<Error>(value.error());
      if (row.needed && *value == 0) return refuse("metadata " + in_quotes(key) + " is 0");
      shape_.*row.at = *value;
    }
    GgufShape& s = shape_;
    if (s.head_count_kv == 0) s.head_count_kv = s.head_count;
    if (s.key_length == 0) s.key_length = s.embedding_length / s.head_count;
    if (s.value_length == 0) s.value_length = s.embedding_length / s.head_count;
    if (s.rope_dimension_count == 0) s.rope_dimension_count = s.key_length;
    if (s.vocab_size == 0) {
      if (const auto* tokens = metadata_.get_if<std::vector<std::string>>("tokenizer.ggml.tokens")) {
        s.vocab_size = static_cast<std::int64_t>(tokens->size());
      }
    }
    return {};
  }

  Status real(const std::string& key, double low, double high, double& out) const {
    const auto value = metadata_.real(key);
    if (!value) return tl::unexpected<Error>(value.error());
    if (*value < low || *value > high) return refuse("metadata " + in_quotes(key) + " is out of range");
    out = shortest(*value);
    return {};
  }

  Status reals() {
    if (auto fine = real(take("attention.layer_norm_rms_epsilon"), 0, 1, shape_.rms_epsilon); !fine) return fine;
    const std::string base = take("rope.freq_base");
    return metadata_.has(base) ? real(base, 1, 1e12, shape_.rope_freq_base) : Status{};
  }

  // As llama.cpp: without a type a factor means "linear"; a factor of 0 is none; rope.scale_linear is its older name.
  Status scaling() {
    GgufRopeScaling& scaling = shape_.rope_scaling;
    const std::string type = take("rope.scaling.type"), factor = take("rope.scaling.factor"), older = take("rope.scale_linear"),
                      original = take("rope.scaling.original_context_length");
    double given = 0;
    for (const std::string& key : {factor, older}) {
      if (given != 0 || !metadata_.has(key)) continue;
      if (auto fine = real(key, 0, 1e6, given); !fine) return fine;
    }
    scaling.type = given != 0 && given != 1 ? "linear" : "none";
    if (given != 0) scaling.factor = given;
    if (metadata_.has(type)) {
      auto name = metadata_.text(type);
      if (!name) return tl::unexpected<Error>(name.error());
      if (*name != "none" && *name != "linear" && *name != "yarn" && *name != "longrope") {
        return refuse("rope.scaling.type " + in_quotes(*name) + " is not supported", "supported: none, linear, yarn, longrope");
      }
      scaling.type = std::move(*name);
    }
    if (metadata_.has(original)) {
      const auto length = metadata_.integer(original, 0, std::int64_t{1} << 31);
      if (!length) return tl::unexpected<Error>(length.error());
      scaling.original_context_length = *length;
    }
    for (const Real& row : kReals) {
      const std::string key = take(row.key);
      if (!metadata_.has(key)) continue;
      double value = 0;
      if (auto fine = real(key, -1e6, 1e6, value); !fine) return fine;
      scaling.*row.at = value;
    }
    return {};
  }

  Status others() {
    for (const char* name : {"expert_count", "expert_used_count"}) {
      const std::string key = take(name);
      if (metadata_.has(key) && !metadata_.integer(key, 0, 0)) {
        return refuse("is a mixture of experts, which is not supported", "supported: dense models");
      }
    }
    for (const char* harmless : {"rope.scaling.finetuned", "tensor_data_layout", "pooling_type"}) take(harmless);
    const std::string prefix = shape_.architecture + ".";
    for (const auto& entry : metadata_.values) {
      if (entry.first.rfind(prefix, 0) != 0 || known_.count(entry.first) != 0) continue;
      return refuse("metadata " + in_quotes(entry.first) + " is not supported", "it may change what the model computes");
    }
    return {};
  }

  Status sanity() {
    const GgufShape& s = shape_;
    for (const Count& row : kCounts) {  // also of what was derived
      if (s.*row.at > row.most) return refuse(std::string(row.key) + " would be " + std::to_string(s.*row.at) + ", more than " + std::to_string(row.most));
    }
    if (s.vocab_size == 0) return refuse("tells no size of its vocabulary");
    if (s.head_count % s.head_count_kv != 0) return refuse("attention.head_count_kv does not divide attention.head_count");
    if (s.key_length < 2 || s.key_length % 2 != 0) return refuse("attention.key_length is " + std::to_string(s.key_length) + ", not even");
    if (s.value_length < 1) return refuse("attention.value_length is 0");
    if (s.rope_dimension_count > s.key_length || s.rope_dimension_count % 2 != 0) {
      return refuse("rope.dimension_count is " + std::to_string(s.rope_dimension_count) + ", not even or beyond attention.key_length");
    }
    return {};
  }

  const GgufMetadata& metadata_;
  GgufShape shape_;
  std::set<std::string> known_;
};

}  // namespace

bool gguf_architecture_supported(std::string_view architecture) {
  return std::find(kArchitectures.begin(), kArchitectures.end(), architecture) != kArchitectures.end();
}

Result<GgufShape> read_gguf_shape(const GgufMetadata& metadata) { return ShapeReader(metadata).run(); }

void write_gguf_shape(const GgufShape& shape, GgufMetadata& metadata) {
  const auto set = [&](const std::string& name, GgufValue value) {
    metadata.values.insert_or_assign(shape.architecture + "." + name, std::move(value));
  };
  metadata.values.insert_or_assign("general.architecture", shape.architecture);
  for (const Count& row : kCounts) {
    if (shape.*row.at != 0) set(row.key, static_cast<std::uint32_t>(shape.*row.at));
  }
  set("attention.layer_norm_rms_epsilon", static_cast<float>(shape.rms_epsilon));
  set("rope.freq_base", static_cast<float>(shape.rope_freq_base));
  const GgufRopeScaling& scaling = shape.rope_scaling;
  if (scaling == GgufRopeScaling{}) return;
  set("rope.scaling.type", scaling.type);
  set("rope.scaling.factor", static_cast<float>(scaling.factor));
  if (scaling.original_context_length != 0) {
    set("rope.scaling.original_context_length", static_cast<std::uint32_t>(scaling.original_context_length));
  }
  for (const Real& row : kReals) {
    if (const auto value = scaling.*row.at) set(row.key, static_cast<float>(*value));
  }
}

}  // namespace precept
