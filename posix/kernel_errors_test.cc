// SPDX-License-Identifier: Apache-2.0
//
// The kernel says no, at every call that a reactor of a real machine makes: one body, linked with each. What passes
// again costs nobody a connection; what is one socket's is told to its owner.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/create_reactor.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/errors.h"
#include "tandem/core/io/operation.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/io/reactor_options.h"
#include "tandem/core/io/source.h"
#include "tandem/posix/reactor_fixture.h"
#include "tandem/posix/system_call_faults.h"

namespace tandem::posix {
namespace {

// Without falling back: each reactor has to answer for itself.
absl::StatusOr<std::unique_ptr<Reactor>> Create() {
  static const bool has_uring = [] {
    auto reactor = CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(ReactorOptions());
    return reactor.ok() && absl::StartsWith((*reactor)->statistics().description, "io_uring");
  }();
  return CreateReactor_add_a_reactor_such_as_uring_reactor_to_deps(
      ReactorOptions().set_kind(has_uring ? ReactorKind::kUring : ReactorKind::kAuto));
}

// As a test of its own, made on the thread whose calls fail.
class Traffic final : public TrafficFixture {
 public:
  explicit Traffic(std::unique_ptr<Reactor> reactor) {
    reactor_ = std::move(reactor);
    exact_budgets_ = true;
  }
  ~Traffic() override { TearDown(); }

