// SPDX-License-Identifier: Apache-2.0
//
// attune-simulate: a whole consortium of real processes on localhost, from one data set.
#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <exception>
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
#include "coordinator/simulate/gather.h"
#include "coordinator/simulate/results.h"
#include "coordinator/simulate/split.h"
#include "coordinator/simulate/synthetic.h"
#include "coordinator/simulate/synthetic_images.h"
#include "coordinator/study_view.h"

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
  std::string policy = "default";
  bool plain_sums = false;
  bool keep = false;
  bool force = false;
  bool quiet = false;
  bool demo = false;
  bool demo_images = false;
  std::uint64_t seed = 1;
  int threads = 1;
  std::string dtype;
  std::map<std::string, std::string> crash_at;
};

// What a run leaves in --out.
std::vector<std::string> OutputsOf(const Arguments& arguments) {
  std::vector<std::string> outputs = {"harmonized.tsv", "harmonized.json", "summary.json", "sites", "models", "coordinator"};
  if (!arguments.data.images.empty() || arguments.demo_images) outputs.emplace_back("images");
  if (arguments.demo) outputs.emplace_back("data");
  return outputs;
}

absl::Status Simulate(const Arguments& arguments) {
  const auto tell = [&](const std::string& line) {
    if (!arguments.quiet) std::cerr << "attune-simulate: " << line << std::endl;
  };
  DataSet data = arguments.data;
  data.allow_harmonized_input = arguments.force;
  std::string study_file = arguments.study_file;
  const SyntheticConsortium synthetic(arguments.seed);
  if (!arguments.demo) ATTUNE_RETURN_IF_ERROR(ReadStudyFile(study_file).status());
  std::vector<std::string> inputs;
  if (!arguments.demo) {
    inputs = InputsOf(data);
    inputs.push_back(study_file);
  }
  ResultsFolder results(arguments.out, OutputsOf(arguments));
  ATTUNE_RETURN_IF_ERROR(results.Begin(inputs, arguments.force));
  // Private data and keys do not stay, also when a step fails.
  const absl::Cleanup clean_up = [&] { results.CleanUp(arguments.keep); };
  if (arguments.demo) {
    const std::string folder = results.Staged("data");
    if (arguments.demo_images) {
      tell("making up images of 3 sites");
      ATTUNE_RETURN_IF_ERROR(WriteSyntheticImages(arguments.seed, folder));
      data = SyntheticImagesIn(folder);
    } else {
      tell("making up 4 sites with 6 scanners");
      ATTUNE_RETURN_IF_ERROR(synthetic.Write(folder));
      data = SyntheticConsortium::DataIn(folder);
    }
    study_file = SyntheticConsortium::StudyFileIn(folder);
  }
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyConfig config, ReadStudyFile(study_file));
  const bool pooled = arguments.release.empty() ? ReleaseOf(config) == Release::kPooled : arguments.release == "pooled";
  ConsortiumOptions options;
  options.programs = fs::read_symlink("/proc/self/exe").parent_path().string();
  options.folder = results.work();
  options.study_file = study_file;
  options.study = config.study();
  options.release = arguments.release;
  options.via = arguments.via == "folder" ? Via::kFolder : Via::kGrpc;
  options.plain_sums = pooled && arguments.plain_sums;
  if (arguments.policy == "permissive-test") options.policies = SitePolicies::kPermissiveTest;
  options.threads = arguments.threads;
  options.dtype = arguments.dtype;
  options.interrupted = [] { return g_interrupted.load(); };
  options.tell = tell;
  options.crash_at = arguments.crash_at;
  tell("splitting the data by site into private folders");
  ATTUNE_ASSIGN_OR_RETURN(options.sites, SplitBySite(data, options.folder + "/sites"));
  const std::vector<std::string> sites = options.sites;
  Consortium consortium(std::move(options));
  const absl::Status ran = consortium.Run();
  if (absl::IsPermissionDenied(ran) && arguments.policy == "default") {
    return absl::PermissionDeniedError(
        absl::StrCat(ran.message(), "\nA real site would refuse this too. To try it here, give --policy permissive-test"));
  }
  ATTUNE_RETURN_IF_ERROR(ran);
  ATTUNE_ASSIGN_OR_RETURN(const v1::StudyView view, Gather(results, data, consortium, config, sites));
  std::string table = FormatView(view);
  if (pooled) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string seen, consortium.Coordinator({"study", "seen", config.study()}));
    absl::StrAppend(&table, "\n", seen);
  }
  if (arguments.demo && !arguments.demo_images) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string effects, synthetic.Compare(results.Staged("harmonized.tsv")));
    absl::StrAppend(&table, "\n", effects);
  }
  ATTUNE_RETURN_IF_ERROR(results.Publish());
  std::cout << table;
  tell(absl::StrCat("results in ", arguments.out, ": ", data.images.empty() ? "" : "images/, ",
                    "harmonized.tsv, summary.json, sites/, models/, coordinator/"));
  return absl::OkStatus();
}

