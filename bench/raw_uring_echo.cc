// SPDX-License-Identifier: Apache-2.0
//
// A TCP echo server written by hand against liburing: the floor that Tandem's echo server is compared with.
//
// One thread, one ring, no library above it. A multishot accept and one multishot receive per connection, which takes
// its memory from a provided buffer ring. A received buffer is sent as it is and goes back to the ring when its send
// has completed. A connection has one send in flight; what arrives meanwhile waits in a list that runs through the
// buffer indices, and leaves with the next, vectored, send. Each turn of the loop is one io_uring_enter.
//
// What a long-running server needs and a demonstration leaves out is here too, since it is part of the cost: short
// sends are continued; an empty buffer ring (ENOBUFS) ends a receive, which is armed again, oldest first, as buffers
// come back; no more descriptors (EMFILE) ends the accept, which is armed again after a pause; a peer that sends and
// never reads is stopped at a high-water mark. Peers that do not read can hold the whole ring between them if they are
// many; the others then wait until one of them reads or goes.
//
// A slot of the connection table is used again only when no operation of its connection is in the kernel, so a
// completion always finds the connection that it belongs to.

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tandem/bench/flags.h"

namespace tandem::bench {
namespace {

// From 6.15, and younger than the header of liburing 2.9: a thread that waits for the network is idle and not waiting
// for a disk, so the kernel need not account it as the latter.
constexpr unsigned kFeatureNoIowait = 1U << 17;
constexpr unsigned kEnterNoIowait = 1U << 7;

// Submission entries are touched in a circle: few of them stay in the cache, and a full queue is just submitted.
constexpr unsigned kSubmissionEntries = 256;
constexpr unsigned kCompletionEntries = 16384;
constexpr int kBufferGroup = 0;
constexpr int kBacklog = 4096;
constexpr uint16_t kNoBuffer = 0xffff;
constexpr int kVectorMax = 16;
constexpr long long kAcceptPauseNs = 50'000'000;

struct Options {
  std::string bind = "127.0.0.1";
  int64_t port = 0;
  int64_t buffers = 1024;
  int64_t buffer_size = 4096;
};

[[noreturn]] void Die(const char* what, int error) {
  std::fprintf(stderr, "raw_uring_echo: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

// The memory behind the provided buffer ring, and for each buffer its place in the list of its connection.
class BufferPool {
 public:
  void Init(io_uring* ring, unsigned count, unsigned size) {
    count_ = count;
    size_ = size;
    mask_ = io_uring_buf_ring_mask(count);
    const size_t bytes = size_t{size} * count;
    void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) Die("memory for the buffers", errno);
    memory_ = static_cast<char*>(memory);
    madvise(memory_, bytes, MADV_HUGEPAGE);  // Only a hint.
    next_.resize(count);
    length_.resize(count);
    int result = 0;
    ring_ = io_uring_setup_buf_ring(ring, count, kBufferGroup, 0, &result);
    if (ring_ == nullptr) Die("registering the buffer ring (needs Linux 5.19)", -result);
    for (unsigned i = 0; i < count; ++i) io_uring_buf_ring_add(ring_, Data(i), size, i, mask_, i);
    io_uring_buf_ring_advance(ring_, count);
  }

  char* Data(uint16_t index) const { return memory_ + size_t{index} * size_; }
  uint16_t& Next(uint16_t index) { return next_[index]; }
  uint32_t& Length(uint16_t index) { return length_[index]; }

  // Counts a buffer that a completion handed over.
  void Take() { ++held_; }
  // Gives a buffer back; the kernel sees it at the next Publish().
  void Release(uint16_t index) {
    io_uring_buf_ring_add(ring_, Data(index), size_, index, mask_, static_cast<int>(released_++));
  }
  void Publish() {
    if (released_ == 0) return;
    io_uring_buf_ring_advance(ring_, static_cast<int>(released_));
    held_ -= released_;
    released_ = 0;
  }
  unsigned available() const { return count_ - held_; }

 private:
  io_uring_buf_ring* ring_ = nullptr;
  char* memory_ = nullptr;
  unsigned count_ = 0;
  unsigned size_ = 0;
  int mask_ = 0;
  unsigned held_ = 0;
  unsigned released_ = 0;
  std::vector<uint16_t> next_;
  std::vector<uint32_t> length_;
};

// What a vectored send needs until it has been submitted.
struct SendVector {
  msghdr header = {};
  iovec parts[kVectorMax];
};

struct Connection {
  int fd = -1;
  bool receive_armed = false;
  bool receive_pausing = false;  // Its cancellation has been asked for.
  bool receive_over = false;     // End of stream or error.
  bool starved = false;          // Among those that wait for buffers.
  bool send_in_flight = false;
  bool broken = false;   // An error: nothing more is sent.
  bool touched = false;  // In the list of those to look at when the batch has been read.
  // Its place among those that wait for buffers; kept until it has received something, 0 if it does not wait.
  uint64_t starved_place = 0;
  // The buffers that wait to be sent or are being sent, oldest first.
  uint16_t first = kNoBuffer;
  uint16_t last = kNoBuffer;
  uint32_t queued = 0;
  uint32_t first_sent_bytes = 0;
  std::unique_ptr<SendVector> vector;
};

enum Kind : uint64_t { kReceive, kSend, kAccept, kAcceptPause, kSignal, kIgnored };
constexpr int kKindBits = 3;

uint64_t UserData(Kind kind, uint32_t slot = 0) { return uint64_t{slot} << kKindBits | kind; }

class EchoServer {
 public:
  explicit EchoServer(const Options& options) : options_(options) {
    high_water_ = std::max<unsigned>(static_cast<unsigned>(options.buffers) / 8, 4);
  }

  // Opens the ring and the listening socket, and says where it listens.
  void Start();
  // Serves until SIGINT or SIGTERM.
  void Run();
  void PrintStatistics() const;

 private:
  void OpenRing();
  void Listen();
  io_uring_sqe* NextSqe();
  void Enter(unsigned wait);

  void ArmAccept();
  void ArmReceive(uint32_t slot);
  void StartSend(uint32_t slot);
  void Handle(const io_uring_cqe& cqe);
  void OnAccept(const io_uring_cqe& cqe);
  void OnReceive(uint32_t slot, const io_uring_cqe& cqe);
  void OnSend(uint32_t slot, int result);
  void Touch(uint32_t slot);
  void Settle(uint32_t slot);
  void Append(Connection& connection, uint16_t buffer, uint32_t length);
  void PopFirst(Connection& connection);
  void Break(uint32_t slot);
  void FeedStarved();

  const Options options_;
  io_uring ring_ = {};
  unsigned enter_flags_ = 0;
  int listener_ = -1;
  int signals_ = -1;
  signalfd_siginfo signal_info_ = {};
  bool stopped_ = false;
  BufferPool buffers_;
  unsigned high_water_;
  std::vector<Connection> connections_;
  std::vector<uint32_t> free_slots_;
  std::vector<uint32_t> touched_;
  std::map<uint64_t, uint32_t> starved_;  // By place.
  uint64_t starved_place_last_ = 0;
  __kernel_timespec accept_pause_ = {0, kAcceptPauseNs};

  uint64_t messages_ = 0;
  uint64_t bytes_ = 0;
  uint64_t enters_ = 0;
  uint64_t accepted_ = 0;
  uint64_t starvations_ = 0;
  uint64_t short_sends_ = 0;
};

void EchoServer::OpenRing() {
  io_uring_params params = {};
  params.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  params.cq_entries = kCompletionEntries;
  const int result = io_uring_queue_init_params(kSubmissionEntries, &ring_, &params);
  if (result < 0) Die("io_uring_setup (needs Linux 6.1, and kernel.io_uring_disabled=0)", -result);
  const int registered = io_uring_register_ring_fd(&ring_);
  if (registered < 0) Die("registering the ring's descriptor", -registered);
  enter_flags_ = IORING_ENTER_GETEVENTS | IORING_ENTER_REGISTERED_RING;
  if ((params.features & kFeatureNoIowait) != 0) enter_flags_ |= kEnterNoIowait;
}

void EchoServer::Listen() {
  addrinfo hints = {};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* address = nullptr;
  const int lookup = getaddrinfo(options_.bind.c_str(), std::to_string(options_.port).c_str(), &hints, &address);
  if (lookup != 0) {
    std::fprintf(stderr, "raw_uring_echo: --bind=%s: %s\n", options_.bind.c_str(), gai_strerror(lookup));
    std::exit(1);
  }
  listener_ = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener_ < 0) Die("socket", errno);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  // Accepted sockets inherit it: no system call per connection.
  if (setsockopt(listener_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) Die("TCP_NODELAY", errno);
  if (bind(listener_, address->ai_addr, address->ai_addrlen) != 0) Die("bind", errno);
  freeaddrinfo(address);
  if (listen(listener_, kBacklog) != 0) Die("listen", errno);

  sockaddr_storage bound = {};
  socklen_t length = sizeof(bound);
  if (getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &length) != 0) Die("getsockname", errno);
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  getnameinfo(reinterpret_cast<sockaddr*>(&bound), length, host, sizeof(host), port, sizeof(port),
              NI_NUMERICHOST | NI_NUMERICSERV);
  std::printf(bound.ss_family == AF_INET6 ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host, port);
  std::fflush(stdout);
}

void EchoServer::Start() {
  sigset_t stop_signals;
  sigemptyset(&stop_signals);
  sigaddset(&stop_signals, SIGINT);
  sigaddset(&stop_signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &stop_signals, nullptr);
  signals_ = signalfd(-1, &stop_signals, SFD_CLOEXEC);
  if (signals_ < 0) Die("signalfd", errno);

  OpenRing();
  buffers_.Init(&ring_, static_cast<unsigned>(options_.buffers), static_cast<unsigned>(options_.buffer_size));
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_read(sqe, signals_, &signal_info_, sizeof(signal_info_), 0);
  io_uring_sqe_set_data64(sqe, UserData(kSignal));
  Listen();
  ArmAccept();
}

io_uring_sqe* EchoServer::NextSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    Enter(0);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

// io_uring_submit_and_wait(), which in liburing 2.9 cannot pass IORING_ENTER_NO_IOWAIT.
void EchoServer::Enter(unsigned wait) {
  io_uring_sq& queue = ring_.sq;
  queue.sqe_head = queue.sqe_tail;
  io_uring_smp_store_release(queue.ktail, queue.sqe_tail);
  const unsigned pending = queue.sqe_tail - IO_URING_READ_ONCE(*queue.khead);
  const int result =
      io_uring_enter2(static_cast<unsigned>(ring_.enter_ring_fd), pending, wait, enter_flags_, nullptr, _NSIG / 8);
  ++enters_;
  // EINTR: wait again. EAGAIN, EBUSY: what was not submitted is submitted by the next call.
  if (result < 0 && result != -EINTR && result != -EAGAIN && result != -EBUSY) Die("io_uring_enter", -result);
}

void EchoServer::ArmAccept() {
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(sqe, UserData(kAccept));
}

void EchoServer::ArmReceive(uint32_t slot) {
  Connection& connection = connections_[slot];
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_recv_multishot(sqe, connection.fd, nullptr, 0, 0);
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = kBufferGroup;
  io_uring_sqe_set_data64(sqe, UserData(kReceive, slot));
  connection.receive_armed = true;
}

void EchoServer::StartSend(uint32_t slot) {
  Connection& connection = connections_[slot];
  io_uring_sqe* sqe = NextSqe();
  const uint16_t first = connection.first;
  char* data = buffers_.Data(first) + connection.first_sent_bytes;
  const size_t length = buffers_.Length(first) - connection.first_sent_bytes;
  constexpr int kFlags = MSG_WAITALL | MSG_NOSIGNAL;
  if (connection.queued == 1) {
    io_uring_prep_send(sqe, connection.fd, data, length, kFlags);
  } else {
    if (connection.vector == nullptr) connection.vector = std::make_unique<SendVector>();
    SendVector& vector = *connection.vector;
    vector.parts[0] = {data, length};
    int count = 1;
    for (uint16_t i = buffers_.Next(first); i != kNoBuffer && count < kVectorMax; i = buffers_.Next(i)) {
      vector.parts[count++] = {buffers_.Data(i), buffers_.Length(i)};
    }
    vector.header.msg_iov = vector.parts;
    vector.header.msg_iovlen = static_cast<size_t>(count);
    io_uring_prep_sendmsg(sqe, connection.fd, &vector.header, kFlags);
  }
  io_uring_sqe_set_data64(sqe, UserData(kSend, slot));
  connection.send_in_flight = true;
}

void EchoServer::Append(Connection& connection, uint16_t buffer, uint32_t length) {
  buffers_.Length(buffer) = length;
  buffers_.Next(buffer) = kNoBuffer;
  if (connection.queued++ == 0) {
    connection.first = buffer;
  } else {
    buffers_.Next(connection.last) = buffer;
  }
  connection.last = buffer;
}

void EchoServer::PopFirst(Connection& connection) {
  const uint16_t buffer = connection.first;
  connection.first = buffers_.Next(buffer);
  connection.first_sent_bytes = 0;
  --connection.queued;
  buffers_.Release(buffer);
}

void EchoServer::OnAccept(const io_uring_cqe& cqe) {
  if (cqe.res >= 0) {
    if (free_slots_.empty()) {
      free_slots_.push_back(static_cast<uint32_t>(connections_.size()));
      connections_.emplace_back();
    }
    const uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    connections_[slot].fd = cqe.res;
    ++accepted_;
    ArmReceive(slot);
  }
  if ((cqe.flags & IORING_CQE_F_MORE) != 0) return;
  switch (-cqe.res) {
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
    case EOPNOTSUPP:
      Die("accept", -cqe.res);
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: {  // The client stays in the backlog until somebody has gone.
      io_uring_sqe* sqe = NextSqe();
      io_uring_prep_timeout(sqe, &accept_pause_, 0, 0);
      io_uring_sqe_set_data64(sqe, UserData(kAcceptPause));
      return;
    }
    default:  // This client failed, or the multishot just ended.
      ArmAccept();
  }
}

void EchoServer::OnReceive(uint32_t slot, const io_uring_cqe& cqe) {
  Connection& connection = connections_[slot];
  if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
    connection.receive_armed = false;
    connection.receive_pausing = false;
  }
  if ((cqe.flags & IORING_CQE_F_BUFFER) != 0) {
    const uint16_t buffer = static_cast<uint16_t>(cqe.flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_.Take();
    if (cqe.res > 0 && !connection.broken) {
      ++messages_;
      bytes_ += static_cast<uint64_t>(cqe.res);
      connection.starved_place = 0;
      Append(connection, buffer, static_cast<uint32_t>(cqe.res));
    } else {
      buffers_.Release(buffer);
    }
  }
  if (cqe.res == -ENOBUFS) {
    ++starvations_;
    connection.starved = true;
    if (connection.starved_place == 0) connection.starved_place = ++starved_place_last_;
    starved_.emplace(connection.starved_place, slot);
  } else if (cqe.res == 0) {
    connection.receive_over = true;
  } else if (cqe.res < 0 && cqe.res != -ECANCELED) {
    connection.receive_over = true;
    Break(slot);
  }
  Touch(slot);
}

void EchoServer::OnSend(uint32_t slot, int result) {
  Connection& connection = connections_[slot];
  connection.send_in_flight = false;
  if (result < 0) {
    Break(slot);
  } else {
    uint32_t sent = static_cast<uint32_t>(result);
    while (sent > 0) {
      const uint32_t left = buffers_.Length(connection.first) - connection.first_sent_bytes;
      if (sent < left) {
        ++short_sends_;
        connection.first_sent_bytes += sent;
        break;
      }
      sent -= left;
      PopFirst(connection);
    }
    if (connection.broken) Break(slot);
  }
  Touch(slot);
}

// Nothing more can be sent. The buffers go back at once, unless the kernel may still read them.
void EchoServer::Break(uint32_t slot) {
  Connection& connection = connections_[slot];
  connection.broken = true;
  if (!connection.receive_over) shutdown(connection.fd, SHUT_RDWR);  // Ends an armed receive.
  if (connection.send_in_flight) return;
  while (connection.queued > 0) PopFirst(connection);
}

void EchoServer::Touch(uint32_t slot) {
  if (connections_[slot].touched) return;
  connections_[slot].touched = true;
  touched_.push_back(slot);
}

// Starts what a connection needs next, once per batch of completions: all that arrived in it leaves in one send.
void EchoServer::Settle(uint32_t slot) {
  Connection& connection = connections_[slot];
  connection.touched = false;
  if (connection.queued > 0 && !connection.send_in_flight) StartSend(slot);
  if (connection.receive_armed) {
    if (connection.queued >= high_water_ && !connection.receive_pausing) {
      io_uring_sqe* sqe = NextSqe();
      io_uring_prep_cancel64(sqe, UserData(kReceive, slot), 0);
      io_uring_sqe_set_data64(sqe, UserData(kIgnored));
      connection.receive_pausing = true;
    }
    return;
  }
  if (!connection.receive_over) {
    if (!connection.starved && connection.queued <= high_water_ / 2) ArmReceive(slot);
    return;
  }
  if (connection.send_in_flight) return;
  io_uring_sqe* sqe = NextSqe();
  io_uring_prep_close(sqe, connection.fd);
  sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
  io_uring_sqe_set_data64(sqe, UserData(kIgnored));
  connection = Connection();
  free_slots_.push_back(slot);
}

// Arms the receives that an empty ring has ended, no more than there are buffers for. The first of them may take all
// buffers, and the others come back with nothing: they keep their places, or the same few would win every time.
void EchoServer::FeedStarved() {
  for (unsigned budget = buffers_.available(); budget > 0 && !starved_.empty(); --budget) {
    const uint32_t slot = starved_.begin()->second;
    starved_.erase(starved_.begin());
    connections_[slot].starved = false;
    Settle(slot);
  }
}

void EchoServer::Handle(const io_uring_cqe& cqe) {
  const uint32_t slot = static_cast<uint32_t>(cqe.user_data >> kKindBits);
  switch (static_cast<Kind>(cqe.user_data & ((1U << kKindBits) - 1))) {
    case kReceive:
      return OnReceive(slot, cqe);
    case kSend:
      return OnSend(slot, cqe.res);
    case kAccept:
      return OnAccept(cqe);
    case kAcceptPause:
      return ArmAccept();
    case kSignal:
      stopped_ = true;
      return;
    case kIgnored:
      return;
  }
}

void EchoServer::Run() {
  while (!stopped_) {
    Enter(1);
    unsigned head;
    unsigned seen = 0;
    io_uring_cqe* cqe;
    io_uring_for_each_cqe(&ring_, head, cqe) {
      Handle(*cqe);
      ++seen;
    }
    io_uring_cq_advance(&ring_, seen);
    buffers_.Publish();
    for (const uint32_t slot : touched_) Settle(slot);
    touched_.clear();
    if (!starved_.empty()) FeedStarved();
  }
}

void EchoServer::PrintStatistics() const {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  const double user = static_cast<double>(usage.ru_utime.tv_sec) + static_cast<double>(usage.ru_utime.tv_usec) / 1e6;
  const double sys = static_cast<double>(usage.ru_stime.tv_sec) + static_cast<double>(usage.ru_stime.tv_usec) / 1e6;
  const double messages = messages_ > 0 ? static_cast<double>(messages_) : 1;
  std::printf(
      "{\"server\": \"raw_uring_echo\", \"messages\": %llu, \"bytes\": %llu, \"enters\": %llu, \"user_s\": %.6f, "
      "\"sys_s\": %.6f, \"cpu_us_per_message\": %.4f, \"enters_per_message\": %.4f, \"accepted\": %llu, "
      "\"ring_empty\": %llu, \"short_sends\": %llu, \"no_iowait\": %s}\n",
      static_cast<unsigned long long>(messages_), static_cast<unsigned long long>(bytes_),
      static_cast<unsigned long long>(enters_), user, sys, (user + sys) * 1e6 / messages,
      static_cast<double>(enters_) / messages, static_cast<unsigned long long>(accepted_),
      static_cast<unsigned long long>(starvations_), static_cast<unsigned long long>(short_sends_),
      (enter_flags_ & kEnterNoIowait) != 0 ? "true" : "false");
  std::fflush(stdout);
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  tandem::bench::Options options;
  tandem::bench::Flags flags(
      "raw_uring_echo: an echo server on plain liburing, the baseline of Tandem's echo server.\n"
      "Prints `listening on ADDR:PORT`, serves until SIGINT or SIGTERM, then prints one JSON line of statistics,\n"
      "in which a message is one item received: a receive that brought bytes.\n");
  flags.Add("port", &options.port, 0, 65535, "TCP port; 0 picks one");
  flags.Add("bind", &options.bind, "numeric IPv4 or IPv6 address");
  flags.Add("buffers", &options.buffers, 1, 32768, "buffers in the ring, a power of two");
  flags.Add("buffer_size", &options.buffer_size, 64, 1 << 20, "bytes in a buffer");
  flags.Parse(argc, argv);
  if (!std::has_single_bit(static_cast<uint64_t>(options.buffers))) {
    std::fprintf(stderr, "raw_uring_echo: --buffers must be a power of two\n");
    return 2;
  }
  tandem::bench::EchoServer server(options);
  server.Start();
  server.Run();
  server.PrintStatistics();
  return 0;
}
