// SPDX-License-Identifier: Apache-2.0
//
// A reactor without sockets, with a clock that jumps: for tests of what is above the seam.
//
// Poll() that has to wait moves the clock to where it would have woken, so tests of timers take no time. Operations
// stay in flight, and sources armed, until the test ends them or they are cancelled, which the next Poll() reports.

#ifndef TANDEM_CORE_RUNTIME_FAKE_REACTOR_FOR_TEST_H_
#define TANDEM_CORE_RUNTIME_FAKE_REACTOR_FOR_TEST_H_

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/core/async/task.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/address.h"
#include "tandem/core/io/buffer.h"
#include "tandem/core/io/datagram.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"

namespace tandem {

class FakeReactor final : public Reactor {
 public:
  Instant ReadClock() override { return clock_; }
  int64_t ReadWallClock() override { return 1'700'000'000'000'000'000 + clock_.nanoseconds(); }
  uint64_t random_seed() const override { return 42; }

  bool Poll(Instant until) override {
    ++statistics_.polls;
    std::vector<std::pair<Operation*, int64_t>> completions = std::exchange(completions_, {});
    std::vector<SourceReport> source_reports = std::exchange(source_reports_, {});
    const bool woken = wakes_.exchange(0) > 0;
    if (completions.empty() && source_reports.empty() && !woken && until > clock_) {
      if (until == Instant::InfiniteFuture()) return false;
      clock_ = until;
    }
    for (auto& [operation, result] : completions) ReportComplete(*operation, result);
    for (SourceReport& report : source_reports) {
      if (report.datagram.has_value()) {
        ReportDatagram(*report.source, *std::move(report.datagram));
      } else {
        ReportEnd(*report.source, report.end, report.error);
      }
    }
    return true;
  }
  void Wake() override {
    if (in_wake_) in_wake_();
    wakes_.fetch_add(1);
  }
  void SetSignalHandler(std::function<void(int signal)> handler) override { signal_ = std::move(handler); }
  int WatchSignal(int, SignalWatch) override { return 0; }

  int64_t OpenSocket(AddressFamily, SocketType) override { return -ENOSYS; }
  int Bind(SocketId, const SocketAddress&) override { return -ENOSYS; }
  int Listen(SocketId, int) override { return -ENOSYS; }
  int Shutdown(SocketId, ShutdownHow) override { return -ENOSYS; }
  int SetOption(SocketId, SocketOption, int) override { return -ENOSYS; }
  int GetOption(SocketId, SocketOption, int*) override { return -ENOSYS; }
  int LocalAddress(SocketId, SocketAddress*) override { return -ENOSYS; }
  int PeerAddress(SocketId, SocketAddress*) override { return -ENOSYS; }
  HeapBufferPool& heap_buffers() override { return buffers_; }
  ReactorStatistics statistics() const override { return statistics_; }

  // For tests: moves the clock, completes an operation at the next Poll(), delivers a signal.
  void Advance(absl::Duration duration) { clock_ += duration; }
  void Complete(Operation& operation, int64_t result) { completions_.emplace_back(&operation, result); }
  // Notes, at the present time, that some of `operation` went.
  void Progress(Operation& operation) { NoteProgress(operation); }
  void DeliverSignal(int signal) { signal_(signal); }
  // Called by each Wake() before it takes effect, on its thread.
  void set_in_wake(std::function<void()> in_wake) { in_wake_ = std::move(in_wake); }
  int wakes() const { return wakes_; }
  // Every operation that was submitted, in order.
  const std::vector<Operation*>& submitted() const { return submitted_; }
  // Every arming, in order. What a source reports comes at the next Poll().
  const std::vector<Source*>& armings() const { return armings_; }
  void Deliver(Source& source, Datagram datagram) {
    source_reports_.push_back({.source = &source, .datagram = std::move(datagram)});
  }
  void End(Source& source, SourceEnd end, int error) {
    source_reports_.push_back({.source = &source, .datagram = std::nullopt, .end = end, .error = error});
  }

 protected:
  void SubmitOperation(Operation& operation) override { submitted_.push_back(&operation); }
  void CancelOperation(Operation& operation) override { Complete(operation, -ECANCELED); }
  void ArmSource(Source& source) override { armings_.push_back(&source); }
  void DisarmSource(Source& source) override { End(source, SourceEnd::kDisarmed, 0); }

 private:
  struct SourceReport {
    Source* source = nullptr;
    std::optional<Datagram> datagram;  // None: the end of the arming.
    SourceEnd end = SourceEnd::kDisarmed;
    int error = 0;
  };

  Instant clock_ = Instant::FromNanoseconds(1'000'000'000);
  std::atomic<int> wakes_{0};
  std::function<void()> in_wake_;
  std::function<void(int signal)> signal_;
  std::vector<std::pair<Operation*, int64_t>> completions_;
  std::vector<Operation*> submitted_;
  std::vector<SourceReport> source_reports_;
  std::vector<Source*> armings_;
  HeapBufferPool buffers_;
  ReactorStatistics statistics_;
};

// A shard over a FakeReactor that is current on this thread, and its loop.
class FakeShard {
 public:
  FakeShard() : reactor_(new FakeReactor()), shard_(std::unique_ptr<Reactor>(reactor_)), entered_(shard_) {}

  FakeReactor& reactor() { return *reactor_; }
  Shard& shard() { return shard_; }

  // Starts `main`, which may be done once.
  void Start(Task<void> main) { shard_.StartMain(std::move(main)); }
  // Turns the loop until the main task has ended. Returns false when nothing can happen any more.
  bool RunUntilEnd() {
    while (!shard_.main_ended()) {
      if (!shard_.Turn(Instant::InfiniteFuture())) return false;
    }
    return true;
  }
  // Cancels what is left and turns the loop until nothing is.
  void Drain() {
    shard_.BeginShutdown();
    while (!shard_.drained()) CHECK(shard_.Turn(Instant::InfiniteFuture())) << shard_.DescribeTasks();
  }

  // Runs `main` to its end, drains, and returns its result or throws its exception. May be called once.
  template <typename T>
  T Run(Task<T> main) {
    if constexpr (std::is_void_v<T>) {
      RunToEnd(std::move(main));
    } else {
      std::optional<T> result;
      RunToEnd(Capture<T>(&result, std::move(main)));
      return *std::move(result);
    }
  }

 private:
  template <typename T>
  static Task<void> Capture(std::optional<T>* result, Task<T> main) {
    result->emplace(co_await std::move(main));
  }
  void RunToEnd(Task<void> main) {
    Start(std::move(main));
    CHECK(RunUntilEnd()) << "stuck:\n" << shard_.DescribeTasks();
    Drain();
    shard_.RethrowMain();
  }

  FakeReactor* const reactor_;  // Owned by the shard.
  Shard shard_;
  Shard::Entered entered_;
};

}  // namespace tandem

#endif  // TANDEM_CORE_RUNTIME_FAKE_REACTOR_FOR_TEST_H_
