// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/security/certificates.h"
#include "common/transport/tcp.h"
#include "site_agent/commands/command.h"

namespace attune {
namespace {

constexpr char kServerCa[] = "server-ca.pem";
constexpr std::uint64_t kMaxCaBytes = 64 << 10;

struct NetworkCommandArguments {
  NetworkArguments network;
  bool no_proxy = false;
  bool no_server_ca = false;
};

absl::Status RemoveServerCa(const Home& home) {
  std::error_code error;
  std::filesystem::remove(home.IdentityFile(kServerCa), error);
  if (!error) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("cannot remove '", home.IdentityFile(kServerCa), "': ", error.message()));
}

absl::Status Network(const Globals& globals, const NetworkCommandArguments& arguments) {
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(v1::AgentIdentity identity, home.ReadIdentity());
  if (!identity.folder().empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat("this site exchanges the folder '", identity.folder(), "' and uses no network"));
  }
  const std::string before = identity.SerializeAsString();
  if (arguments.no_proxy) {
    identity.clear_proxy();
    identity.clear_proxy_credentials_file();
  }
  ATTUNE_RETURN_IF_ERROR(SetProxy(arguments.network, &identity));
  if (!arguments.network.server_ca.empty()) {
    ATTUNE_ASSIGN_OR_RETURN(const std::string pem, ReadServerCa(arguments.network));
    ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(home.IdentityFile(kServerCa), pem, FileAccess::kOwnerOnly));
  }
  if (arguments.no_server_ca) ATTUNE_RETURN_IF_ERROR(RemoveServerCa(home));
  if (identity.SerializeAsString() != before) ATTUNE_RETURN_IF_ERROR(home.WriteIdentity(identity));

  std::cout << "coordinator        " << identity.coordinator() << "\nproxy              "
            << (identity.proxy().empty() ? "none" : identity.proxy()) << "\nproxy credentials  "
            << (identity.proxy_credentials_file().empty() ? "none" : identity.proxy_credentials_file())
            << "\nserver authority   " << (FileExists(home.IdentityFile(kServerCa)) ? kServerCa : "the consortium's") << "\n";
  return absl::OkStatus();
}

}  // namespace

void AddNetworkOptions(CLI::App* command, NetworkArguments* arguments) {
  command->add_option("--proxy", arguments->proxy,
                      "HTTP CONNECT proxy, host:port, through which to dial; never taken from the environment");
  command->add_option("--proxy-credentials", arguments->proxy_credentials,
                      "file (mode 0600) with the one line user:password for the proxy");
  command->add_option("--server-ca", arguments->server_ca,
                      "authority (PEM) of the coordinator's certificate, where that is not from the consortium's");
}

absl::Status SetProxy(const NetworkArguments& arguments, v1::AgentIdentity* identity) {
  if (!arguments.proxy.empty()) {
    ATTUNE_RETURN_IF_ERROR(WithContext(ParseHostPort(arguments.proxy).status(), "--proxy"));
    // Credentials are told to nobody but the proxy that they were given for.
    if (arguments.proxy != identity->proxy()) identity->clear_proxy_credentials_file();
    identity->set_proxy(arguments.proxy);
  }
  if (arguments.proxy_credentials.empty()) return absl::OkStatus();
  if (identity->proxy().empty()) return absl::InvalidArgumentError("--proxy-credentials needs a proxy: give --proxy too");
  const std::string path = std::filesystem::absolute(arguments.proxy_credentials).lexically_normal().string();
  ATTUNE_RETURN_IF_ERROR(ReadProxyCredentials(path).status());
  identity->set_proxy_credentials_file(path);
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadServerCa(const NetworkArguments& arguments) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string pem, ReadFile(arguments.server_ca, kMaxCaBytes));
  ATTUNE_RETURN_IF_ERROR(WithContext(DaysLeft(pem).status(), absl::StrCat("'", arguments.server_ca, "'")));
  return pem;
}

void AddNetwork(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<NetworkCommandArguments>();
  CLI::App* command = app->add_subcommand("network", "Show, or change, how this site reaches its coordinator");
  AddNetworkOptions(command, &arguments->network);
  command->add_flag("--no-proxy", arguments->no_proxy, "dial directly")->excludes(command->get_option("--proxy"));
  command->add_flag("--no-server-ca", arguments->no_server_ca, "trust only the consortium's authority again")
      ->excludes(command->get_option("--server-ca"));
  command->callback([=] { *action = [=] { return Network(*globals, *arguments); }; });
}

}  // namespace attune
