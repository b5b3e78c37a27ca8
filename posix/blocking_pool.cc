// SPDX-License-Identifier: Apache-2.0
//
// A Job is one call; the reactor's side (BlockingCalls) and the thread that runs it share it. Its state, the lists of
// a Pool and those of a Mailbox are each under a lock of their own, and no two locks are held at once.
//
// The threads are detached and share the Pool's queue, not the Pool: whoever is blocked in a call when the last reactor
// goes holds nobody up, and ends by itself.

#include "tandem/posix/blocking_pool.h"

#include <netdb.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <utility>

#include "absl/log/check.h"
#include "tandem/posix/socket_address.h"

namespace tandem::posix {
namespace {

constexpr int kMaxThreads = 16;
constexpr std::chrono::seconds kIdleTime(10);

std::atomic<bool> g_refuse_threads{false};

}  // namespace

// Where jobs that were run go. Outlives the reactor while jobs run.
struct BlockingCalls::Mailbox {
  Mailbox(void (*wake)(void*), void* context) : wake(wake), context(context) {}

  void Put(std::shared_ptr<Job> job) {
    const std::lock_guard<std::mutex> lock(mutex);
    if (closed) return;
    const bool first = jobs.empty();
    jobs.push_back(std::move(job));
    filled.store(true, std::memory_order_release);
    // Under the lock: the reactor cannot go meanwhile.
    if (first) wake(context);
  }

  void (*const wake)(void*);
  void* const context;
  std::atomic<bool> filled{false};
  std::mutex mutex;
  bool closed = false;
  std::vector<std::shared_ptr<Job>> jobs;
};

struct BlockingCalls::Job {
  enum class State : uint8_t { kQueued, kRunning, kDropped };

  // Runs the call and returns true, unless it was dropped.
  bool Run() {
    State queued = State::kQueued;
    if (!state.compare_exchange_strong(queued, State::kRunning)) return false;
    switch (kind) {
      case OperationKind::kRunBlocking:
        work->Run();
        break;
      case OperationKind::kResolve:
        result = lookup(host, port, &addresses);
        break;
      default:
        CHECK(false) << "not a blocking operation";
    }
    return true;
  }
  // Ends the call without having run it and returns true, unless it was dropped.
  bool Refuse() {
    State queued = State::kQueued;
    if (!state.compare_exchange_strong(queued, State::kRunning)) return false;
    result = -EAGAIN;
    return true;
  }
  // Whether it will never run.
  bool Drop() {
    State queued = State::kQueued;
    return state.compare_exchange_strong(queued, State::kDropped);
  }

  // Of the reactor's thread.
  Operation* operation = nullptr;  // Null: nobody waits for the result any more.

  std::atomic<State> state{State::kQueued};
  OperationKind kind = OperationKind::kRunBlocking;
  std::shared_ptr<Mailbox> mailbox;

  // The arguments, and what came out of it.
  BlockingWork* work = nullptr;
  LookupFunction lookup = nullptr;
  std::string host;
  uint16_t port = 0;
  std::vector<SocketAddress> addresses;
  int64_t result = 0;
};

// Threads and what they have to do.
class BlockingCalls::Pool {
 public:
  // The pools exist as long as a BlockingCalls does.
  static std::shared_ptr<Pool> ForWork() { return SharedByAll().work.Get(); }
  static std::shared_ptr<Pool> ForLookups() { return SharedByAll().lookups.Get(); }

  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool() {
    const std::lock_guard<std::mutex> lock(queue_->mutex);
    queue_->closing = true;
    queue_->ready.notify_all();
  }

