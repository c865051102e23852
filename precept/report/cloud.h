#pragma once
// Many named points with both of their intervals, as inline SVG.

#include <string>
#include <vector>

#include "precept/core/estimate.h"

namespace precept::svg {

struct CloudPoint {
  Estimate x, y;         // shares
  std::string name;
  const char* css;       // "before" or "after"
};

struct Window {
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1;  // of shares
};
// The smallest window of round limits in which the points and their intervals lie; of nothing: everything.
Window window_of(const std::vector<CloudPoint>& points);

// Points outside of the window are left out. Names are put where they hide nothing, with a thin line where that is not beside the point.
std::string cloud(const std::vector<CloudPoint>& points, const Window& window, const std::string& x_label, const std::string& y_label);

}  // namespace precept::svg
