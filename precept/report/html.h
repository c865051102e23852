#pragma once
// Text into HTML, safely. Everything that a model or a file wrote passes through escape().

#include <cstddef>
#include <string>
#include <string_view>

#include "precept/core/estimate.h"

namespace precept::html {

// Safe in element content and in quoted attributes. Invalid UTF-8 becomes U+FFFD; control characters their
// visible picture; characters that reorder text (bidirectional overrides and isolates) a visible "[U+202E]".
std::string escape(std::string_view text);

// escape() of at most `max_bytes`, with a note of how much was cut.
std::string bounded(std::string_view text, std::size_t max_bytes);

// <p class="text"> for people: line breaks kept, direction found by the browser, bounded.
std::string paragraph(std::string_view text, std::size_t max_bytes, const char* css = "text");

std::string count(std::int64_t n);                    // "12,345"
std::string duration(double seconds);                 // "4 min 12 s"
std::string p_value(std::optional<double> p);         // "p &lt; 0.001", "p = 0.031", "p undefined"
std::string points(const Estimate& difference);       // "-59.2 points [-63.1, -55.0]"
std::string interval(const Estimate& e);              // "2.9-5.6%" with a longer dash, "at most 2.95% (95%)"
std::string counts(const Estimate& e);                // "n = 1,000, 3 unscored"
std::string decimal(std::optional<double> value, int digits);  // "0.42", "&lt; 0.001", "&gt; 0.999" or a dash; as HTML

}  // namespace precept::html
