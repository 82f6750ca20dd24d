// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include "common/base/status.h"
#include "site_agent/commands/command.h"
#include "site_agent/renewal.h"

namespace attune {

void AddRenew(CLI::App* app, const Globals* globals, Action* action) {
  const auto patience = std::make_shared<double>(-1);
  CLI::App* command =
      app->add_subcommand("renew", "Get a new certificate for this site's key; 'run' does so by itself in time");
  command->add_option("--patience", *patience, "seconds to go on trying when the coordinator cannot be reached");
  command->callback([=] {
    *action = [=]() -> absl::Status {
      const Home home(globals->dir);
      ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
      ATTUNE_ASSIGN_OR_RETURN(const GrpcCourierOptions options, DialOptions(home, identity, PatienceOf(*patience)));
      return RenewCertificate(home, identity.site(), options).status();
    };
  });
}

}  // namespace attune
