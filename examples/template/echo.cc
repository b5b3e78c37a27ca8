// SPDX-License-Identifier: Apache-2.0
#include "echo.h"

using namespace tandem;

Task<void> Echo(TcpStream stream) {
  for (;;) {
    absl::StatusOr<Buffer> buffer = co_await WithTimeout(absl::Minutes(1), stream.Receive());
    if (!buffer.ok() || buffer->empty()) co_return;
    if (IoResult sent = co_await stream.WriteAll(*std::move(buffer)); !sent.ok()) co_return;
  }
}

Task<absl::StatusOr<bool>> Ask(std::string server, std::string text) {
  absl::StatusOr<TcpStream> stream = co_await Connect(server);
  if (!stream.ok()) co_return stream.status();
  if (IoResult sent = co_await stream->WriteAll(text); !sent.ok()) co_return sent.status;
  std::string answer(text.size(), '\0');
  if (IoResult read = co_await stream->ReadExactly(absl::MakeSpan(answer)); !read.ok()) co_return read.status;
  co_return answer == text;
}
