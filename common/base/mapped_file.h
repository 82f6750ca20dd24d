// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_BASE_MAPPED_FILE_H_
#define ATTUNE_COMMON_BASE_MAPPED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace attune {

// A file mapped read-only into memory. The mapping lives as long as any copy of the pointer that keeps it.
class MappedFile {
 public:
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  absl::string_view bytes() const { return {data_, size_}; }

  // Lets go of the memory that these bytes of the file take (`part` of bytes(), its first and last page excepted); touched
  // again, they come from the file.
  void Evict(absl::string_view part) const;

 private:
  MappedFile(const char* data, std::size_t size) : data_(data), size_(size) {}
  const char* data_;
  std::size_t size_;
};

}  // namespace attune

#endif  // ATTUNE_COMMON_BASE_MAPPED_FILE_H_
