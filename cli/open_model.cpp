#include "cli/open_model.h"

#include "cli/locate.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "cli/lm_library.h"
#include "precept/model/http_model.h"
#include "precept/model/scripted_model.h"

namespace precept {
namespace {

constexpr const char* kForms =
    "a model is: pocket, a checkpoint or adapter folder, FILE.gguf, http(s)://HOST:PORT/v1#NAME, or scripted:FILE.jsonl";

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

// "gopher" of "gopher://x" or "gopher:x"; empty when there is no scheme. Paths may hold colons later on.
std::string scheme_of(const std::string& uri) {
  const std::size_t colon = uri.find(':');
  if (colon == std::string::npos || colon == 0) return {};
  const auto letter = [](unsigned char c) { return std::isalnum(c) != 0 || c == '+' || c == '-'; };
  const auto end = uri.begin() + static_cast<std::ptrdiff_t>(colon);
  return std::all_of(uri.begin(), end, letter) ? uri.substr(0, colon) : std::string();
}

Result<std::unique_ptr<Model>> open_checkpoint(const std::string& folder, const OpenOptions& options) {
  const Result<const LmApi*> library = lm_library();
  if (!library) return tl::unexpected(library.error());
  return (*library)->open_checkpoint(folder, options.engine);
}

Result<std::unique_ptr<Model>> open_endpoint(const std::string& uri, const OpenOptions& options) {
  const auto http = http_options(options.endpoint, options.events);
  if (!http) return tl::unexpected(http.error());
  std::shared_ptr<Meter> meter = options.meter;
  if (!meter) {
    auto own = open_meter(options.endpoint, {uri}, "", options.events);
    if (!own) return tl::unexpected(own.error());
    meter = std::move(*own);
  }
  HttpOpen how;
  how.scores = options.scores;
  how.known = [&meter](const EndpointInfo& endpoint) { return meter->known_scores(endpoint); };
  auto model = open_http_model(uri, *http, how);
  if (!model) return model;
  if (const Status kept = meter->keep((*model)->info()); !kept) return tl::unexpected(kept.error());
  return metered(std::move(*model), std::move(meter));
}

}  // namespace

Result<std::string> pocket_folder() {
  std::error_code error;
  if (const char* named = std::getenv("PRECEPT_POCKET"); named != nullptr && *named != '\0') {
    if (std::filesystem::is_directory(named, error)) return std::string(named);
    return bad_input("PRECEPT_POCKET names no folder", "unset it to use the model that ships with Precept", named);
  }
  const std::filesystem::path here = binary_folder();
  for (const std::filesystem::path& folder :
       {here / "../../../models/pocket", here / "../share/precept/models/pocket",
        std::filesystem::path("models/pocket")}) {
    if (std::filesystem::is_directory(folder, error)) return folder.lexically_normal().string();
  }
  return bad_input("the built-in model pocket is not where it should be",
                   "run in the source tree, set PRECEPT_POCKET to its folder, or make it with precept pocket build");
}

Result<std::unique_ptr<Model>> open_model(const std::string& uri, const OpenOptions& options) {
  if (uri.empty()) return bad_input("no model is named", kForms);
  if (uri == "pocket") {
    const Result<std::string> folder = pocket_folder();
    if (!folder) return tl::unexpected(folder.error());
    return open_checkpoint(*folder, options);
  }
  if (is_endpoint(uri)) return open_endpoint(uri, options);
  const std::string scripted = "scripted:";
  if (uri == scripted) return bad_input("scripted: names no file", kForms);
  if (starts_with(uri, scripted)) return open_scripted(uri.substr(scripted.size()));
  std::error_code error;
  if (std::filesystem::is_directory(uri, error)) return open_checkpoint(uri, options);
  if (std::filesystem::exists(uri, error)) {
    if (std::filesystem::path(uri).extension() == ".gguf") return open_checkpoint(uri, options);
    return bad_input("a model is a folder or a .gguf file, and this is another file",
                     "name the folder that holds config.json and model.safetensors", uri);
  }
  const std::string scheme = scheme_of(uri);
  if (!scheme.empty()) return bad_input("no kind of model begins with \"" + scheme + ":\"", kForms);
  return bad_input("there is no model " + uri, kForms);
}

}  // namespace precept
