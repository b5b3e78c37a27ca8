// SPDX-License-Identifier: Apache-2.0
//
// Load for an echo server, and what the server spent on it.
//
// Each connection keeps `--in_flight` messages on the way: they leave together, and for each that has come back whole
// another one leaves. The bytes are a stream that repeats only after a prime number of them and starts elsewhere for
// each connection, so an echo that loses, repeats, swaps or mixes up bytes is noticed.
//
// The result is one JSON line. With `--server_pid` it has the CPU time of that process (all its threads, user and
// system) over the measured window, divided by the messages that came back in it. The clock is the process's CPU clock,
// which counts nanoseconds; /proc/PID/stat counts in hundredths of a second.

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "tandem/bench/flags.h"

namespace tandem::bench {
namespace {

constexpr size_t kPatternPeriod = 65521;
// The most that one system call moves.
constexpr size_t kChunkMax = 256 << 10;
constexpr int64_t kSecond = 1'000'000'000;
// How long the server may take to return what is on the way at the end, or to return anything at all.
constexpr int64_t kPatience = 10 * kSecond;

struct Options {
  std::string host = "127.0.0.1";
  int64_t port = 0;
  int64_t connections = 50;
  int64_t message_bytes = 64;
  int64_t in_flight = 1;
  double seconds = 3;
  double warmup_seconds = 0.5;
  int64_t server_pid = 0;
};

[[noreturn]] void Die(const std::string& what, int error) {
  std::fprintf(stderr, "echo_load: %s: %s\n", what.c_str(), std::strerror(error));
  std::exit(1);
}

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "echo_load: %s\n", what.c_str());
  std::exit(1);
}

int64_t ReadClock(clockid_t clock) {
  timespec time;
  if (clock_gettime(clock, &time) != 0) Die("the server's CPU clock (has it ended?)", errno);
  return time.tv_sec * kSecond + time.tv_nsec;
}

int64_t Now() { return ReadClock(CLOCK_MONOTONIC); }

// Counts durations in buckets that are at most 1/64 wide of their value.
class Histogram {
 public:
  void Add(int64_t nanoseconds) {
    ++buckets_[BucketOf(static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0)))];
    ++count_;
    max_ = std::max(max_, nanoseconds);
  }

  double MaxMicroseconds() const { return static_cast<double>(max_) / 1e3; }

  double PercentileMicroseconds(double percentile) const {
    const uint64_t wanted = static_cast<uint64_t>(percentile / 100 * static_cast<double>(count_));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen > wanted) return static_cast<double>(LowerBound(i)) / 1e3;
    }
    return 0;
  }

 private:
  static constexpr int kSubBits = 6;
  static constexpr uint64_t kSub = 1U << kSubBits;

  static size_t BucketOf(uint64_t value) {
    if (value < kSub) return value;
    const int shift = std::bit_width(value) - 1 - kSubBits;
    return (static_cast<size_t>(shift) + 1) * kSub + ((value >> shift) - kSub);
  }
  static uint64_t LowerBound(size_t bucket) {
    if (bucket < kSub) return bucket;
    return (kSub + bucket % kSub) << (bucket / kSub - 1);
  }

  std::vector<uint64_t> buckets_ = std::vector<uint64_t>((64 - kSubBits + 1) * kSub);
  uint64_t count_ = 0;
  int64_t max_ = 0;
};

struct Connection {
  int fd = -1;
  size_t pattern_offset = 0;    // Where its stream starts in the pattern.
  uint64_t messages_asked = 0;  // Those that may be sent by now.
  uint64_t bytes_sent = 0;
  uint64_t bytes_received = 0;
  uint64_t messages_received = 0;
  bool waits_to_write = false;
  std::vector<int64_t> sent_at;  // A circle of `in_flight` times.
};

class EchoLoad {
 public:
  explicit EchoLoad(const Options& options) : options_(options), message_bytes_(options.message_bytes) {
    pattern_.resize(kPatternPeriod + kChunkMax);
    uint64_t state = 0x9e3779b97f4a7c15;
    for (size_t i = 0; i < kPatternPeriod; ++i) {
      state = state * 6364136223846793005 + 1442695040888963407;
      pattern_[i] = static_cast<char>(state >> 56);
    }
    for (size_t i = kPatternPeriod; i < pattern_.size(); ++i) pattern_[i] = pattern_[i - kPatternPeriod];
    received_.resize(kChunkMax);
  }

  void Connect();
  void Run();
  void PrintResult() const;

