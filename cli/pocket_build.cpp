#include "cli/pocket_build.h"

#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "cli/interrupt.h"
#include "cli/matching_tokenizer.h"
#include "cli/train_set.h"
#include "precept/constitution/recipe.h"
#include "precept/checkpoint/llama_config.h"
#include "precept/core/digest.h"
#include "precept/core/io.h"
#include "precept/core/strict_json.h"
#include "precept/text/chat_codec.h"
#include "worlds/pocket/documents.h"

namespace precept {
namespace {

// Enough documents for every word of the world to be counted.
constexpr std::uint64_t kTokenizerDocuments = 30000;

Result<TokenizerFiles> train_pocket_tokenizer(const PocketBuildOptions& options) {
  std::map<std::string, std::int64_t> texts;
  for (std::uint64_t i = 0; i < kTokenizerDocuments; ++i) {
    for (const Message& message : pocket::make_document(options.seed, i).messages) ++texts[message.content];
  }
  auto tokenizer = train_bpe(texts, {options.vocab_size, pocket_special_tokens()});
  if (!tokenizer) return tl::unexpected(tokenizer.error());
  return TokenizerFiles{*tokenizer, ChatCodec(ChatFormat::pocket(*tokenizer))};
}

LlamaConfig shape(const PocketBuildOptions& options, const TokenizerFiles& files) {
  LlamaConfig config;
  config.vocab_size = files.tokenizer.size();
  config.hidden_size = options.hidden_size;
  config.intermediate_size = options.intermediate_size;
  config.num_hidden_layers = options.layers;
  config.num_attention_heads = options.heads;
  config.num_key_value_heads = options.heads;
  config.head_dim = options.hidden_size / options.heads;
  config.max_position_embeddings = 1024;
  config.tie_word_embeddings = true;
  if (const ChatFormat* chat = files.chat.format(); chat != nullptr) {
    if (!chat->begin_ids.empty()) config.bos_token_id = chat->begin_ids[0];
    if (!chat->stop_ids.empty()) config.eos_token_id = chat->stop_ids[0];
  }
  return config;
}

// With every option that is not at its default.
std::string command_of(PocketBuildOptions made) {
  PocketBuildOptions usual;
  std::string command = "precept pocket build --out " + made.out;
  const auto fields = fields_of(made), defaults = fields_of(usual);
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const FieldValue value = fields[i].value();
    if (!fields[i].rule.in_recipe || value == defaults[i].value()) continue;
    const auto* text = std::get_if<std::string>(&value);
    command += " " + flag_of(fields[i].name) + " " + (text ? *text : toml_value(value));
  }
  return command;
}

Status write_manifest(const PocketBuildOptions& o, const TrainSummary& summary) {
  const auto config = load_llama_config(o.out);  // with --from, another shape than that of the options
  if (!config) return tl::unexpected(config.error());
  nlohmann::ordered_json manifest;
  manifest["name"] = "pocket";
  manifest["command"] = command_of(o);
  manifest["parameters"] = config->parameters();
  manifest["documents"] = o.documents;
  manifest["tokens"] = summary.tokens;
  manifest["trained_tokens"] = summary.trained_tokens;
  manifest["steps"] = summary.steps;
  manifest["seconds"] = summary.seconds;
  manifest["precision"] = summary.precision;
  manifest["first_loss"] = summary.first_loss;
  manifest["last_loss"] = summary.last_loss;
  manifest["weights_digest"] = summary.digest;
  if (const std::string before = o.from + "/manifest.json"; !o.from.empty() && std::filesystem::exists(before)) {
    const auto text = read_text(before, std::size_t{1} << 20);
    if (!text) return tl::unexpected(text.error());
    if (!nested_too_deeply(*text)) manifest["from"] = nlohmann::ordered_json::parse(*text, nullptr, false);
  }
  for (const char* name : {"model.safetensors", "config.json", "tokenizer.json", "chat.json"}) {
    const auto digest = sha256_file(o.out + "/" + name);
    if (!digest) return tl::unexpected(digest.error());
    manifest["files"][name] = *digest;
  }
  return write_file(o.out + "/manifest.json", manifest.dump(2) + "\n");
}

}  // namespace

Result<TrainSummary> build_pocket(const LmApi& lm, const PocketBuildOptions& options, const EventSink& events) {
  const auto note = [&](const std::string& text) {
    Event event;
    event.kind = Event::Kind::kNote;
    event.stage = "pocket";
    event.text = text;
    if (events) events(event);
  };
  if (options.heads < 1 || options.hidden_size % options.heads != 0) {
    return bad_input("--hidden-size must be a multiple of --heads", "192 and 6, for example");
  }
  auto files = options.from.empty() ? train_pocket_tokenizer(options) : load_matching_tokenizer(options.from);
  if (!files) return tl::unexpected(files.error());
  if (files->chat.format() == nullptr) return bad_input("the checkpoint of --from has no chat.json", "name one that precept pocket build made", options.from);
  note("tokenizer: " + std::to_string(files->tokenizer.size()) + " tokens");

  TrainOptions train;
  train.from = options.from;
  train.fresh = shape(options, *files);
  train.out = options.out;
  train.state = options.state.empty() ? options.out + ".state" : options.state;
  train.tokenizer_folder = train.state + "/tokenizer";
  train.batch_tokens = options.batch_tokens;
  train.lr = options.lr;
  train.min_lr_share = 0.05;
  train.precision = options.precision;
  train.seed = options.seed;
  train.threads = options.threads;
  train.stop = interrupted;
  for (const auto& folder : {train.state, train.tokenizer_folder}) {
    if (const auto made = make_folder(folder); !made) return tl::unexpected(made.error());
  }
  if (const auto written = write_tokenizer_files(train.tokenizer_folder, files->tokenizer, *files->chat.format()); !written) {
    return tl::unexpected(written.error());
  }
  TrainSet set = pocket_train_set(options.seed, options.documents, *files);
  if (options.first_document > 0) {
    set.example = [inner = set.example, first = options.first_document](std::uint64_t i) { return inner(first + i); };
    set.digest += " from " + std::to_string(options.first_document);
  }
  auto summary = lm.train(train, set, events);
  if (!summary) return summary;
  const auto written = write_manifest(options, *summary);
  if (!written) return tl::unexpected(written.error());
  PocketBuildOptions made = options;
  const std::string comment = "What this checkpoint is made of, defaults included. Again: precept pocket build --recipe FILE --out DIR\n"
                              "weights " + summary->digest;
  const auto kept = write_file(options.out + "/recipe.toml", recipe_text({"pocket_build", fields_of(made)}, comment));
  if (!kept) return tl::unexpected(kept.error());
  return summary;
}

}  // namespace precept
