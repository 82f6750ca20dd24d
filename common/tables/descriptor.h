// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_TABLES_DESCRIPTOR_H_
#define ATTUNE_COMMON_TABLES_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace attune {

// Owns an open file descriptor; -1 is none.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_TABLES_DESCRIPTOR_H_
