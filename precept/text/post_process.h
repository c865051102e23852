#pragma once
// Post-processors of a tokenizer.json, for one sequence: special tokens before and after it. Internal to text/.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "precept/core/result.h"

namespace precept {

struct PostProcess {
  std::vector<std::int32_t> before, after;
};

// `size`: how many tokens there are; ids beyond are refused.
Result<PostProcess> parse_post_process(const nlohmann::json& part, std::size_t size, const std::string& file_for_errors);

}  // namespace precept
