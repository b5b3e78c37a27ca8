// SPDX-License-Identifier: Apache-2.0
//
// The bytes that a program has written to a TCP socket and the peer has not acknowledged: a queue that grows at the end
// by what is written, shrinks at the front by what is acknowledged, and can be copied from anywhere, again and again.

#ifndef TANDEM_SIM_TCP_TCP_SEND_BUFFER_H_
#define TANDEM_SIM_TCP_TCP_SEND_BUFFER_H_

#include <cstddef>

#include "tandem/core/io/buffer.h"

namespace tandem::sim {

class TcpSendBuffer {
 public:
  // `pool` outlives the buffer.
  explicit TcpSendBuffer(HeapBufferPool& pool) : pool_(pool) {}
  TcpSendBuffer(const TcpSendBuffer&) = delete;
  TcpSendBuffer& operator=(const TcpSendBuffer&) = delete;
  ~TcpSendBuffer() { Drop(size_); }

  size_t size() const { return size_; }
  void Append(const char* data, size_t size);
  // Copies `size` bytes from `offset` on. REQUIRES that they are there.
  void Copy(size_t offset, size_t size, char* target) const;
  // Drops the first `count` bytes. REQUIRES count <= size().
  void Drop(size_t count);

 private:
  HeapBufferPool& pool_;
  size_t size_ = 0;
  BufferBlock* head_ = nullptr;
  BufferBlock* tail_ = nullptr;
};

}  // namespace tandem::sim

#endif  // TANDEM_SIM_TCP_TCP_SEND_BUFFER_H_
