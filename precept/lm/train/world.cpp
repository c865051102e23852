#include "precept/lm/train/world.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "precept/core/digest.h"

namespace precept {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kSlice = std::size_t{1} << 18;  // floats that are added and sent on together
constexpr int kRetryMs = 50;

// What a process says to rank 0, and what it is answered. Both ends run the same program.
struct Hello {
  char magic[8] = {'p', 'r', 'e', 'c', 'e', 'p', 't', '1'};
  std::int32_t size = 0, rank = 0, port = 0;
  char key[64] = {};
};
enum Verdict : std::int32_t { kWelcome, kOtherRun, kTaken };
struct Answer {
  std::int32_t verdict = kWelcome, port = 0;
  char host[64] = {};  // where the next process listens
};

class Socket {
 public:
  explicit Socket(int fd = -1) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(other.release()) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

struct Addresses {
  addrinfo* list = nullptr;
  Addresses(const std::string& host, int port, bool listening) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = listening ? AI_PASSIVE : 0;
    if (::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list) != 0) list = nullptr;
  }
  ~Addresses() {
    if (list) ::freeaddrinfo(list);
  }
};

Socket listen_on(const std::string& host, int port, int backlog) {
  const Addresses addresses(host, port, true);
  for (const addrinfo* a = addresses.list; a; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (!socket) continue;
    const int on = 1;
    ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(socket.get(), a->ai_addr, a->ai_addrlen) == 0 && ::listen(socket.get(), backlog) == 0) return socket;
  }
  return Socket();
}

Socket connect_to(const std::string& host, int port) {
  const Addresses addresses(host, port, false);
  for (const addrinfo* a = addresses.list; a; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol));
    if (socket && ::connect(socket.get(), a->ai_addr, a->ai_addrlen) == 0) return socket;
  }
  return Socket();
}

// Numeric host and port of a socket's own end, or of the other one.
std::pair<std::string, int> end_of(int fd, bool own) {
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  char host[NI_MAXHOST] = {}, port[NI_MAXSERV] = {};
  if ((own ? ::getsockname(fd, address, &length) : ::getpeername(fd, address, &length)) != 0) return {};
  if (::getnameinfo(address, length, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) return {};
  return {host, std::atoi(port)};
}

// The next connection before `deadline`, or none.
Socket accept_before(int listener, Clock::time_point deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
  pollfd waiting{listener, POLLIN, 0};
  if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) return Socket();
  return Socket(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
}

template <class T>
bool write_all(int fd, const T& value) {
  return ::send(fd, &value, sizeof value, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof value);
}
template <class T>
bool read_before(int fd, T& value, Clock::time_point deadline) {
  std::size_t got = 0;
  while (got < sizeof value) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd waiting{fd, POLLIN, 0};
    if (left <= 0 || ::poll(&waiting, 1, static_cast<int>(left)) <= 0) return false;
    const ssize_t n = ::recv(fd, reinterpret_cast<char*>(&value) + got, sizeof value - got, 0);
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

void prepare(int fd) {
  const int on = 1, idle = 30, between = 10, tries = 3;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // A machine that went down says nothing: asked after half a minute of silence, given up after a minute.
  ::setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &between, sizeof between);
  ::setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
  const int buffer = 4 << 20;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
  ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
}

struct Place {
  Socket socket;
  std::string host;
  int port = 0;
};

}  // namespace

Result<std::unique_ptr<World>> World::join(const WorldOptions& options, const std::string& key, int seconds) {
  std::unique_ptr<World> world(new World(options));
  if (options.size > 1) {
    if (Status met = world->meet(key, seconds); !met) return tl::unexpected(met.error());
  }
  return world;
}

World::~World() {
  if (next_ >= 0) ::close(next_);
  if (previous_ >= 0) ::close(previous_);
}

