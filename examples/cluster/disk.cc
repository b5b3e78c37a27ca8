// SPDX-License-Identifier: Apache-2.0

#include "tandem/examples/cluster/disk.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tandem/tandem.h"

namespace examples {

using namespace tandem;

namespace {

// Makes the file if there is none: so a folder that is missing or forbidden is told at once, not by the first Write().
absl::StatusOr<std::string> ReadFile(std::string path) {
  std::FILE* const file = std::fopen(path.c_str(), "a+e");
  if (file == nullptr) return absl::ErrnoToStatus(errno, path);
  std::string text;
  char part[4096];
  while (const size_t count = std::fread(part, 1, sizeof(part), file)) text.append(part, count);
  const bool failed = std::ferror(file) != 0;
  std::fclose(file);
  if (failed) return absl::DataLossError(path);
  return text;
}

// Writes everything and waits until the disk has it.
bool WriteAndSync(std::FILE* file, const std::string& text) {
  return std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0 &&
         fsync(fileno(file)) == 0;
}

// The name of a file is on the disk when its folder is.
absl::Status SyncFolder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, folder);
  const int result = fsync(descriptor);
  const int error = errno;
  close(descriptor);
  return result == 0 ? absl::OkStatus() : absl::ErrnoToStatus(error, folder);
}

// Writes a file beside the old one and puts it in its place, which happens as a whole.
absl::Status ReplaceFile(std::string path, std::string text) {
  const std::string next = path + ".next";
  std::FILE* const file = std::fopen(next.c_str(), "we");
  if (file == nullptr) return absl::ErrnoToStatus(errno, next);
  const bool written = WriteAndSync(file, text);
  const int error = errno;
  std::fclose(file);
  if (!written) return absl::ErrnoToStatus(error, next);
  if (std::rename(next.c_str(), path.c_str()) != 0) return absl::ErrnoToStatus(errno, path);
  const std::string folder = std::filesystem::path(path).parent_path();
  return SyncFolder(folder.empty() ? "." : folder);
}

}  // namespace

// A file system blocks: so it is asked on another thread.
Task<absl::StatusOr<std::string>> FileDisk::Read() { co_return co_await RunBlocking(&ReadFile, path_); }

Task<absl::Status> FileDisk::Write(std::string text) {
  co_return co_await RunBlocking(&ReplaceFile, path_, std::move(text));
}

}  // namespace examples
