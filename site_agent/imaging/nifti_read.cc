// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <libdeflate.h>
#include <nifti2_io.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/digest.h"
#include "common/base/status.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/imaging/nifti_header.h"
#include "site_agent/imaging/voxel_values.h"

namespace attune {
namespace {

constexpr std::size_t kPrefixBytes = std::size_t{64} << 10;  // of a file; holds the header, compressed or not
constexpr std::size_t kMostFileBytes = std::size_t{1} << 33;
constexpr std::size_t kMostDeflated = 1032;  // bytes that one byte of a gzip file can stand for

bool IsGzip(absl::string_view bytes) {
  return bytes.size() >= 2 && static_cast<unsigned char>(bytes[0]) == 0x1f && static_cast<unsigned char>(bytes[1]) == 0x8b;
}

// An open file, of which the beginning has been read and found to be a header.
class InputFile {
 public:
  InputFile() = default;
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;
  ~InputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  absl::Status Open(const std::string& path) {
    path_ = path;
    // Without waiting for the other end, should it be a pipe.
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor_ < 0) {
      const int error = errno;
      if (error == ENOENT || error == ENOTDIR) return absl::NotFoundError(absl::StrCat(path, ": there is no such image"));
      return ImageError(path, absl::StrCat("cannot be read: ", std::strerror(error)));
    }
    struct stat about {};
    if (::fstat(descriptor_, &about) != 0 || !S_ISREG(about.st_mode)) {
      return ImageError(path, "is no file; expected a NIfTI image");
    }
    size_ = static_cast<std::size_t>(about.st_size);
    if (size_ == 0) return DamagedImage(path, "is empty; expected a NIfTI image");
    if (size_ > kMostFileBytes) return ImageError(path, "is larger than 8 GiB; expected an image of one volume");
    prefix_size_ = std::min(kPrefixBytes, size_);
    ATTUNE_RETURN_IF_ERROR(ReadInto(prefix_.data(), prefix_size_));
    return ParseHeader();
  }

  // All bytes of the file.
  absl::Status ReadAll(ByteBuffer* bytes) {
    if (!bytes->Resize(size_)) return absl::ResourceExhaustedError(absl::StrCat(path_, ": there is no memory to read it"));
    std::memcpy(bytes->data(), prefix_.data(), prefix_size_);
    return ReadInto(bytes->data() + prefix_size_, size_ - prefix_size_);
  }

  bool gzip() const { return IsGzip({prefix_.data(), prefix_size_}); }
  const NiftiHeader& header() const { return header_; }
  // Of the file after decompression, as its header says.
  std::size_t image_size() const { return header_.data_offset + header_.grid().voxels() * header_.voxel_bytes; }

 private:
  absl::Status ReadInto(char* bytes, std::size_t size) {
    while (size > 0) {
      const ssize_t got = ::read(descriptor_, bytes, size);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return DamagedImage(path_, "cannot be read to its end");
      bytes += got;
      size -= static_cast<std::size_t>(got);
    }
    return absl::OkStatus();
  }

  // The first bytes of what the gzip file holds; fewer where it holds fewer, or is damaged there.
  std::size_t InflatePrefix(char* out, std::size_t out_size) {
    z_stream stream{};
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return 0;
    const absl::Cleanup end = [&] { inflateEnd(&stream); };
    stream.next_in = reinterpret_cast<Bytef*>(prefix_.data());
    stream.avail_in = static_cast<uInt>(prefix_size_);
    stream.next_out = reinterpret_cast<Bytef*>(out);
    stream.avail_out = static_cast<uInt>(out_size);
    while (stream.avail_out > 0) {
      const int result = inflate(&stream, Z_NO_FLUSH);
      if (result == Z_STREAM_END && stream.avail_in > 0 && inflateReset(&stream) == Z_OK) continue;
      if (result != Z_OK) break;
    }
    return out_size - stream.avail_out;
  }

