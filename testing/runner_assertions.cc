// SPDX-License-Identifier: Apache-2.0

#include "tandem/testing/runner_assertions.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/synchronization/mutex.h"
#include "gtest/gtest.h"
#include "tandem/core/async/await_stack.h"
#include "tandem/core/base/assertions.h"

namespace tandem::testing {
namespace {

using ::tandem::internal::AssertionKind;
using ::tandem::internal::AssertionSite;

constinit AssertionCount* g_counts = nullptr;

bool MustHoldAlways(AssertionKind kind) {
  return kind == AssertionKind::kAlways || kind == AssertionKind::kUnreachable;
}

// Once each: the first says most. Programs on real reactors may have several threads.
bool IsFirstFailure(const AssertionSite& site) {
  static auto* const mutex = new absl::Mutex;
  static auto* const failed = new std::set<uint32_t>;
  const absl::MutexLock lock(mutex);
  return failed->insert(site.index()).second;
}

void OnAssertion(const AssertionSite& site, bool holds, absl::FunctionRef<std::string()> values) {
  if (g_counts != nullptr) {
    ++g_counts[site.index()].visits;
    g_counts[site.index()].holds += holds ? 1 : 0;
  }
  if (holds || !MustHoldAlways(site.kind())) return;
  if (!IsFirstFailure(site)) return;
  const std::string text = values();
  ADD_FAILURE_AT(std::string(site.file()).c_str(), site.line())
      << (site.kind() == AssertionKind::kAlways ? "does not always hold: " : "is reachable: ") << site.message()
      << (text.empty() ? "" : " (") << text << (text.empty() ? "" : ")");
}

// "storage" of "storage/log.cc", "." of "log.cc".
absl::string_view FolderOf(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == path.npos ? "." : path.substr(0, slash);
}

bool IsIn(const AssertionSite& site, const std::vector<std::string>& folders) {
  const absl::string_view folder = FolderOf(ProjectPath(site.file()));
  return std::find(folders.begin(), folders.end(), folder) != folders.end();
}

// In the order of their places, which is not that of their numbers.
std::vector<const AssertionSite*> AllSites() {
  std::vector<const AssertionSite*> sites;
  for (const AssertionSite* site = AssertionSite::First(); site != nullptr; site = site->next()) sites.push_back(site);
  std::sort(sites.begin(), sites.end(), [](const AssertionSite* a, const AssertionSite* b) {
    return std::forward_as_tuple(ProjectPath(a->file()), a->line(), a->index()) <
           std::forward_as_tuple(ProjectPath(b->file()), b->line(), b->index());
  });
  return sites;
}

// "sometimes storage/log.cc:12 several entries share a write".
std::string Describe(const AssertionSite& site) {
  return absl::StrCat(internal::AssertionKindName(site.kind()), " ", ProjectPath(site.file()), ":", site.line(), " ",
                      site.message());
}

}  // namespace

size_t AssertionBytes() { return AssertionSite::Count() * sizeof(AssertionCount); }

void WatchAssertions(int file) {
  if (AssertionSite::Count() == 0) return;
  internal::assertion_visited = &OnAssertion;
  if (file < 0) return;
  void* const pages = mmap(nullptr, AssertionBytes(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (pages == MAP_FAILED) _exit(1);
  g_counts = static_cast<AssertionCount*>(pages);
}

void StopCountingAssertions() { g_counts = nullptr; }

std::vector<AssertionCount> ReadAssertions(int file) {
  std::vector<AssertionCount> counts(AssertionSite::Count());
  const auto size = static_cast<ssize_t>(AssertionBytes());
  if (pread(file, counts.data(), AssertionBytes(), 0) != size) counts.clear();  // Of a seed that did not start.
  return counts;
}

void AssertionTable::Add(const std::vector<AssertionCount>& seed) {
  ++seeds_;
  rows_.resize(std::max(rows_.size(), seed.size()));
  for (size_t i = 0; i < seed.size(); ++i) {
    rows_[i].visited += seed[i].visits > 0 ? 1 : 0;
    rows_[i].held += seed[i].holds > 0 ? 1 : 0;
    rows_[i].broken += seed[i].holds < seed[i].visits ? 1 : 0;
  }
}

std::string AssertionTable::ToString(const std::vector<std::string>& folders) const {
  std::string text;
  for (const AssertionSite* site : AllSites()) {
    const Row row = RowOf(*site);
    if (row.visited == 0 && !IsIn(*site, folders)) continue;
    const uint64_t seeds = MustHoldAlways(site->kind()) ? row.visited : row.held;
    absl::StrAppend(&text, "[sim]   ", Describe(*site), ": in ", seeds, " of ", seeds_, " seeds");
    if (site->kind() == AssertionKind::kAlways && row.broken > 0) {
      absl::StrAppend(&text, ", and does not hold in ", row.broken, " of them");
    }
    text += '\n';
  }
  return text.empty() ? "" : absl::StrCat("[sim] assertions:\n", text);
}

std::vector<const AssertionSite*> AssertionTable::UnreachedSites(const std::vector<std::string>& folders) const {
  std::vector<const AssertionSite*> sites;
  for (const AssertionSite* site : AllSites()) {
    const Row row = RowOf(*site);
    const bool is_checker = site->kind() == AssertionKind::kChecker;
    if (MustHoldAlways(site->kind()) || row.held > 0) continue;
    if (is_checker ? row.visited > 0 : IsIn(*site, folders)) sites.push_back(site);
  }
  return sites;
}

const AssertionSite* AssertionTable::FirstUnreached(const std::vector<std::string>& folders) const {
  const std::vector<const AssertionSite*> sites = UnreachedSites(folders);
  return sites.empty() ? nullptr : sites.front();
}

std::string AssertionTable::Unreached(const std::vector<std::string>& folders) const {
  std::string text;
  for (const AssertionSite* site : UnreachedSites(folders)) {
    const absl::string_view why =
        RowOf(*site).visited == 0 ? "no seed has come there" : "seeds have come there, and in none of them it held";
    absl::StrAppend(&text, "  ", Describe(*site), ": ", why, "\n");
  }
  return text;
}

std::string AssertionTable::WithoutAny(const std::vector<std::string>& folders, absl::string_view own) {
  std::set<absl::string_view> with_some;
  for (const AssertionSite* site = AssertionSite::First(); site != nullptr; site = site->next()) {
    if (site->kind() != AssertionKind::kChecker) with_some.insert(FolderOf(ProjectPath(site->file())));
  }
  const std::string others = with_some.empty() ? "there are none anywhere"
                                               : absl::StrCat("there are some in: ", absl::StrJoin(with_some, ", "));
  std::string text;
  for (const std::string& folder : folders) {
    if (folder == own || with_some.contains(folder)) continue;
    absl::StrAppend(&text, "--covers=", folder, ": there is no TANDEM_SOMETIMES, TANDEM_REACHABLE or the like; ",
                    others, "\n");
  }
  return text;
}

}  // namespace tandem::testing
