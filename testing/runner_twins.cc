// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_twins.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/log/check.h"
#include "absl/memory/memory.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "tandem/testing/runner_divergence.h"
#include "tandem/testing/runner_flags.h"
#include "tandem/testing/runner_pool.h"

namespace tandem::testing {
namespace {

// A twentieth of the seeds costs a twentieth of the time.
constexpr size_t kSeedsPerTwin = 20;

// The content of a trace in memory.
class MappedTrace {
 public:
  explicit MappedTrace(int fd) {
    struct stat info;
    if (fstat(fd, &info) != 0 || info.st_size == 0) return;
    void* data = mmap(nullptr, static_cast<size_t>(info.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data != MAP_FAILED) text_ = absl::string_view(static_cast<char*>(data), static_cast<size_t>(info.st_size));
  }
  ~MappedTrace() {
    if (!text_.empty()) munmap(const_cast<char*>(text_.data()), text_.size());
  }
  MappedTrace(const MappedTrace&) = delete;
  MappedTrace& operator=(const MappedTrace&) = delete;

  absl::string_view text() const { return text_; }

 private:
  absl::string_view text_;
};

void RunTraced(SeedPool& pool, int trace_fd, const SeedRun& run) {
  CHECK_EQ(ftruncate(trace_fd, 0), 0);
  CHECK_EQ(lseek(trace_fd, 0, SEEK_SET), 0);
  pool.RunAlone(run);
}

std::string DigestText(uint64_t high, uint64_t low) { return absl::StrFormat("%016x%016x", high, low); }

std::string EndText(const SeedOutcome& outcome) {
  return absl::StrCat(outcome.result.progress.events, " events", outcome.death.empty() ? "" : ", ", outcome.death);
}

}  // namespace

std::vector<uint64_t> SeedsWithTwin(const std::vector<uint64_t>& seeds, const RunnerFlags& flags) {
  switch (flags.check_determinism) {
    case CheckedSeeds::kNone:
      return {};
    case CheckedSeeds::kAll:
      return seeds;
    case CheckedSeeds::kSome:
      break;
  }
  std::vector<uint64_t> some;
  for (size_t i = 0; i < seeds.size() && !flags.seed.has_value(); i += kSeedsPerTwin) some.push_back(seeds[i]);
  return some;
}

bool AreTwins(const SeedOutcome& first, const SeedOutcome& second) {
  if (first.stopped || second.stopped) return first.stopped == second.stopped;
  return first.failed == second.failed && first.death == second.death &&
         first.result.progress == second.result.progress;
}

std::string DescribeDifference(const SeedOutcome& first, const SeedOutcome& second) {
  const SeedProgress& a = first.result.progress;
  const SeedProgress& b = second.result.progress;
  const std::string a_digest = DigestText(a.digest_high, a.digest_low);
  const std::string b_digest = DigestText(b.digest_high, b.digest_low);
  if (a_digest != b_digest || first.death != second.death) {
    return absl::StrCat("two runs of the seed differ: digest ", a_digest, " after ", EndText(first), ", and ", b_digest,
                        " after ", EndText(second), "\n");
  }
  if (a == b) return "two runs of the seed differ: the same events, and one of them failed\n";
  return absl::StrCat("two runs of the seed differ between their events, which are the same so far: fine digest ",
                      DigestText(a.fine_digest_high, a.fine_digest_low), " and ",
                      DigestText(b.fine_digest_high, b.fine_digest_low), "\n");
}

int OpenTwinTrace(const char* name) { return memfd_create(name, MFD_CLOEXEC); }

absl::StatusOr<std::unique_ptr<Twins>> Twins::Start(SeedPool::Options options, bool move_addresses) {
  const int second_trace = OpenTwinTrace("trace-2");
  if (second_trace < 0) return absl::ErrnoToStatus(errno, "memfd_create");
  auto twins = absl::WrapUnique(new Twins(options.trace_fd, second_trace));
  options.disturb = true;
  options.trace_fd = second_trace;
  options.randomize_addresses = options.randomize_addresses || move_addresses;
  absl::StatusOr<std::unique_ptr<SeedPool>> pool = SeedPool::Start(options);
  if (!pool.ok()) return pool.status();
  twins->pool_ = *std::move(pool);
  return twins;
}

Twins::~Twins() { close(second_trace_); }

// What differs only now and then may need a few attempts.
std::string Twins::FindDivergence(SeedPool& first, const SeedRun& run) {
  constexpr int kAttempts = 5;
  SeedRun traced = run;
  traced.trace = TraceKind::kRecords;
  for (int i = 0; i < kAttempts; ++i) {
    RunTraced(first, first_trace_, traced);
    RunTraced(*pool_, second_trace_, traced);
    Divergence found = FindFirstDifference(MappedTrace(first_trace_).text(), MappedTrace(second_trace_).text());
    if (found.text.empty()) continue;
    if (!found.record.has_value()) return found.text;
    traced.stack_at = *found.record;
    RunTraced(first, first_trace_, traced);
    RunTraced(*pool_, second_trace_, traced);
    for (const auto& [name, fd] : {std::pair("run 1", first_trace_), std::pair("run 2", second_trace_)}) {
      const MappedTrace trace(fd);
      absl::StrAppend(&found.text, name, ", in another pair of runs, at record ", *found.record, ":\n",
                      trace.text().empty() ? "(it has ended)\n" : trace.text());
    }
    return found.text;
  }
  return absl::StrCat("(the traces of ", kAttempts, " more pairs of runs are equal)\n");
}

}  // namespace tandem::testing
