// SPDX-License-Identifier: Apache-2.0
//
// Planted bugs of programs that believe in the network, and in calls that do all that they can.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "gtest/gtest.h"
#include "tandem/sim/faults/faults.h"
#include "tandem/sim/world/host.h"
#include "tandem/sim/world/op.h"
#include "tandem/sim/world/world.h"
#include "tandem/tandem.h"
#include "tandem/testing/shrink/planted.h"
#include "tandem/testing/sim_sweep.h"
#include "tandem/testing/sim_test.h"

namespace tandem {
namespace {

constexpr absl::Duration kEnd = absl::Minutes(10);

// --- Datagrams that are numbered as they are sent ---

Task<void> SendNext(UdpSocket* socket, SocketAddress to, int* next) {
  const std::string number = absl::StrCat(*next);
  ++*next;
  static_cast<void>(co_await socket->SendTo(number, to));
}

Task<absl::Status> SendNumbers(SocketAddress to, std::vector<sim::Op> ops) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  int next = 0;
  for (const sim::Op& op : ops) {
    co_await SendNext(&*socket, to, &next);
    if (op.Draw("burst", 3) != 0) continue;
    const absl::Status slept = co_await Sleep(absl::Milliseconds(50));
    if (!slept.ok()) co_return slept;
  }
  co_return absl::OkStatus();
}

Task<absl::Status> ReceiveNumbers(std::vector<int>* arrived) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(kPort));
  if (!socket.ok()) co_return socket.status();
  while (true) {
    std::array<char, 16> bytes;
    const absl::StatusOr<ReceivedDatagram> datagram = co_await socket->ReceiveFrom(absl::MakeSpan(bytes));
    if (!datagram.ok()) co_return datagram.status();
    int number = 0;
    if (absl::SimpleAtoi(absl::string_view(bytes.data(), datagram->size), &number)) arrived->push_back(number);
  }
}

