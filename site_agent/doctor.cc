// SPDX-License-Identifier: Apache-2.0
#include "site_agent/doctor.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/security/certificates.h"
#include "site_agent/connect.h"
#include "site_agent/doctor_network.h"

namespace attune {
namespace {

constexpr double kMiB = 1 << 20;
constexpr double kTooFullBytes = 100 * kMiB;
constexpr double kNearlyFullBytes = 1024 * kMiB;
constexpr int kWarnBeforeDays = 30;
constexpr absl::Duration kTimeout = absl::Seconds(15);

// Whether the user may write in a folder: a file without a name, which goes at once.
absl::Status CheckWritable(const std::string& folder) {
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(folder + "/doctor", FileAccess::kOwnerOnly));
  file.Write("doctor");
  return file.Sync();
}

// Empty when the file can be read, else why not.
std::string WhyUnreadable(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return absl::StrCat("'", path, "' is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file || file.peek() == std::ifstream::traits_type::eof()) {
    return absl::StrCat("'", path, "' ", file.is_open() ? "is empty" : std::strerror(errno));
  }
  return "";
}

v1::DoctorCheck OfNetwork(v1::DoctorCheck check) {
  check.set_network(true);
  return check;
}

void Append(std::vector<v1::DoctorCheck> checks, v1::DoctorReport* report) {
  for (v1::DoctorCheck& check : checks) *report->add_checks() = std::move(check);
}

}  // namespace

v1::DoctorCheck GoodCheck(std::string code, std::string cause) {
  v1::DoctorCheck check;
  check.set_code(std::move(code));
  check.set_finding(v1::DOCTOR_FINDING_OK);
  check.set_cause(std::move(cause));
  return check;
}

v1::DoctorCheck WarningCheck(std::string code, std::string cause, std::string fix) {
  v1::DoctorCheck check = GoodCheck(std::move(code), std::move(cause));
  check.set_finding(v1::DOCTOR_FINDING_WARNING);
  check.set_fix(std::move(fix));
  return check;
}

v1::DoctorCheck ProblemCheck(std::string code, std::string cause, std::string fix) {
  v1::DoctorCheck check = WarningCheck(std::move(code), std::move(cause), std::move(fix));
  check.set_finding(v1::DOCTOR_FINDING_PROBLEM);
  return check;
}

v1::DoctorCheck CheckDisk(const std::string& folder) {
  if (const absl::Status writable = CheckWritable(folder); !writable.ok()) {
    return ProblemCheck("DOC-DISK", std::string(writable.message()),
                        absl::StrCat("make room, or give the user who runs attune-site the right to write in '", folder, "'"));
  }
  struct statvfs disk = {};
  if (::statvfs(folder.c_str(), &disk) != 0) {
    return ProblemCheck("DOC-DISK", absl::StrCat("'", folder, "': ", std::strerror(errno)), "check --dir");
  }
  const double free = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
  const std::string cause = absl::StrFormat("%.0f MiB free in '%s'", free / kMiB, folder);
  const std::string fix = "a study writes several times the size of its tables: make room";
  if (free < kTooFullBytes) return ProblemCheck("DOC-DISK", cause, fix);
  return free < kNearlyFullBytes ? WarningCheck("DOC-DISK", cause, fix) : GoodCheck("DOC-DISK", cause);
}

v1::DoctorCheck CheckPolicyFile(const Home& home) {
  const std::string path = home.path() + "/policy.yaml";
  if (!FileExists(path)) {
    return ProblemCheck("DOC-POLICY", absl::StrCat("'", path, "' is missing: without this site's rules no study runs"),
                        "give 'attune-site policy init' and read what it wrote");
  }
  if (const std::string why = WhyUnreadable(path); !why.empty()) {
    return ProblemCheck("DOC-POLICY", why, "give the user who runs attune-site the right to read it");
  }
  return GoodCheck("DOC-POLICY", absl::StrCat("'", path, "' is there"));
}

v1::DoctorCheck CheckData(const Home& home) {
  const absl::StatusOr<v1::SiteConfig> config = home.ReadSiteConfig();
  if (!config.ok()) return ProblemCheck("DOC-DATA", std::string(config.status().message()), "write or correct site.yaml");
  std::vector<std::string> tables(config->features().begin(), config->features().end());
  tables.insert(tables.begin(), config->participants());
  for (const std::string& table : tables) {
    const std::filesystem::path path = std::filesystem::path(home.path()) / table;
    const std::string why = table.empty() ? "site.yaml names no table 'participants'" : WhyUnreadable(path.string());
    if (!why.empty()) {
      return ProblemCheck("DOC-DATA", why,
                          "correct the path in site.yaml, or give the user who runs attune-site the right to read the table");
    }
  }
  if (config->features().empty()) {
    return ProblemCheck("DOC-DATA", "site.yaml names no table of features", "add the line 'features: <table>' to site.yaml");
  }
  return GoodCheck("DOC-DATA", absl::StrCat(tables.size(), " tables can be read: ", JoinSome(tables)));
}

