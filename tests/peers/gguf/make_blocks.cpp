// Makes tests/checkpoint/gguf_blocks.h: blocks of every quantised type, made by ggml itself from a known wave, and what
// ggml reads from them. Needs ggml's shared library, which the npm package @node-llama-cpp/linux-x64 carries:
//
//   g++ -std=c++20 -O2 tests/peers/gguf/make_blocks.cpp -ldl -o make_blocks
//   ./make_blocks .../libggml-base.so > tests/checkpoint/gguf_blocks.h

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include <dlfcn.h>

namespace {

struct Type {
  const char *name, *ours;
  int elements, bytes;
};
constexpr Type kTypes[] = {{"q8_0", "kQ8_0", 32, 34}, {"q4_0", "kQ4_0", 32, 18}, {"q4_1", "kQ4_1", 32, 20},
                           {"q5_0", "kQ5_0", 32, 22}, {"q5_1", "kQ5_1", 32, 24}, {"q4_K", "kQ4K", 256, 144},
                           {"q5_K", "kQ5K", 256, 176}, {"q6_K", "kQ6K", 256, 210}};

template <class F>
F find(void* library, const std::string& name) {
  void* found = dlsym(library, name.c_str());
  if (found == nullptr) std::fprintf(stderr, "no %s\n", name.c_str());
  return reinterpret_cast<F>(found);
}

}  // namespace

int main(int argc, char** argv) {
  void* library = argc == 2 ? dlopen(argv[1], RTLD_NOW) : nullptr;
  if (library == nullptr) {
    std::fprintf(stderr, "usage: make_blocks libggml-base.so\n");
    return 2;
  }
  // A wave with an offset that grows, so that every group of a block has its own scale and minimum. Multiples of 2^-12.
  std::vector<float> wave(256);
  for (int i = 0; i < 256; ++i) wave[i] = static_cast<float>(std::nearbyint(4096 * (std::sin(0.37 * i) * (1 + i / 64.0) + i / 100.0 - 1))) / 4096;
  std::printf("#pragma once\n// Blocks that ggml made of kWave, and the sum of what it reads from them. Made by tests/peers/gguf/make_blocks.cpp.\n\n");
  std::printf("#include \"precept/checkpoint/ggml_type.h\"\n\nnamespace precept::testing_gguf {\n\n");
  std::printf("inline constexpr float kWave[256] = {");
  for (int i = 0; i < 256; ++i) std::printf("%s%d / 4096.0F", i % 8 == 0 ? (i == 0 ? "\n    " : ",\n    ") : ", ", static_cast<int>(4096 * wave[i]));
  std::printf("};\n\nstruct Golden {\n  GgmlType type;\n  const char* blocks;  // hex\n  float first, last;   // elements 0 and 255\n  double sum, weighted;  // of element i, and of i * element i: exact\n};\n");
  std::printf("inline constexpr Golden kGoldens[] = {\n");
  for (const Type& type : kTypes) {
    const auto quantise = find<void (*)(const float*, void*, std::int64_t)>(library, "quantize_row_" + std::string(type.name) + "_ref");
    const auto dequantise = find<void (*)(const void*, float*, std::int64_t)>(library, "dequantize_row_" + std::string(type.name));
    if (quantise == nullptr || dequantise == nullptr) return 1;
    std::vector<unsigned char> blocks(256 / type.elements * type.bytes);
    std::vector<float> back(256);
    quantise(wave.data(), blocks.data(), 256);
    dequantise(blocks.data(), back.data(), 256);
    std::printf("    {GgmlType::%s,", type.ours);
    for (std::size_t i = 0; i < blocks.size(); ++i) std::printf("%s%02x", i % 48 == 0 ? (i == 0 ? "\n     \"" : "\"\n     \"") : "", blocks[i]);
    double sum = 0, weighted = 0;
    for (int i = 0; i < 256; ++i) {
      sum += back[i];
      weighted += i * static_cast<double>(back[i]);
    }
    std::printf("\",\n     %aF, %aF, %a, %a},\n", back[0], back[255], sum, weighted);
  }
  std::printf("};\n\n}  // namespace precept::testing_gguf\n");
  return 0;
}
