// SPDX-License-Identifier: Apache-2.0
#include "site_agent/ledger.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kKeyBytes = 32;
constexpr std::size_t kKeyIdDigits = 16;
constexpr char kRecordExtension[] = ".release";
constexpr char kRepair[] =
    ": restore the folder 'ledger' from a backup. Without it this site cannot know what it has released before; only if there "
    "is "
    "no backup, move the folder away, which forgets all releases, and put that on record";

// Holds <folder>/lock until it goes.
class FolderLock {
 public:
  static absl::StatusOr<FolderLock> Take(const std::string& folder) {
    const std::string path = folder + "/lock";
    FolderLock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
    bool locked = lock.descriptor_ >= 0;
    while (locked && ::flock(lock.descriptor_, LOCK_EX) != 0) locked = errno == EINTR;
    if (!locked) return absl::InternalError(absl::StrCat("cannot lock '", path, "': ", std::strerror(errno)));
    return lock;
  }
  FolderLock(FolderLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

 private:
  explicit FolderLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

std::string KeyIdOf(const std::string& key) {
  return absl::BytesToHexString(HmacSha256(key, "key id")).substr(0, kKeyIdDigits);
}

// Digests that lie one after another, sorted.
class DigestSet {
 public:
  DigestSet(std::string name, std::string bytes) : name_(std::move(name)), bytes_(std::move(bytes)) {}

  const std::string& name() const { return name_; }
  const std::string& bytes() const { return bytes_; }
  std::size_t size() const { return bytes_.size() / kPersonDigestBytes; }
  absl::string_view operator[](std::size_t i) const {
    return absl::string_view(bytes_).substr(i * kPersonDigestBytes, kPersonDigestBytes);
  }

  // How many the two have in common.
  std::size_t Common(const DigestSet& other) const {
    std::size_t common = 0;
    for (std::size_t i = 0, j = 0; i < size() && j < other.size();) {
      const int order = (*this)[i].compare(other[j]);
      common += order == 0 ? 1 : 0;
      i += order <= 0 ? 1 : 0;
      j += order >= 0 ? 1 : 0;
    }
    return common;
  }

 private:
  std::string name_;
  std::string bytes_;
};

// The batches, and all of them together, sorted, nobody twice.
std::vector<DigestSet> WithUnion(std::vector<DigestSet> batches) {
  std::vector<absl::string_view> all;
  for (const DigestSet& batch : batches) {
    for (std::size_t i = 0; i < batch.size(); ++i) all.push_back(batch[i]);
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::string bytes;
  for (const absl::string_view digest : all) bytes.append(digest.data(), digest.size());
  batches.emplace_back("all batches", std::move(bytes));
  return batches;
}

std::vector<DigestSet> SetsOf(const std::vector<BatchSurvey>& people) {
  std::vector<DigestSet> sets;
  for (const BatchSurvey& batch : people) {
    std::string bytes;
    for (const std::string& digest : batch.digests) bytes += digest;
    sets.emplace_back(batch.batch, std::move(bytes));
  }
  return WithUnion(std::move(sets));
}

std::vector<DigestSet> SetsOf(const v1::ReleaseRecord& record) {
  std::vector<DigestSet> sets;
  for (const v1::ReleasedSet& set : record.sets()) sets.emplace_back(set.batch(), set.people());
  return WithUnion(std::move(sets));
}

bool SameSets(const std::vector<DigestSet>& a, const std::vector<DigestSet>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const DigestSet& x, const DigestSet& y) { return x.name() == y.name() && x.bytes() == y.bytes(); });
}

std::string Describe(const v1::ReleaseRecord& record) {
  return absl::StrCat("study '", record.study(), "' of ", record.time());
}

// Two sets that overlap and differ by fewer than `least`.
std::optional<std::string> FindClose(const std::vector<DigestSet>& now, const std::vector<DigestSet>& then,
                                     const v1::ReleaseRecord& record, std::size_t least) {
  for (const DigestSet& a : now) {
    for (const DigestSet& b : then) {
      const std::size_t common = a.Common(b);
      const std::size_t difference = a.size() + b.size() - 2 * common;
      if (common == 0 || difference == 0 || difference >= least) continue;
      return absl::StrCat("the people of '", a.name(), "' (", a.size(), ") and those of '", b.name(), "' (", b.size(),
                          ") whose sums were released in ", Describe(record), " differ by ", difference, ", fewer than ", least,
                          " (min_release_difference): the sums over these few would follow by subtraction");
    }
  }
  return std::nullopt;
}

bool WasReleased(const v1::ReleaseRecord& record, const PlannedRelease& release, const std::vector<DigestSet>& sets) {
  return record.manifest_sha256() == release.manifest_sha256 && SameSets(SetsOf(record), sets);
}

}  // namespace

std::int64_t PeopleOf(const v1::ReleaseRecord& record) { return static_cast<std::int64_t>(SetsOf(record).back().size()); }

absl::StatusOr<Ledger> Ledger::Open(const std::string& folder) {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(folder, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder));
  const std::string path = folder + "/key";
  if (!FileExists(path)) {
    if (FileExists(Ledger(folder, "").RecordPath(1))) {
      return absl::DataLossError(absl::StrCat("the ledger's key '", path, "' is missing", kRepair));
    }
    ATTUNE_ASSIGN_OR_RETURN(const std::string key, RandomBytes(kKeyBytes));
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(path, key, FileAccess::kOwnerOnly));
    return Ledger(folder, key);
  }
  ATTUNE_ASSIGN_OR_RETURN(std::string key, ReadFile(path));
  if (key.size() != kKeyBytes) {
    return absl::DataLossError(
        absl::StrCat("the ledger's key '", path, "' has ", key.size(), " bytes, not ", kKeyBytes, kRepair));
  }
  return Ledger(folder, std::move(key));
}

