// Bytes a second that tokenizers encode and decode on one core, and that time grows with the length of the text:
//   bench_tokenizer TEXT FOLDER...      each FOLDER holds a tokenizer (tokenizer.json, vocab.json with merges.txt, ...)

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>

#include "precept/core/io.h"
#include "precept/text/tokenizer.h"

using namespace precept;

namespace {

double seconds(const std::chrono::steady_clock::time_point& since) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
}

void measure(const char* name, const Tokenizer& tokenizer, const std::string& text) {
  std::size_t tokens = 0;
  double best = 1e9;
  std::vector<std::int32_t> ids;
  for (int round = 0; round < 5; ++round) {
    const auto start = std::chrono::steady_clock::now();
    ids = tokenizer.encode(text);
    best = std::min(best, seconds(start));
    tokens = ids.size();
  }
  const auto start = std::chrono::steady_clock::now();
  const bool same = tokenizer.decode(ids) == text;
  const double decoding = seconds(start);
  const double mb = static_cast<double>(text.size()) / 1e6;
  std::printf("%-12s %7.1f MB  %8zu tokens  encode %7.1f MB/s  decode %7.1f MB/s%s\n", name, mb, tokens, mb / best, mb / decoding,
              same ? "" : "  (decodes to another text)");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: bench_tokenizer TEXT FOLDER...\n");
    return 2;
  }
  const auto text = read_file(argv[1]);
  if (!text) {
    std::fprintf(stderr, "%s\n", text.error().message().c_str());
    return 2;
  }
  for (int i = 2; i < argc; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto tokenizer = load_tokenizer(argv[i]);
    if (!tokenizer) {
      std::fprintf(stderr, "%s\n", tokenizer.error().message().c_str());
      return 2;
    }
    std::printf("%s: %d tokens, loaded in %.2f s\n", argv[i], tokenizer->size(), seconds(start));
    measure("text", *tokenizer, *text);
    for (const char c : {'a', ' ', '\n', '7', '='}) measure((std::string("10 MB of ") + (c == '\n' ? 'n' : c)).c_str(), *tokenizer, std::string(10'000'000, c));
  }
  return 0;
}
