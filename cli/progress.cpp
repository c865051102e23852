#include "cli/progress.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utf8proc.h>

#include "cli/command.h"

namespace precept {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);
constexpr auto kPlainEvery = std::chrono::seconds(5);
constexpr auto kIdle = std::chrono::seconds(30);  // a silent stage leaves when another one is at work
constexpr double kSmoothing = 15;                 // seconds over which a rate is averaged
constexpr std::size_t kMostBars = 4;
constexpr int kWidestBar = 40, kNarrowestBar = 8, kLabel = 16;

double seconds_between(std::chrono::steady_clock::time_point from, std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

std::string count(double value) {
  std::string digits = fmt::format("{:.0f}", value);
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3) {
    digits.insert(static_cast<std::size_t>(at), ",");
  }
  return digits;
}

std::string duration(double seconds) {
  const auto whole = std::llround(std::min(seconds, 3.6e7));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
}

// A rate of nearly nothing, as after a pause, says nothing about what is to come.
bool tells(double rate) { return rate >= 1 / 3600.0; }

std::string rate_text(double rate) {
  if (!tells(rate)) return "";
  if (rate < 0.1) return fmt::format("{:.1f}/min", 60 * rate);
  return rate < 10 ? fmt::format("{:.1f}/s", rate) : count(rate) + "/s";
}

std::string done_text(const StageView& view) {
  std::string text = count(view.done);
  if (view.total > 0) text += "/" + count(view.total);
  return view.unit.empty() ? text : text + " " + view.unit;
}

std::string left_text(const StageView& view) {
  if (view.total <= 0 || !tells(view.rate) || view.done >= view.total) return "";
  return duration((view.total - view.done) / view.rate) + " left";
}

std::string percent_done(const StageView& view) {
  if (view.total <= 0) return "";
  return fmt::format("{:.0f}%", std::floor(100 * std::clamp(view.done / view.total, 0.0, 1.0)));
}

std::string join(const std::vector<std::string>& parts, const char* between) {
  std::string out;
  for (const std::string& part : parts) {
    if (!part.empty()) out += (out.empty() ? "" : between) + part;
  }
  return out;
}

// At most `columns` wide; what is cut ends in "~".
std::string fitted(const std::string& text, int columns) {
  if (text_columns(text) <= columns) return text;
  std::string out;
  int width = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t next = at + 1;
    while (next < text.size() && (static_cast<unsigned char>(text[next]) & 0xC0) == 0x80) ++next;
    const std::string letter = text.substr(at, next - at);
    const int letter_width = text_columns(letter);
    if (width + letter_width > columns - 1) break;
    out += letter;
    width += letter_width;
    at = next;
  }
  return columns > 0 ? out + "~" : "";
}

std::string bar(double share, int width, bool utf8) {
  const int full = static_cast<int>(std::clamp(share, 0.0, 1.0) * width + 1e-9);
  std::string out;
  for (int i = 0; i < width; ++i) out += i < full ? (utf8 ? "━" : "#") : (utf8 ? "╌" : ".");
  return out;
}

bool locale_is_utf8() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    return std::strstr(value, "UTF-8") != nullptr || std::strstr(value, "utf8") != nullptr ||
           std::strstr(value, "utf-8") != nullptr;
  }
  return false;
}

bool is_terminal(std::FILE* out) {
  const char* term = std::getenv("TERM");
  return isatty(fileno(out)) == 1 && (term == nullptr || std::strcmp(term, "dumb") != 0);
}

}  // namespace

int text_columns(const std::string& text) {
  int columns = 0;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t letter = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(bytes, left, &letter);
    columns += used > 0 ? utf8proc_charwidth(letter) : 1;
    bytes += std::max<utf8proc_ssize_t>(used, 1);
    left -= std::max<utf8proc_ssize_t>(used, 1);
  }
  return columns;
}

std::string bar_line(const StageView& view, int columns, bool utf8) {
  if (columns <= 0) return "";
  const std::string rate = rate_text(view.rate);
  const std::string left = view.done >= view.total && view.total > 0 ? "in " + duration(view.seconds) : left_text(view);
  const std::string share = percent_done(view);
  const std::vector<std::vector<std::string>> variants = {
      {share, done_text(view), rate, left, view.note}, {share, done_text(view), rate, left}, {share, rate, left},
      {share, left}, {share.empty() ? count(view.done) : share}};
  const std::string label = fitted(view.stage, kLabel);
  const std::string padded = label + std::string(static_cast<std::size_t>(std::max(0, kLabel - text_columns(label))), ' ');
  for (const std::vector<std::string>& parts : variants) {
    const std::string text = join(parts, "  ");
    const int room = columns - kLabel - 2 - text_columns(text);
    if (room < kNarrowestBar + 1) continue;
    if (view.total <= 0) return padded + "  " + text;
    return padded + " " + bar(view.done / view.total, std::min(room, kWidestBar), utf8) + " " + text;
  }
  return fitted(join({view.stage, variants.back()[0]}, " "), columns);
}