std::string Ledger::RecordPath(int number) const { return absl::StrFormat("%s/%06d%s", folder_, number, kRecordExtension); }

absl::StatusOr<int> Ledger::Count() const {
  int files = 0;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    files += entry.path().extension() == kRecordExtension ? 1 : 0;
  }
  if (error) return absl::InternalError(absl::StrCat("cannot read '", folder_, "': ", error.message()));
  for (int number = 1; number <= files; ++number) {
    if (FileExists(RecordPath(number))) continue;
    return absl::DataLossError(absl::StrCat("the ledger's file '", RecordPath(number), "' is missing", kRepair));
  }
  return files;
}

absl::Status Ledger::ForEach(absl::FunctionRef<absl::Status(const v1::ReleaseRecord&)> visit) const {
  ATTUNE_ASSIGN_OR_RETURN(const int count, Count());
  for (int number = 1; number <= count; ++number) {
    const std::string path = RecordPath(number);
    ATTUNE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path));
    const std::size_t line = bytes.find('\n');
    v1::ReleaseRecord record;
    bool sound = line != std::string::npos && Sha256Hex(bytes.substr(line + 1)) == bytes.substr(0, line) &&
                 record.ParseFromArray(bytes.data() + line + 1, static_cast<int>(bytes.size() - line - 1));
    for (const v1::ReleasedSet& set : record.sets()) sound &= set.people().size() % kPersonDigestBytes == 0;
    if (!sound) return absl::DataLossError(absl::StrCat("the ledger's file '", path, "' is damaged", kRepair));
    if (record.key_id() != KeyIdOf(key_)) {
      return absl::DataLossError(absl::StrCat("the ledger's file '", path, "' was written with another key", kRepair));
    }
    ATTUNE_RETURN_IF_ERROR(visit(record));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<RuleResult>> Ledger::Judge(const PlannedRelease& release, const v1::SitePolicy& policy,
                                                      const std::vector<BatchSurvey>& people) const {
  const std::vector<DigestSet> sets = SetsOf(people);
  const std::size_t least = policy.min_release_difference();
  std::optional<std::string> close;
  std::vector<std::string> overlapping;
  ATTUNE_RETURN_IF_ERROR(ForEach([&](const v1::ReleaseRecord& record) {
    const std::vector<DigestSet> then = SetsOf(record);
    if (WasReleased(record, release, sets) || sets.back().Common(then.back()) == 0) return absl::OkStatus();
    overlapping.push_back(Describe(record));
    if (!close.has_value()) close = FindClose(sets, then, record, least);
    return absl::OkStatus();
  }));
  const std::string remedy = absl::StrCat(". Where this site accepts that, 'attune-site approve ", release.study,
                                          " --override-ledger REASON' puts it on record; 'attune-site ledger' lists what was "
                                          "released");
  RuleResult difference{absl::StrCat("people of earlier releases that overlap are the same, or differ by at least ", least,
                                     " (min_release_difference)"),
                        absl::OkStatus()};
  RuleResult budget{absl::StrCat("nobody is in more releases than ", policy.max_releases_per_subject_set(),
                                 " (max_releases_per_subject_set)"),
                    absl::OkStatus()};
  if (close.has_value()) difference.result = absl::PermissionDeniedError(absl::StrCat(*close, remedy));
  if (overlapping.size() >= policy.max_releases_per_subject_set()) {
    budget.result = absl::PermissionDeniedError(
        absl::StrCat("sums over some of these people were released ", overlapping.size(),
                     overlapping.size() == 1 ? " time" : " times", " before (", overlapping.front(),
                     overlapping.size() > 1 ? ", ..." : "", "); this site allows ", policy.max_releases_per_subject_set(),
                     " (max_releases_per_subject_set), for the sums of several releases can be combined", remedy));
  }
  std::vector<RuleResult> rules = {std::move(difference), std::move(budget)};
  for (RuleResult& rule : rules) {
    if (rule.result.ok() || release.override_reason.empty()) continue;
    rule = {absl::StrCat(rule.rule, ": overridden, \"", release.override_reason, "\""), absl::OkStatus()};
  }
  return rules;
}

absl::Status Ledger::Record(const PlannedRelease& release, const v1::SitePolicy& policy,
                            const std::vector<BatchSurvey>& people) const {
  ATTUNE_ASSIGN_OR_RETURN(const FolderLock lock, FolderLock::Take(folder_));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<RuleResult> rules, Judge(release, policy, people));
  ATTUNE_RETURN_IF_ERROR(FirstBroken(rules));
  const std::vector<DigestSet> sets = SetsOf(people);
  bool known = false;
  ATTUNE_RETURN_IF_ERROR(ForEach([&](const v1::ReleaseRecord& record) {
    known |= WasReleased(record, release, sets);
    return absl::OkStatus();
  }));
  if (known) return absl::OkStatus();
  v1::ReleaseRecord record;
  record.set_study(release.study);
  record.set_manifest_sha256(release.manifest_sha256);
  record.set_time(absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::Now(), absl::UTCTimeZone()));
  record.set_override_reason(release.override_reason);
  record.set_key_id(KeyIdOf(key_));
  for (std::size_t s = 0; s + 1 < sets.size(); ++s) {
    v1::ReleasedSet* set = record.add_sets();
    set->set_batch(sets[s].name());
    set->set_people(sets[s].bytes());
  }
  ATTUNE_ASSIGN_OR_RETURN(const int count, Count());
  const std::string bytes = record.SerializeAsString();
  return WriteFileAtomically(RecordPath(count + 1), absl::StrCat(Sha256Hex(bytes), "\n", bytes), FileAccess::kOwnerOnly);
}

}  // namespace attune