 private:
  void Ask(Connection& connection, uint64_t messages, int64_t now);
  void Send(Connection& connection);
  void Receive(Connection& connection);
  void WatchWrites(Connection& connection, bool on);
  // Serves the connections until `end`, or until nothing is on the way.
  void ServeUntil(int64_t end);
  const char* PatternAt(const Connection& connection, uint64_t position) const {
    return pattern_.data() + (connection.pattern_offset + position) % kPatternPeriod;
  }

  const Options options_;
  const uint64_t message_bytes_;
  std::vector<char> pattern_;
  std::vector<char> received_;
  std::vector<Connection> connections_;
  int epoll_ = -1;
  bool asking_ = true;      // Each message that returns sends another one.
  bool measuring_ = false;  // In the measured window.
  uint64_t on_the_way_ = 0;

  uint64_t round_trips_ = 0;
  int64_t window_ns_ = 0;
  int64_t server_cpu_ns_ = 0;
  int64_t own_cpu_ns_ = 0;
  Histogram latency_;
};

void EchoLoad::Connect() {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* address = nullptr;
  const int lookup = getaddrinfo(options_.host.c_str(), std::to_string(options_.port).c_str(), &hints, &address);
  if (lookup != 0) Die("--host=" + options_.host + ": " + gai_strerror(lookup));

  epoll_ = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_ < 0) Die("epoll_create1", errno);
  connections_.resize(static_cast<size_t>(options_.connections));
  for (size_t i = 0; i < connections_.size(); ++i) {
    Connection& connection = connections_[i];
    connection.fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection.fd < 0) Die("socket", errno);
    if (connect(connection.fd, address->ai_addr, address->ai_addrlen) != 0) Die("connect", errno);
    const int on = 1;
    setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fcntl(connection.fd, F_SETFL, O_NONBLOCK) != 0) Die("O_NONBLOCK", errno);
    connection.pattern_offset = i * 127 % kPatternPeriod;
    connection.sent_at.resize(static_cast<size_t>(options_.in_flight));
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = i;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event) != 0) Die("epoll_ctl", errno);
  }
  freeaddrinfo(address);
}

void EchoLoad::WatchWrites(Connection& connection, bool on) {
  if (connection.waits_to_write == on) return;
  connection.waits_to_write = on;
  epoll_event event = {};
  event.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN;
  event.data.u64 = static_cast<uint64_t>(&connection - connections_.data());
  if (epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd, &event) != 0) Die("epoll_ctl", errno);
}

void EchoLoad::Ask(Connection& connection, uint64_t messages, int64_t now) {
  for (uint64_t i = 0; i < messages; ++i) {
    connection.sent_at[connection.messages_asked++ % connection.sent_at.size()] = now;
  }
  on_the_way_ += messages;
}

void EchoLoad::Send(Connection& connection) {
  const uint64_t asked = connection.messages_asked * message_bytes_;
  while (connection.bytes_sent < asked) {
    const size_t length = std::min<uint64_t>(asked - connection.bytes_sent, kChunkMax);
    const ssize_t sent = send(connection.fd, PatternAt(connection, connection.bytes_sent), length, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) Die("send", errno);
      return WatchWrites(connection, true);
    }
    connection.bytes_sent += static_cast<uint64_t>(sent);
  }
  WatchWrites(connection, false);
}

void EchoLoad::Receive(Connection& connection) {
  const ssize_t length = recv(connection.fd, received_.data(), received_.size(), 0);
  if (length < 0) {
    if (errno == EAGAIN || errno == EINTR) return;
    Die("recv", errno);
  }
  if (length == 0) Die("the server closed a connection");
  if (connection.bytes_received + static_cast<uint64_t>(length) > connection.bytes_sent) {
    Die("the server sent more than it was sent");
  }
  if (std::memcmp(received_.data(), PatternAt(connection, connection.bytes_received), static_cast<size_t>(length)) !=
      0) {
    Die("the server's bytes differ from what it was sent");
  }
  connection.bytes_received += static_cast<uint64_t>(length);
  const uint64_t complete = connection.bytes_received / message_bytes_ - connection.messages_received;
  if (complete == 0) return;

  const int64_t now = Now();
  if (measuring_) {
    for (uint64_t i = 0; i < complete; ++i) {
      latency_.Add(now - connection.sent_at[(connection.messages_received + i) % connection.sent_at.size()]);
    }
    round_trips_ += complete;
  }
  connection.messages_received += complete;
  on_the_way_ -= complete;
  if (!asking_) return;
  Ask(connection, complete, now);
  Send(connection);
}

