// SPDX-License-Identifier: Apache-2.0
#include "site_agent/ledger.h"

#include <iostream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "site_agent/commands/command.h"

namespace attune {
namespace {

absl::Status List(const Globals& globals) {
  ATTUNE_ASSIGN_OR_RETURN(const Ledger ledger, Ledger::Open(Home(globals.dir).LedgerFolder()));
  std::cout << "time\tstudy\tmanifest\tpeople\tbatches\toverride\n";
  return ledger.ForEach([](const v1::ReleaseRecord& record) {
    std::vector<std::string> batches;
    for (const v1::ReleasedSet& set : record.sets()) batches.push_back(set.batch());
    std::cout << record.time() << "\t" << record.study() << "\t" << record.manifest_sha256() << "\t" << PeopleOf(record) << "\t"
              << JoinSome(batches) << "\t" << (record.override_reason().empty() ? "n/a" : record.override_reason()) << "\n";
    return absl::OkStatus();
  });
}

}  // namespace

void AddLedger(CLI::App* app, const Globals* globals, Action* action) {
  CLI::App* command = app->add_subcommand("ledger", "List what this site has released: study, hash, time, number of people");
  command->callback([=] { *action = [=] { return List(*globals); }; });
}

}  // namespace attune
