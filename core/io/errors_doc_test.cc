// SPDX-License-Identifier: Apache-2.0
//
// Holds the table of docs/errors.md against CodeForErrno(), in both directions.

#include <cerrno>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "gtest/gtest.h"
#include "tandem/core/io/errors.h"

#define TANDEM_ERRNO(name) {#name, name}

namespace tandem {
namespace {

const std::map<std::string, int>& Errnos() {
  static const auto* errnos = new std::map<std::string, int>{
      TANDEM_ERRNO(ECANCELED),    TANDEM_ERRNO(ECONNREFUSED),    TANDEM_ERRNO(ECONNRESET),
      TANDEM_ERRNO(ECONNABORTED), TANDEM_ERRNO(EHOSTUNREACH),    TANDEM_ERRNO(EHOSTDOWN),
      TANDEM_ERRNO(ENETUNREACH),  TANDEM_ERRNO(ENETDOWN),        TANDEM_ERRNO(ENETRESET),
      TANDEM_ERRNO(ENONET),       TANDEM_ERRNO(EPIPE),           TANDEM_ERRNO(ETIMEDOUT),
      TANDEM_ERRNO(EADDRINUSE),   TANDEM_ERRNO(EADDRNOTAVAIL),   TANDEM_ERRNO(ENOTCONN),
      TANDEM_ERRNO(EISCONN),      TANDEM_ERRNO(EBADF),           TANDEM_ERRNO(EALREADY),
      TANDEM_ERRNO(EINPROGRESS),  TANDEM_ERRNO(EINVAL),          TANDEM_ERRNO(EMSGSIZE),
      TANDEM_ERRNO(EDESTADDRREQ), TANDEM_ERRNO(EPROTO),          TANDEM_ERRNO(EMFILE),
      TANDEM_ERRNO(ENFILE),       TANDEM_ERRNO(ENOBUFS),         TANDEM_ERRNO(ENOMEM),
      TANDEM_ERRNO(EACCES),       TANDEM_ERRNO(EPERM),           TANDEM_ERRNO(ENOSYS),
      TANDEM_ERRNO(EOPNOTSUPP),   TANDEM_ERRNO(EAFNOSUPPORT),    TANDEM_ERRNO(ENOENT),
      TANDEM_ERRNO(ENODEV),       TANDEM_ERRNO(EPROTONOSUPPORT), TANDEM_ERRNO(ENOPROTOOPT),
  };
  return *errnos;
}

// The rows of the first table whose first cell begins with E: errno name to code name.
std::map<std::string, std::string> DocumentedRows() {
  std::ifstream file("docs/errors.md");
  EXPECT_TRUE(file.is_open());
  std::map<std::string, std::string> rows;
  std::string line;
  while (std::getline(file, line)) {
    const std::vector<std::string> cells = absl::StrSplit(line, '|');
    if (cells.size() != 5) continue;
    const std::string name(absl::StripAsciiWhitespace(cells[1]));
    if (name.starts_with("E")) rows[name] = std::string(absl::StripAsciiWhitespace(cells[2]));
  }
  return rows;
}

// "kNotFound" for kNotFound, which prints as NOT_FOUND.
std::string CodeName(absl::StatusCode code) {
  std::string name = "k";
  bool upper = true;
  for (char c : absl::StatusCodeToString(code)) {
    if (c == '_') {
      upper = true;
      continue;
    }
    name += upper ? c : absl::ascii_tolower(static_cast<unsigned char>(c));
    upper = false;
  }
  return name;
}

TEST(ErrorsDocument, EachRowIsWhatTheCodeDoes) {
  const auto rows = DocumentedRows();
  EXPECT_EQ(rows.size(), Errnos().size());

  for (const auto& [name, code] : rows) {
    const auto found = Errnos().find(name);
    ASSERT_NE(found, Errnos().end()) << name;
    EXPECT_EQ(CodeName(CodeForErrno(found->second)), code) << name;
  }
}

TEST(ErrorsDocument, EveryMappedErrnoHasARow) {
  const auto rows = DocumentedRows();
  std::map<int, std::string> names;
  for (const auto& [name, error] : Errnos()) names[error] = name;

  for (int error = 1; error < 200; ++error) {
    if (CodeForErrno(error) == absl::StatusCode::kUnknown) continue;
    ASSERT_TRUE(names.contains(error)) << "errno " << error << " is mapped and not documented";
    EXPECT_TRUE(rows.contains(names[error])) << names[error];
  }
}

}  // namespace
}  // namespace tandem
