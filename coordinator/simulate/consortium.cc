// SPDX-License-Identifier: Apache-2.0
#include "coordinator/simulate/consortium.h"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "attune/v1/coordinator.pb.h"
#include "attune/v1/folder.pb.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/storage/journal.h"
#include "common/wire/simulated_consortium.h"
#include "coordinator/study_book.h"

namespace attune {
namespace {

// Long enough for a loaded machine; a simulation that makes no progress for this long has a bug.
constexpr double kStepSeconds = 120;
// Between two looks at what the children do.
constexpr auto kPause = std::chrono::milliseconds(10);
constexpr int kLinesShown = 12;
constexpr char kCoordinatorName[] = "coordinator";
constexpr char kOperatorName[] = "operator";
// No site ends and nothing is recorded for this long: the largest data take less between two steps.
constexpr double kStuckSeconds = 3600;

double SecondsSince(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The error of a program that ended with `exit_code`, with the code that gives our own program the same exit code.
absl::Status ProgramError(const std::string& name, const ProcessEnd& end, const std::string& log) {
  const std::string message =
      absl::StrCat(name, end.signalled ? " was ended by signal " : " ended with exit code ",
                   end.signalled ? end.exit_code - 128 : end.exit_code, "; its last lines:\n", LastLines(log, kLinesShown));
  switch (static_cast<ExitCode>(end.exit_code)) {
    case ExitCode::kDataCheck:
      return absl::FailedPreconditionError(message);
    case ExitCode::kRefusedByPolicy:
      return absl::PermissionDeniedError(message);
    case ExitCode::kPeerOrNetwork:
      return absl::UnavailableError(message);
    case ExitCode::kOutputExists:
      return absl::AlreadyExistsError(message);
    default:
      return absl::InternalError(message);
  }
}

// Everybody's data are on this one machine: there is nobody whom missing values could be revealed to.
constexpr char kOpenPolicy[] =
    "studies: \"*\"\nmethods: \"*\"\ncovariates: \"*\"\nfeatures: \"*\"\nrelease: per_batch\nmissing: any_difference\n";
constexpr char kPermissiveThresholds[] =
    "permissive_test: true\nmin_subjects: 5\nmin_cell: 1\nmax_param_ratio: 1\nmin_sites: 1\n";

absl::Status Interrupted() { return absl::CancelledError("interrupted; every process was ended"); }

}  // namespace

std::vector<std::string> Consortium::CrashEnvironment(const std::string& name) const {
  const auto crash = options_.crash_at.find(name);
  if (crash == options_.crash_at.end()) return {};
  return {absl::StrCat("ATTUNE_CRASH_AT=", crash->second)};
}

bool Consortium::CrashedAsPlanned(const std::string& name, const ProcessEnd& end) {
  const auto crash = options_.crash_at.find(name);
  if (crash == options_.crash_at.end() || !end.signalled || end.exit_code != 128 + SIGKILL) return false;
  options_.crash_at.erase(crash);
  options_.tell(absl::StrCat(name, " was killed as planned; starting it again"));
  return true;
}

absl::StatusOr<Consortium::Running> Consortium::Start(const std::string& name, const std::vector<std::string>& arguments) {
  ATTUNE_ASSIGN_OR_RETURN(Process process, Process::Start(arguments, CrashEnvironment(name), LogOf(name)));
  return Running{name, arguments, std::move(process)};
}

absl::Status Consortium::Check(Running& running, bool may_finish, bool* finished) {
  *finished = false;
  const std::optional<ProcessEnd> end = running.process.Poll();
  if (!end) return absl::OkStatus();
  if (CrashedAsPlanned(running.name, *end)) {
    ATTUNE_ASSIGN_OR_RETURN(running, Start(running.name, running.arguments));
    return absl::OkStatus();
  }
  if (may_finish && end->exit_code == 0) {
    *finished = true;
    return absl::OkStatus();
  }
  return ProgramError(running.name, *end, running.process.log());
}

absl::Status Consortium::RunOnce(const std::string& name, const std::string& program, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), absl::StrCat(options_.programs, "/", program));
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    ATTUNE_ASSIGN_OR_RETURN(Process process, Process::Start(arguments, CrashEnvironment(name), LogOf(name)));
    std::optional<ProcessEnd> end;
    while (!(end = process.WaitFor(0.05))) {
      if (options_.interrupted()) return Interrupted();
      if (SecondsSince(start) > kStepSeconds) return absl::DeadlineExceededError(absl::StrCat(name, " does not end"));
      bool finished = false;
      if (coordinator_) ATTUNE_RETURN_IF_ERROR(Check(*coordinator_, false, &finished));
    }
    if (end->exit_code == 0) return absl::OkStatus();
    if (CrashedAsPlanned(name, *end)) continue;
    // By folder, the other side's file may not be there yet.
    const bool retry = options_.via == Via::kFolder && end->exit_code == static_cast<int>(ExitCode::kPeerOrNetwork);
    if (!retry || SecondsSince(start) > kStepSeconds) return ProgramError(name, *end, process.log());
    std::this_thread::sleep_for(kPause * 5);
  }
}

