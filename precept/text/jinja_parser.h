#pragma once
// The grammar of Jinja2 3.1 for one template: no inheritance, no includes.

#include <memory>
#include <string>
#include <string_view>

#include "precept/core/result.h"
#include "precept/text/chat_template.h"
#include "precept/text/jinja_ast.h"

namespace precept::jinja {

// `source` is valid UTF-8. Filters and tests that do not exist, and tags that are not supported, are errors here.
Result<std::shared_ptr<const Program>> parse_program(std::string_view source, const std::string& file,
                                                     const TemplateLimits& limits);

}  // namespace precept::jinja
