// The engine against a plain forward pass in double precision, written from the papers alone.

#include <algorithm>

#include "tests/lm/engine_support.h"
#include "tests/support/variations.h"

namespace precept {
namespace {

using engine_test::Checkpoint;
using Vector = std::vector<double>;

Vector times(const Tensors& t, const std::string& name, const Vector& x) {
  const std::vector<float>& w = t.values.at(name);
  Vector y(static_cast<std::size_t>(t.shapes.at(name)[0]));
  for (std::size_t i = 0; i < y.size(); ++i) {
    for (std::size_t j = 0; j < x.size(); ++j) y[i] += static_cast<double>(w[i * x.size() + j]) * x[j];
  }
  return y;
}

Vector normed(const Tensors& t, const std::string& name, const Vector& x, double eps) {
  double squares = 0;
  for (const double v : x) squares += v * v;
  const double r = 1 / std::sqrt(squares / static_cast<double>(x.size()) + eps);
  Vector y = x;
  for (std::size_t i = 0; i < x.size(); ++i) y[i] *= r * static_cast<double>(t.values.at(name)[i]);
  return y;
}

void add(Vector& x, const Tensors& t, const std::string& name) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += static_cast<double>(t.values.at(name)[i]);
}

// Each head of q or k normed by itself, with one weight for all.
void norm_heads(Vector& x, const Tensors& t, const std::string& name, const LlamaConfig& c) {
  for (std::size_t head = 0; head < x.size(); head += static_cast<std::size_t>(c.head_dim)) {
    const auto from = x.begin() + static_cast<std::ptrdiff_t>(head);
    const Vector one = normed(t, name, Vector(from, from + c.head_dim), c.rms_norm_eps);
    std::copy(one.begin(), one.end(), from);
  }
}

// Log-probabilities of every next token after each position.
std::vector<Vector> reference(const LlamaConfig& c, const Tensors& t, const std::vector<std::int32_t>& tokens) {
  const int D = c.head_dim, group = c.num_attention_heads / c.num_key_value_heads;
  std::vector<std::vector<Vector>> keys(c.num_hidden_layers), values(c.num_hidden_layers);
  std::vector<Vector> result;
  for (int p = 0; p < static_cast<int>(tokens.size()); ++p) {
    const std::vector<float>& table = t.values.at("model.embed_tokens.weight");
    const auto row = table.begin() + static_cast<std::ptrdiff_t>(tokens[p]) * c.hidden_size;
    Vector x(row, row + c.hidden_size);
    for (int layer = 0; layer < c.num_hidden_layers; ++layer) {
      const std::string name = "model.layers." + std::to_string(layer) + ".";
      Vector h = normed(t, name + "input_layernorm.weight", x, c.rms_norm_eps);
      Vector q = times(t, name + "self_attn.q_proj.weight", h);
      keys[layer].push_back(times(t, name + "self_attn.k_proj.weight", h));
      values[layer].push_back(times(t, name + "self_attn.v_proj.weight", h));
      if (c.qkv_bias) {
        add(q, t, name + "self_attn.q_proj.bias");
        add(keys[layer].back(), t, name + "self_attn.k_proj.bias");
        add(values[layer].back(), t, name + "self_attn.v_proj.bias");
      }
      if (c.qk_norm) {
        norm_heads(q, t, name + "self_attn.q_norm.weight", c);
        norm_heads(keys[layer].back(), t, name + "self_attn.k_norm.weight", c);
      }
      reference_rotate(q, c, p);
      reference_rotate(keys[layer].back(), c, p);
      const int seen = reference_first_seen(c, layer, p);
      Vector mixed(q.size());
      for (int head = 0; head < c.num_attention_heads; ++head) {
        const int kv = head / group * D;
        Vector weight;
        double top = -1e300, sum = 0;
        for (int j = seen; j <= p; ++j) {
          double s = 0;
          for (int d = 0; d < D; ++d) s += q[head * D + d] * keys[layer][j][kv + d];
          weight.push_back(s / std::sqrt(static_cast<double>(D)));
          top = std::max(top, weight.back());
        }
        for (double& w : weight) sum += (w = std::exp(w - top));
        for (int j = seen; j <= p; ++j) {
          for (int d = 0; d < D; ++d) mixed[head * D + d] += weight[j - seen] / sum * values[layer][j][kv + d];
        }
      }
      Vector out = times(t, name + "self_attn.o_proj.weight", mixed);
      if (c.out_bias) add(out, t, name + "self_attn.o_proj.bias");
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += out[i];
      h = normed(t, name + "post_attention_layernorm.weight", x, c.rms_norm_eps);
      Vector gate = times(t, name + "mlp.gate_proj.weight", h);
      const Vector up = times(t, name + "mlp.up_proj.weight", h);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
      const Vector down = times(t, name + "mlp.down_proj.weight", gate);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += down[i];
    }
    const std::string head = c.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    Vector logits = times(t, head, normed(t, "model.norm.weight", x, c.rms_norm_eps));
    const double top = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const double l : logits) sum += std::exp(l - top);
    for (double& l : logits) l -= top + std::log(sum);
    result.push_back(std::move(logits));
  }
  return result;
}

// fp32 sums of up to 512 terms through at most 6 layers: relative errors near 1e-6 a sum, outputs of
// size 10, so 1e-3 leaves room for growth through the layers while any wrong index shows at once.
constexpr double kTolerance = 1e-3;
// Every factor of a product rounded to 8 bits (relative 2^-9), some tens of such products in a row: a few hundredths seen.
constexpr double kBf16Tolerance = 0.3;

