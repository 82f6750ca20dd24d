// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "coordinator/commands/commands.h"
#include "coordinator/desk.h"
#include "coordinator/desk_audit.h"
#include "coordinator/folder_service.h"
#include "coordinator/grpc_service.h"
#include "coordinator/invitations.h"
#include "coordinator/state_folder.h"

namespace attune {
namespace {

constexpr timespec kSweepInterval = {.tv_sec = 0, .tv_nsec = 250'000'000};

struct ServeOptions {
  std::string listen = "0.0.0.0:7443";
  std::string folder;
  bool no_grpc = false;
};

// SIGTERM and SIGINT are taken by this thread alone: they are blocked before any other thread starts.
sigset_t BlockEndSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  return signals;
}

void SweepUntilSignalled(const sigset_t& signals, FolderService& folders) {
  for (;;) {
    // What is wrong with one folder now may be repaired while the others go on.
    if (const absl::Status swept = folders.Sweep(); !swept.ok())
      spdlog::error("{}", swept.ToString(absl::StatusToStringMode::kWithNoExtraData));
    if (sigtimedwait(&signals, nullptr, &kSweepInterval) > 0) return;
  }
}

absl::Status Serve(const std::string& dir, const ServeOptions& options) {
  if (options.no_grpc && options.folder.empty()) {
    return absl::InvalidArgumentError("--no-grpc leaves nothing to serve without --folder");
  }
  const sigset_t signals = BlockEndSignals();
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  Desk desk(state.consortium, state.journal.get(), state.blobs, FindMethod,
{.authority_pem = state.authority.certificate_pem});
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<DeskAudit> audit, DeskAudit::Open(dir));
  std::unique_ptr<GrpcServer> server;
  if (!options.no_grpc) {
    ATTUNE_ASSIGN_OR_RETURN(
        server,
        GrpcServer::Start({.listen = options.listen,
                           .consortium = state.consortium,
                           .authority_pem = state.authority.certificate_pem,
                           .certificate = state.server,
                           .on_call = [&audit](absl::string_view site, absl::string_view call,
                                               const absl::Status& outcome) { audit->Called(site, call, "", outcome); }},
                          &desk, &invitations));
    const std::string endpoint = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", server->port());
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(state.EndpointPath(), endpoint + "\n", FileAccess::kOwnerOnly));
    spdlog::info("Serving the consortium '{}' at {}.", state.consortium, endpoint);
  }
  if (options.folder.empty()) {
    int signal = 0;
    while (sigwait(&signals, &signal) != 0) {
    }
  } else {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(options.folder, FileAccess::kShared));
    spdlog::info("Serving the folders of sites in '{}'.", options.folder);
    FolderService folders(&desk, &invitations,
                          {.root = options.folder,
                           .state_folder = state.FoldersPath(),
                           .consortium = state.consortium,
                           .authority_pem = state.authority.certificate_pem,
                           .server = state.server,
                           .on_file = [&audit](absl::string_view site, absl::string_view file, const absl::Status& outcome) {
                             audit->Called(site, absl::StrCat("file ", file), "", outcome);
                           }});
    SweepUntilSignalled(signals, folders);
  }
  spdlog::info("Stopping.");
  if (server != nullptr) {
    server->Shutdown();
    std::error_code ignored;
    std::filesystem::remove(state.EndpointPath(), ignored);
  }
  return absl::OkStatus();
}

}  // namespace

void AddServeCommand(CLI::App& app, CommandLine& line) {
  CLI::App* const serve = app.add_subcommand("serve", "Serve the sites until SIGTERM or SIGINT");
  const auto options = std::make_shared<ServeOptions>();
  serve
      ->add_option("--listen", options->listen,
                   "ADDRESS:PORT to listen on; port 0: any. What is bound is written to DIR/endpoint")
      ->capture_default_str();
  serve->add_option("--folder", options->folder, "Also serve the sites whose folders are in this folder");
  serve->add_flag("--no-grpc", options->no_grpc, "Folders only; do not listen");
  serve->callback([&line, options] { line.run = [&line, options] { return Serve(line.dir, *options); }; });
}

}  // namespace attune
