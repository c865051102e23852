#pragma once
// What the library and the warden tell each other: plain numbers and length-prefixed bytes, in this machine's order (both
// ends are built together and run on one machine). Inside feedback/code only.

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace precept::wire {

// Descriptors that the warden is started with.
inline constexpr int kRequestFd = 3;  // a sealed memory file that holds a Request
inline constexpr int kReplyFd = 4;    // a pipe that takes a Reply
inline constexpr int kWardenFd = 5;   // the warden's own program

inline constexpr std::uint64_t kVersion = 1;  // of both structs

struct Request {
  std::uint64_t wall_ms = 0, cpu_ms = 0;
  std::uint64_t memory_bytes = 0, address_bytes = 0, disk_bytes = 0, output_bytes = 0, keep_bytes = 0;
  std::uint64_t processes = 0, files = 0, open_files = 0;
  std::vector<std::string> argv, env;
  std::vector<std::pair<std::string, std::string>> inputs;  // path below the working folder, bytes
  std::string standard_input;
  std::string filter;  // the seccomp program: struct sock_filter[]
};

enum class Ended : std::uint64_t {
  kExited,     // code: exit code
  kSignalled,  // code: signal
  kWallTime, kCpuTime, kMemory, kOutput, kProcesses, kFiles, kDisk,
  kRefused,    // code: number of the system call
  kSetup,      // code: errno; `what` says of what: the program was not started
};

struct Reply {
  Ended ended = Ended::kSetup;
  std::uint64_t code = 0;
  std::uint64_t wall_us = 0, cpu_us = 0, peak_bytes = 0;
  std::uint64_t out_bytes = 0, err_bytes = 0;  // written by the program, kept or not
  std::string out, err;                        // the last keep_bytes of each
  std::string what;
};

// One description of each struct serves writing and reading.
template <class Visit>
void visit(Request& r, Visit& v) {
  for (auto* number : {&r.wall_ms, &r.cpu_ms, &r.memory_bytes, &r.address_bytes, &r.disk_bytes, &r.output_bytes, &r.keep_bytes,
                       &r.processes, &r.files, &r.open_files}) {
    v(*number);
  }
  v(r.argv);
  v(r.env);
  v(r.inputs);
  v(r.standard_input);
  v(r.filter);
}
template <class Visit>
void visit(Reply& r, Visit& v) {
  auto ended = static_cast<std::uint64_t>(r.ended);
  v(ended);
  r.ended = static_cast<Ended>(ended);
  for (auto* number : {&r.code, &r.wall_us, &r.cpu_us, &r.peak_bytes, &r.out_bytes, &r.err_bytes}) v(*number);
  v(r.out);
  v(r.err);
  v(r.what);
}

struct Writer {
  std::string bytes;
  void operator()(std::uint64_t& n) { bytes.append(reinterpret_cast<const char*>(&n), sizeof n); }
  void operator()(std::string& s) {
    std::uint64_t size = s.size();
    (*this)(size);
    bytes += s;
  }
  void operator()(std::pair<std::string, std::string>& p) {
    (*this)(p.first);
    (*this)(p.second);
  }
  template <class T>
  void operator()(std::vector<T>& list) {
    std::uint64_t size = list.size();
    (*this)(size);
    for (T& each : list) (*this)(each);
  }
};

// Reads nothing beyond its bytes; `good` turns false at the first that is not there.
struct Reader {
  std::string_view bytes;
  bool good = true;
  void operator()(std::uint64_t& n) {
    if (bytes.size() < sizeof n) good = false;
    if (!good) return;
    std::memcpy(&n, bytes.data(), sizeof n);
    bytes.remove_prefix(sizeof n);
  }
  void operator()(std::string& s) {
    std::uint64_t size = 0;
    (*this)(size);
    if (size > bytes.size()) good = false;
    if (!good) return;
    s.assign(bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  void operator()(std::pair<std::string, std::string>& p) {
    (*this)(p.first);
    (*this)(p.second);
  }
  template <class T>
  void operator()(std::vector<T>& list) {
    std::uint64_t size = 0;
    (*this)(size);
    list.clear();
    for (std::uint64_t i = 0; i < size && good; ++i) (*this)(list.emplace_back());
  }
};

template <class Struct>
std::string pack(Struct value) {
  Writer writer;
  std::uint64_t version = kVersion;
  writer(version);
  visit(value, writer);
  return std::move(writer.bytes);
}
template <class Struct>
bool unpack(std::string_view bytes, Struct& value) {
  Reader reader{bytes};
  std::uint64_t version = 0;
  reader(version);
  if (version != kVersion) return false;
  visit(value, reader);
  return reader.good && reader.bytes.empty();
}

}  // namespace precept::wire