// Every process tells rank 0 where it listens, is told where the next one does, and connects to that.
Status World::meet(const std::string& key, int seconds) {
  const auto deadline = Clock::now() + std::chrono::seconds(seconds);
  const std::string where = fmt::format("{}:{}", options_.address, options_.port), digest = sha256(key);
  const auto late = [&](const std::string& whom) {
    return failed(fmt::format("process {} of {}: {} did not come within {} s at {}", options_.rank, options_.size, whom, seconds, where),
                  "MASTER_ADDR and MASTER_PORT must be the same for all, and lead to the process of rank 0");
  };
  Hello hello;
  hello.size = options_.size;
  hello.rank = options_.rank;
  std::copy(digest.begin(), digest.end(), hello.key);
  Socket listener;
  Place next;
  if (options_.rank == 0) {
    listener = listen_on(options_.address, options_.port, options_.size);
    if (!listener) return failed(fmt::format("cannot listen at {}: {}", where, std::strerror(errno)), "set MASTER_PORT to a free port");
    std::vector<Place> places(static_cast<std::size_t>(options_.size));
    for (int missing = options_.size - 1; missing > 0;) {
      Socket socket = accept_before(listener.get(), deadline);
      if (!socket) return late(missing == 1 ? "one process" : fmt::format("{} processes", missing));
      Hello other;
      if (!read_before(socket.get(), other, std::min(deadline, Clock::now() + std::chrono::seconds(5))) ||
          std::memcmp(other.magic, hello.magic, sizeof other.magic) != 0) {
        continue;  // somebody else's
      }
      if (other.size != hello.size || std::memcmp(other.key, hello.key, sizeof other.key) != 0) {
        write_all(socket.get(), Answer{kOtherRun, 0, {}});
        return bad_input(fmt::format("process {} of {} was started with other options, data or start", other.rank, other.size),
                         "all processes take the same command, folders and files, on processors of one kind");
      }
      if (other.rank < 1 || other.rank >= options_.size || places[static_cast<std::size_t>(other.rank)].socket) {
        write_all(socket.get(), Answer{kTaken, 0, {}});
        return bad_input(fmt::format("two processes have the rank {} of {}", other.rank, options_.size));
      }
      std::string host = end_of(socket.get(), false).first;
      places[static_cast<std::size_t>(other.rank)] = {std::move(socket), std::move(host), other.port};
      --missing;
    }
    for (int r = 1; r < options_.size; ++r) {
      Answer answer;
      const bool last = r + 1 == options_.size;
      const Place& after = places[static_cast<std::size_t>(last ? 0 : r + 1)];
      answer.port = last ? options_.port : after.port;
      if (!last) after.host.copy(answer.host, sizeof answer.host - 1);  // empty: rank 0, whom it knows
      if (!write_all(places[static_cast<std::size_t>(r)].socket.get(), answer)) lost(true);
    }
    next.host = places[1].host;
    next.port = places[1].port;
  } else {
    Socket master;
    while (!(master = connect_to(options_.address, options_.port))) {
      if (Clock::now() > deadline) return late("the process of rank 0");
      std::this_thread::sleep_for(std::chrono::milliseconds(kRetryMs));
    }
    listener = listen_on(end_of(master.get(), true).first, 0, 1);
    if (!listener) return failed(fmt::format("cannot listen for another process: {}", std::strerror(errno)));
    hello.port = end_of(listener.get(), true).second;
    Answer answer;
    if (!write_all(master.get(), hello) || !read_before(master.get(), answer, deadline)) return late("another process");
    if (answer.verdict == kOtherRun) {
      return bad_input(fmt::format("process {} was started with other options, data or start than that of rank 0", options_.rank),
                       "all processes take the same command, folders and files, on processors of one kind");
    }
    if (answer.verdict == kTaken) return bad_input(fmt::format("the rank {} of {} is taken or does not exist", options_.rank, options_.size));
    answer.host[sizeof answer.host - 1] = 0;
    next.host = answer.host[0] ? answer.host : options_.address;
    next.port = answer.port;
  }
  Socket out = connect_to(next.host, next.port);
  if (!out || !write_all(out.get(), hello)) return late("the next process");
  for (;;) {
    Socket in = accept_before(listener.get(), deadline);
    if (!in) return late("the process before it");
    Hello other;
    if (!read_before(in.get(), other, deadline) || std::memcmp(other.key, hello.key, sizeof other.key) != 0) continue;
    if (other.rank != (options_.rank + options_.size - 1) % options_.size) continue;
    prepare(in.get());
    previous_ = in.release();
    break;
  }
  prepare(out.get());
  next_ = out.release();
  return {};
}