void EchoLoad::ServeUntil(int64_t end) {
  constexpr int kEventsMax = 256;
  epoll_event events[kEventsMax];
  int64_t progress = Now();
  for (int64_t now = progress; now < end && on_the_way_ > 0; now = Now()) {
    const int64_t wait_ms = std::min(end - now, kSecond) / 1'000'000 + 1;
    const int count = epoll_wait(epoll_, events, kEventsMax, static_cast<int>(wait_ms));
    if (count < 0 && errno != EINTR) Die("epoll_wait", errno);
    if (count > 0) progress = now;
    if (now - progress > kPatience) Die("the server returned nothing for 10 seconds");
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections_[events[i].data.u64];
      if ((events[i].events & EPOLLOUT) != 0) Send(connection);
      if ((events[i].events & ~EPOLLOUT) != 0) Receive(connection);
    }
  }
}

void EchoLoad::Run() {
  clockid_t server_clock = CLOCK_MONOTONIC;
  if (options_.server_pid != 0) {
    const int error = clock_getcpuclockid(static_cast<pid_t>(options_.server_pid), &server_clock);
    if (error != 0) Die("--server_pid=" + std::to_string(options_.server_pid), error);
  }
  for (Connection& connection : connections_) {
    Ask(connection, static_cast<uint64_t>(options_.in_flight), Now());
    Send(connection);
  }
  ServeUntil(Now() + static_cast<int64_t>(options_.warmup_seconds * 1e9));

  measuring_ = true;
  const int64_t start = Now();
  const int64_t server_start = ReadClock(server_clock);
  const int64_t own_start = ReadClock(CLOCK_PROCESS_CPUTIME_ID);
  ServeUntil(start + static_cast<int64_t>(options_.seconds * 1e9));
  server_cpu_ns_ = ReadClock(server_clock) - server_start;
  own_cpu_ns_ = ReadClock(CLOCK_PROCESS_CPUTIME_ID) - own_start;
  window_ns_ = Now() - start;
  measuring_ = false;

  asking_ = false;
  ServeUntil(Now() + kPatience);
  if (on_the_way_ > 0) Die("the server did not return " + std::to_string(on_the_way_) + " messages");
  if (round_trips_ == 0) Die("no round trip in the measured window of " + std::to_string(window_ns_) + " ns");
  for (const Connection& connection : connections_) close(connection.fd);
}

void EchoLoad::PrintResult() const {
  const double round_trips = static_cast<double>(round_trips_);
  const double window_ns = static_cast<double>(window_ns_);
  std::printf("{\"connections\": %lld, \"in_flight\": %lld, \"message_bytes\": %lld, \"seconds\": %.3f, ",
              static_cast<long long>(options_.connections), static_cast<long long>(options_.in_flight),
              static_cast<long long>(options_.message_bytes), window_ns / 1e9);
  std::printf("\"round_trips\": %llu, \"round_trips_per_s\": %.0f, ", static_cast<unsigned long long>(round_trips_),
              round_trips * 1e9 / window_ns);
  if (options_.server_pid != 0) {
    const double server_ns = static_cast<double>(server_cpu_ns_);
    std::printf("\"server_cpu_us_per_message\": %.4f, \"server_cpu_fraction\": %.3f, ", server_ns / 1e3 / round_trips,
                server_ns / window_ns);
  }
  std::printf(
      "\"load_cpu_us_per_message\": %.4f, \"latency_us_p50\": %.1f, \"latency_us_p99\": %.1f, \"latency_us_max\": "
      "%.1f}\n",
      static_cast<double>(own_cpu_ns_) / 1e3 / round_trips, latency_.PercentileMicroseconds(50),
      latency_.PercentileMicroseconds(99), latency_.MaxMicroseconds());
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  tandem::bench::Options options;
  tandem::bench::Flags flags(
      "echo_load: sends messages to an echo server, checks what comes back, prints one JSON line.\n"
      "Exits 1 if a byte differs or the server fails.\n");
  flags.Add("port", &options.port, 0, 65535, "the server's TCP port (required)");
  flags.Add("host", &options.host, "the server's name or address");
  flags.Add("connections", &options.connections, 1, 50000, "TCP connections");
  flags.Add("message_bytes", &options.message_bytes, 1, 64 << 20, "bytes in a message");
  flags.Add("in_flight", &options.in_flight, 1, 4096, "messages on the way, for each connection");
  flags.Add("seconds", &options.seconds, 0.01, 3600, "length of the measured window");
  flags.Add("warmup_seconds", &options.warmup_seconds, 0, 3600, "load before the window");
  flags.Add("server_pid", &options.server_pid, 0, 1 << 30, "process whose CPU time is measured");
  flags.Parse(argc, argv);
  if (options.port == 0) {
    std::fprintf(stderr, "echo_load: --port is required\n");
    return 2;
  }
  tandem::bench::EchoLoad load(options);
  load.Connect();
  load.Run();
  load.PrintResult();
  return 0;
}
