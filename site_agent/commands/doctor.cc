// SPDX-License-Identifier: Apache-2.0
#include "site_agent/doctor.h"

#include <iostream>
#include <memory>

#include "common/wire/json.h"
#include "site_agent/commands/command.h"

namespace attune {

void AddDoctor(CLI::App* app, const Globals* globals, Action* action) {
  auto json = std::make_shared<bool>(false);
  CLI::App* command = app->add_subcommand(
      "doctor",
      "Check identity, network, clock, disk, policy and data, and say what is wrong and what to do (docs/network.md)");
  command->add_flag("--json", *json, "print the checks as JSON");
  command->callback([=] {
    *action = [=] {
      const v1::DoctorReport report = Examine(Home(globals->dir));
      if (*json) {
        std::cout << ToJson(report);
      } else {
        for (const v1::DoctorCheck& check : report.checks()) std::cout << LineOf(check) << "\n";
      }
      std::cout.flush();
      return VerdictOf(report);
    };
  });
}

}  // namespace attune