std::string plain_line(const StageView& view) {
  std::vector<std::string> parts = {done_text(view)};
  if (view.total > 0) parts[0] += " (" + percent_done(view) + ")";
  parts.push_back(rate_text(view.rate));
  parts.push_back(view.total > 0 && view.done >= view.total ? "in " + duration(view.seconds) : left_text(view));
  parts.push_back(view.note);
  return view.stage + ": " + join(parts, ", ");
}

Progress::Progress(std::FILE* out, bool quiet)
    : out_(out), quiet_(quiet), terminal_(is_terminal(out)), utf8_(locale_is_utf8()) {}

Progress::~Progress() { finish(); }

void Progress::show(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kProgress:
      if (!quiet_) progress(event);
      break;
    case Event::Kind::kMetric:
      for (Stage& stage : stages_) {
        if (stage.view.stage != event.stage) continue;
        if (event.name == "loss") stage.view.note = fmt::format("loss {:.3f}", event.value);
        if (event.name == "calls") stage.view.note = count(event.value) + " calls";
      }
      break;
    case Event::Kind::kNote:
      if (!quiet_) message(event);
      break;
    case Event::Kind::kWarning:
      message(event);
      break;
  }
}

void Progress::message(const Event& event) {
  const bool warning = event.kind == Event::Kind::kWarning;
  const std::string line = (warning ? "precept: warning: " : "precept: ") + one_line(event.text) + "\n";
  if (terminal_) {
    draw(line);
  } else {
    std::fputs(line.c_str(), out_);
    std::fflush(out_);
  }
}

Progress::Stage& Progress::stage_named(const std::string& name, const Event& event) {
  for (Stage& stage : stages_) {
    if (stage.view.stage == name) return stage;
  }
  Stage stage;
  stage.view.stage = name;
  stage.view.done = stage.first_done = static_cast<double>(event.done);
  stage.began = stage.seen = stage.printed = Clock::now();
  stages_.push_back(stage);
  return stages_.back();
}

void Progress::progress(const Event& event) {
  const std::string name = one_line(event.stage);
  const bool complete = event.total > 0 && event.done >= event.total;
  const auto before = std::find(ended_.begin(), ended_.end(), name);
  if (before != ended_.end()) {
    if (complete) return;  // said already
    ended_.erase(before);  // the stage runs once more
  }
  const Clock::time_point now = Clock::now();
  Stage& stage = stage_named(name, event);
  const double gained = static_cast<double>(event.done) - stage.view.done;
  const double gap = seconds_between(stage.seen, now);
  stage.view.done = static_cast<double>(event.done);
  stage.view.total = static_cast<double>(event.total);
  stage.view.unit = one_line(event.unit);
  stage.view.seconds = seconds_between(stage.began, now);
  const double average = stage.view.seconds > 0.05 ? (stage.view.done - stage.first_done) / stage.view.seconds : 0;
  if (stage.view.seconds < kSmoothing || complete) {
    stage.view.rate = std::max(0.0, average);
  } else if (gap > 0) {
    const double weight = 1 - std::exp(-gap / kSmoothing);
    stage.view.rate = std::max(0.0, stage.view.rate + weight * (gained / gap - stage.view.rate));
  }
  stage.seen = now;
  stage.unprinted = true;
  if (complete) {
    for (std::size_t i = 0; i < stages_.size(); ++i) {
      if (stages_[i].view.stage == name) return end(i);
    }
  }
  if (terminal_) {
    if (now - drawn_at_ >= kRedraw) draw("");
  } else if (now - stage.printed >= kPlainEvery) {
    std::fputs((plain_line(stage.view) + "\n").c_str(), out_);
    std::fflush(out_);
    stage.printed = now;
    stage.unprinted = false;
  }
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    if (now - stages_[i].seen > kIdle) return end(i);
  }
}

void Progress::end(std::size_t index) {
  const Stage stage = stages_[index];
  stages_.erase(stages_.begin() + static_cast<std::ptrdiff_t>(index));
  ended_.push_back(stage.view.stage);
  if (terminal_) {
    draw(bar_line(stage.view, columns(), utf8_) + "\n");
  } else if (stage.unprinted) {
    std::fputs((plain_line(stage.view) + "\n").c_str(), out_);
    std::fflush(out_);
  }
}

int Progress::columns() const {
  winsize size = {};
  if (ioctl(fileno(out_), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 79;
  return size.ws_col - 1;  // the last column would wrap
}

// One write a frame: the cursor goes up over the old bars, and each new line clears what it does not cover.
void Progress::draw(const std::string& above) {
  std::string frame;
  if (drawn_ > 0) frame += fmt::format("\x1b[{}A\r\x1b[J", drawn_);
  frame += above;
  drawn_ = 0;
  const std::size_t first = stages_.size() > kMostBars ? stages_.size() - kMostBars : 0;
  for (std::size_t i = first; i < stages_.size(); ++i, ++drawn_) {
    frame += bar_line(stages_[i].view, columns(), utf8_) + "\n";
  }
  std::fwrite(frame.data(), 1, frame.size(), out_);
  std::fflush(out_);
  drawn_at_ = Clock::now();
}

void Progress::finish() {
  while (!stages_.empty()) end(0);
  drawn_ = 0;
}

}  // namespace precept
