// SPDX-License-Identifier: Apache-2.0
#include "common/tables/delimited.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <set>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "common/base/digest.h"
#include "common/base/printable.h"
#include "common/base/status.h"
#include "common/tables/gunzip.h"
#include "common/tables/names.h"
#include "common/tables/split_line.h"

namespace attune {
namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxColumns = std::size_t{1} << 22;
constexpr absl::string_view kByteOrderMark = "\xEF\xBB\xBF";

absl::string_view WithoutLineEnd(absl::string_view line) {
  absl::ConsumeSuffix(&line, "\n");
  absl::ConsumeSuffix(&line, "\r");
  return line;
}

bool IsBlank(absl::string_view line) { return absl::string_view::npos == line.find_first_not_of(" \r"); }

absl::Status ErrorAt(const std::string& path, std::size_t line, absl::string_view message) {
  return absl::InvalidArgumentError(absl::StrCat(path, ":", line, ": ", message));
}

// Calls `visit(line, number, end)` for each line, with its line end; `number` counts from 1, `end` is the offset behind it.
absl::Status ForEachLine(const Descriptor& file, const std::string& path, Sha256* digest,
                         absl::FunctionRef<absl::Status(absl::string_view, std::size_t, std::uint64_t)> visit) {
  std::string begun;  // the line that the last piece broke off
  std::size_t number = 1;
  std::uint64_t offset = 0;
  const auto take = [&](absl::string_view piece) -> absl::Status {
    if (digest != nullptr) digest->Update(piece);
    while (!piece.empty()) {
      const std::size_t end = piece.find('\n');
      absl::string_view line = piece.substr(0, end == absl::string_view::npos ? end : end + 1);
      piece.remove_prefix(line.size());
      offset += line.size();
      if (line.find('\0') != absl::string_view::npos) {
        return ErrorAt(path, number, "a NUL byte; this is no text file, or not UTF-8: save the table as UTF-8 text");
      }
      if (begun.size() + line.size() > kMaxLineBytes) return ErrorAt(path, number, "a line of more than 64 MiB");
      if (end == absl::string_view::npos || !begun.empty()) {
        begun.append(line.data(), line.size());
        line = begun;
      }
      if (end == absl::string_view::npos) break;
      ATTUNE_RETURN_IF_ERROR(visit(line, number++, offset));
      begun.clear();
    }
    return absl::OkStatus();
  };
  ATTUNE_RETURN_IF_ERROR(ReadPieces(file, path, take));
  return begun.empty() ? absl::OkStatus() : visit(begun, number, offset);
}

char DelimiterOf(absl::string_view path, absl::string_view header) {
  absl::ConsumeSuffix(&path, ".gz");
  if (absl::EndsWithIgnoreCase(path, ".tsv")) return '\t';
  const auto has = [&](char c) { return header.find(c) != absl::string_view::npos; };
  if (absl::EndsWithIgnoreCase(path, ".csv")) {
    for (const char c : {',', ';', '\t'}) {  // FreeSurfer separates by tabs whatever the file is called
      if (has(c)) return c;
    }
    return ',';
  }
  for (const char c : {'\t', ',', ';'}) {
    if (has(c)) return c;
  }
  return kBlanks;
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

}  // namespace

absl::StatusOr<DelimitedFile> DelimitedFile::Open(const std::string& path) {
  DelimitedFile table;
  table.path_ = path;
  ATTUNE_RETURN_IF_ERROR(table.OpenFile());
  ATTUNE_RETURN_IF_ERROR(Printable(table.Index()));
  return table;
}

absl::Status DelimitedFile::OpenFile() {
  file_ = Descriptor(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file_.get() < 0) {
    const std::string message = absl::StrCat("cannot open '", path_, "': ", std::strerror(errno));
    return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError(message) : absl::InvalidArgumentError(message);
  }
  if (::fstat(file_.get(), &as_read_) != 0 || !S_ISREG(as_read_.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat("'", path_, "' is no regular file; expected a table"));
  }
  return absl::OkStatus();
}

absl::Status DelimitedFile::Index() {
  Sha256 digest;
  const bool gzipped = absl::EndsWith(path_, ".gz");
  if (gzipped) {
    ATTUNE_ASSIGN_OR_RETURN(file_, Gunzip(file_, path_, &digest));
    ::fstat(file_.get(), &as_read_);
  }
  std::size_t blank_line = 0;  // the first of the blank lines just before; 0: none
  std::vector<std::string> cells;
  ATTUNE_RETURN_IF_ERROR(ForEachLine(
      file_, path_, gzipped ? nullptr : &digest, [&](absl::string_view line, std::size_t number, std::uint64_t end) {
        line = WithoutLineEnd(line);
        if (number == 1) {
          offsets_.push_back(end);
          return ReadHeader(line);
        }
        if (IsBlank(line)) {
          if (blank_line == 0) blank_line = number;
          return absl::OkStatus();
        }
        if (blank_line != 0) return ErrorAt(path_, blank_line, "a blank line between rows; remove it");
        const absl::StatusOr<std::size_t> count = SplitLine(line, delimiter_, 0, &cells);
        if (!count.ok()) return WithContext(count.status(), absl::StrCat(path_, ":", number));
        if (*count != header_.size()) {
          return ErrorAt(path_, number, absl::StrCat(*count, " cells, expected ", header_.size(), " as in the header"));
        }
        offsets_.push_back(end);
        return absl::OkStatus();
      }));
  if (offsets_.empty())
    return absl::InvalidArgumentError(absl::StrCat(path_, ": the file is empty; expected a header and rows"));
  sha256_ = std::move(digest).Finish();
  return CheckUnchanged();
}

absl::Status DelimitedFile::ReadHeader(absl::string_view line) {
  absl::ConsumePrefix(&line, kByteOrderMark);
  if (IsBlank(line)) return ErrorAt(path_, 1, "the first line is blank; expected the names of the columns");
  delimiter_ = DelimiterOf(path_, line);
  const absl::StatusOr<std::size_t> count = SplitLine(line, delimiter_, kMaxColumns, &header_);
  if (!count.ok()) return WithContext(count.status(), absl::StrCat(path_, ":1"));
  if (*count > kMaxColumns) return ErrorAt(path_, 1, absl::StrCat(*count, " columns, more than the limit of ", kMaxColumns));
  std::set<absl::string_view> seen;
  for (std::size_t i = 0; i < header_.size(); ++i) {
    header_[i] = std::string(absl::StripAsciiWhitespace(header_[i]));
    const std::string& name = header_[i];
    if (name.empty()) return ErrorAt(path_, 1, absl::StrCat("column ", i + 1, " has no name; every column needs one"));
    if (!IsUtf8(name))
      return ErrorAt(path_, 1, absl::StrCat("the name of column ", i + 1, " is not UTF-8; save the table as UTF-8"));
    if (std::any_of(name.begin(), name.end(), [](char c) { return absl::ascii_iscntrl(static_cast<unsigned char>(c)); })) {
      return ErrorAt(path_, 1, absl::StrCat("the name of column ", i + 1, " holds a control character"));
    }
    if (!seen.insert(name).second) return ErrorAt(path_, 1, absl::StrCat("two columns are named '", name, "'; rename one"));
  }
  return absl::OkStatus();
}

absl::Status DelimitedFile::CheckUnchanged() const {
  struct stat now = {};
  if (::fstat(file_.get(), &now) != 0 || !SameFile(now, as_read_)) {
    return absl::DataLossError(absl::StrCat("'", path_, "' was changed while it was being read; run again once it rests"));
  }
  return absl::OkStatus();
}

std::optional<std::size_t> DelimitedFile::ColumnOf(absl::string_view name) const {
  const auto found = std::find(header_.begin(), header_.end(), name);
  if (found == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header_.begin());
}

absl::StatusOr<std::vector<std::string>> DelimitedFile::ReadRow(std::size_t row) const {
  ATTUNE_RETURN_IF_ERROR(CheckUnchanged());
  const std::uint64_t start = offsets_[row];
  std::string line(offsets_[row + 1] - start, '\0');
  std::size_t filled = 0;
  while (filled < line.size()) {
    const ssize_t got = ::pread(file_.get(), line.data() + filled, line.size() - filled, static_cast<off_t>(start + filled));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::DataLossError(absl::StrCat(Where(row), ": cannot be read again"));
    filled += static_cast<std::size_t>(got);
  }
  std::vector<std::string> cells;
  cells.reserve(header_.size());
  const absl::StatusOr<std::size_t> count = SplitLine(WithoutLineEnd(line), delimiter_, header_.size(), &cells);
  if (!count.ok() || *count != header_.size()) {
    return absl::DataLossError(absl::StrCat(Where(row), ": the row was changed while the table was in use"));
  }
  return cells;
}

std::string DelimitedFile::Where(std::size_t row) const { return absl::StrCat(path_, ":", LineOf(row)); }

std::string DelimitedFile::Where(std::size_t row, std::size_t column) const {
  return absl::StrCat(Where(row), ": column '", header_[column], "'");
}

}  // namespace attune
