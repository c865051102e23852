#include "cli/typed_lines.h"

#include <cerrno>
#include <csignal>
#include <clocale>
#include <cstdio>
#include <cwchar>
#include <iostream>

#include <histedit.h>
#include <langinfo.h>
#include <poll.h>
#include <unistd.h>

#include "cli/interrupt.h"

namespace precept {
namespace {

constexpr int kHistory = 1000;  // lines

// Waits for a byte or a signal, and misses none: signals are let in only while it waits. False: a signal came.
bool wait_for_byte() {
  sigset_t stops, before;
  sigemptyset(&stops);
  sigaddset(&stops, SIGINT);
  sigaddset(&stops, SIGTERM);
  sigprocmask(SIG_BLOCK, &stops, &before);
  pollfd input{STDIN_FILENO, POLLIN, 0};
  const bool ready = !interrupted() && ::ppoll(&input, 1, nullptr, &before) > 0;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return ready;
}

// A character from the terminal; 0 at the end and after Ctrl-C, which ends the line. libedit's own reader would go on.
int read_character(EditLine* editor, wchar_t* out) {
  std::mbstate_t state{};
  while (true) {
    char byte = 0;
    ssize_t got = -1;
    errno = EINTR;
    if (wait_for_byte()) got = ::read(STDIN_FILENO, &byte, 1);
    if (got == 0) return 0;
    if (got < 0) {
      if (errno != EINTR) return -1;
      if (interrupted()) return 0;
      el_resize(editor);  // the window has another size, or the program was stopped meanwhile
      continue;
    }
    const std::size_t length = std::mbrtowc(out, &byte, 1, &state);
    if (length == static_cast<std::size_t>(-2)) continue;
    if (length == static_cast<std::size_t>(-1)) *out = 0xFFFD;  // not UTF-8
    return 1;
  }
}

}  // namespace

struct TypedLines::Editor {
  EditLine* line = nullptr;
  History* history = nullptr;
  std::string prompt;

  static char* shown(EditLine* line) {
    void* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return static_cast<Editor*>(self)->prompt.data();
  }
  Editor() {
    // libedit asks the locale what a character is.
    std::setlocale(LC_CTYPE, "");
    if (std::string(nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
    line = el_init("precept", stdin, stdout, stderr);
    history = history_init();
    if (line == nullptr || history == nullptr) return;
    HistEvent event;
    ::history(history, &event, H_SETSIZE, kHistory);
    ::history(history, &event, H_SETUNIQUE, 1);
    el_set(line, EL_CLIENTDATA, this);
    el_set(line, EL_PROMPT, &Editor::shown);
    el_set(line, EL_EDITOR, "emacs");
    el_set(line, EL_SIGNAL, 1);
    el_set(line, EL_HIST, ::history, history);
    el_set(line, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(line, EL_GETCFN, &read_character);
    el_source(line, nullptr);  // the user's ~/.editrc
  }
  ~Editor() {
    if (line != nullptr) el_end(line);
    if (history != nullptr) history_end(history);
  }
};

TypedLines::TypedLines(bool terminal) {
  if (!terminal) return;
  editor_ = std::make_unique<Editor>();
  if (editor_->line == nullptr || editor_->history == nullptr) editor_.reset();
}

TypedLines::~TypedLines() = default;

TypedLines::Got TypedLines::next(const std::string& prompt, std::string& line) {
  if (!editor_) {
    if (interrupted()) return Got::kInterrupted;
    return std::getline(std::cin, line) ? Got::kLine : Got::kEnd;
  }
  editor_->prompt = prompt;
  int length = 0;
  const char* text = el_gets(editor_->line, &length);
  if (interrupted()) return Got::kInterrupted;
  if (text == nullptr || length <= 0) return Got::kEnd;
  line.assign(text, static_cast<std::size_t>(length));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (line.find_first_not_of(" \t") != std::string::npos) {
    HistEvent event;
    history(editor_->history, &event, H_ENTER, line.c_str());
  }
  return Got::kLine;
}

}  // namespace precept