absl::StatusOr<std::string> Consortium::Coordinator(const std::vector<std::string>& arguments) {
  const std::string log = LogOf(absl::StrCat("coordinator-", arguments[0]));
  std::vector<std::string> command = {absl::StrCat(options_.programs, "/attune-coordinator"), "--quiet", "--dir",
                                      CoordinatorFolder()};
  command.insert(command.end(), arguments.begin(), arguments.end());
  for (;;) {
    const std::size_t printed_before = ReadFile(log).value_or("").size();
    ATTUNE_ASSIGN_OR_RETURN(Process process, Process::Start(command, CrashEnvironment(kOperatorName), log));
    const auto start = std::chrono::steady_clock::now();
    std::optional<ProcessEnd> end;
    while (!(end = process.WaitFor(0.05))) {
      if (options_.interrupted()) return Interrupted();
      if (SecondsSince(start) > kStepSeconds) {
        return absl::DeadlineExceededError(absl::StrCat("attune-coordinator ", arguments[0], " does not end"));
      }
    }
    if (CrashedAsPlanned(kOperatorName, *end)) continue;
    if (end->exit_code != 0) return ProgramError(absl::StrCat("attune-coordinator ", arguments[0]), *end, log);
    ATTUNE_ASSIGN_OR_RETURN(const std::string printed, ReadFile(log));
    return printed.substr(printed_before);
  }
}

absl::Status Consortium::StartCoordinator() {
  options_.tell("making a certificate authority and starting the coordinator on 127.0.0.1");
  ATTUNE_ASSIGN_OR_RETURN(fingerprint_,
                          Coordinator({"pki", "init", "--consortium", kSimulatedConsortium, "--host", "127.0.0.1"}));
  absl::StripAsciiWhitespace(&fingerprint_);
  std::vector<std::string> arguments = {absl::StrCat(options_.programs, "/attune-coordinator"), "--dir", CoordinatorFolder(),
                                        "serve"};
  const std::string endpoint_file = CoordinatorFolder() + "/endpoint";
  if (options_.via == Via::kFolder) {
    for (const std::string& site : options_.sites) {
      ATTUNE_RETURN_IF_ERROR(MakeFolder(absl::StrCat(options_.folder, "/exchange/", site), FileAccess::kOwnerOnly));
    }
    arguments.insert(arguments.end(), {"--folder", options_.folder + "/exchange", "--no-grpc"});
    ATTUNE_ASSIGN_OR_RETURN(coordinator_, Start(kCoordinatorName, arguments));
    return absl::OkStatus();
  }
  std::vector<std::string> first = arguments;
  first.insert(first.end(), {"--listen", "127.0.0.1:0"});
  ATTUNE_ASSIGN_OR_RETURN(coordinator_, Start(kCoordinatorName, first));
  const auto start = std::chrono::steady_clock::now();
  while (!FileExists(endpoint_file)) {
    bool finished = false;
    ATTUNE_RETURN_IF_ERROR(Check(*coordinator_, false, &finished));
    if (options_.interrupted()) return Interrupted();
    if (SecondsSince(start) > kStepSeconds) return absl::DeadlineExceededError("the coordinator does not start");
    std::this_thread::sleep_for(kPause);
  }
  ATTUNE_ASSIGN_OR_RETURN(endpoint_, ReadFile(endpoint_file));
  absl::StripAsciiWhitespace(&endpoint_);
  // Started again after a crash it has to listen where the sites know it.
  arguments.insert(arguments.end(), {"--listen", endpoint_});
  coordinator_->arguments = arguments;
  return absl::OkStatus();
}

