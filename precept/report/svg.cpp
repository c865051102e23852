#include "precept/report/svg.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "precept/report/html.h"

namespace precept::svg {
namespace {

using html::escape;

// A chart's frame: the drawing area inside a view box that is never shown much smaller than it is.
struct Frame {
  double width = 380, height = 260;
  double left = 58, right = 14, top = 16, bottom = 44;
  double x(double share) const { return left + share * (width - left - right); }
  double y(double share) const { return height - bottom - share * (height - top - bottom); }
};

std::string open(const Frame& f, const std::string& label) {
  return fmt::format("<svg class=\"chart\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", f.width,
                     f.height, escape(label));
}

std::string line(double x1, double y1, double x2, double y2, const std::string& css) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css, x1, y1, x2,
                     y2);
}

std::string text(double x, double y, const char* anchor, const std::string& content, const char* css = "tick") {
  return fmt::format("<text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", css, x, y, anchor,
                     escape(content));
}

// The name of the vertical axis, left of its numbers.
std::string y_name(const Frame& f, const std::string& name) {
  return fmt::format("<text class=\"axis-name\" transform=\"translate(12 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                     (f.y(0) + f.y(1)) / 2, escape(name));
}

// Both axes from 0 to 100%, with grid and names.
std::string unit_axes(const Frame& f, const std::string& x_label, const std::string& y_label) {
  std::string out;
  for (int i = 0; i <= 4; ++i) {
    const double share = i / 4.0;
    const std::string name = fmt::format("{}%", i * 25);
    out += line(f.x(share), f.y(0), f.x(share), f.y(1), "grid");
    out += line(f.x(0), f.y(share), f.x(1), f.y(share), "grid");
    out += text(f.x(share), f.y(0) + 20, "middle", name);
    out += text(f.x(0) - 11, f.y(share) + 4, "end", name);
  }
  out += text((f.x(0) + f.x(1)) / 2, f.height - 6, "middle", x_label, "axis-name");
  return out + y_name(f, y_label);
}

std::string short_number(double v) {
  const double size = std::abs(v);
  if (size >= 1e6) return fmt::format("{:g}M", v / 1e6);
  if (size >= 1e4) return fmt::format("{:g}k", v / 1e3);
  if (size > 0 && size < 1e-3) {  // 0.00025 is wider than the margin, and hard to read
    const double power = std::floor(std::log10(size) + 1e-9);
    return fmt::format("{:.3g}e\u2212{:.0f}", v / std::pow(10.0, power), -power);
  }
  return fmt::format("{:.6g}", v);
}

double clamp_share(double v) { return std::clamp(v, 0.0, 1.0); }

}  // namespace

std::vector<double> ticks(double low, double high, int count) {
  std::vector<double> out;
  if (!std::isfinite(low) || !std::isfinite(high) || count < 2) return out;
  if (!(high > low)) return {low};
  const double rough = (high - low) / (count - 1);
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  double step = power * 10;
  for (const double nice : {1.0, 2.0, 2.5, 5.0}) {
    if (nice * power >= rough * 0.999) {
      step = nice * power;
      break;
    }
  }
  const double first = std::floor(low / step);
  for (int i = 0; i < count + 3; ++i) {
    const double value = (first + i) * step;
    out.push_back(std::abs(value) < step * 1e-9 ? 0 : value);
    if (value >= high - step * 1e-9) break;
  }
  return out;
}

std::string track(const std::vector<Mark>& marks, const std::string& label) {
  std::string out = fmt::format("<svg class=\"track\" width=\"100%\" height=\"26\" role=\"img\" aria-label=\"{}\">",
                                escape(label));
  for (int i = 0; i <= 4; ++i) {
    out += fmt::format("<line class=\"grid\" x1=\"{0}%\" x2=\"{0}%\" y1=\"0\" y2=\"26\"/>", i * 25);
  }
  const Mark* first = nullptr;
  const Mark* last = nullptr;
  for (const Mark& mark : marks) {
    if (!mark.estimate.value) continue;
    if (!first) first = &mark;
    last = &mark;
  }
  if (first && last != first) {
    out += fmt::format("<line class=\"link\" x1=\"{:.2f}%\" x2=\"{:.2f}%\" y1=\"13\" y2=\"13\"/>",
                       clamp_share(*first->estimate.value) * 100, clamp_share(*last->estimate.value) * 100);
  }
  // Whiskers on two heights, so that neither hides the other.
  double y = marks.size() > 1 ? 9 : 13;
  for (const Mark& mark : marks) {
    const Estimate& e = mark.estimate;
    if (e.value && e.low && e.high) {
      out += fmt::format("<line class=\"whisker {}\" x1=\"{:.2f}%\" x2=\"{:.2f}%\" y1=\"{:.0f}\" y2=\"{:.0f}\"/>",
                         mark.css, clamp_share(*e.low) * 100, clamp_share(*e.high) * 100, y, y);
    }
    if (e.value) {
      out += fmt::format("<circle class=\"dot {}\" cx=\"{:.2f}%\" cy=\"{:.0f}\" r=\"5\"/>", mark.css,
                         clamp_share(*e.value) * 100, y);
    }
    y += 8;
  }
  return out + "</svg>";
}

