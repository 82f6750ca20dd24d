// SPDX-License-Identifier: Apache-2.0
#include "common/tables/gunzip.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"

namespace attune {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 20;
constexpr int kGzipOnly = 16 + MAX_WBITS;

absl::StatusOr<Descriptor> MakeTemporary() {
  const char* folder = std::getenv("TMPDIR");
  std::string path = absl::StrCat(folder != nullptr && *folder != '\0' ? folder : "/tmp", "/attune-XXXXXX");
  Descriptor file(::mkostemp(path.data(), O_CLOEXEC));
  if (file.get() < 0) {
    return absl::ResourceExhaustedError(absl::StrCat("cannot create the temporary file '", path, "': ", std::strerror(errno),
                                                     "; name another folder in TMPDIR"));
  }
  ::unlink(path.c_str());
  return file;
}

absl::Status WriteAll(const Descriptor& file, absl::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      return absl::ResourceExhaustedError(absl::StrCat("cannot write a temporary file: ", std::strerror(errno),
                                                       "; make room, or name another folder in TMPDIR"));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return absl::OkStatus();
}

// Expands gzip bytes that come in pieces.
class Inflater {
 public:
  Inflater() : ready_(inflateInit2(&stream_, kGzipOnly) == Z_OK), buffer_(kPieceBytes) {}
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() {
    if (ready_) inflateEnd(&stream_);
  }

  absl::Status Expand(absl::string_view piece, const Descriptor& to) {
    if (!ready_) return absl::ResourceExhaustedError("zlib has no memory");
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    do {
      if (member_ended_) {
        inflateReset(&stream_);
        member_ended_ = false;
      }
      stream_.next_out = buffer_.data();
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      const int result = inflate(&stream_, Z_NO_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return absl::InvalidArgumentError(
            absl::StrCat("not valid gzip", stream_.msg == nullptr ? "" : ": ", stream_.msg == nullptr ? "" : stream_.msg));
      }
      member_ended_ = result == Z_STREAM_END;
      ATTUNE_RETURN_IF_ERROR(WriteAll(to, {reinterpret_cast<const char*>(buffer_.data()), buffer_.size() - stream_.avail_out}));
      // Output that filled the buffer may have more behind it though the input is used up.
    } while (stream_.avail_in > 0 || (stream_.avail_out == 0 && !member_ended_));
    return absl::OkStatus();
  }

  bool AtEnd() const { return member_ended_; }

 private:
  z_stream stream_ = {};
  bool ready_;
  bool member_ended_ = false;
  std::vector<Bytef> buffer_;
};

}  // namespace

absl::Status ReadPieces(const Descriptor& file, const std::string& path,
                        absl::FunctionRef<absl::Status(absl::string_view)> visit) {
  std::vector<char> buffer(kPieceBytes);
  for (;;) {
    const ssize_t got = ::read(file.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return absl::InternalError(absl::StrCat("cannot read '", path, "': ", std::strerror(errno)));
    if (got == 0) return absl::OkStatus();
    ATTUNE_RETURN_IF_ERROR(visit(absl::string_view(buffer.data(), static_cast<std::size_t>(got))));
  }
}

absl::StatusOr<Descriptor> Gunzip(const Descriptor& file, const std::string& path, Sha256* digest) {
  ATTUNE_ASSIGN_OR_RETURN(Descriptor expanded, MakeTemporary());
  Inflater inflater;
  ATTUNE_RETURN_IF_ERROR(ReadPieces(file, path, [&](absl::string_view piece) {
    digest->Update(piece);
    return WithContext(inflater.Expand(piece, expanded), path);
  }));
  if (!inflater.AtEnd()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": the gzip file ends too early; copy or compress it again"));
  }
  if (::lseek(expanded.get(), 0, SEEK_SET) != 0) return absl::InternalError("cannot read a temporary file again");
  return expanded;
}

}  // namespace attune
