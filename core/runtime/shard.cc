// SPDX-License-Identifier: Apache-2.0

#include "core/runtime/shard.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/log/check.h"
#include "core/io/reactor.h"

namespace tandem {
namespace {

internal::RootCoroutine RunMain(Task<void> main, bool* ended) {
  struct AtEnd {
    bool* ended;
    ~AtEnd() { *ended = true; }
  };
  AtEnd at_end{ended};
  co_await std::move(main);
}

}  // namespace

Shard::Entered::Entered(Shard& shard)
    : executor_(ExchangeCurrent(&shard)), reactor_(std::exchange(Reactor::current_, shard.reactor_.get())) {}

Shard::Entered::~Entered() {
  ExchangeCurrent(executor_);
  Reactor::current_ = reactor_;
}

Shard::Left::Left() : executor_(ExchangeCurrent(nullptr)), reactor_(std::exchange(Reactor::current_, nullptr)) {}

Shard::Left::~Left() {
  ExchangeCurrent(executor_);
  Reactor::current_ = reactor_;
}

Shard::Shard(std::unique_ptr<Reactor> reactor) : reactor_(std::move(reactor)) {
  ReadNow();
  reactor_->SetSignalHandler([this](int signal) { OnSignal(signal); });
  UpdateSignalWatch(SIGINT);
  UpdateSignalWatch(SIGTERM);
}

Shard::~Shard() {
  CHECK(drained()) << "a shard ended with " << task_count() << " tasks and " << reactor_->in_flight() << " in flight";
  reactor_->SetSignalHandler(nullptr);
  for (Letter* letter = mailbox_.exchange(nullptr); letter != nullptr;) {
    delete std::exchange(letter, letter->next);
  }
}

bool Shard::drained() const { return task_count() == 0 && reactor_->in_flight() == 0; }

Instant Shard::ReadClock() { return reactor_->ReadClock(); }

void Shard::OnSignal(int signal) {
  const uint64_t bit = uint64_t{1} << (signal - 1);
  bool received = false;
  signal_receivers_.ForEach([&](SignalReceiver& receiver) {
    if ((receiver.signals_ & bit) == 0) return;
    received = true;
    receiver.OnSignal(signal);
  });
  if (received || (signal != SIGINT && signal != SIGTERM)) return;
  stop_signalled_ = true;
  UpdateSignalWatch(SIGINT);
  main_.scope().Cancel();
}

int Shard::UpdateSignalWatch(int signal) {
  bool received = false;
  signal_receivers_.ForEach(
      [&](const SignalReceiver& receiver) { received |= (receiver.signals_ >> (signal - 1) & 1) != 0; });
  SignalWatch watch = SignalWatch::kOff;
  if (received) {
    watch = SignalWatch::kAlways;
  } else if (signal == SIGTERM) {
    watch = SignalWatch::kAlways;
  } else if (signal == SIGINT && !stop_signalled_) {
    watch = SignalWatch::kOnce;
  }
  return reactor_->WatchSignal(signal, watch);
}

int Shard::ReceiveSignal(SignalReceiver& receiver, int signal) {
  if (signal < 1 || signal > 64) return -EINVAL;
  if (!receiver.linked()) signal_receivers_.PushBack(receiver);
  receiver.signals_ |= uint64_t{1} << (signal - 1);
  const int result = UpdateSignalWatch(signal);
  if (result < 0) receiver.signals_ &= ~(uint64_t{1} << (signal - 1));
  return result;
}

Shard::SignalReceiver::~SignalReceiver() {
  if (!linked()) return;
  Unlink();
  for (int signal = 1; signals_ != 0; ++signal, signals_ >>= 1) {
    if ((signals_ & 1) != 0) Shard::Current().UpdateSignalWatch(signal);
  }
}

void Shard::StartMain(Task<void> main) {
  CHECK(!main_started_) << "BlockOn() was called twice";
  ReadNow();
  main_started_ = true;
  main_.Start(RunMain(std::move(main), &main_ended_));
}

bool Shard::Turn(Instant wait_until) {
  DrainMailbox();
  RunReady();
  // What the owner of the loop waits for has come: it is not to sleep on.
  const bool done = shutting_down_ ? drained() : main_ended_;
  Instant until = Instant::InfinitePast();
  if (!has_work() && !done) until = std::min(wait_until, timers().next_deadline());
  const bool alive = reactor_->Poll(until) || done;
  timers().FireUntil(ReadNow());
  // What a HostLocal closes in its destructor is still to be drained.
  if (shutting_down_ && task_count() == 0) DestroyLocals();
  return alive;
}

void Shard::BeginShutdown() {
  shutting_down_ = true;
  main_.scope().Cancel();
  root_scope().Cancel();
}

void Shard::DestroyLocals() {
  while (!locals_.empty()) {
    std::unique_ptr<Local> local = std::move(locals_.back());
    locals_.pop_back();
  }
}

void Shard::Abandon() {
  do {
    DestroyTasks();
    DestroyLocals();
  } while (task_count() > 0);
  main_.Abandon();
}

RandomStream& Shard::Random(absl::string_view name, uint64_t entity) {
  const auto key = std::make_pair(std::string(name), entity);
  auto it = streams_.find(key);
  if (it == streams_.end()) {
    const uint64_t domain = HashCombine(reactor_->random_seed(), HashName(name));
    it = streams_.emplace(key, RandomStream(HashCombine(domain, entity))).first;
  }
  return it->second;
}

void Shard::Post(absl::AnyInvocable<void()> function) {
  auto* letter = new Letter{std::move(function), nullptr};
  Letter* head = mailbox_.load(std::memory_order_relaxed);
  do {
    letter->next = head;
  } while (!mailbox_.compare_exchange_weak(head, letter, std::memory_order_release, std::memory_order_relaxed));
  // Only the first letter needs to wake: the others find it there, and the shard takes them all.
  if (head == nullptr) reactor_->Wake();
}

void Shard::RequestStop() {
  Post([this] { main_.scope().Cancel(); });
}

void Shard::DrainMailbox() noexcept {
  if (mailbox_.load(std::memory_order_relaxed) == nullptr) return;
  ReadNow();  // A letter may come long after the last turn.
  Letter* newest = mailbox_.exchange(nullptr, std::memory_order_acquire);
  Letter* oldest = nullptr;
  while (newest != nullptr) {
    Letter* next = newest->next;
    newest->next = oldest;
    oldest = newest;
    newest = next;
  }
  while (oldest != nullptr) {
    Letter* letter = std::exchange(oldest, oldest->next);
    letter->function();
    delete letter;
  }
}

absl::Time WallNow() { return absl::FromUnixNanos(Reactor::Current().ReadWallClock()); }

}  // namespace tandem
