// A model that others trained, in a file that others wrote: stories260K of karpathy/tinyllamas as GGUF.

#include <cstdlib>
#include <filesystem>

#include <gtest/gtest.h>

#include "precept/lm/api.h"

namespace precept {
namespace {

std::string test_data() {
  if (const char* named = std::getenv("PRECEPT_TESTDATA"); named != nullptr && *named != '\0') return named;
  return std::string(std::getenv("PRECEPT_SOURCE") != nullptr ? std::getenv("PRECEPT_SOURCE") : ".") + "/../shared/data";
}

// Greedy text from the beginning-of-text token alone, as llama.cpp and the model's own program give it.
constexpr const char* kStory =
    "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball. "
    "She wanted to play with it, but it was too high.\nLily's mom said, \"Lily, let's go to the park.\" Lily was sad and didn't know "
    "what to do.";

TEST(GgufModel, TellsTheStoryByteForByte) {
  std::string path;
  const std::string folder = test_data() + "/models";
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() == ".gguf") path = entry.path().string();
  }
  if (path.empty()) GTEST_SKIP() << "no GGUF model in " << folder << " (PRECEPT_TESTDATA names another folder)";
  for (const std::int64_t pack_bytes : {std::int64_t{1} << 30, std::int64_t{0}}) {
    auto model = precept_lm_api()->open_checkpoint(path, {.pack_bytes = pack_bytes});
    ASSERT_TRUE(model.has_value()) << model.error().message();
    GenerateRequest request;
    request.raw = true;
    request.messages = {{"user", "Once"}};
    request.sampling.temperature = 0;
    request.sampling.max_tokens = 200;
    std::optional<Result<Generation>> answer;
    (*model)->submit(request, [&](Result<Generation> got) { answer = std::move(got); });
    while ((*model)->advance(std::chrono::milliseconds(0)) > 0) {
    }
    ASSERT_TRUE(answer->has_value()) << answer->error().message();
    EXPECT_EQ(("Once" + (*answer)->text).substr(0, std::string(kStory).size()), kStory);
  }
}

}  // namespace
}  // namespace precept
