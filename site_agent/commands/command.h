// SPDX-License-Identifier: Apache-2.0
//
// The commands of attune-site. Each Add function declares one subcommand; when it is the one that was given, parsing sets
// `action` to what main then runs.
#ifndef ATTUNE_SITE_AGENT_COMMANDS_COMMAND_H_
#define ATTUNE_SITE_AGENT_COMMANDS_COMMAND_H_

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "site_agent/connect.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/site_study.h"

namespace attune {

// Options of every command.
struct Globals {
  std::string dir = "./attune-site";
  int threads = 0;  // 0: one per core
  bool force = false;
  bool quiet = false;
  bool verbose = false;

  int Threads() const;
};

using Action = std::function<absl::Status()>;

void AddEnroll(CLI::App* app, const Globals* globals, Action* action);
void AddNetwork(CLI::App* app, const Globals* globals, Action* action);
void AddDoctor(CLI::App* app, const Globals* globals, Action* action);
void AddCheck(CLI::App* app, const Globals* globals, Action* action);
void AddRegister(CLI::App* app, const Globals* globals, Action* action);
void AddPreview(CLI::App* app, const Globals* globals, Action* action);
void AddApprove(CLI::App* app, const Globals* globals, Action* action);
void AddRenew(CLI::App* app, const Globals* globals, Action* action);
void AddRun(CLI::App* app, const Globals* globals, Action* action);
void AddAnswer(CLI::App* app, const Globals* globals, Action* action);
void AddApply(CLI::App* app, const Globals* globals, Action* action);
void AddLocal(CLI::App* app, const Globals* globals, Action* action);
void AddPolicy(CLI::App* app, const Globals* globals, Action* action);
void AddLedger(CLI::App* app, const Globals* globals, Action* action);
void AddAudit(CLI::App* app, const Globals* globals, Action* action);

// ---- What several commands do alike. ----

// The seconds that --patience gives, if it was given (negative: it was not).
std::optional<absl::Duration> PatienceOf(double seconds);

// How the coordinator is reached, as 'enroll' and 'network' take it.
struct NetworkArguments {
  std::string proxy;
  std::string proxy_credentials;
  std::string server_ca;
};
void AddNetworkOptions(CLI::App* command, NetworkArguments* arguments);
// Checks what was given, and that the credentials can be read, and puts it into the identity. What was not given stays, but
// another proxy starts without credentials.
absl::Status SetProxy(const NetworkArguments& arguments, v1::AgentIdentity* identity);
// The certificates of the file --server-ca, PEM.
absl::StatusOr<std::string> ReadServerCa(const NetworkArguments& arguments);

// Tells on stderr what was set aside or merged when tables were read.
void LogNotes(const SiteData& data);

// A study, and where its mask lies, if its features are images.
struct StudyInput {
  v1::StudyConfig config;
  std::string mask;
  std::string mask_sha256;  // what that file must be, where the coordinator said; empty: any
};
// A study file, or a study by name: what this site has of it, else what the coordinator says.
absl::StatusOr<StudyInput> StudyInputOf(const Home& home, const std::string& study);
// The study of a file; its mask's path counts from the file's folder.
absl::StatusOr<StudyInput> ReadStudyInput(const std::string& study_file);
// A study of which this site has the files.
StudyInput HeldStudyInput(const StudyFolder& folder, const v1::StudyConfig& config,
                          const google::protobuf::RepeatedPtrField<v1::Attachment>& attachments);

// The tables or images that the home's site.yaml names, in the terms of a study; `features` as in SiteDataOptions.
absl::StatusOr<SiteTables> OpenHomeTables(const Globals& globals, const std::string& site, const StudyInput& study,
                                          FeatureNames features);

// --dtype of harmonized images.
void AddOutputOptions(CLI::App* command, ImageType* type);

// The tables that a command line names, with the mappings of `site_file` (none when it is empty).
struct TableArguments {
  std::string participants;
  std::vector<std::string> features;
  std::string images;
  std::string site_file;
};
void AddTableOptions(CLI::App* command, TableArguments* arguments);
absl::StatusOr<v1::SiteConfig> SiteConfigOf(const TableArguments& arguments);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_COMMANDS_COMMAND_H_