void World::lost(bool next) const {
  const int other = (options_.rank + (next ? 1 : options_.size - 1)) % options_.size;
  throw WorldError(fmt::format("process {} of {}: the connection to process {} is gone", options_.rank, options_.size, other));
}

void World::send(const void* bytes, std::size_t count) {
  const char* from = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t n = ::send(next_, from, count, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) lost(true);
    from += n;
    count -= static_cast<std::size_t>(n);
  }
}

void World::receive(void* bytes, std::size_t count) {
  char* to = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t n = ::recv(previous_, to, count, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) lost(false);
    to += n;
    count -= static_cast<std::size_t>(n);
  }
}

// Sends to the next and receives from the one before at the same time, so that a ring in which all do so never stands still.
// `in` may be `out`: what is received there was sent before.
void World::exchange(const char* out, std::size_t out_count, char* in, std::size_t in_count) {
  while (out_count > 0 || in_count > 0) {
    pollfd waiting[2] = {{out_count > 0 ? next_ : -1, POLLOUT, 0}, {in_count > 0 ? previous_ : -1, POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0 && errno != EINTR) lost(true);
    if (in_count > 0 && waiting[1].revents != 0) {
      const ssize_t n = ::recv(previous_, in, in_count, MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) lost(false);
      if (n > 0) in += n, in_count -= static_cast<std::size_t>(n);
    }
    if (out_count > 0 && waiting[0].revents != 0) {
      const ssize_t n = ::send(next_, out, out_count, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN && errno != EINTR) lost(true);
      if (n > 0) out += n, out_count -= static_cast<std::size_t>(n);
    }
  }
}

std::vector<std::string> World::gather(const std::string& mine) {
  const auto size = static_cast<std::size_t>(options_.size);
  std::vector<std::string> all(size);
  std::size_t at = static_cast<std::size_t>(options_.rank);
  all[at] = mine;
  for (std::size_t round = 1; round < size; ++round) {
    const std::size_t before = (at + size - 1) % size;
    const std::uint64_t out = all[at].size();
    std::uint64_t in = 0;
    exchange(reinterpret_cast<const char*>(&out), sizeof out, reinterpret_cast<char*>(&in), sizeof in);
    all[before].resize(in);
    exchange(all[at].data(), out, all[before].data(), in);
    at = before;
  }
  return all;
}

void World::add_in_order(LaneSums& sums, int lanes) {
  nn::Floats& sum = sums.sum();
  auto* bytes = reinterpret_cast<char*>(sum.data());
  const std::size_t count = sum.size() * sizeof(float);
  const int last = options_.size - 1;
  if (options_.rank == 0) {
    exchange(bytes, count, bytes, count);
    if (last > 1) send(bytes, count);
    return;
  }
  const auto [first, end] = World::lanes(options_.rank, options_.size, lanes);
  std::vector<float> slice(std::min(kSlice, sum.size()));
  for (std::size_t at = 0; at < sum.size(); at += kSlice) {
    const std::size_t some = std::min(kSlice, sum.size() - at);
    receive(slice.data(), some * sizeof(float));
    for (int l = first; l < end; ++l) {
      const float* lane = sums.lane(l).data() + at;
      for (std::size_t i = 0; i < some; ++i) slice[i] += lane[i];
    }
    send(slice.data(), some * sizeof(float));
    if (options_.rank == last) std::copy_n(slice.data(), some, sum.data() + at);  // behind what is still to be added
  }
  if (options_.rank == last) return;
  // What came back to rank 0 goes round once more, up to the last but one.
  for (std::size_t at = 0; at < sum.size(); at += kSlice) {
    const std::size_t some = std::min(kSlice, sum.size() - at);
    receive(sum.data() + at, some * sizeof(float));
    if (options_.rank + 1 < last) send(sum.data() + at, some * sizeof(float));
  }
}

}  // namespace precept