std::string level(std::optional<double> share, double limit, const char* css, const std::string& label) {
  std::string out = fmt::format("<svg class=\"track\" width=\"100%\" height=\"26\" role=\"img\" aria-label=\"{}\">", escape(label));
  for (int i = 0; i <= 4; ++i) {
    out += fmt::format("<line class=\"grid\" x1=\"{0}%\" x2=\"{0}%\" y1=\"0\" y2=\"26\"/>", i * 25);
  }
  if (share) {
    out += fmt::format("<rect class=\"level {}\" x=\"0\" y=\"7\" width=\"{:.2f}%\" height=\"12\" rx=\"2\"/>", css,
                       clamp_share(*share) * 100);
  }
  out += fmt::format("<line class=\"limit\" x1=\"{0:.2f}%\" x2=\"{0:.2f}%\" y1=\"0\" y2=\"26\"/>", clamp_share(limit) * 100);
  return out + "</svg>";
}

std::string track_axis(const std::array<const char*, 5>& names) {
  std::string out = "<svg class=\"track\" width=\"100%\" height=\"18\" aria-hidden=\"true\">";
  for (std::size_t i = 0; i < names.size(); ++i) {
    out += fmt::format("<text class=\"tick\" x=\"{}%\" y=\"13\" text-anchor=\"{}\">{}</text>", i * 25,
                       i == 0 ? "start" : i == 4 ? "end" : "middle", escape(names[i]));
  }
  return out + "</svg>";
}

std::string scatter(const std::vector<Point>& points, const std::string& x_label, const std::string& y_label) {
  Frame f;
  f.height = 330;
  f.right = 22;
  std::string label = y_label + " against " + x_label + ":";
  std::vector<const Point*> shown;
  for (const Point& p : points) {
    if (!p.x.value || !p.y.value) continue;
    shown.push_back(&p);
    label += " " + p.label + " at " + percent(p.x.value) + ", " + percent(p.y.value) + ";";
  }
  std::string out = open(f, label) + unit_axes(f, x_label, y_label);
  if (shown.size() > 1) {
    const double x1 = f.x(clamp_share(*shown.front()->x.value)), y1 = f.y(clamp_share(*shown.front()->y.value));
    const double x2 = f.x(clamp_share(*shown.back()->x.value)), y2 = f.y(clamp_share(*shown.back()->y.value));
    const double length = std::hypot(x2 - x1, y2 - y1);
    if (length > 30) {  // from dot to dot, ending before the second
      const double ux = (x2 - x1) / length, uy = (y2 - y1) / length;
      const double ex = x2 - ux * 13, ey = y2 - uy * 13;
      out += line(x1 + ux * 10, y1 + uy * 10, ex, ey, "link");
      out += fmt::format("<path class=\"arrow\" d=\"M{:.1f} {:.1f} L{:.1f} {:.1f} L{:.1f} {:.1f} Z\"/>\n", ex + ux * 5,
                         ey + uy * 5, ex - ux * 4 - uy * 4, ey - uy * 4 + ux * 4, ex - ux * 4 + uy * 4,
                         ey - uy * 4 - ux * 4);
    }
  }
  for (const Point* p : shown) {
    const double x = f.x(clamp_share(*p->x.value)), y = f.y(clamp_share(*p->y.value));
    if (p->x.low && p->x.high) {
      out += line(f.x(clamp_share(*p->x.low)), y, f.x(clamp_share(*p->x.high)), y, std::string("whisker ") + p->css);
    }
    if (p->y.low && p->y.high) {
      out += line(x, f.y(clamp_share(*p->y.low)), x, f.y(clamp_share(*p->y.high)), std::string("whisker ") + p->css);
    }
    out += fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"/>\n", p->css, x, y);
    // Away from the other point, so that the arrow stays free; else where there is room.
    const Point* other = shown.size() < 2 ? nullptr : p == shown.front() ? shown.back() : shown.front();
    const double width = 8.0 * static_cast<double>(p->label.size());
    const bool fits_right = x + 10 + width < f.width, fits_left = x - 10 - width > f.x(0);
    const bool right = fits_right && (!fits_left || !other || *other->x.value <= *p->x.value);
    const bool wants_below = other && *other->y.value > *p->y.value;
    const bool below = y < f.y(1) + 24 || (wants_below && y < f.y(0) - 28);
    out += text(right ? x + 10 : x - 10, y + (below ? 24.0 : -13.0), right ? "start" : "end", p->label, "point-name");
  }
  return out + "</svg>\n";
}

