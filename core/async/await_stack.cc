// SPDX-License-Identifier: Apache-2.0

#include "tandem/core/async/await_stack.h"

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "tandem/core/async/executor.h"

namespace tandem {
namespace {

// g++ appends the type of the coroutine's frame, which repeats the function: `F(F(int)::_Z1Fi.Frame*)`.
absl::string_view PlainFunction(absl::string_view function) {
  if (!absl::EndsWith(function, ".Frame*)")) return function;
  return function.substr(0, function.find('('));
}

// Returns "F" of "static Task<void> ns::(anonymous namespace)::C::F<int>(int) const".
absl::string_view PlainName(absl::string_view function) {
  size_t end = 0;
  for (;; ++end) {
    end = function.find('(', end);
    if (end == absl::string_view::npos) break;
    const absl::string_view rest = function.substr(end);
    if (!absl::StartsWith(rest, "(anonymous") && !absl::StartsWith(rest, "(lambda") && !absl::StartsWith(rest, "()(")) {
      break;
    }
  }
  absl::string_view name = function.substr(0, end);
  if (absl::EndsWith(name, ">") && !absl::EndsWith(name, "operator>")) {
    size_t depth = 0;
    size_t begin = name.size();
    do {
      --begin;
      if (name[begin] == '>') ++depth;
      if (name[begin] == '<') --depth;
    } while (depth > 0 && begin > 0);
    name = name.substr(0, begin);
  }
  name = name.substr(name.find_last_of(": ") + 1);  // npos + 1 is 0.
  return absl::StartsWith(name, "operator()") || absl::StartsWith(name, "<lambda") ? "lambda" : name;
}

absl::string_view WithoutWorkingFolder(absl::string_view file) {
  return absl::StripPrefix(absl::StripPrefix(file, "/proc/self/cwd/"), "./");
}

// What stands before core/ in the names of our sources: nothing within this project, external/tandem/ in one that uses
// it.
absl::string_view OwnFolder() {
  return absl::StripSuffix(WithoutWorkingFolder(std::source_location::current().file_name()),
                           "core/async/await_stack.cc");
}

bool IsOwn(absl::string_view file) {
  file = ProjectPath(file);
  for (const absl::string_view folder : {OwnFolder(), absl::string_view("tandem/")}) {
    absl::string_view rest = file;
    if (!absl::ConsumePrefix(&rest, folder)) continue;
    if (absl::StartsWith(rest, "core/") || absl::StartsWith(rest, "sim/")) return true;
  }
  return false;
}

void WriteNumber(uint64_t number, TextWriter write) {
  char digits[24];
  const std::to_chars_result end = std::to_chars(digits, digits + sizeof(digits), number);
  write(absl::string_view(digits, static_cast<size_t>(end.ptr - digits)));
}

// Whether `file` is of those whose coroutines do nothing but await a program's main.
bool StartsMain(absl::string_view file) {
  file = ProjectPath(file);
  return IsOwn(file) && (absl::StrContains(file, "sim/world/") || absl::StrContains(file, "core/runtime/runtime."));
}

bool IsSame(const std::source_location& a, const std::source_location& b) {
  return a.line() == b.line() && a.column() == b.column() && absl::string_view(a.file_name()) == b.file_name();
}

}  // namespace

// Bazel compiles headers with a prefix under bazel-out/.../_virtual_includes/<library>/<prefix>.
absl::string_view ProjectPath(absl::string_view file) {
  constexpr absl::string_view kVirtual = "/_virtual_includes/";
  const size_t found = file.find(kVirtual);
  if (found != absl::string_view::npos) {
    file.remove_prefix(found + kVirtual.size());
    const size_t library = file.find('/');
    if (library != absl::string_view::npos) file.remove_prefix(library + 1);
    if (OwnFolder().empty()) file = absl::StripPrefix(file, "tandem/");
  }
  return WithoutWorkingFolder(file);
}

void WritePlace(const std::source_location& place, TextWriter write) {
  write(ProjectPath(place.file_name()));
  write(":");
  WriteNumber(place.line(), write);
  write(" in ");
  write(PlainFunction(place.function_name()));
}

void WriteAwaitStack(const PromiseBase& innermost, TextWriter write) {
  constexpr int kPlacesMax = 64;  // The innermost ones say what was going on.
  int places = 0;
  uint64_t more = 0;  // Equal to the place before, or too many.
  const std::source_location* last = nullptr;
  const auto write_more = [&](absl::string_view what) {
    if (more == 0) return;
    write("    ... and ");
    WriteNumber(std::exchange(more, 0), write);
    write(what);
  };
  for (const PromiseBase* frame = &innermost; frame->parent != nullptr; frame = frame->parent) {
    const std::source_location& place = frame->await_location;
    if (place.line() == 0) continue;  // It runs, and has awaited nothing yet.
    if (places == kPlacesMax || (last != nullptr && IsSame(place, *last))) {
      ++more;
      continue;
    }
    write_more(" times more\n");
    last = &place;
    ++places;
    write("    at ");
    WritePlace(place, write);
    write("\n");
  }
  write_more(places == kPlacesMax ? " more\n" : " times more\n");
}

const std::source_location* PlaceInProgram(const PromiseBase& innermost) {
  const std::source_location* own = nullptr;
  for (const PromiseBase* frame = &innermost; frame->parent != nullptr; frame = frame->parent) {
    const std::source_location& place = frame->await_location;
    if (place.line() == 0 || StartsMain(place.file_name())) continue;
    own = &place;
    if (!IsOwn(place.file_name())) break;
  }
  return own;
}

absl::string_view TaskName(const TaskContext& task) {
  const PromiseBase* frame = task.first_frame;
  while (frame->child != nullptr && (frame->parent == nullptr || IsOwn(frame->await_location.file_name()))) {
    frame = frame->child;
  }
  if (frame->await_location.line() == 0) return "";
  return PlainName(PlainFunction(frame->await_location.function_name()));
}

}  // namespace tandem