// What arrives of numbers that are sent under faults, in the end.
std::vector<int> Arrived(sim::World& world, sim::Faults faults) {
  std::vector<int> arrived;
  AddBystanders(world);
  sim::Host& receiver = world.AddHost("receiver", [&] { return ReceiveNumbers(&arrived); });
  const std::vector<sim::Op> ops = world.Ops("sender", kOps);
  world.AddClient("sender", [&] { return SendNumbers(receiver.address(kPort), ops); });
  world.Inject(faults.During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  static_cast<void>(world.RunFor(absl::Minutes(1)));
  return arrived;
}

SIM_TEST(Planted, TakesAGapForNothing) {
  // Of damaged ones it is the seed that says which of them, and no fault can be made to hit the first; and a queue
  // takes several to be full.
  const sim::Faults faults =
      sim::Faults::Network().Without(sim::FaultKind::kCorruption).Without(sim::FaultKind::kQueueLimit);
  const std::vector<int> arrived = Arrived(world, faults);
  const std::set<int> numbers(arrived.begin(), arrived.end());
  const bool gap = !numbers.empty() && *numbers.rbegin() >= static_cast<int>(numbers.size());
  EXPECT_FALSE(gap) << "bug: a datagram is lost";
}

SIM_TEST(Planted, TakesANumberTwice) {
  const std::vector<int> arrived = Arrived(world, sim::Faults::Network());
  const std::set<int> numbers(arrived.begin(), arrived.end());
  EXPECT_EQ(arrived.size(), numbers.size()) << "bug: a datagram came twice";
}

SIM_TEST(Planted, BelievesInOrder) {
  std::set<int> seen;
  bool overtaken = false;
  // A copy may overtake what was held up with the first one: that would take two faults.
  const sim::Faults faults =
      sim::Faults::Network().Without(sim::FaultKind::kDuplicate).Without(sim::FaultKind::kSegmentDuplicate);
  for (const int number : Arrived(world, faults)) {
    if (seen.insert(number).second && number < *seen.rbegin()) overtaken = true;
  }
  EXPECT_FALSE(overtaken) << "bug: a datagram overtook another one";
}

// --- One datagram of two hundred, which are sent at once: those behind it are taken for those before ---

constexpr int kManyDatagrams = 200;
constexpr int kMarkEvery = 17;

Task<absl::Status> SendManyAtOnce(SocketAddress to) {
  absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (!socket.ok()) co_return socket.status();
  for (int next = 0; next < kManyDatagrams;) co_await SendNext(&*socket, to, &next);
  co_return absl::OkStatus();
}

// No time and no count keeps a fault to one of them: it is chance that says which are lost.
SIM_TEST(Planted, MissesOneOfManyAtOnce) {
  std::vector<int> arrived;
  AddBystanders(world);
  sim::Host& receiver = world.AddHost("receiver", [&] { return ReceiveNumbers(&arrived); });
  world.AddClient("sender", [&] { return SendManyAtOnce(receiver.address(kPort)); });
  world.Inject(sim::Faults::None().With(sim::FaultKind::kLoss).Always().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  static_cast<void>(world.RunFor(absl::Minutes(1)));
  const std::set<int> numbers(arrived.begin(), arrived.end());
  bool bug = false;
  for (int mark = kMarkEvery; mark + 1 < kManyDatagrams; mark += kMarkEvery) {
    bug = bug || (numbers.contains(mark - 1) && !numbers.contains(mark) && numbers.contains(mark + 1));
  }
  EXPECT_FALSE(bug) << "bug: a mark is lost, and its neighbours are not";
}

// --- A reset during a large write: a part was sent, and is sent again ---

constexpr size_t kLarge = 300'000;

Task<void> Swallow(TcpStream stream, CancelScope*) {
  std::array<char, 4096> bytes;
  while (true) {
    const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
    if (!count.ok() || *count == 0) co_return;
  }
}

Task<absl::Status> RunSink() {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  co_return co_await Serve(*std::move(listener), &Swallow);
}

Task<void> WriteMuch(bool* half) {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(1), Connect("sink:7"));
  if (!stream.ok()) co_return;
  const std::string data(kLarge, 'x');
  const IoResult written = co_await WithTimeout(absl::Minutes(1), stream->WriteAll(data));
  if (absl::IsUnavailable(written.status) && written.bytes > 0) *half = true;
}

SIM_TEST(Planted, SendsHalfOfItAgain) {
  bool half = false;
  AddBystanders(world);
  world.AddHost("sink", [] { return RunSink(); });
  const std::vector<sim::Op> ops = world.Ops("writer", kOps);
  world.AddClient("writer", [&] { return DoOneByOne(ops, [&](const sim::Op&) { return WriteMuch(&half); }); });
  world.Inject(sim::Faults::Network().Always().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(half) << "bug: a part of it is sent again";
}

// --- A short read is taken for the whole request ---

constexpr absl::string_view kRequest = "a whole request.";

Task<void> ReadOnce(TcpStream stream, bool* cut) {
  std::array<char, kRequest.size()> bytes;
  const absl::StatusOr<size_t> count = co_await stream.Read(absl::MakeSpan(bytes));
  if (count.ok() && *count > 0 && *count < kRequest.size()) *cut = true;
}

Task<absl::Status> RunReader(bool* cut) {
  absl::StatusOr<TcpListener> listener = TcpListener::Listen(SocketAddress::AnyIpv4(kPort));
  if (!listener.ok()) co_return listener.status();
  co_return co_await Serve(*std::move(listener),
                           [cut](TcpStream stream, CancelScope*) { return ReadOnce(std::move(stream), cut); });
}

Task<void> SendRequest() {
  absl::StatusOr<TcpStream> stream = co_await WithTimeout(absl::Seconds(1), Connect("reader:7"));
  if (!stream.ok()) co_return;
  static_cast<void>(co_await WithTimeout(absl::Seconds(1), stream->WriteAll(kRequest)));
}

SIM_TEST(Planted, ReadsAPart) {
  bool cut = false;
  AddBystanders(world);
  world.AddHost("reader", [&] { return RunReader(&cut); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client", [&] { return DoOneByOne(ops, [](const sim::Op&) { return SendRequest(); }); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_FALSE(cut) << "bug: a part of a request";
}

// --- An operation fails, and nobody looks ---

Task<absl::StatusOr<std::string>> Note(int* noted) {
  const absl::StatusOr<UdpSocket> socket = UdpSocket::Bind(SocketAddress::AnyIpv4(0));
  if (socket.ok()) ++*noted;
  co_return "noted";
}

Task<void> AskToNote(int* answered) {
  const absl::StatusOr<std::string> answer = co_await Ask("server", "note this");
  if (answer.ok()) ++*answered;
}

SIM_SWEEP(Planted, IgnoresAFailedCall, "server") {
  int noted = 0;
  int answered = 0;
  AddBystanders(world);
  world.AddHost("server", [&] { return AnswerLines([&](std::string) { return Note(&noted); }); });
  const std::vector<sim::Op> ops = world.Ops("client", kOps);
  world.AddClient("client", [&] { return DoOneByOne(ops, [&](const sim::Op&) { return AskToNote(&answered); }); });
  world.Inject(sim::Faults::All().During(absl::ZeroDuration(), kFaultsEnd));
  static_cast<void>(world.RunClients(kEnd));
  EXPECT_LE(answered, noted) << "bug: answered, and not noted";
}

}  // namespace
}  // namespace tandem
