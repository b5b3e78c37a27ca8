// SPDX-License-Identifier: Apache-2.0
//
// Simulations that fail, each in its own way: for harness_test.py, which looks at what the harness says. All but the
// first fail in one seed.

#include <sys/auxv.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>

#include "absl/log/check.h"
#include "absl/log/log.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr uint64_t kBadSeed = 3;
constexpr uint16_t kPort = 7;
constexpr absl::Duration kTimeLimit = absl::Minutes(10);

Task<void> Echo(TcpStream stream) {
  std::array<char, 256> bytes;
  for (;;) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
    const IoResult written = co_await stream.WriteAll(absl::string_view(bytes.data(), *count));
    if (!written.ok()) co_return;
  }
}

// Serves connections with `Handler`.
template <Task<void> (*Handler)(TcpStream)>
Task<absl::Status> Serve() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  for (;;) {
    absl::StatusOr<TcpStream> stream = co_await listener->Accept();
    if (!stream.ok()) co_return stream.status();
    Spawn(Handler, *std::move(stream));
  }
}

Task<absl::StatusOr<TcpStream>> ConnectToServer() {
  const absl::StatusOr<SocketAddress> address = sim::HostAddress("server", kPort);
  if (!address.ok()) co_return address.status();
  co_return co_await TcpStream::Connect(*address);
}

// Sends one message and waits for as many bytes.
Task<absl::Status> Ask(TcpStream* stream, std::string message) {
  const IoResult written = co_await stream->WriteAll(message);
  if (!written.ok()) co_return written.status;
  std::string reply(message.size(), '\0');
  const IoResult read = co_await stream->ReadExactly(absl::MakeSpan(reply.data(), reply.size()));
  co_return read.status;
}

// Asks until something fails.
Task<absl::Status> AskOften(int* replies) {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(5), ConnectToServer());
  if (!stream.ok()) co_return absl::OkStatus();
  for (int i = 0; i < 20; ++i) {
    const absl::Status asked = co_await WithTimeout(absl::Seconds(1), Ask(&*stream, absl::StrCat("question ", i)));
    if (!asked.ok()) break;
    ++*replies;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(300));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

// --- Expectations ---

SIM_TEST(Broken, LosesReplies) {
  int replies = 0;
  world.AddHost("server", [] { return Serve<Echo>(); });
  sim::Host& client = world.AddHost("client", [&replies] { return AskOften(&replies); });
  world.Inject(sim::Faults::Network().During(absl::ZeroDuration(), absl::Seconds(10)));

  const absl::Status status = world.RunUntilDone(client, kTimeLimit);

  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(replies, 20) << "at " << (world.Now() - Instant()) << ", " << world.random("test").Below(1000);
}

// Over TCP alone.
void RunWithoutDatagrams(sim::World& world, const sim::Faults& faults) {
  int replies = 0;
  world.AddHost("server", [] { return Serve<Echo>(); });
  sim::Host& client = world.AddHost("client", [&replies] { return AskOften(&replies); });
  world.Inject(faults);
  EXPECT_TRUE(world.RunUntilDone(client, kTimeLimit).ok());
}

SIM_TEST(Broken, AsksForAFaultOfNothing) { RunWithoutDatagrams(world, sim::Faults::Only(sim::FaultKind::kDuplicate)); }

SIM_TEST(Broken, AsksForAFamilyOfFaults) { RunWithoutDatagrams(world, sim::Faults::Network()); }

SIM_TEST(Broken, HasManyFaults) {
  int replies = 0;
  world.AddHost("server", [] { return Serve<Echo>(); });
  sim::Host& client = world.AddHost("client", [&replies] { return AskOften(&replies); });
  std::string plan;
  for (int packet = 1; packet <= 30; ++packet) {
    absl::StrAppend(&plan, "latency client server at packet ", packet, " for 0.000001s strength 1\n");
  }
  world.Inject(*sim::FaultPlan::Parse(plan));
  EXPECT_TRUE(world.RunUntilDone(client, kTimeLimit).ok());
  ADD_FAILURE() << "to see the faults";
}

Task<absl::Status> Expects(bool bad) {
  const absl::Status yielded = co_await Yield();
  EXPECT_EQ(bad ? 2 : 1, 1);
  co_return yielded;
}

Task<absl::Status> CallsExpects(bool bad) {
  absl::Status status = co_await Expects(bad);
  co_return status;
}

