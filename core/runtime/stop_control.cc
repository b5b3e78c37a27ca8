// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/runtime/stop_control.h"

#include "absl/log/check.h"
#include "absl/time/time.h"
#include "tandem/core/base/instant.h"
#include "tandem/core/io/reactor.h"
#include "tandem/core/runtime/shard.h"

namespace tandem::internal {

void StopControl::Request() {
  if (requested()) return;
  requested_at_ = shard_.reactor().ReadClock();
  drains_.ForEach([&](Drain& drain) { drain.HoldFrom(requested_at_); });
  requested_.Set();
  // A cancelled scope only makes coroutines ready: none of them runs now, and so the list stays as it is.
  listeners_.ForEach([](StopListener& listener) { listener.scope_.Cancel(); });
  CancelUnlessHeld();
}

void StopControl::CancelUnlessHeld() {
  if (requested() && drains_.empty()) shard_.CancelEverything();
}

StopListener::StopListener(CancelScope& scope) : scope_(scope) {
  StopControl& control = Shard::Current().stop_control();
  control.listeners_.PushBack(*this);
  if (control.requested()) scope.Cancel();
}

StopListener::~StopListener() { Unlink(); }

Drain::Drain(absl::Duration limit) : limit_(limit) {
  CHECK_GE(limit, absl::ZeroDuration()) << "a drain with a limit below zero";
  StopControl& control = Shard::Current().stop_control();
  control.drains_.PushBack(*this);
  if (control.requested()) HoldFrom(control.requested_at_);
}

Drain::~Drain() {
  Shard& shard = Shard::Current();
  shard.timers().Disarm(*this);
  if (!ListLink<DrainListTag>::linked()) return;
  ListLink<DrainListTag>::Unlink();
  if (!shard.dead()) shard.stop_control().CancelUnlessHeld();
}

void Drain::HoldFrom(Instant requested_at) {
  const Instant until = requested_at + limit_;
  if (until != Instant::InfiniteFuture()) Shard::Current().timers().Arm(*this, until);
}

void Drain::OnTimer() {
  ListLink<DrainListTag>::Unlink();
  Shard::Current().stop_control().CancelUnlessHeld();
}

}  // namespace tandem::internal