  // Refuses `job` when there is no thread at all to run it.
  void Run(std::shared_ptr<Job> job) {
    {
      const std::lock_guard<std::mutex> lock(queue_->mutex);
      queue_->jobs.push_back(std::move(job));
      if (queue_->idle >= queue_->jobs.size() || queue_->threads == kMaxThreads) {
        queue_->ready.notify_one();
        return;
      }
      ++queue_->threads;
    }
    if (StartThread()) return;
    std::deque<std::shared_ptr<Job>> refused;
    {
      const std::lock_guard<std::mutex> lock(queue_->mutex);
      if (--queue_->threads > 0) return;
      // Nobody takes what is queued: neither this job, nor another reactor's that counted on the thread that failed.
      refused.swap(queue_->jobs);
    }
    for (std::shared_ptr<Job>& left : refused) {
      const std::shared_ptr<Mailbox> mailbox = left->mailbox;
      if (left->Refuse()) mailbox->Put(std::move(left));
    }
  }

 private:
  struct Queue {
    std::mutex mutex;
    std::condition_variable ready;
    std::deque<std::shared_ptr<Job>> jobs;
    int threads = 0;
    size_t idle = 0;
    bool closing = false;
  };

  struct Shared {
    std::shared_ptr<Pool> Get() {
      const std::lock_guard<std::mutex> lock(mutex);
      std::shared_ptr<Pool> pool = current.lock();
      if (pool == nullptr) current = pool = std::make_shared<Pool>();
      return pool;
    }

    std::mutex mutex;
    std::weak_ptr<Pool> current;
  };

  // A child that fork(2) has made has none of the threads: it gets pools of its own.
  struct AllShared {
    AllShared() {
      pthread_atfork([] { SharedByAll().Lock(); }, [] { SharedByAll().Unlock(); }, [] { SharedByAll().StartAfresh(); });
    }
    void Lock() {
      work.mutex.lock();
      lookups.mutex.lock();
    }
    void Unlock() {
      lookups.mutex.unlock();
      work.mutex.unlock();
    }
    void StartAfresh() {
      work.current.reset();
      lookups.current.reset();
      Unlock();
    }

    Shared work;
    Shared lookups;
  };
  static AllShared& SharedByAll() {
    static auto* const shared = new AllShared;
    return *shared;
  }

  // The thread gets no signals, but for those that its own faults raise.
  bool StartThread() {
    if (g_refuse_threads.load()) return false;
    sigset_t blocked;
    sigset_t old_mask;
    sigfillset(&blocked);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) {
      sigdelset(&blocked, fault);
    }
    auto argument = std::make_unique<std::shared_ptr<Queue>>(queue_);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_BLOCK, &blocked, &old_mask);
    pthread_t thread;
    const int failed = pthread_create(&thread, &attributes, &Pool::ThreadMain, argument.get());
    pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
    pthread_attr_destroy(&attributes);
    if (failed != 0) return false;
    [[maybe_unused]] auto* const given = argument.release();
    return true;
  }

  static void* ThreadMain(void* argument) {
    pthread_setname_np(pthread_self(), "tandem-blocking");
    const std::unique_ptr<std::shared_ptr<Queue>> owned(static_cast<std::shared_ptr<Queue>*>(argument));
    Queue& queue = **owned;
    std::unique_lock<std::mutex> lock(queue.mutex);
    while (true) {
      if (!queue.jobs.empty()) {
        std::shared_ptr<Job> job = std::move(queue.jobs.front());
        queue.jobs.pop_front();
        lock.unlock();
        const std::shared_ptr<Mailbox> mailbox = job->mailbox;
        if (job->Run()) mailbox->Put(std::move(job));
        job.reset();
        lock.lock();
        continue;
      }
      if (queue.closing) break;
      ++queue.idle;
      const bool woken =
          queue.ready.wait_for(lock, kIdleTime, [&queue] { return !queue.jobs.empty() || queue.closing; });
      --queue.idle;
      if (!woken) break;
    }
    --queue.threads;
    return nullptr;
  }

  const std::shared_ptr<Queue> queue_ = std::make_shared<Queue>();
};