  // Connections in both families, small and large sends, a file, descriptors, datagrams.
  void RunAll() {
    RunTraffic(8, 300'000);
    UnixTraffic();
    Datagrams();
    EXPECT_EQ(reactor_->in_flight(), 0u);
  }
  void RunLittle() {
    RunTraffic(1, 1000);
    EXPECT_EQ(reactor_->in_flight(), 0u);
  }

 private:
  void TestBody() override {}

  void UnixTraffic() {
    const SocketId listener = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream));
    const sa_family_t family = AF_UNIX;
    SocketAddress address;
    ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&family), sizeof(family)), 0);
    ASSERT_EQ(reactor_->LocalAddress(listener, &address), 0);
    ASSERT_EQ(reactor_->Listen(listener, 4), 0);
    TestSource accept(Source::Kind::kAccept);
    Arm(&accept, listener);
    const SocketId client = Keep(reactor_->OpenSocket(AddressFamily::kUnix, SocketType::kStream));
    ASSERT_EQ(Connect(client, address), 0);
    ASSERT_TRUE(RunUntil([&] { return accept.accepted.size() == 1; }));
    const SocketId server = Keep(accept.accepted[0]);
    Disarm(&accept);

    const std::string bytes = Pattern(500'000);
    const int descriptors[] = {STDERR_FILENO};
    TestSource receive(Source::Kind::kReceive);
    receive.wants_descriptors = true;
    Arm(&receive, server);
    TestOperation send;
    send.descriptors = descriptors;
    StartSend(&send, client, bytes);
    ASSERT_TRUE(RunUntil([&] { return send.done && receive.received.size() == bytes.size(); }));
    EXPECT_EQ(send.result, static_cast<int64_t>(bytes.size()));
    EXPECT_TRUE(receive.received == bytes);
    EXPECT_EQ(receive.descriptors.size(), 1u);

    const int file = Keep(memfd_create("kernel_errors_test", MFD_CLOEXEC));
    ASSERT_EQ(write(file, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    TestOperation send_file(OperationKind::kSendFile, client);
    send_file.range = {.descriptor = file, .offset = 0, .count = bytes.size()};
    reactor_->Submit(send_file);
    ASSERT_TRUE(RunUntil([&] { return send_file.done && receive.received.size() == 2 * bytes.size(); }));
    EXPECT_TRUE(receive.received == bytes + bytes);
    Disarm(&receive);
  }

  void Datagrams() {
    SocketId sockets[2] = {kNoSocket, kNoSocket};
    ASSERT_EQ(reactor_->OpenSocketPair(SocketType::kDatagram, sockets), 0);
    const SocketId client = Keep(sockets[0]);
    TestSource receive(Source::Kind::kReceiveDatagrams);
    Arm(&receive, Keep(sockets[1]));
    const std::string bytes = "a datagram";
    OutgoingDatagram datagram;
    datagram.data = bytes;
    for (size_t count = 1; count <= 20; ++count) {
      // A datagram that the kernel has no memory for is its sender's to repeat.
      do {
        TestOperation send(OperationKind::kSendDatagrams, client);
        send.datagrams = absl::MakeConstSpan(&datagram, 1);
        if (const int64_t sent = Run(send); sent == 1) break;
      } while (true);
      ASSERT_TRUE(RunUntil([&] { return receive.datagrams.size() == count; }));
    }
    for (const Datagram& came : receive.datagrams) EXPECT_EQ(came.data.view(), bytes);
    Disarm(&receive);
  }
};

// --- While it runs ---------------------------------------------------------------------------------------------------

struct PassingError {
  int call;
  const char* name;
  std::vector<int> errors;
  bool must_occur;  // Else this reactor may do without the call.
};

class PassingErrorTest : public ::testing::TestWithParam<PassingError> {};

TEST_P(PassingErrorTest, CostsNobodyAConnection) {
  for (const int error : GetParam().errors) {
    for (const uint32_t period : {1u, 3u}) {
      SCOPED_TRACE(absl::StrCat(GetParam().name, ": ", std::strerror(error), ", one of ", period));
      uint32_t failed = 0;
      SystemCallFaults::Run({GetParam().call}, [&](SystemCallFaults& faults) {
        auto reactor = Create();
        ASSERT_TRUE(reactor.ok()) << reactor.status();
        Traffic traffic(*std::move(reactor));
        faults.Fail(GetParam().call, error, {.times = 20, .period = period});
        traffic.RunAll();
        failed = faults.Stop();
      });
      if (GetParam().must_occur) {
        EXPECT_GT(failed, 0u);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PassingErrorTest,
    ::testing::Values(
        PassingError{
            SYS_io_uring_enter, "io_uring_enter", {EINTR, ETIME, EAGAIN, EBUSY, ENOMEM, ENOBUFS, EBADR}, false},
        PassingError{SYS_io_uring_register, "io_uring_register", {ENOMEM, EINTR, EAGAIN}, false},
        PassingError{SYS_epoll_wait, "epoll_wait", {EINTR, ENOMEM}, false},
        PassingError{SYS_epoll_pwait2, "epoll_pwait2", {EINTR, ENOMEM, ENOSYS, EPERM}, false},
        PassingError{SYS_epoll_ctl, "epoll_ctl", {ENOMEM, ENOSPC}, false},
        PassingError{SYS_accept4,
                     "accept4",
                     {EMFILE, ENFILE, ENOMEM, ENOBUFS, EINTR, ECONNABORTED, EPROTO, ENETDOWN, ENOPROTOOPT, EHOSTDOWN,
                      ENONET, EHOSTUNREACH, ENETUNREACH, EPERM, ETIMEDOUT},
                     false},
        PassingError{SYS_recvfrom, "recvfrom", {ENOMEM, ENOBUFS, EINTR}, false},
        PassingError{SYS_recvmsg, "recvmsg", {ENOMEM, ENOBUFS, EINTR}, true},
        PassingError{SYS_recvmmsg, "recvmmsg", {ENOMEM, ENOBUFS, EINTR}, true},
        PassingError{SYS_sendto, "sendto", {ENOMEM, ENOBUFS, EINTR}, false},
        PassingError{SYS_sendmsg, "sendmsg", {ENOMEM, ENOBUFS, EINTR}, true},
        PassingError{SYS_sendmmsg, "sendmmsg", {ENOMEM, ENOBUFS, EINTR}, true},
        PassingError{SYS_sendfile, "sendfile", {ENOMEM, ENOBUFS, EINTR}, true},
        PassingError{SYS_bind, "bind", {EINTR}, true}, PassingError{SYS_listen, "listen", {EINTR}, true},
        PassingError{SYS_socket, "socket", {EINTR}, true}, PassingError{SYS_getsockname, "getsockname", {EINTR}, true}),
    [](const ::testing::TestParamInfo<PassingError>& info) { return info.param.name; });

// --- Set-up ----------------------------------------------------------------------------------------------------------

int OpenDescriptors() {
  int count = 0;
  for (int descriptor = 0; descriptor < 256; ++descriptor) count += fcntl(descriptor, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

// Then there is a reactor that serves all the same, or an error that says why, and nothing is left open.
TEST(SetupErrorsTest, EachCallMayFailWithAnyError) {
  constexpr std::pair<int, const char*> kCalls[] = {
      {SYS_io_uring_setup, "io_uring_setup"}, {SYS_io_uring_register, "io_uring_register"},
      {SYS_io_uring_enter, "io_uring_enter"}, {SYS_epoll_create1, "epoll_create1"},
      {SYS_epoll_ctl, "epoll_ctl"},           {SYS_eventfd2, "eventfd2"},
  };
  for (const auto& [call, name] : kCalls) {
    for (const int error : {EPERM, EACCES, ENOSYS, EINVAL, EMFILE, ENFILE, ENOMEM, EINTR, EAGAIN, EBADF, EFAULT}) {
      for (uint32_t skip = 0; skip < 3; ++skip) {
        SCOPED_TRACE(absl::StrCat(name, ": ", std::strerror(error), ", after ", skip, " that succeed"));
        SystemCallFaults::Run({call}, [&, call = call](SystemCallFaults& faults) {
          const int before = OpenDescriptors();
          faults.Fail(call, error, {.skip = skip});
          auto reactor = Create();
          faults.Stop();
          if (reactor.ok()) {
            Traffic(*std::move(reactor)).RunLittle();
          } else {
            EXPECT_TRUE(ErrnoOf(reactor.status()) == error || absl::IsUnimplemented(reactor.status()))
                << reactor.status();
          }
          EXPECT_EQ(OpenDescriptors(), before);
        });
      }
    }
  }
}

// What the kernel says of one socket is its owner's to hear.
TEST(SetupErrorsTest, SocketsAreRefusedWithTheErrno) {
  for (const int error : {EMFILE, ENFILE, ENOMEM, ENOBUFS, EACCES, EPERM}) {
    SystemCallFaults::Run({SYS_socket, SYS_socketpair}, [error](SystemCallFaults& faults) {
      auto reactor = Create();
      ASSERT_TRUE(reactor.ok()) << reactor.status();
      faults.Fail(SYS_socket, error, {});
      EXPECT_EQ((*reactor)->OpenSocket(AddressFamily::kIpv4, SocketType::kStream), -error);
      faults.Fail(SYS_socketpair, error, {});
      SocketId pair[2] = {kNoSocket, kNoSocket};
      EXPECT_EQ((*reactor)->OpenSocketPair(SocketType::kStream, pair), -error);
    });
  }
}

}  // namespace
}  // namespace tandem::posix