std::string columns(const std::vector<Column>& all, const std::string& x_label, const std::string& y_label) {
  Frame f;
  f.left = 30;
  f.height = 210;
  f.top = 24;
  f.bottom = 40;
  double most = 0;
  for (const Column& c : all) most = std::max(most, std::isfinite(c.value) ? c.value : 0);
  std::string out = open(f, y_label + " by " + x_label);
  const double slot = (f.width - f.left - f.right) / static_cast<double>(std::max<std::size_t>(all.size(), 1));
  const double bar = std::min(56.0, slot * 0.68);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const double middle = f.left + slot * (static_cast<double>(i) + 0.5);
    const double share = most > 0 && std::isfinite(all[i].value) ? std::max(0.0, all[i].value / most) : 0;
    const double top = f.y(share);
    out += fmt::format("<rect class=\"bar\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" rx=\"2\"/>\n",
                       middle - bar / 2, top, bar, f.y(0) - top);
    out += text(middle, top - 6, "middle", all[i].text, "value");
    out += text(middle, f.y(0) + 16, "middle", all[i].label);
  }
  out += line(f.left, f.y(0), f.width - f.right, f.y(0), "axis");
  out += text((f.x(0) + f.x(1)) / 2, f.height - 5, "middle", x_label, "axis-name");
  return out + y_name(f, y_label) + "</svg>\n";
}

std::vector<std::pair<double, double>> thin(const std::vector<std::pair<double, double>>& points, std::size_t most) {
  if (points.size() <= most || most == 0) return points;
  std::vector<std::pair<double, double>> out;
  for (std::size_t i = 0; i < most; ++i) {
    const std::size_t begin = i * points.size() / most, end = (i + 1) * points.size() / most;
    double x = 0, y = 0;
    for (std::size_t k = begin; k < end; ++k) {
      x += points[k].first;
      y += points[k].second;
    }
    const auto n = static_cast<double>(end - begin);
    out.emplace_back(x / n, y / n);
  }
  return out;
}

std::string curve(const std::vector<std::pair<double, double>>& points, const std::string& label, const std::string& y_label) {
  Frame f;
  f.height = 220;
  f.left = 66;
  std::vector<std::pair<double, double>> finite;
  for (const auto& p : points) {
    if (std::isfinite(p.first) && std::isfinite(p.second)) finite.push_back(p);
  }
  std::string out = open(f, label + (finite.empty() ? ": no values" : ""));
  if (finite.empty()) {
    out += text(f.width / 2, f.height / 2, "middle", "no finite values", "axis-name");
    return out + "</svg>\n";
  }
  finite = thin(finite, 400);
  double x0 = finite[0].first, x1 = x0, y0 = finite[0].second, y1 = y0;
  for (const auto& p : finite) {
    x0 = std::min(x0, p.first);
    x1 = std::max(x1, p.first);
    y0 = std::min(y0, p.second);
    y1 = std::max(y1, p.second);
  }
  if (y0 > 0 && y0 < 0.6 * y1) y0 = 0;  // a loss starts at zero unless that would flatten it
  const std::vector<double> levels = ticks(y0, y1, 5);
  if (levels.size() > 1) {
    y0 = std::min(y0, levels.front());
    y1 = std::max(y1, levels.back());
  }
  const auto fx = [&](double x) { return f.x(x1 > x0 ? (x - x0) / (x1 - x0) : 0.5); };
  const auto fy = [&](double y) { return f.y(y1 > y0 ? (y - y0) / (y1 - y0) : 0.5); };
  for (const double level : levels) {
    out += line(f.left, fy(level), f.width - f.right, fy(level), "grid");
    out += text(f.left - 7, fy(level) + 4, "end", short_number(level));
  }
  for (const double step : ticks(x0, x1, 5)) {
    if (step < x0 || step > x1 || step != std::round(step)) continue;
    out += line(fx(step), f.y(0), fx(step), f.y(0) + 4, "axis");
    out += text(fx(step), f.y(0) + 17, "middle", short_number(step));
  }
  std::string path;
  for (const auto& p : finite) {
    path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", fx(p.first), fy(p.second));
  }
  if (finite.size() == 1) {
    out += fmt::format("<circle class=\"dot after\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>\n", fx(finite[0].first),
                       fy(finite[0].second));
  } else {
    out += fmt::format("<path class=\"line\" d=\"{}\"/>\n", path);
  }
  out += text((f.x(0) + f.x(1)) / 2, f.height - 6, "middle", "step", "axis-name");
  out += y_name(f, y_label);
  return out + "</svg>\n";
}

std::string reliability(const std::vector<ReliabilityBin>& bins, const std::string& label) {
  Frame f;
  f.height = 300;
  std::int64_t most = 0;
  for (const ReliabilityBin& bin : bins) most = std::max(most, bin.n);
  std::string out = open(f, label) + unit_axes(f, "probability the judge states", "share that was true");
  out += line(f.x(0), f.y(0), f.x(1), f.y(1), "ideal");
  for (const ReliabilityBin& bin : bins) {
    if (bin.n <= 0) continue;
    const Estimate e = proportion(std::clamp<std::int64_t>(bin.positive, 0, bin.n), bin.n);
    const double x = f.x(clamp_share(bin.mean_probability));
    const double r = 3 + 6 * std::sqrt(static_cast<double>(bin.n) / static_cast<double>(most));
    out += line(x, f.y(*e.low), x, f.y(*e.high), "whisker after");
    out += fmt::format("<circle class=\"dot after\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\"/>\n", x, f.y(*e.value), r);
  }
  return out + "</svg>\n";
}

}  // namespace precept::svg
