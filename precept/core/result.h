#pragma once
// What can go wrong because of input or the outside world, as a value. Our own bugs abort through
// PRECEPT_CHECK; nothing throws across a public header.

#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include <tl/expected.hpp>

namespace precept {

// Decides the exit code of the CLI: kBadInput -> 2, the others -> 3 (docs/architecture.md, "Errors").
enum class ErrorKind {
  kBadInput,  // usage or input that a person must mend
  kFailed,    // something failed while running: disk, network, memory, non-finite loss
  kLimit,     // a ceiling that the user set is reached: nothing is wrong, and more of it goes on with the work
};

struct Error {
  std::string what;  // one line, no trailing period, no newline
  std::string hint;  // what to do about it; may be empty
  std::string file;  // where the input went wrong; empty when no file is concerned
  int line = 0;      // 1-based; 0 when unknown
  ErrorKind kind = ErrorKind::kBadInput;

  // "FILE:LINE: what" (the parts that are known), without the hint.
  std::string message() const;
};

template <class T>
using Result = tl::expected<T, Error>;
using Status = tl::expected<void, Error>;

inline tl::unexpected<Error> bad_input(std::string what, std::string hint = {},
                                       std::string file = {}, int line = 0) {
  return tl::unexpected<Error>(
      Error{std::move(what), std::move(hint), std::move(file), line, ErrorKind::kBadInput});
}
inline tl::unexpected<Error> failed(std::string what, std::string hint = {},
                                    std::string file = {}, int line = 0) {
  return tl::unexpected<Error>(
      Error{std::move(what), std::move(hint), std::move(file), line, ErrorKind::kFailed});
}

}  // namespace precept

// Our own bugs: says where and stops. Never for input.
#define PRECEPT_CHECK(condition)                                                          \
  do {                                                                                    \
    if (!(condition)) {                                                                   \
      std::fprintf(stderr, "precept: bug: %s:%d: %s\n", __FILE__, __LINE__, #condition);  \
      std::abort();                                                                       \
    }                                                                                     \
  } while (false)