  absl::Status ParseHeader() {
    if (!gzip()) {
      ATTUNE_ASSIGN_OR_RETURN(header_, ParseNiftiHeader(path_, {prefix_.data(), prefix_size_}));
      if (size_ == image_size()) return absl::OkStatus();
      return DamagedImage(path_, absl::StrCat("has ", size_, " bytes, and its header says ", image_size()));
    }
    std::array<char, kNifti2HeaderBytes> bytes{};
    const std::size_t have = InflatePrefix(bytes.data(), bytes.size());
    if (have < kNifti1HeaderBytes) {
      return DamagedImage(path_, "its compression is damaged, or it ends within its header");
    }
    ATTUNE_ASSIGN_OR_RETURN(header_, ParseNiftiHeader(path_, {bytes.data(), have}));
    // Neither a header nor a file that lies is given the memory that it asks for.
    if (image_size() / kMostDeflated > size_ || size_ / 2 > image_size() + kPrefixBytes) {
      return DamagedImage(
          path_, absl::StrCat("its header says ", image_size(), " bytes, which a compressed file of ", size_, " cannot hold"));
    }
    return absl::OkStatus();
  }

  std::string path_;
  int descriptor_ = -1;
  std::size_t size_ = 0;
  std::size_t prefix_size_ = 0;
  NiftiHeader header_;
  std::array<char, kPrefixBytes> prefix_;
};

// Every member of the gzip file, one after the other, into exactly `size` bytes.
absl::Status Inflate(const std::string& path, absl::string_view file, std::size_t size, ByteBuffer* out) {
  thread_local const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> decompressor(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (decompressor == nullptr || !out->Resize(size)) {
    return absl::ResourceExhaustedError(absl::StrCat(path, ": there is no memory to decompress it"));
  }
  std::size_t written = 0;
  while (!file.empty()) {
    std::size_t took = 0;
    std::size_t gave = 0;
    const libdeflate_result result = libdeflate_gzip_decompress_ex(decompressor.get(), file.data(), file.size(),
                                                                   out->data() + written, size - written, &took, &gave);
    if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
      return DamagedImage(path, absl::StrCat("has more than the ", size, " bytes that its header says"));
    }
    if (result != LIBDEFLATE_SUCCESS) return DamagedImage(path, "its compression is damaged or cut short");
    file.remove_prefix(took);
    written += gave;
  }
  if (written == size) return absl::OkStatus();
  return DamagedImage(path, absl::StrCat("has ", written, " bytes, and its header says ", size));
}

}  // namespace

absl::StatusOr<NiftiHeader> ReadNiftiHeader(const std::string& path) {
  InputFile file;
  ATTUNE_RETURN_IF_ERROR(file.Open(path));
  return file.header();
}

absl::Status ReadNifti(const std::string& path, const ImageGrid* expected, NiftiImage* image) {
  InputFile file;
  ATTUNE_RETURN_IF_ERROR(file.Open(path));
  image->header = file.header();
  const NiftiHeader& header = image->header;
  if (expected != nullptr) {
    const std::string difference = DescribeGridDifference(header.grid(), *expected);
    if (!difference.empty()) return ImageError(path, difference);
  }
  ByteBuffer& bytes = file.gzip() ? image->file : image->stored;
  ATTUNE_RETURN_IF_ERROR(file.ReadAll(&bytes));
  image->file_sha256 = Sha256Hex(bytes.view());
  if (file.gzip()) ATTUNE_RETURN_IF_ERROR(Inflate(path, bytes.view(), file.image_size(), &image->stored));
  if (header.swapped && header.voxel_bytes > 1) {
    nifti_swap_Nbytes(static_cast<std::int64_t>(header.grid().voxels()), static_cast<int>(header.voxel_bytes),
                      image->stored.data() + header.data_offset);
  }
  return absl::OkStatus();
}

bool Gather(const NiftiImage& image, std::span<const VoxelRun> runs, std::span<double> values) {
  bool finite = true;
  double* next = values.data();
  for (const VoxelRun& run : runs) {
    finite &= ConvertVoxels(image, run, next);
    next += run.count;
  }
  return finite;
}

}  // namespace attune