v1::DoctorCheck CheckCertificate(const Home& home) {
  constexpr char kFix[] = "ask the coordinator's operator for a new invitation and enroll again with --force";
  absl::StatusOr<std::string> pem = ReadFile(home.IdentityFile("certificate.pem"));
  const absl::StatusOr<int> days = pem.ok() ? DaysLeft(*pem) : pem.status();
  if (!days.ok()) return ProblemCheck("DOC-CERT", std::string(days.status().message()), kFix);
  if (*days < 0) {
    return ProblemCheck("DOC-CERT",
                        absl::StrCat("this site's certificate expired ", -*days, " days ago by this machine's clock"), kFix);
  }
  const std::string cause = absl::StrCat("this site's certificate is valid for ", *days, " more days");
  return *days < kWarnBeforeDays ? WarningCheck("DOC-CERT", cause, kFix) : GoodCheck("DOC-CERT", cause);
}

v1::DoctorCheck CheckExchangeFolder(const std::string& folder) {
  // outbox/ is made by the first command that needs it.
  const std::string outbox = folder + "/outbox";
  absl::Status status = CheckWritable(folder);
  if (status.ok() && FileExists(outbox)) status = CheckWritable(outbox);
  if (!status.ok()) {
    return ProblemCheck("DOC-FOLDER", std::string(status.message()),
                        "mount the share or stick, and give the user who runs attune-site the right to write there");
  }
  return GoodCheck("DOC-FOLDER", absl::StrCat("the folder that is exchanged, '", folder, "', can be written to"));
}

std::string LineOf(const v1::DoctorCheck& check) {
  const char* word = check.finding() == v1::DOCTOR_FINDING_OK        ? "ok"
                     : check.finding() == v1::DOCTOR_FINDING_WARNING ? "warning"
                                                                     : "PROBLEM";
  std::string line = absl::StrFormat("%-7s  %-19s  %s", word, check.code(), check.cause());
  if (!check.fix().empty()) absl::StrAppend(&line, ". Fix: ", check.fix());
  std::replace(line.begin(), line.end(), '\n', ' ');
  return line;
}

absl::Status VerdictOf(const v1::DoctorReport& report) {
  int problems = 0;
  bool network = false;
  for (const v1::DoctorCheck& check : report.checks()) {
    if (check.finding() != v1::DOCTOR_FINDING_PROBLEM) continue;
    ++problems;
    network |= check.network();
  }
  if (problems == 0) return absl::OkStatus();
  const std::string message = absl::StrCat(problems, problems == 1 ? " problem" : " problems", " found");
  return network ? absl::UnavailableError(message) : absl::FailedPreconditionError(message);
}

v1::DoctorReport Examine(const Home& home) {
  v1::DoctorReport report;
  const absl::StatusOr<v1::AgentIdentity> identity = home.ReadIdentity();
  if (identity.ok()) {
    *report.add_checks() =
        GoodCheck("DOC-IDENTITY", absl::StrCat("site '", identity->site(), "' of consortium '", identity->consortium(), "'"));
  } else {
    *report.add_checks() =
        ProblemCheck("DOC-IDENTITY", std::string(identity.status().message()), "give 'attune-site enroll', or --dir");
  }
  *report.add_checks() = CheckDisk(home.path());
  *report.add_checks() = CheckPolicyFile(home);
  *report.add_checks() = CheckData(home);
  if (!identity.ok()) return report;
  if (!identity->folder().empty()) {
    *report.add_checks() = CheckExchangeFolder(identity->folder());
    return report;
  }
  *report.add_checks() = OfNetwork(CheckCertificate(home));
  const absl::StatusOr<GrpcCourierOptions> options = NetworkOptionsOf(home, *identity);
  if (!options.ok()) {
    *report.add_checks() = OfNetwork(ProblemCheck("DOC-IDENTITY-FILES", std::string(options.status().message()),
                                                  "restore the file, correct it with 'attune-site network', or enroll again"));
    return report;
  }
  Append(CheckNetwork(*options, kTimeout), &report);
  return report;
}

}  // namespace attune