std::vector<std::string> Consortium::SiteCommand(const std::string& site, const std::string& command) const {
  return {"--dir", SiteFolder(site), command};
}

absl::Status Consortium::WritePolicy(const std::string& site) {
  const bool permissive = options_.policies == SitePolicies::kPermissiveTest;
  return WriteFileAtomically(SiteFolder(site) + "/policy.yaml",
                             absl::StrCat(kOpenPolicy, permissive ? kPermissiveThresholds : ""), FileAccess::kOwnerOnly);
}

absl::Status Consortium::Enroll(const std::string& site) {
  std::vector<std::string> enroll = SiteCommand(site, "enroll");
  const std::string invitation = absl::StrCat(options_.folder, "/sites/", site, "/invitation.json");
  std::vector<std::string> invite = {"site", "invite", site, "--out", invitation};
  if (options_.via == Via::kFolder) {
    invite.push_back("--folder");
    enroll.insert(enroll.end(), {"--folder", absl::StrCat(options_.folder, "/exchange/", site)});
  } else {
    invite.insert(invite.end(), {"--coordinator", endpoint_});
  }
  ATTUNE_RETURN_IF_ERROR(Coordinator(invite).status());
  // A hospital hears the fingerprint by telephone.
  enroll.insert(enroll.end(), {"--invitation", invitation, "--fingerprint", fingerprint_});
  return RunOnce(site, "attune-site", enroll);
}

absl::Status Consortium::AwaitJournal(const std::string& what, const std::function<bool(const StudyStatus&)>& reached) {
  // By folder, what a site says counts when the coordinator has read it.
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<Journal> journal,
                          Journal::Open(CoordinatorFolder() + "/journal.sqlite", false));
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, journal->Read(options_.study));
    ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, ReplayStudy(options_.study, entries));
    if (reached(status)) return absl::OkStatus();
    bool finished = false;
    ATTUNE_RETURN_IF_ERROR(Check(*coordinator_, false, &finished));
    if (options_.interrupted()) return Interrupted();
    if (SecondsSince(start) > kStepSeconds) {
      return absl::DeadlineExceededError(
          absl::StrCat("the coordinator has not ", what, ":\n", LastLines(LogOf(kCoordinatorName), kLinesShown)));
    }
    std::this_thread::sleep_for(kPause);
  }
}

absl::Status Consortium::AwaitManifests() {
  // By folder, the coordinator puts the manifest into each site's inbox in its own time.
  const auto start = std::chrono::steady_clock::now();
  for (const std::string& site : options_.sites) {
    const std::string path = absl::StrCat(options_.folder, "/exchange/", site, "/inbox/", options_.study, ".study.pb");
    for (;;) {
      const absl::StatusOr<std::string> bytes = ReadFile(path);
      v1::SignedFile file;
      v1::FolderStatement statement;
      v1::GetStudyReply reply;
      if (bytes.ok() && file.ParseFromString(*bytes) && statement.ParseFromString(file.statement()) &&
          reply.ParseFromString(statement.payload()) && !reply.manifest().empty()) {
        break;
      }
      bool finished = false;
      ATTUNE_RETURN_IF_ERROR(Check(*coordinator_, false, &finished));
      if (options_.interrupted()) return Interrupted();
      if (SecondsSince(start) > kStepSeconds) {
        return absl::DeadlineExceededError(absl::StrCat("the coordinator has not put the manifest into ", site, "'s folder"));
      }
      std::this_thread::sleep_for(kPause);
    }
  }
  return absl::OkStatus();
}

