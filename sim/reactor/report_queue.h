// SPDX-License-Identifier: Apache-2.0
//
// What a SimReactor will tell its program in the next Poll(), and what is put off to a later time.

#ifndef TANDEM_SIM_REACTOR_REPORT_QUEUE_H_
#define TANDEM_SIM_REACTOR_REPORT_QUEUE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "tandem/core/io/reactor.h"
#include "tandem/sim/time/event_queue.h"

namespace tandem::sim {

// The end of an operation, or a socket that is worth looking at. Or, only ever put off, a cancel or a disarm that takes
// effect.
struct Report {
  enum class Kind : uint8_t { kOperation, kSend, kSource, kCancel, kDisarm };

  // `operation` has ended, with that result.
  static Report Ended(Operation& operation, int64_t result) {
    return Report{Kind::kOperation, operation.socket, &operation, result, 0};
  }
  // The send or the source of `socket` is worth looking at.
  static Report Send(SocketId socket) { return Report{Kind::kSend, socket, nullptr, 0, 0}; }
  static Report Source(SocketId socket) { return Report{Kind::kSource, socket, nullptr, 0, 0}; }
  // `start` is which submission, or which arming, is meant.
  static Report Cancel(Operation& operation, uint64_t start) {
    return Report{Kind::kCancel, operation.socket, &operation, 0, start};
  }
  static Report Disarm(SocketId socket, uint64_t start) { return Report{Kind::kDisarm, socket, nullptr, 0, start}; }

  Kind kind;
  SocketId socket;
  Operation* operation;
  int64_t result;
  uint64_t start;
};

class ReportQueue {
 public:
  class Owner {
   public:
    // There is something to tell.
    virtual void OnReport() = 0;
    // The time of a report that was put off has come.
    virtual void OnDue(const Report& report) = 0;

   protected:
    ~Owner() = default;
  };

  // Both outlive the queue.
  ReportQueue(EventQueue& events, Owner& owner) : events_(events), owner_(owner) {}
  ReportQueue(const ReportQueue&) = delete;
  ReportQueue& operator=(const ReportQueue&) = delete;

  bool empty() const { return reports_.empty(); }
  void Push(const Report& report) {
    reports_.push_back(report);
    owner_.OnReport();
  }
  // After so many nanoseconds the owner is told; none: Push().
  void PushLater(const Report& report, std::optional<int64_t> delay_ns) {
    if (delay_ns.has_value()) [[unlikely]] {
      Delay(report, *delay_ns);
    } else {
      Push(report);
    }
  }
  // Calls tell(report) for each report that is there, in order, until that says false; the rest is dropped. What it
  // pushes is for the next time.
  template <typename Tell>
  void TellAll(const Tell& tell) {
    told_.swap(reports_);
    for (const Report& report : told_) {
      if (!tell(report)) break;
    }
    told_.clear();
  }
  // Drops everything.
  void Clear();

 private:
  class Delayed final : public Event {
   public:
    explicit Delayed(ReportQueue& queue) : queue_(queue) {}
    ~Delayed() override = default;
    Report report{};

   private:
    void Run() override { queue_.OnTime(*this); }
    ReportQueue& queue_;
  };

  void Delay(const Report& report, int64_t delay_ns);
  void OnTime(Delayed& delayed);

  EventQueue& events_;
  Owner& owner_;
  std::vector<Report> reports_;
  std::vector<Report> told_;  // What TellAll() works on; kept for its memory.
  std::vector<std::unique_ptr<Delayed>> delayed_;
  std::vector<Delayed*> free_delayed_;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_REACTOR_REPORT_QUEUE_H_
