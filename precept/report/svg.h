#pragma once
// The few charts that a report needs, as inline SVG. Colours come from the page's CSS classes (before, after,
// axis, grid, bar, line), so that light, dark and print are the page's affair. Labels are escaped here.

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "precept/core/estimate.h"

namespace precept::svg {

// Round numbers that span [low, high], at most about `count` of them.
std::vector<double> ticks(double low, double high, int count);

struct Mark {
  Estimate estimate;  // shares in [0, 1]
  const char* css;    // "before" or "after"
};

// One line of a dot plot over 0 to 100%, as wide as its container: whiskers, dots and a line from the first
// mark to the last. Undefined marks are left out.
std::string track(const std::vector<Mark>& marks, const std::string& label);
// A bar from the left, as wide as its container, with a dashed line at `limit`; both are shares of the scale. An
// undefined share has no bar.
std::string level(std::optional<double> share, double limit, const char* css, const std::string& label);
// The scale below such lines: five names, evenly spaced.
std::string track_axis(const std::array<const char*, 5>& names = {"0%", "25%", "50%", "75%", "100%"});

struct Point {
  Estimate x, y;  // shares
  std::string label;
  const char* css;
};
// Points with both whiskers on a square from 0 to 100%; an arrow from the first to the last.
std::string scatter(const std::vector<Point>& points, const std::string& x_label, const std::string& y_label);

struct Column {
  std::string label;
  double value = 0;
  std::string text;  // written above
};
std::string columns(const std::vector<Column>& columns, const std::string& x_label, const std::string& y_label);

// A curve over steps; long ones are thinned by averaging. Values that are not finite are left out.
std::string curve(const std::vector<std::pair<double, double>>& points, const std::string& label, const std::string& y_label);

// Observed share against stated probability, dots as large as the bin.
std::string reliability(const std::vector<ReliabilityBin>& bins, const std::string& label);

// At most `most` points, each the mean of its bucket.
std::vector<std::pair<double, double>> thin(const std::vector<std::pair<double, double>>& points, std::size_t most);

}  // namespace precept::svg
