#include "precept/report/cloud.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "precept/report/html.h"
#include "precept/report/svg.h"

namespace precept::svg {
namespace {

constexpr double kWidth = 560, kHeight = 400, kLeft = 62, kRight = 18, kTop = 16, kBottom = 46;
constexpr double kDot = 6, kLetter = 7.6, kLine = 15;  // radius; a name's mean letter and height

struct Box {
  double x0, y0, x1, y1;
  bool meets(const Box& o) const { return x0 < o.x1 && o.x0 < x1 && y0 < o.y1 && o.y0 < y1; }
  // The area that the two share.
  double shared(const Box& o) const { return meets(o) ? (std::min(x1, o.x1) - std::max(x0, o.x0)) * (std::min(y1, o.y1) - std::max(y0, o.y0)) : 0; }
};

struct Scale {
  Window w;
  double x(double share) const { return kLeft + (share - w.x0) / (w.x1 - w.x0) * (kWidth - kLeft - kRight); }
  double y(double share) const { return kHeight - kBottom - (share - w.y0) / (w.y1 - w.y0) * (kHeight - kTop - kBottom); }
  bool holds(const CloudPoint& p) const {
    return p.x.value && p.y.value && *p.x.value >= w.x0 && *p.x.value <= w.x1 && *p.y.value >= w.y0 && *p.y.value <= w.y1;
  }
};

// A tick's name with as many digits as its neighbours differ by.
std::string tick_name(double share, double step) {
  const int digits = step < 0.00095 ? 2 : step < 0.0095 ? 1 : 0;
  return fmt::format("{:.{}f}%", 100 * share, digits);
}

std::string axes(const Scale& s, const std::string& x_label, const std::string& y_label) {
  std::string out;
  const auto each = [](double low, double high, const auto& put) {
    const std::vector<double> all = ticks(low, high, 6);
    for (const double at : all) {
      if (at >= low - 1e-9 && at <= high + 1e-9) put(at, all.size() > 1 ? all[1] - all[0] : 1.0);
    }
  };
  each(s.w.x0, s.w.x1, [&](double at, double step) {
    out += fmt::format("<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\"/>\n", s.x(at), s.y(s.w.y0), s.y(s.w.y1));
    out += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", s.x(at), s.y(s.w.y0) + 18, tick_name(at, step));
  });
  each(s.w.y0, s.w.y1, [&](double at, double step) {
    out += fmt::format("<line class=\"grid\" x1=\"{1:.1f}\" x2=\"{2:.1f}\" y1=\"{0:.1f}\" y2=\"{0:.1f}\"/>\n", s.y(at), s.x(s.w.x0), s.x(s.w.x1));
    out += fmt::format("<text class=\"tick\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n", s.x(s.w.x0) - 9, s.y(at) + 4, tick_name(at, step));
  });
  out += fmt::format("<text class=\"axis-name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", (s.x(s.w.x0) + s.x(s.w.x1)) / 2,
                     kHeight - 6, html::escape(x_label));
  return out + fmt::format("<text class=\"axis-name\" transform=\"translate(13 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                           (s.y(s.w.y0) + s.y(s.w.y1)) / 2, html::escape(y_label));
}

// Where a name goes: the first of the places round its point that hides nothing, else the one that hides least.
Box place(double x, double y, double width, const std::vector<Box>& taken) {
  Box best{};
  double least = 1e18;
  for (int ring = 0; ring < 5; ++ring) {
    const double far = kDot + 4 + 14.0 * ring;
    for (const auto& [dx, dy] : {std::pair(1.0, -0.75), {1.0, 0.75}, {-1.0, -0.75}, {-1.0, 0.75}, {0.0, -1.3}, {0.0, 1.3}, {1.0, 0.0}, {-1.0, 0.0}}) {
      const double cx = x + dx * (far + width / 2) * (dx == 0 ? 0 : 1), cy = y + dy * (far + 2);
      const Box box{cx - width / 2, cy - kLine / 2, cx + width / 2, cy + kLine / 2};
      if (box.x0 < kLeft + 2 || box.x1 > kWidth - 2 || box.y0 < 2 || box.y1 > kHeight - kBottom - 2) continue;
      double hidden = 0;
      for (const Box& other : taken) hidden += box.shared(other);
      if (hidden < least - 1e-9) least = hidden, best = box;
      if (hidden == 0) return box;
    }
  }
  return best;
}

double clamp_to(double v, double low, double high) { return std::clamp(v, low, high); }

}  // namespace

Window window_of(const std::vector<CloudPoint>& points) {
  Window w{1, 0, 1, 0};
  for (const CloudPoint& p : points) {
    if (!p.x.value || !p.y.value) continue;
    w.x0 = std::min(w.x0, p.x.low.value_or(*p.x.value)), w.x1 = std::max(w.x1, p.x.high.value_or(*p.x.value));
    w.y0 = std::min(w.y0, p.y.low.value_or(*p.y.value)), w.y1 = std::max(w.y1, p.y.high.value_or(*p.y.value));
  }
  if (w.x0 > w.x1) return {};
  const auto round = [](double& low, double& high) {
    const double room = std::max(0.004, 0.06 * (high - low));
    const std::vector<double> all = ticks(std::max(0.0, low - room), std::min(1.0, high + room), 6);
    low = std::max(0.0, all.front());
    high = std::min(1.0, all.back());
  };
  round(w.x0, w.x1);
  round(w.y0, w.y1);
  return w;
}

std::string cloud(const std::vector<CloudPoint>& points, const Window& window, const std::string& x_label, const std::string& y_label) {
  const Scale s{window};
  std::string label = y_label + " against " + x_label + ":", whiskers, dots, names;
  std::vector<Box> taken;
  for (const CloudPoint& p : points) {
    if (!s.holds(p)) continue;
    label += " " + p.name + " at " + percent(p.x.value) + ", " + percent(p.y.value) + ";";
    const double x = s.x(*p.x.value), y = s.y(*p.y.value);
    taken.push_back({x - kDot - 1, y - kDot - 1, x + kDot + 1, y + kDot + 1});
    const auto whisker = [&](double x1, double y1, double x2, double y2) {
      whiskers += fmt::format("<line class=\"whisker {}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", p.css, x1, y1, x2, y2);
      taken.push_back({std::min(x1, x2) - 1, std::min(y1, y2) - 1, std::max(x1, x2) + 1, std::max(y1, y2) + 1});
    };
    if (p.x.low && p.x.high) whisker(s.x(clamp_to(*p.x.low, window.x0, window.x1)), y, s.x(clamp_to(*p.x.high, window.x0, window.x1)), y);
    if (p.y.low && p.y.high) whisker(x, s.y(clamp_to(*p.y.low, window.y0, window.y1)), x, s.y(clamp_to(*p.y.high, window.y0, window.y1)));
    dots += fmt::format("<circle class=\"dot {}\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.0f}\"/>\n", p.css, x, y, kDot);
  }
  for (const CloudPoint& p : points) {
    if (!s.holds(p)) continue;
    const double x = s.x(*p.x.value), y = s.y(*p.y.value);
    const Box box = place(x, y, kLetter * static_cast<double>(p.name.size()) + 4, taken);
    taken.push_back(box);
    const double nx = clamp_to(x, box.x0, box.x1), ny = clamp_to(y, box.y0 + 2, box.y1 - 2);
    if (std::hypot(nx - x, ny - y) > 18) {
      names += fmt::format("<line class=\"leader\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", x, y, nx, ny);
    }
    names += fmt::format("<text class=\"point-name\" x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"middle\">{}</text>\n", (box.x0 + box.x1) / 2, box.y1 - 3.5,
                         html::escape(p.name));
  }
  return fmt::format("<svg class=\"chart cloud\" viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth, kHeight, html::escape(label)) +
         axes(s, x_label, y_label) + whiskers + names + dots + "</svg>\n";
}

}  // namespace precept::svg
