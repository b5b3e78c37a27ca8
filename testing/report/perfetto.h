// SPDX-License-Identifier: Apache-2.0
//
// trace.json: a run for Perfetto (https://ui.perfetto.dev), in the JSON trace event format of Chrome.
//
// Each host is a process, each of its tasks a thread; what the network and timers do is a thread of its own. Each event
// is a slice, with its number and words in its arguments: search for "17" in args.event. Between the events of a task
// are slices for what it awaits. Arrows go from where a packet is sent to where it arrives, and from every other cause
// to what it brings about on another thread. Faults and the operations of clients are processes of their own.
//
// Virtual time stands still while a task runs, so events would hide each other, and arrows lead nowhere: one that has
// the time of the event before it is drawn 1 ns behind that. args.time_ns is the true time.

#ifndef TANDEM_TESTING_REPORT_PERFETTO_H_
#define TANDEM_TESTING_REPORT_PERFETTO_H_

#include <string>

#include "tandem/testing/report/excerpt.h"
#include "tandem/testing/report/recording.h"

namespace tandem::testing {

std::string PerfettoJson(const Report& report, const Excerpt& excerpt = {});

}  // namespace tandem::testing

#endif  // TANDEM_TESTING_REPORT_PERFETTO_H_
