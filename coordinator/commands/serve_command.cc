// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>
#include <signal.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
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
#include "coordinator/json_log.h"
#include "coordinator/metrics.h"
#include "coordinator/metrics_server.h"
#include "coordinator/operator.h"
#include "coordinator/state_folder.h"

namespace attune {
namespace {

constexpr timespec kLookInterval = {.tv_sec = 3600, .tv_nsec = 0};
constexpr int kWarnBeforeDays = 30;
constexpr timespec kSweepInterval = {.tv_sec = 0, .tv_nsec = 250'000'000};

struct ServeOptions {
  std::string listen = "0.0.0.0:7443";
  std::string folder;
  bool no_grpc = false;
  std::string metrics;  // empty: none
  std::string log_format = "text";
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

void WarnOfExpiry(const std::string& server_certificate_pem) {
  const absl::StatusOr<int> days = DaysLeft(server_certificate_pem);
  if (!days.ok()) {
    spdlog::error("The server's certificate: {}", std::string(days.status().message()));
  } else if (*days < kWarnBeforeDays) {
    spdlog::warn("The server's certificate expires in {} days: give 'pki renew-server' and start 'serve' again.", *days);
  }
}

// `folders` may be null.
void WaitUntilSignalled(const sigset_t& signals, FolderService* folders, const std::string& server_certificate_pem) {
  absl::Time next_look = absl::InfinitePast();
  for (;;) {
    if (absl::Now() >= next_look) {
      WarnOfExpiry(server_certificate_pem);
      next_look = absl::Now() + absl::Hours(24);
    }
    if (folders != nullptr) {
      // What is wrong with one folder now may be repaired while the others go on.
      if (const absl::Status swept = folders->Sweep(); !swept.ok()) {
        spdlog::error("{}", swept.ToString(absl::StatusToStringMode::kWithNoExtraData));
      }
    }
    if (sigtimedwait(&signals, nullptr, folders != nullptr ? &kSweepInterval : &kLookInterval) > 0) return;
  }
}

absl::Status Serve(const std::string& dir, const ServeOptions& options) {
  if (options.no_grpc && options.folder.empty()) {
    return absl::InvalidArgumentError("--no-grpc leaves nothing to serve without --folder");
  }
  if (options.log_format == "json") LogAsJson();
  const sigset_t signals = BlockEndSignals();
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  Desk desk(state.consortium, state.journal.get(), state.blobs, FindMethod, {.authority_pem = state.authority.certificate_pem});
  Invitations invitations(state.consortium, state.authority, state.journal.get(), absl::Now);
  LocalOperator operator_desk(&desk, &invitations, state.blobs);
  Metrics metrics;
  ATTUNE_ASSIGN_OR_RETURN(const std::unique_ptr<DeskAudit> audit, DeskAudit::Open(dir));
  std::unique_ptr<GrpcServer> server;
  if (!options.no_grpc) {
    ATTUNE_ASSIGN_OR_RETURN(
        server, GrpcServer::Start({.listen = options.listen,
                                   .authority_pem = state.authority.certificate_pem,
                                   .certificate = state.server,
                                   .operator_desk = &operator_desk,
                                   .metrics = &metrics,
                                   .on_call = [&audit](absl::string_view site, absl::string_view call,
                                                       const absl::Status& outcome) { audit->Called(site, call, "", outcome); },
                                   .on_command =
                                       [&audit](absl::string_view command, const absl::Status& outcome) {
                                         const absl::Status written = audit->Commanded(command, outcome);
                                         if (!written.ok())
                                           spdlog::error("the audit log was not written: {}", std::string(written.message()));
                                       }},
                                  &desk, &invitations));
    const std::string endpoint = absl::StrCat(options.listen.substr(0, options.listen.rfind(':')), ":", server->port());
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(state.EndpointPath(), endpoint + "\n", FileAccess::kOwnerOnly));
    spdlog::info("Serving the consortium '{}' at {}.", state.consortium, endpoint);
  }
  std::unique_ptr<MetricsServer> metrics_server;
  if (!options.metrics.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(metrics_server,
                            MetricsServer::Start(options.metrics, &metrics, &desk, &invitations, state.server.certificate_pem));
    spdlog::info("Metrics at {}:{}.", options.metrics.substr(0, options.metrics.rfind(':')), metrics_server->port());
  }
  std::optional<FolderService> folders;
  if (!options.folder.empty()) {
    ATTUNE_RETURN_IF_ERROR(MakeFolder(options.folder, FileAccess::kShared));
    spdlog::info("Serving the folders of sites in '{}'.", options.folder);
    folders.emplace(
        &desk, &invitations,
        FolderServiceOptions{.root = options.folder,
                             .state_folder = state.FoldersPath(),
                             .consortium = state.consortium,
                             .authority_pem = state.authority.certificate_pem,
                             .server = state.server,
                             .on_file = [&audit](absl::string_view site, absl::string_view file, const absl::Status& outcome) {
                               audit->Called(site, absl::StrCat("file ", file), "", outcome);
                             }});
  }
  WaitUntilSignalled(signals, folders.has_value() ? &*folders : nullptr, state.server.certificate_pem);
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
  serve->add_option("--metrics", options->metrics,
                    "ADDRESS:PORT for /healthz and Prometheus' /metrics, without TLS: 127.0.0.1:9464; default: none");
  serve->add_option("--log-format", options->log_format, "Lines for people or one JSON object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  serve->callback([&line, options] { line.run = [&line, options] { return Serve(line.dir, *options); }; });
}

}  // namespace attune