absl::Status Consortium::RunSites() {
  options_.tell(absl::StrCat("running ", options_.sites.size(), " site agents at once"));
  std::vector<Running> running;
  for (const std::string& site : options_.sites) {
    std::vector<std::string> arguments = SiteCommand(site, "run");
    arguments.insert(arguments.begin(), absl::StrCat(options_.programs, "/attune-site"));
    arguments.insert(arguments.end(),
                     {options_.study, "--out", DerivativeFolder(site), "--threads", absl::StrCat(options_.threads)});
    if (!options_.dtype.empty()) arguments.insert(arguments.end(), {"--dtype", options_.dtype});
    if (options_.plain_sums) arguments.push_back("--plain-sums");
    arguments.insert(arguments.end(), {"--patience", absl::StrCat(static_cast<int>(kStepSeconds))});
    ATTUNE_ASSIGN_OR_RETURN(Running agent, Start(site, arguments));
    running.push_back(std::move(agent));
  }
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<Journal> journal,
                          Journal::Open(CoordinatorFolder() + "/journal.sqlite", false));
  std::pair<std::size_t, std::int64_t> last;
  auto last_moved = std::chrono::steady_clock::now();
  while (!running.empty()) {
    if (options_.interrupted()) return Interrupted();
    if (const std::pair now(running.size(), journal->Version()); now != last) {
      last = now;
      last_moved = std::chrono::steady_clock::now();
    } else if (SecondsSince(last_moved) > kStuckSeconds) {
      return absl::DeadlineExceededError(absl::StrCat(running.size(),
                                                      " sites do not get any further; the coordinator's last "
                                                      "lines:\n",
                                                      LastLines(LogOf(kCoordinatorName), kLinesShown)));
    }
    bool finished = false;
    ATTUNE_RETURN_IF_ERROR(Check(*coordinator_, false, &finished));
    for (std::size_t k = 0; k < running.size();) {
      ATTUNE_RETURN_IF_ERROR(Check(running[k], true, &finished));
      if (!finished) {
        ++k;
        continue;
      }
      options_.tell(absl::StrCat(running[k].name, " is harmonized"));
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(k));
    }
    std::this_thread::sleep_for(kPause);
  }
  return absl::OkStatus();
}

absl::Status Consortium::Run() {
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options_.folder + "/logs", FileAccess::kOwnerOnly));
  ATTUNE_RETURN_IF_ERROR(StartCoordinator());
  options_.tell(absl::StrCat("enrolling ", options_.sites.size(), " sites: ", JoinSome(options_.sites)));
  for (const std::string& site : options_.sites) {
    ATTUNE_RETURN_IF_ERROR(WritePolicy(site));
    ATTUNE_RETURN_IF_ERROR(Enroll(site));
  }
  std::vector<std::string> create = {"study", "create", options_.study_file};
  if (!options_.release.empty()) create.insert(create.end(), {"--release", options_.release});
  if (options_.plain_sums) create.push_back("--plain-sums");
  ATTUNE_RETURN_IF_ERROR(Coordinator(create).status());
  options_.tell("registering: each site checks its data and tells its batches and features");
  for (const std::string& site : options_.sites) {
    std::vector<std::string> arguments = SiteCommand(site, "register");
    arguments.push_back(options_.study);
    ATTUNE_RETURN_IF_ERROR(RunOnce(site, "attune-site", arguments));
  }
  ATTUNE_RETURN_IF_ERROR(AwaitJournal("taken in all registrations",
                                      [&](const StudyStatus& status) { return status.sites.size() == options_.sites.size(); }));
  options_.tell("freezing the manifest; each site approves it");
  ATTUNE_RETURN_IF_ERROR(Coordinator({"study", "start", options_.study}).status());
  if (options_.via == Via::kFolder) ATTUNE_RETURN_IF_ERROR(AwaitManifests());
  for (const std::string& site : options_.sites) {
    std::vector<std::string> arguments = SiteCommand(site, "approve");
    // Everybody's data are on this one machine: there is nobody whom absences could be revealed to.
    arguments.insert(arguments.end(), {options_.study, "--yes", "--allow-missing-any-difference", "--allow-reference-batch"});
    ATTUNE_RETURN_IF_ERROR(RunOnce(site, "attune-site", arguments));
  }
  const auto start = std::chrono::steady_clock::now();
  ATTUNE_RETURN_IF_ERROR(RunSites());
  ATTUNE_RETURN_IF_ERROR(
      AwaitJournal("taken in all reports", [](const StudyStatus& status) { return status.state == v1::STUDY_STATE_COMPLETE; }));
  options_.tell(
      absl::StrFormat("the study ran for %.2f s, from the first site's start to the last one's report", SecondsSince(start)));
  coordinator_->process.Stop();
  coordinator_.reset();
  for (const auto& [name, point] : options_.crash_at) {
    return absl::InvalidArgumentError(absl::StrCat("--crash-at ", name, "=", point, ": no process of that name came there"));
  }
  return absl::OkStatus();
}

}  // namespace attune
