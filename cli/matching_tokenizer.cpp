#include "cli/matching_tokenizer.h"

namespace precept {

Status check_tokenizer_fits(const Tokenizer& tokenizer, const LlamaConfig& config, const std::string& folder) {
  // Models have spare rows of embeddings, but few.
  const int tokens = tokenizer.size(), rows = config.vocab_size;
  if (tokens <= rows && tokens >= rows / 2) return {};
  return bad_input("the tokenizer has " + std::to_string(tokens) + " tokens, the model " + std::to_string(rows),
                   "the tokenizer belongs to another model", folder);
}

Result<TokenizerFiles> load_matching_tokenizer(const std::string& folder) {
  auto files = load_tokenizer_files(folder);
  if (!files) return files;
  const auto config = load_llama_config(folder);
  if (!config) return tl::unexpected(config.error());
  if (const Status fits = check_tokenizer_fits(files->tokenizer, *config, folder); !fits) return tl::unexpected(fits.error());
  return files;
}

}  // namespace precept