void expect_like_reference(const LlamaConfig& config, bool bf16, const std::string& precision) {
  const double tolerance = precision == "bf16" ? kBf16Tolerance : kTolerance;
  const Checkpoint checkpoint(config, 3, bf16);
  const auto model = checkpoint.open({.precision = precision});
  ASSERT_NE(model, nullptr);
  GenerateRequest request;
  request.messages = {{"user", "tell me about the fox, please: it is kind"}};
  request.sampling.max_tokens = 40;
  request.sampling.temperature = 0;
  request.logprobs = true;
  std::optional<Generation> answer;
  model->submit(request, [&](Result<Generation> g) { answer = std::move(*g); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(answer.has_value());

  const Tokenizer tokenizer = engine_test::small_tokenizer();
  std::vector<std::int32_t> tokens = *ChatFormat::pocket(tokenizer).render(tokenizer, request.messages, true);
  const std::size_t prompt = tokens.size();
  EXPECT_EQ(answer->usage.prompt_tokens, static_cast<std::int64_t>(prompt));
  tokens.insert(tokens.end(), answer->tokens.begin(), answer->tokens.end());
  const std::vector<Vector> expected = reference(config, checkpoint.tensors, tokens);
  for (std::size_t i = 0; i < answer->tokens.size(); ++i) {
    const Vector& row = expected[prompt + i - 1];
    const double best = *std::max_element(row.begin(), row.end());
    EXPECT_NEAR(row[answer->tokens[i]], best, tolerance) << "greedy token " << i;
    EXPECT_NEAR(answer->logprobs[i], row[answer->tokens[i]], tolerance) << "log-prob " << i;
  }
}

void expect_like_reference(const LlamaConfig& config, bool bf16) {
  expect_like_reference(config, bf16, "fp32");
  expect_like_reference(config, bf16, "bf16");
}

TEST(EngineNumerics, PocketShapeLikeTheReference) { expect_like_reference(engine_test::pocket_shape(), true); }
TEST(EngineNumerics, OddShapeLikeTheReference) { expect_like_reference(engine_test::odd_shape(), true); }
TEST(EngineNumerics, Fp32CheckpointLikeTheReference) { expect_like_reference(engine_test::odd_shape(), false); }
TEST(EngineNumerics, WideHeadsLikeTheReference) {
  expect_like_reference(engine_test::shape_of(64, 2, 4, 2, 64, 96, true), true);
}

class EngineVariations : public testing::TestWithParam<Variation> {};
TEST_P(EngineVariations, LikeTheReference) { expect_like_reference(GetParam().config, true); }
INSTANTIATE_TEST_SUITE_P(OddShape, EngineVariations, testing::ValuesIn(variations(engine_test::odd_shape())),
                         [](const auto& shape) { return shape.param.name; });
INSTANTIATE_TEST_SUITE_P(WideHeads, EngineVariations,
                         testing::ValuesIn(variations(engine_test::shape_of(64, 2, 4, 2, 128, 96, true))),
                         [](const auto& shape) { return shape.param.name; });

TEST(EngineNumerics, ScoresLikeTheReference) {
  const Checkpoint checkpoint(engine_test::odd_shape(), 5);
  const auto model = checkpoint.open({.precision = "fp32"});
  ASSERT_NE(model, nullptr);
  ScoreRequest request;
  request.messages = {{"user", "tell me a story about the fox"}, {"assistant", "no"}, {"user", "why"}};
  request.questions = {{" is it kind", {" yes", "n", "", " yes and more"}},
                       {" is it an animal", {"q", " yes"}},
                       {"", {"what"}}};
  std::optional<Scores> scores;
  model->submit(request, [&](Result<Scores> s) { scores = std::move(*s); });
  while (model->advance(std::chrono::milliseconds(0)) > 0) {
  }
  ASSERT_TRUE(scores.has_value());
  const Tokenizer tokenizer = engine_test::small_tokenizer();
  std::int64_t prompts = 0, outputs = 0;
  ASSERT_EQ(scores->logprobs.size(), request.questions.size());
  for (std::size_t q = 0; q < request.questions.size(); ++q) {
    Conversation messages = request.messages;
    messages.back().content += request.questions[q].tail;
    const std::vector<std::int32_t> prompt = *ChatFormat::pocket(tokenizer).render(tokenizer, messages, true);
    prompts += static_cast<std::int64_t>(prompt.size());
    ASSERT_EQ(scores->logprobs[q].size(), request.questions[q].options.size());
    for (std::size_t o = 0; o < request.questions[q].options.size(); ++o) {
      std::vector<std::int32_t> tokens = prompt;
      const std::vector<std::int32_t> option = tokenizer.encode(request.questions[q].options[o]);
      tokens.insert(tokens.end(), option.begin(), option.end());
      outputs += static_cast<std::int64_t>(option.size());
      const std::vector<Vector> expected = reference(checkpoint.config, checkpoint.tensors, tokens);
      double sum = 0;
      for (std::size_t i = 0; i < option.size(); ++i) sum += expected[prompt.size() + i - 1][option[i]];
      EXPECT_NEAR(scores->logprobs[q][o], sum, kTolerance) << q << " " << o;
    }
  }
  EXPECT_EQ(scores->usage.prompt_tokens, prompts);
  EXPECT_EQ(scores->usage.output_tokens, outputs);
  EXPECT_GT(scores->usage.cached_tokens, prompts / 2) << "shared beginnings are computed once";
}

}  // namespace
}  // namespace precept
