#include "cli/lm_library.h"

#include "cli/locate.h"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>

namespace precept {
namespace {

constexpr const char* kLibrary = "libprecept_lm.so";

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Result<const LmApi*> open_library() {
  for (const char* folder : {"", "/../lib", "/../lib/precept"}) {
    const std::string path = binary_folder() + folder + "/" + kLibrary;
    std::error_code error;
    if (!std::filesystem::exists(path, error)) continue;
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();
      return failed(std::string("the library of language models cannot be opened: ") +
                        one_line(why != nullptr ? why : "no reason given"),
                    "install the packages it needs (scripts/install-packages) or build again", path);
    }
    using Entry = const LmApi* (*)();
    const auto entry = reinterpret_cast<Entry>(dlsym(library, "precept_lm_api"));
    if (entry == nullptr) return failed("the library of language models is of another version", "build again", path);
    return entry();
  }
  return failed(std::string("there is no ") + kLibrary + " beside the program",
                "build with -DPRECEPT_LM=ON, or use a model behind an endpoint (http://host:port/v1#name)",
                binary_folder());
}

}  // namespace

Result<const LmApi*> lm_library() {
  static const Result<const LmApi*> library = open_library();
  return library;
}

}  // namespace precept
