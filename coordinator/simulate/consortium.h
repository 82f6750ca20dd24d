// SPDX-License-Identifier: Apache-2.0
//
// A whole consortium on this machine: the real coordinator, one real agent process per site, real certificates, all on
// 127.0.0.1.
#ifndef ATTUNE_COORDINATOR_SIMULATE_CONSORTIUM_H_
#define ATTUNE_COORDINATOR_SIMULATE_CONSORTIUM_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/simulate/process.h"
#include "coordinator/study_book.h"

namespace attune {

enum class Via { kGrpc, kFolder };

// The policy that each site is given; both allow every study, method, covariate and feature.
enum class SitePolicies {
  kDefault,         // the thresholds that a real site has
  kPermissiveTest,  // data that a real site would refuse may run; agents accept it in the simulated consortium only
};

struct ConsortiumOptions {
  std::string programs;            // the folder with attune-coordinator and attune-site
  std::string folder;              // everything of the consortium, in here: coordinator/, sites/<site>/, exchange/, logs/
  std::vector<std::string> sites;  // each has its data and site.yaml in sites/<site>/
  std::string study_file;
  std::string study;    // its name
  std::string release;  // "per_batch" or "pooled"; empty: as the study file says
  Via via = Via::kGrpc;
  bool plain_sums = false;  // pooled: add up plain sums
  SitePolicies policies = SitePolicies::kDefault;
  int threads = 1;
  std::string dtype;                                                         // of harmonized images; empty: the agents' default
  std::function<bool()> interrupted = [] { return false; };                  // asked often; true ends everything
  std::function<void(const std::string&)> tell = [](const std::string&) {};  // one line per step, for people
  // Fault injection for tests: the processes of this name ("coordinator" is `serve`, "operator" each other command of the
  // coordinator, else a site) get ATTUNE_CRASH_AT until one dies of it, which is started again. A point that nobody reached is
  // an error at the end.
  std::map<std::string, std::string> crash_at;
};

// The steps of a study in their order. A failing step ends all processes; its error has the code of the program that failed and
// the last lines of its log. Not thread-safe.
class Consortium {
 public:
  explicit Consortium(ConsortiumOptions options) : options_(std::move(options)) {}

  // Runs everything: certificates, serve, enroll, create, register, start, approve, run at all sites at once; returns when all
  // are harmonized and the coordinator has been stopped. What was written is under options.folder.
  absl::Status Run();

  std::string CoordinatorFolder() const { return options_.folder + "/coordinator"; }
  std::string SiteFolder(const std::string& site) const { return options_.folder + "/sites/" + site; }
  // Where a site's harmonized table, sidecar and model are.
  std::string DerivativeFolder(const std::string& site) const { return SiteFolder(site) + "/derivative"; }

  // Runs attune-coordinator with these arguments until it ends, and returns what it printed on standard output and error.
  absl::StatusOr<std::string> Coordinator(const std::vector<std::string>& arguments);

 private:
  struct Running {
    std::string name;  // "coordinator" or the site
    std::vector<std::string> arguments;
    Process process;
  };

  std::vector<std::string> CrashEnvironment(const std::string& name) const;
  // Whether the process of this name ended as crash_at has it; it does so once.
  bool CrashedAsPlanned(const std::string& name, const ProcessEnd& end);
  absl::StatusOr<Running> Start(const std::string& name, const std::vector<std::string>& arguments);
  // Notices that a process ended. OK while it runs, or when it was to crash and was started again.
  absl::Status Check(Running& running, bool may_finish, bool* finished);
  // A program that runs for a moment; started again while the other side is not there yet (exit code 5) until the deadline.
  absl::Status RunOnce(const std::string& name, const std::string& program, std::vector<std::string> arguments);
  absl::Status StartCoordinator();
  // Writes a site's policy.yaml.
  absl::Status WritePolicy(const std::string& site);
  absl::Status Enroll(const std::string& site);
  // Until what the journal says of the study is as `reached` wants it; `what` is not reached, by name, in the error.
  absl::Status AwaitJournal(const std::string& what, const std::function<bool(const StudyStatus&)>& reached);
  absl::Status AwaitManifests();
  absl::Status RunSites();
  std::vector<std::string> SiteCommand(const std::string& site, const std::string& command) const;
  std::string LogOf(const std::string& name) const { return options_.folder + "/logs/" + name + ".log"; }

  ConsortiumOptions options_;
  std::optional<Running> coordinator_;
  std::string endpoint_;     // host:port
  std::string fingerprint_;  // of the authority's certificate
};

}  // namespace attune

#endif  // ATTUNE_COORDINATOR_SIMULATE_CONSORTIUM_H_
