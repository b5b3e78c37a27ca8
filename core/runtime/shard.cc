// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/runtime/shard.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "absl/log/check.h"
#include "tandem/core/io/reactor.h"

namespace tandem {
namespace {

// Clears `this_task` at its end.
internal::RootCoroutine RunMain(Task<void> main, Shard* shard, const TaskContext** this_task) {
  struct AtEnd {
    Shard* shard;
    const TaskContext** this_task;
    ~AtEnd() {
      *this_task = nullptr;
      shard->SetRunsAlone(nullptr);
    }
  };
  AtEnd at_end{shard, this_task};
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
  Letter* letter = mailbox_.exchange(&closed_);
  while (letter != nullptr && letter != &closed_) delete std::exchange(letter, letter->next);
  for (int posting = posting_.load(); posting != 0; posting = posting_.load()) posting_.wait(posting);
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
  stop_control_.Request();
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
  internal::RootCoroutine root = RunMain(std::move(main), this, &main_task_);
  main_task_ = &root.context();
  main_.Start(root);
}

bool Shard::Turn(Instant wait_until) {
  const Instant cancelled_before = cancelled_at_;
  if (has_letters()) RunLetters(nullptr);
  RunReady();
  // What the owner of the loop waits for has come, or a limit for it: it is not to sleep on.
  const bool done = (shutting_down_ ? drained() : main_ended()) || cancelled_at_ != cancelled_before;
  Instant until = Instant::InfinitePast();
  if (!has_work() && !done) until = std::min(wait_until, timers().next_deadline());
  const bool alive = reactor_->Poll(until) || done;
  timers().FireUntil(ReadNow());
  // What a HostLocal closes in its destructor is still to be drained.
  if (shutting_down_ && task_count() == 0) DestroyLocals();
  return alive;
}

void Shard::TurnAtOnce() {
  CHECK(reactor_->Poll(Instant::InfinitePast()));
  timers().FireUntil(ReadNow());
  if (has_letters()) RunLetters(nullptr);
  RunReady();
  if (shutting_down_ && task_count() == 0) DestroyLocals();
}

void Shard::BeginShutdown() {
  shutting_down_ = true;
  CancelEverything();
}

void Shard::CancelEverything() {
  if (cancelled_at_ != Instant::InfiniteFuture()) return;
  cancelled_at_ = reactor_->ReadClock();
  SetRunsAlone(main_task_);
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

bool Shard::Post(absl::AnyInvocable<void()> function) {
  // With the letter in the mailbox the shard may run it, end and be destroyed, but for this.
  struct Posting {
    explicit Posting(std::atomic<int>& posting) : posting(posting) { posting.fetch_add(1); }
    ~Posting() {
      if (posting.fetch_sub(1) == 1) posting.notify_one();
    }
    std::atomic<int>& posting;
  };
  const Posting posting(posting_);
  auto letter = std::make_unique<Letter>(Letter{std::move(function), nullptr});
  Letter* head = mailbox_.load(std::memory_order_relaxed);
  do {
    if (head == &closed_) return false;
    letter->next = head;
  } while (!mailbox_.compare_exchange_weak(head, letter.get(), std::memory_order_release, std::memory_order_relaxed));
  [[maybe_unused]] const Letter* posted = letter.release();  // The mailbox owns it.
  // Each for itself, although one would do for all: the thread that put the first one there may be held up right here.
  reactor_->Wake();
  return true;
}

void Shard::RequestStop() {
  Post([this] { stop_control_.Request(); });
}

void Shard::RunLetters(Letter* leave) noexcept {
  ReadNow();  // A letter may come long after the last turn.
  Letter* newest = mailbox_.exchange(leave, std::memory_order_acquire);
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
