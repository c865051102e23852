#include "precept/checkpoint/llama_tensors.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "precept/core/parallel.h"
#include "precept/core/quote.h"

namespace precept {
namespace {

const char* const kMismatch = "config.json and the weights do not belong together";

}  // namespace

std::vector<TensorShape> llama_tensors(const LlamaConfig& c) {
  const std::int64_t hidden = c.hidden_size, wide = c.intermediate_size;
  const std::int64_t queries = std::int64_t{c.num_attention_heads} * c.head_dim, keys = std::int64_t{c.num_key_value_heads} * c.head_dim;
  std::vector<TensorShape> all = {{"model.embed_tokens.weight", {c.vocab_size, hidden}}};
  for (int i = 0; i < c.num_hidden_layers; ++i) {
    const auto add = [&](const char* name, std::vector<std::int64_t> shape) {
      all.push_back({"model.layers." + std::to_string(i) + "." + name, std::move(shape)});
    };
    add("input_layernorm.weight", {hidden});
    add("self_attn.q_proj.weight", {queries, hidden});
    add("self_attn.k_proj.weight", {keys, hidden});
    add("self_attn.v_proj.weight", {keys, hidden});
    if (c.qkv_bias) {
      add("self_attn.q_proj.bias", {queries});
      add("self_attn.k_proj.bias", {keys});
      add("self_attn.v_proj.bias", {keys});
    }
    if (c.qk_norm) {
      add("self_attn.q_norm.weight", {c.head_dim});
      add("self_attn.k_norm.weight", {c.head_dim});
    }
    add("self_attn.o_proj.weight", {hidden, queries});
    if (c.out_bias) add("self_attn.o_proj.bias", {hidden});
    add("post_attention_layernorm.weight", {hidden});
    add("mlp.gate_proj.weight", {wide, hidden});
    add("mlp.up_proj.weight", {wide, hidden});
    add("mlp.down_proj.weight", {hidden, wide});
  }
  all.push_back({"model.norm.weight", {hidden}});
  if (!c.tie_word_embeddings) all.push_back({"lm_head.weight", {c.vocab_size, hidden}});
  return all;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text = "[";
  for (const std::int64_t n : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(n);
  return text + "]";
}

bool is_derived_tensor(const std::string& name) {
  const std::string_view ending = ".rotary_emb.inv_freq";
  return name.size() > ending.size() && std::string_view(name).substr(name.size() - ending.size()) == ending;
}

Status check_llama_tensors(const LlamaConfig& config, const std::vector<TensorShape>& found, const std::string& file) {
  std::map<std::string, const TensorShape*> left;
  for (const TensorShape& tensor : found) left.emplace(tensor.name, &tensor);
  for (const TensorShape& wanted : llama_tensors(config)) {
    const auto at = left.find(wanted.name);
    if (at == left.end()) return bad_input("the checkpoint lacks the tensor " + wanted.name, kMismatch, file);
    if (at->second->shape != wanted.shape) {
      return bad_input("the tensor " + wanted.name + " is " + shape_text(at->second->shape) + ", but its config makes it " + shape_text(wanted.shape), kMismatch, file);
    }
    left.erase(at);
  }
  for (const auto& [name, tensor] : left) {
    if (!is_derived_tensor(name)) return bad_input("the checkpoint holds the tensor " + in_quotes(name) + ", which a model of this shape lacks", kMismatch, file);
  }
  return {};
}

Status check_llama_checkpoint(const LlamaConfig& config, const CheckpointTensors& tensors, const std::string& folder) {
  const TensorView *head = tensors.find("lm_head.weight"), *embed = tensors.find("model.embed_tokens.weight");
  const bool copied = config.tie_word_embeddings && head != nullptr && embed != nullptr && head->bytes == embed->bytes;
  std::vector<TensorShape> shapes;
  std::vector<const TensorView*> used;
  for (const TensorView& view : tensors.tensors) {
    if (copied && &view == head) continue;
    shapes.push_back({view.name, view.shape});
    if (!is_derived_tensor(view.name)) used.push_back(&view);
  }
  if (Status fine = check_llama_tensors(config, shapes, folder); !fine) return fine;
  for (const TensorView* view : used) {
    if (is_float(view->dtype)) continue;
    return bad_input("the tensor " + view->name + " is " + std::string(dtype_name(view->dtype)) + ", not F32, F16 or BF16", kMismatch, folder);
  }
  std::vector<char> finite(used.size());
  in_parallel(used.size(), [&](std::size_t i) { finite[i] = all_finite(used[i]->dtype, used[i]->bytes); });
  const auto broken = std::find(finite.begin(), finite.end(), 0);
  if (broken == finite.end()) return {};
  return bad_input("the tensor " + used[static_cast<std::size_t>(broken - finite.begin())]->name + " holds values that are not finite",
                   "the file is damaged, or the training that made it diverged", folder);
}

}  // namespace precept
