// SPDX-License-Identifier: Apache-2.0
//
// attune-simulate: a whole consortium of real processes on localhost, from one data set.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/wire/manifest.h"
#include "coordinator/simulate/consortium.h"
#include "coordinator/simulate/split.h"
#include "coordinator/simulate/synthetic.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

std::atomic<bool> g_interrupted{false};

struct Arguments {
  std::string study_file;
  DataSet data;
  std::string out;
  std::string via = "grpc";
  std::string release;
  bool plain_sums = false;
  bool keep = false;
  bool force = false;
  bool quiet = false;
  bool demo = false;
  std::uint64_t seed = 1;
  int threads = 1;
  std::map<std::string, std::string> crash_at;
};

// What a run writes into --out; --force removes these and nothing else.
constexpr const char* kOutputs[] = {"harmonized.tsv", "summary.json", "sites", "models", "coordinator", "logs", "work", "data"};

absl::Status MakeRoom(const Arguments& arguments) {
  std::error_code error;
  if (fs::exists(arguments.out) && !fs::is_directory(arguments.out)) {
    return absl::InvalidArgumentError(absl::StrCat("--out '", arguments.out, "' is not a folder"));
  }
  for (const char* output : kOutputs) {
    const fs::path path = fs::path(arguments.out) / output;
    if (!fs::exists(path)) continue;
    if (!arguments.force) {
      return absl::AlreadyExistsError(
          absl::StrCat("'", path.string(), "' exists; use another --out, or --force to replace what an earlier run wrote"));
    }
    fs::remove_all(path, error);
    if (error) return absl::InternalError(absl::StrCat("cannot remove '", path.string(), "': ", error.message()));
  }
  return MakeFolder(arguments.out, FileAccess::kShared);
}

// Copies what a run leaves for people out of the work folder.
absl::Status Gather(const Arguments& arguments, const DataSet& data, Consortium& consortium, const std::string& study,
                    const std::vector<std::string>& sites) {
  const fs::path out = arguments.out;
  std::error_code error;
  std::map<std::string, std::string> tables;
  fs::create_directories(out / "models", error);
  for (const std::string& site : sites) {
    const fs::path derivative = consortium.DerivativeFolder(site);
    tables[site] = (derivative / "desc-harmonized_features.tsv").string();
    fs::create_directories(out / "sites", error);
    fs::copy(derivative, out / "sites" / site, fs::copy_options::recursive, error);
    if (!error) fs::copy_file(derivative / "model.json", out / "models" / (site + ".json"), error);
    if (error) return absl::InternalError(absl::StrCat("cannot copy the results of '", site, "': ", error.message()));
  }
  ATTUNE_RETURN_IF_ERROR(JoinSites(data, tables, (out / "harmonized.tsv").string()));
  ATTUNE_RETURN_IF_ERROR(consortium.Coordinator({"export", study, "--out", (out / "work" / "export").string()}).status());
  fs::copy_file(out / "work" / "export" / "summary.json", out / "summary.json", error);
  // The journal and its blobs, and the throw-away authority that `attune-coordinator verify` and `study show` ask for.
  fs::create_directories(out / "coordinator", error);
  for (const fs::directory_entry& entry : fs::directory_iterator(consortium.CoordinatorFolder())) {
    const std::string name = entry.path().filename().string();
    if (name == "endpoint") continue;
    fs::copy(entry.path(), out / "coordinator" / name, fs::copy_options::recursive, error);
    if (error) return absl::InternalError(absl::StrCat("cannot copy the coordinator's journal: ", error.message()));
  }
  return absl::OkStatus();
}