BlockingCalls::BlockingCalls(void (*wake)(void*), void* context)
    : mailbox_(std::make_shared<Mailbox>(wake, context)),
      work_pool_(Pool::ForWork()),
      lookup_pool_(Pool::ForLookups()),
      lookup_(&LookUp) {}

BlockingCalls::~BlockingCalls() {
  {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    mailbox_->closed = true;
    mailbox_->jobs.clear();
  }
  for (const auto& [operation, job] : jobs_) job->Drop();
}

void BlockingCalls::Submit(Operation& operation) {
  auto job = std::make_shared<Job>();
  job->operation = &operation;
  job->kind = operation.kind;
  job->mailbox = mailbox_;
  if (operation.kind == OperationKind::kResolve) {
    job->lookup = lookup_;
    job->host = operation.lookup->host;
    job->port = operation.lookup->port;
  }
  const bool is_work = operation.kind == OperationKind::kRunBlocking;
  if (is_work) job->work = operation.work;
  jobs_[&operation] = job;
  (is_work ? work_pool_ : lookup_pool_)->Run(std::move(job));
}

void BlockingCalls::RefuseThreadsForTest(bool refuse) { g_refuse_threads = refuse; }

void BlockingCalls::Cancel(Operation& operation) {
  const auto entry = jobs_.find(&operation);
  if (entry == jobs_.end()) return;
  Job& job = *entry->second;
  if (!job.Drop()) {
    if (operation.kind == OperationKind::kRunBlocking) return;
    // A result that is there already stays.
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    if (std::find(mailbox_->jobs.begin(), mailbox_->jobs.end(), entry->second) != mailbox_->jobs.end()) return;
  }
  job.operation = nullptr;
  jobs_.erase(entry);
  ended_here_.push_back({.operation = &operation, .result = -ECANCELED});
}

bool BlockingCalls::has_done() const {
  return !ended_here_.empty() || mailbox_->filled.load(std::memory_order_acquire);
}

std::vector<BlockingCalls::Done> BlockingCalls::TakeDone() {
  std::vector<Done> done = std::exchange(ended_here_, {});
  std::vector<std::shared_ptr<Job>> jobs;
  if (mailbox_->filled.load(std::memory_order_acquire)) {
    const std::lock_guard<std::mutex> lock(mailbox_->mutex);
    jobs.swap(mailbox_->jobs);
    mailbox_->filled.store(false, std::memory_order_relaxed);
  }
  done.reserve(done.size() + jobs.size());
  for (const std::shared_ptr<Job>& job : jobs) {
    if (job->operation == nullptr) continue;
    if (job->kind == OperationKind::kResolve && job->result == 0) {
      job->operation->lookup->addresses = std::move(job->addresses);
    }
    jobs_.erase(job->operation);
    done.push_back({.operation = job->operation, .result = job->result});
  }
  return done;
}

int64_t LookUp(const std::string& host, uint16_t port, std::vector<SocketAddress>* addresses) {
  // The C library would look for what stands before a NUL.
  if (host.empty() || host.find('\0') != std::string::npos) return -ENOENT;
  // Not AI_ADDRCONFIG: without a network the loopback's names would have no addresses, and the order puts what cannot
  // be reached last. One socket type: each address comes once.
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  switch (getaddrinfo(host.c_str(), nullptr, &hints, &list)) {
    case 0:
      break;
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
      return -ENOENT;
    case EAI_AGAIN:
      return -EAGAIN;
    default:
      return -EIO;
  }
  for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage storage = {};
    std::memcpy(&storage, entry->ai_addr, std::min<size_t>(entry->ai_addrlen, sizeof(storage)));
    const SocketAddress address = FromSockaddr(storage, entry->ai_addrlen).WithPort(port);
    if (address.family() == AddressFamily::kNone) continue;
    if (std::find(addresses->begin(), addresses->end(), address) == addresses->end()) addresses->push_back(address);
  }
  freeaddrinfo(list);
  return addresses->empty() ? -ENOENT : 0;
}

}  // namespace tandem::posix
