// SPDX-License-Identifier: Apache-2.0
#include "common/base/scratch_array.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <utility>

namespace attune {
namespace {

// Bytes that are written at a time. The system keeps them together, and maps them together at the first touch of one: fewer
// faults than page by page, but no more memory than this comes with a touch.
constexpr std::size_t kChunkBytes = std::size_t{1} << 16;

// Written now: a disk that is full must not end the process later, at the first touch of a page.
bool WriteZeros(int file, std::size_t bytes) {
  static const char kZeros[kChunkBytes] = {};
  for (std::size_t at = 0; at < bytes;) {
    const ssize_t written = ::pwrite(file, kZeros, std::min(kChunkBytes, bytes - at), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += static_cast<std::size_t>(written);
  }
  return true;
}

// Null where the folder gives no such file.
void* MapScratch(std::size_t bytes) {
  const char* folder = std::getenv("TMPDIR");
  const int file = ::open(folder != nullptr && *folder != '\0' ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return nullptr;
  void* mapped = MAP_FAILED;
  if (WriteZeros(file, bytes)) mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  ::close(file);
  return mapped == MAP_FAILED ? nullptr : mapped;
}

}  // namespace

ScratchArray::ScratchArray(std::size_t size) : size_(size) {
  if (size == 0) return;
  if (size > SIZE_MAX / sizeof(double)) throw std::bad_alloc();
  const std::size_t bytes = size * sizeof(double);
  if (bytes >= kScratchBytes) {
    data_ = static_cast<double*>(MapScratch(bytes));
    if (data_ != nullptr) {
      mapped_bytes_ = bytes;
      return;
    }
  }
  data_ = static_cast<double*>(std::calloc(size, sizeof(double)));
  if (data_ == nullptr) throw std::bad_alloc();
}

ScratchArray::ScratchArray(std::span<const double> values) : ScratchArray(values.size()) {
  std::copy(values.begin(), values.end(), data_);
}

ScratchArray::ScratchArray(const ScratchArray& other) : ScratchArray(std::span<const double>(other)) {}

ScratchArray::ScratchArray(ScratchArray&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

ScratchArray& ScratchArray::operator=(ScratchArray other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(mapped_bytes_, other.mapped_bytes_);
  return *this;
}

void ScratchArray::Evict() const { Evict(0, size_); }

void ScratchArray::Evict(std::size_t first, std::size_t count) const {
  if (mapped_bytes_ == 0 || count == 0) return;
  static const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const std::size_t begin = first * sizeof(double) / page * page;
  // A shared mapping: what was written is the file's, whoever has it mapped.
  ::madvise(reinterpret_cast<char*>(data_) + begin, (first + count) * sizeof(double) - begin, MADV_DONTNEED);
}

ScratchArray::~ScratchArray() {
  if (mapped_bytes_ != 0) {
    ::munmap(data_, mapped_bytes_);
  } else {
    std::free(data_);
  }
}

}  // namespace attune
