// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_IMAGING_BYTE_BUFFER_H_
#define ATTUNE_SITE_AGENT_IMAGING_BYTE_BUFFER_H_

#include <cstddef>
#include <memory>
#include <new>

#include "absl/strings/string_view.h"

namespace attune {

// Memory for bytes that are about to be overwritten. Unlike a vector it clears none of it, so that what is not written takes no
// memory, and it says when there is none. Used again, it keeps what it has.
class ByteBuffer {
 public:
  // Room for `size` bytes, which may hold anything. False when there is no such memory; then it is empty.
  [[nodiscard]] bool Resize(std::size_t size) {
    if (size > capacity_) {
      data_.reset();  // before the new: they are never there together
      data_.reset(new (std::nothrow) char[size]);
      capacity_ = data_ == nullptr ? 0 : size;
    }
    size_ = size <= capacity_ ? size : 0;
    return size <= capacity_;
  }

  char* data() { return data_.get(); }
  const char* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  absl::string_view view() const { return {data_.get(), size_}; }

 private:
  std::unique_ptr<char[]> data_;
  std::size_t capacity_ = 0;
  std::size_t size_ = 0;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_BYTE_BUFFER_H_