int Main(int argc, char** argv) {
  Arguments arguments;
  CLI::App app(
      "Runs a whole consortium on this machine: a real coordinator and one real site agent per site, with real certificates, "
      "from one data set.");
  app.set_version_flag("--version", kVersion);
  CLI::Option* const study = app.add_option("--study", arguments.study_file, "The study file (docs/study-file.md)");
  app.add_option("--participants", arguments.data.participants, "participants.tsv of everybody")->needs(study);
  app.add_option("--features", arguments.data.features, "The feature table, or several, joined by participant_id")
      ->needs(study);
  app.add_option("--images", arguments.data.images,
                 "Where the study's features are images: the folder from which the column 'image' of participants.tsv counts")
      ->needs(study);
  app.add_option("--dtype", arguments.dtype, "How harmonized images are stored: float32 (default) or float64")
      ->check(CLI::IsMember({"float32", "float64"}));
  CLI::Option* demo =
      app.add_flag("--demo", arguments.demo, "Make up the data: 4 sites, 6 scanners, known effects")->excludes(study);
  app.add_flag("--demo-images", arguments.demo_images, "Make up images: 3 sites, 48 people")->excludes(study)->excludes(demo);
  app.add_option("--out", arguments.out, "Folder for the results")->required();
  app.add_option("--site-column", arguments.data.site_column, "Column of participants.tsv that names the site")
      ->capture_default_str();
  app.add_option("--via", arguments.via, "How sites and coordinator speak")
      ->check(CLI::IsMember({"grpc", "folder"}))
      ->capture_default_str();
  app.add_option("--release", arguments.release, "Instead of the study file's")->check(CLI::IsMember({"per_batch", "pooled"}));
  app.add_option("--policy", arguments.policy,
                 "The policy of each site: what a real site has, or one that lets data run which a real site would refuse")
      ->check(CLI::IsMember({"default", "permissive-test"}))
      ->capture_default_str();
  app.add_flag("--plain-sums", arguments.plain_sums,
               "With release: pooled, do not mask the sums: shows that masking changes nothing (simulator only)");
  app.add_flag("--keep", arguments.keep, "Keep the work folder: private data, keys, logs");
  app.add_flag(
      "--force", arguments.force,
      "Replace what an earlier run wrote into --out, once this one has succeeded, and read tables that were harmonized "
      "before");
  app.add_flag("--quiet", arguments.quiet, "No progress");
  app.add_option("--threads", arguments.threads, "Threads of each site agent")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--seed", arguments.seed, "Of the made-up data")->excludes(study)->capture_default_str();
  std::vector<std::string> crashes;
  app.add_option(
      "--crash-at", crashes,
      "For tests of recovery: NAME=POINT kills a process there and starts it again (NAME: coordinator, operator for its other "
      "commands, or a site)");
  try {
    app.parse(argc, argv);
    arguments.demo = arguments.demo || arguments.demo_images;
    if (!arguments.demo && (arguments.study_file.empty() || arguments.data.participants.empty() ||
                            arguments.data.features.empty() == arguments.data.images.empty())) {
      throw CLI::RequiredError("--study, --participants and either --features or --images (or --demo)");
    }
    for (const std::string& crash : crashes) {
      const std::size_t equals = crash.find('=');
      if (equals == std::string::npos) throw CLI::ValidationError("--crash-at", "expected NAME=POINT");
      arguments.crash_at[crash.substr(0, equals)] = crash.substr(equals + 1);
    }
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitCode::kUsage);
  }
  // A closed terminal, too, must not leave private data and keys behind; what was started to outlive it (nohup) does.
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    if (std::signal(signal, [](int) { g_interrupted = true; }) == SIG_IGN) std::signal(signal, SIG_IGN);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGCHLD, SIG_DFL);  // ignored, as some parents hand it on, nobody could wait for a child
  absl::Status status;
  try {
    status = Simulate(arguments);
  } catch (const std::exception& error) {
    status = absl::InternalError(error.what());
  }
  if (!status.ok()) std::cerr << "attune-simulate: " << std::string(status.message()) << std::endl;
  return static_cast<int>(ExitCodeOf(status));
}

}  // namespace
}  // namespace attune

int main(int argc, char** argv) { return attune::Main(argc, argv); }
