#pragma once
// Lines that somebody types: edited, with a history, on a terminal; as they come from a file or a pipe.

#include <memory>
#include <string>

namespace precept {

class TypedLines {
 public:
  // `terminal`: standard input and output are one. There the arrow keys, Ctrl-R and Emacs' keys work (libedit), lines may be
  // of any length, and characters are those of UTF-8 whatever the locale says.
  explicit TypedLines(bool terminal);
  ~TypedLines();
  TypedLines(const TypedLines&) = delete;
  TypedLines& operator=(const TypedLines&) = delete;

  enum class Got {
    kLine,
    kEnd,          // end of the input, or Ctrl-D on an empty line
    kInterrupted,  // Ctrl-C: what was typed is forgotten
  };
  // The next line, without its end. `prompt` is shown on a terminal only.
  Got next(const std::string& prompt, std::string& line);

 private:
  struct Editor;
  std::unique_ptr<Editor> editor_;  // null: no terminal
};

}  // namespace precept