SIM_TEST(Broken, FailsAnExpectationInATask) {
  const bool bad = world.seed() == kBadSeed;
  sim::Host& host = world.AddHost("host", [bad] { return CallsExpects(bad); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

Task<void> Talks() {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(500));
  if (!slept.ok()) co_return;
  LOG(INFO) << "for your information";
  LOG(WARNING) << "be careful";
  VLOG(2) << "in detail";
}

Task<absl::Status> SpawnsTalk(bool bad) {
  Spawn(&Talks);
  const absl::Status slept = co_await Sleep(absl::Seconds(1));
  if (slept.ok() && bad) co_return absl::InternalError("as planned");
  co_return slept;
}

SIM_TEST(Broken, Logs) {
  const bool bad = world.seed() == kBadSeed;
  sim::Host& host = world.AddHost("host", [bad] { return SpawnsTalk(bad); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

Task<absl::Status> Fails() { co_return absl::InternalError("whatever the network does"); }

SIM_TEST(Broken, FailsWhateverTheNetworkDoes) {
  sim::Host& host = world.AddHost("host", [] { return Fails(); });
  world.AddHost("other", [] { return Serve<Echo>(); });
  world.Inject(sim::Faults::Network());
  EXPECT_TRUE(world.RunFor(absl::Minutes(2)).ok());
  EXPECT_TRUE(host.status()->ok()) << *host.status();
}

// Sends datagrams and looks up a name, so that all faults could hit something.
Task<absl::Status> SendDatagrams(std::string peer) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  const absl::StatusOr<SocketAddress> address = sim::HostAddress(peer, kPort);
  if (!address.ok()) co_return address.status();
  static_cast<void>(co_await Resolve(peer, kPort));
  co_return co_await socket->SendTo("datagram", *address);
}

SIM_TEST(Broken, SendsDatagrams) {
  sim::Host& host = world.AddHost("host", [] { return SendDatagrams("other"); });
  world.AddHost("other", [] { return Serve<Echo>(); });
  world.Inject(*sim::FaultPlan::Parse(
      "duplicate * * from 0s to 60s strength 1000000\nreorder * * from 0s to 60s strength 1000000\n"
      "lookup-failed host from 0s to 60s strength 1000000\n"
      "lookup-slow host from 0s to 60s strength 1000000\nreset host from 30s strength 1000000\n"));
  EXPECT_TRUE(world.RunFor(absl::Minutes(2)).ok());
  EXPECT_TRUE(host.status()->ok()) << *host.status();
  ADD_FAILURE() << "to see the faults";
}

Task<absl::Status> LogAtThreeQuarters() {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(750));
  LOG(INFO) << "three quarters of a second";
  co_return slept.ok() ? absl::InternalError("as planned") : slept;
}

// At 0.75 s a fault begins, a task goes on and logs, and the seed fails.
SIM_TEST(Broken, TellsTheTime) {
  sim::Host& host = world.AddHost("host", [] { return LogAtThreeQuarters(); });
  world.AddHost("other", [] { return Serve<Echo>(); });
  world.Inject(*sim::FaultPlan::Parse("pause other from 0.75s to 2s"));
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

// --- Ends of the process ---

Task<absl::Status> AfterASecond(void (*function)()) {
  const absl::Status slept = co_await Sleep(absl::Seconds(1));
  if (!slept.ok()) co_return slept;
  function();
  co_return absl::OkStatus();
}

// Calls `function` in a task of the one seed.
void InBadSeed(sim::World& world, void (*function)()) {
  if (world.seed() != kBadSeed) function = [] {};
  sim::Host& host = world.AddHost("host", [function] { return AfterASecond(function); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

void WriteToNull() {
  int* volatile nowhere = nullptr;
  *nowhere = 1;
}

void LoopForever() {
  volatile bool forever = true;
  while (forever) {
  }
}

void LockTwice() {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> once(mutex);
  const std::lock_guard<std::mutex> twice(mutex);
}

void CheckThatOneIsTwo() { CHECK_EQ(1, 2) << "as planned"; }

void ThrowError() { throw std::runtime_error("nobody catches this"); }

Task<void> ThrowLater() {
  static_cast<void>(co_await Yield());
  ThrowError();
}

void FreeTwice() {
  void* volatile memory = malloc(1000);
  free(memory);
  free(memory);
}

void Leak() {
  [[maybe_unused]] static char* volatile leaked;
  leaked = new char[1000];
  leaked = nullptr;
}

SIM_TEST(Broken, Segfaults) { InBadSeed(world, &WriteToNull); }
SIM_TEST(Broken, LoopsWithoutAwait) { InBadSeed(world, &LoopForever); }
SIM_TEST(Broken, BlocksOnALock) { InBadSeed(world, &LockTwice); }
SIM_TEST(Broken, FailsACheck) { InBadSeed(world, &CheckThatOneIsTwo); }
SIM_TEST(Broken, FreesTwice) { InBadSeed(world, &FreeTwice); }
SIM_TEST(Broken, ThrowsOutOfMain) { InBadSeed(world, &ThrowError); }
SIM_TEST(Broken, ThrowsOutOfSpawnedTask) {
  InBadSeed(world, [] { Spawn(&ThrowLater); });
}
SIM_TEST(Broken, NeverRuns) {
  if (world.seed() == 3) world.AddHost("host", [] { return Serve<Echo>(); });
}
SIM_TEST(Broken, Exits) {
  InBadSeed(world, [] { exit(0); });
}
SIM_TEST(Broken, Leaks) { InBadSeed(world, &Leak); }

// --- Waiting for what does not come ---

Task<void> ReadAndSayNothing(TcpStream stream) {
  std::array<char, 256> bytes;
  for (;;) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
  }
}

Task<absl::Status> AskOnce() {
  absl::StatusOr<TcpStream> stream = co_await ConnectToServer();
  if (!stream.ok()) co_return stream.status();
  co_return co_await Ask(&*stream, "question");
}

SIM_TEST(Broken, Deadlocks) {
  const bool bad = world.seed() == kBadSeed;
  world.AddHost("server", [bad] { return bad ? Serve<ReadAndSayNothing>() : Serve<Echo>(); });
  sim::Host& client = world.AddHost("client", [] { return AskOnce(); });
  const absl::Status status = world.RunUntilDone(client, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

Task<void> SpinPolitely() {
  for (;;) {
    const absl::Status status = co_await Yield();
    if (!status.ok()) co_return;
  }
}

Task<void> IgnoreCancellation() {
  for (;;) static_cast<void>(co_await Sleep(absl::Seconds(1)));
}

SIM_TEST(Broken, IgnoresItsCancellation) {
  InBadSeed(world, [] { Spawn(&IgnoreCancellation); });
  EXPECT_TRUE(world.RunFor(absl::Minutes(1)).ok());
}

Task<absl::Status> LockBoth(Mutex* first, Mutex* second) {
  const absl::StatusOr<Mutex::Guard> one = co_await first->Lock();
  if (!one.ok()) co_return one.status();
  const absl::Status slept = co_await Sleep(absl::Seconds(1));
  if (!slept.ok()) co_return slept;
  const absl::StatusOr<Mutex::Guard> other = co_await second->Lock();
  co_return other.status();
}

Task<absl::Status> LockInACircle(bool bad) {
  Mutex a;
  Mutex b;
  const auto [one, other] = co_await WhenAll(LockBoth(&a, &b), LockBoth(bad ? &b : &a, bad ? &a : &b));
  co_return one.ok() ? other : one;
}

SIM_TEST(Broken, LocksInACircle) {
  const bool bad = world.seed() == kBadSeed;
  sim::Host& host = world.AddHost("host", [bad] { return LockInACircle(bad); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

Task<absl::Status> SpawnSpinner(bool bad) {
  const absl::Status slept = co_await Sleep(absl::Seconds(1));
  if (!slept.ok()) co_return slept;
  if (bad) Spawn(&SpinPolitely);
  co_return co_await Sleep(absl::Seconds(1));
}

SIM_TEST(Broken, Livelocks) {
  const bool bad = world.seed() == kBadSeed;
  world.AddHost("bystander", [] { return Serve<Echo>(); });
  sim::Host& host = world.AddHost("spinner", [bad] { return SpawnSpinner(bad); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

// --- What a seed does not decide ---

// Of the random bytes that the kernel gives to each new program.
uint64_t BytesOfTheProcess() {
  const auto* const random = reinterpret_cast<const unsigned char*>(getauxval(AT_RANDOM));
  return random[0] + 256u * random[1];
}

Task<absl::Status> SleepForProcess(uint64_t leaked) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(100));
  if (!slept.ok()) co_return slept;
  co_return co_await Sleep(absl::Nanoseconds(1000 + leaked));
}

SIM_TEST(Broken, DependsOnTheProcess) {
  const uint64_t leaked = world.seed() == kBadSeed ? BytesOfTheProcess() : 1;
  sim::Host& host = world.AddHost("host", [leaked] { return SleepForProcess(leaked); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

// Nothing comes of it, yet.
Task<absl::Status> DrawForProcess(uint64_t leaked) {
  const absl::Status slept = co_await Sleep(absl::Milliseconds(100));
  if (!slept.ok()) co_return slept;
  Random("process", leaked).Next();
  co_return co_await Sleep(absl::Milliseconds(100));
}

SIM_TEST(Broken, DrawsForTheProcess) {
  const uint64_t leaked = world.seed() == kBadSeed ? BytesOfTheProcess() : 1;
  sim::Host& host = world.AddHost("host", [leaked] { return DrawForProcess(leaked); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

Task<absl::Status> SleepAndCrash(uint64_t leaked) {
  const absl::Status slept = co_await SleepForProcess(leaked);
  CHECK(!slept.ok()) << "as planned";
  co_return slept;
}

SIM_TEST(Broken, CrashesForTheProcess) {
  if (world.seed() != kBadSeed) return;
  sim::Host& host = world.AddHost("host", [] { return SleepAndCrash(BytesOfTheProcess()); });
  const absl::Status status = world.RunUntilDone(host, kTimeLimit);
  EXPECT_TRUE(status.ok()) << status;
}

}  // namespace
}  // namespace tandem