absl::Status Simulate(const Arguments& arguments) {
  const auto tell = [&](const std::string& line) {
    if (!arguments.quiet) std::cerr << "attune-simulate: " << line << std::endl;
  };
  DataSet data = arguments.data;
  std::string study_file = arguments.study_file;
  const SyntheticConsortium synthetic(arguments.seed);
  if (!arguments.demo) ATTUNE_RETURN_IF_ERROR(ReadStudyFile(study_file).status());
  ATTUNE_RETURN_IF_ERROR(MakeRoom(arguments));
  // Private data and keys do not stay, also when a step fails; a failed run leaves nothing that the next would trip over.
  bool succeeded = false;
  const absl::Cleanup clean_up = [&] {
    std::error_code ignored;
    if (!arguments.keep) fs::remove_all(arguments.out + "/work", ignored);
    if (succeeded || arguments.keep) return;
    for (const char* output : kOutputs) fs::remove_all(fs::path(arguments.out) / output, ignored);
    fs::remove(arguments.out, ignored);  // only when it is empty
  };
  if (arguments.demo) {
    const std::string folder = arguments.out + "/data";
    tell(absl::StrCat("making up 4 sites with 6 scanners in ", folder));
    ATTUNE_RETURN_IF_ERROR(synthetic.Write(folder));
    data = SyntheticConsortium::DataIn(folder);
    study_file = SyntheticConsortium::StudyFileIn(folder);
  }
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyConfig config, ReadStudyFile(study_file));
  const bool pooled = arguments.release.empty() ? ReleaseOf(config) == Release::kPooled : arguments.release == "pooled";
  if (pooled && !arguments.plain_sums) {
    return absl::InvalidArgumentError(
        "release: pooled adds up under secure aggregation, which this version does not have; --plain-sums shows its arithmetic "
        "with "
        "plain sums, here in the simulator only");
  }

  ConsortiumOptions options;
  options.programs = fs::read_symlink("/proc/self/exe").parent_path().string();
  options.folder = arguments.out + "/work";
  options.study_file = study_file;
  options.study = config.study();
  options.release = arguments.release;
  options.via = arguments.via == "folder" ? Via::kFolder : Via::kGrpc;
  options.plain_sums = pooled;
  options.threads = arguments.threads;
  options.interrupted = [] { return g_interrupted.load(); };
  options.tell = tell;
  options.crash_at = arguments.crash_at;
  tell("splitting the data by site into private folders");
  ATTUNE_ASSIGN_OR_RETURN(options.sites, SplitBySite(data, options.folder + "/sites"));
  const std::vector<std::string> sites = options.sites;
  Consortium consortium(std::move(options));
  ATTUNE_RETURN_IF_ERROR(consortium.Run());
  ATTUNE_RETURN_IF_ERROR(Gather(arguments, data, consortium, config.study(), sites));
  ATTUNE_ASSIGN_OR_RETURN(const std::string table, consortium.Coordinator({"study", "show", config.study()}));
  std::cout << table;
  if (arguments.demo) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string effects, synthetic.Compare(arguments.out + "/harmonized.tsv"));
    std::cout << "\n" << effects;
  }
  succeeded = true;
  tell(absl::StrCat("results in ", arguments.out, ": harmonized.tsv, summary.json, sites/, models/, coordinator/"));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Runs a whole consortium on this machine: a real coordinator and one real site agent per site, with real certificates, "
      "from one data set.");
  app.set_version_flag("--version", kVersion);
  CLI::Option* study = app.add_option("--study", arguments.study_file, "The study file (docs/study-file.md)");
  app.add_option("--participants", arguments.data.participants, "participants.tsv of everybody")->needs(study);
  app.add_option("--features", arguments.data.features, "The feature table, or several, joined by participant_id")
      ->needs(study);
  CLI::Option* demo =
      app.add_flag("--demo", arguments.demo, "Make up the data: 4 sites, 6 scanners, known effects")->excludes(study);
  app.add_option("--out", arguments.out, "Folder for the results")->required();
  app.add_option("--site-column", arguments.data.site_column, "Column of participants.tsv that names the site")
      ->capture_default_str();
  app.add_option("--via", arguments.via, "How sites and coordinator speak")
      ->check(CLI::IsMember({"grpc", "folder"}))
      ->capture_default_str();
  app.add_option("--release", arguments.release, "Instead of the study file's")->check(CLI::IsMember({"per_batch", "pooled"}));
  app.add_flag("--plain-sums", arguments.plain_sums, "Allow release: pooled with sums that are not masked (simulator only)");
  app.add_flag("--keep", arguments.keep, "Keep the work folder: private data, keys, logs");
  app.add_flag("--force", arguments.force, "Replace what an earlier run wrote into --out");
  app.add_flag("--quiet", arguments.quiet, "No progress");
  app.add_option("--threads", arguments.threads, "Threads of each site agent")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "Of the made-up data")->needs(demo)->capture_default_str();
  std::vector<std::string> crashes;
  app.add_option(
      "--crash-at", crashes,
      "For tests of recovery: NAME=POINT kills the coordinator (NAME: coordinator) or a site there and starts it again");
  try {
    app.parse(argc, argv);
    if (!arguments.demo &&
        (arguments.study_file.empty() || arguments.data.participants.empty() || arguments.data.features.empty())) {
      throw CLI::RequiredError("--study, --participants and --features (or --demo)");
    }
    for (const std::string& crash : crashes) {
      const std::size_t equals = crash.find('=');
      if (equals == std::string::npos) throw CLI::ValidationError("--crash-at", "expected NAME=POINT");
      arguments.crash_at[crash.substr(0, equals)] = crash.substr(equals + 1);
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  std::signal(SIGINT, [](int) { g_interrupted = true; });
  std::signal(SIGTERM, [](int) { g_interrupted = true; });
  std::signal(SIGPIPE, SIG_IGN);
  absl::Status status;
  try {
    status = Simulate(arguments);
  } catch (const fs::filesystem_error& error) {
    status = absl::InternalError(error.what());
  }
  if (!status.ok()) std::cerr << "attune-simulate: " << std::string(status.message()) << std::endl;
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) { return attune::Main(argc, argv); }
