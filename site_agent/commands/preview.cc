// SPDX-License-Identifier: Apache-2.0
#include <spdlog/spdlog.h>

#include <iostream>
#include <map>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/kernel/fold.h"
#include "common/wire/bundle.h"
#include "site_agent/answer.h"
#include "site_agent/audit.h"
#include "site_agent/commands/command.h"
#include "site_agent/describe.h"
#include "site_agent/gate.h"

namespace attune {
namespace {

struct PreviewArguments {
  std::string study;
  std::string out;
  double patience = -1;
};

std::string NameOf(BlockKind kind) {
  switch (kind) {
    case BlockKind::kSum:
      return "sums over people";
    case BlockKind::kCount:
      return "counts";
    case BlockKind::kHistogram:
      return "histograms";
  }
  return "unknown";
}

std::string DescribeForm(const Form& form) {
  std::string text = absl::StrFormat("%-20s  %-16s  %8s  %8s  %10s\n", "block", "kind", "rows", "columns", "numbers");
  for (const BlockSpec& block : form) {
    absl::StrAppendFormat(&text, "%-20s  %-16s  %8d  %8d  %10d\n", block.name, NameOf(block.kind), block.rows, block.cols,
                          block.rows * block.cols);
  }
  return text;
}

// Every number that would leave, one a line.
absl::Status WriteValues(const std::string& path, const std::map<std::string, Summary>& parts, const FeatureNames& features) {
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, FileAccess::kOwnerOnly));
  file.Write("batch\tblock\trow\tfeature\tvalue\n");
  for (const auto& [part, summary] : parts) {
    for (const BlockSpec& block : summary.form()) {
      const auto values = summary[block.name];
      const bool per_feature = static_cast<std::size_t>(block.cols) == features.size();
      for (Eigen::Index j = 0; j < block.cols; ++j) {
        const std::string column = per_feature ? features[static_cast<std::size_t>(j)] : absl::StrCat(j + 1);
        for (Eigen::Index i = 0; i < block.rows; ++i) {
          file.Write(absl::StrCat(part, "\t", block.name, "\t", i + 1, "\t", column, "\t", FormatDouble(values(i, j)), "\n"));
        }
      }
    }
  }
  return std::move(file).Commit();
}

absl::Status Preview(const Globals& globals, const PreviewArguments& arguments) {
  if (!arguments.out.empty() && FileExists(arguments.out) && !globals.force) {
    return absl::AlreadyExistsError(absl::StrCat("'", arguments.out, "' exists; give another name, or --force to replace it"));
  }
  const Home home(globals.dir);
  ATTUNE_ASSIGN_OR_RETURN(const v1::AgentIdentity identity, home.ReadIdentity());
  ATTUNE_ASSIGN_OR_RETURN(const StudyFolder folder, home.Study(arguments.study));
  ATTUNE_ASSIGN_OR_RETURN(const auto courier, Connect(home, identity, PatienceOf(arguments.patience)));
  ATTUNE_ASSIGN_OR_RETURN(const v1::GetStudyReply reply, AskForStudy(folder, arguments.study, courier.get()));
  ATTUNE_ASSIGN_OR_RETURN(HeldManifest held, ManifestOf(reply, identity, arguments.study));
  ATTUNE_ASSIGN_OR_RETURN(const SiteStudy study, MakeSiteStudy(home, identity.site(), std::move(held)));
  ATTUNE_ASSIGN_OR_RETURN(const SiteTables tables, OpenHomeTables(globals, identity.site(),
                                                                  HeldStudyInput(folder, study.held.manifest.config(),
                                                                                 study.held.manifest.attachments()),
                                                                  study.facts.features));
  LogNotes(*tables.data);
  ATTUNE_ASSIGN_OR_RETURN(const Question question, study.method->Begin(study.facts));
  const bool pooled = study.facts.release == Release::kPooled;
  std::cout
      << DescribeManifest(study.held, identity.site()) << "\n"
      << DescribeBatches(tables.data->batches()) << "\nRound 1 sends, "
      << (pooled ? "once, added up over the batches of this site and masked, so that only the sum over all sites can be read:\n"
                 : "for each batch, to be read by the coordinator:\n")
      << DescribeForm(question.form);
  ATTUNE_ASSIGN_OR_RETURN(std::vector<RuleResult> rules, JudgeRules(study, tables, question));
  if (pooled) {
    rules.push_back({"pooled sums are masked", CheckRelease(study.held.manifest, /*plain_sums=*/false)});
  }
  absl::Status refused;
  std::cout << "\nThis site's rules:\n";
  for (const RuleResult& rule : rules) {
    std::cout << (rule.result.ok() ? "  passed   " : "  REFUSED  ") << rule.rule << "\n";
    if (!rule.result.ok()) std::cout << "           " << rule.result.message() << "\n";
    refused.Update(rule.result);
  }
  const absl::Status approved = CheckApproved(study.name(), study.held.sha256, study.approval);
  std::cout << "\n"
            << (!refused.ok()   ? "Refused: nothing would be sent."
                : approved.ok() ? "Approved: 'run' sends this."
                                : "Not approved yet: nothing is sent before 'attune-site approve'.")
            << "\n";
  ATTUNE_ASSIGN_OR_RETURN(SiteAudit audit, SiteAudit::Open(home));
  ATTUNE_RETURN_IF_ERROR(audit.Previewed(study.name(), study.held.sha256));
  // What would be refused is not written out either.
  ATTUNE_RETURN_IF_ERROR(refused);
  if (arguments.out.empty()) return absl::OkStatus();

  ATTUNE_ASSIGN_OR_RETURN(
      auto parts, AnswerQuestion(*study.method, study.facts, question, study.batches, *tables.data, {}, globals.Threads()));
  if (pooled) {
    ATTUNE_ASSIGN_OR_RETURN(parts[kSumPart], SumOf(question.form, parts));
  }
  ATTUNE_RETURN_IF_ERROR(WriteValues(arguments.out, parts, study.facts.features));
  if (pooled) {
    spdlog::info("this site's numbers are in {}, by batch and added up ('{}'); only the latter leave, and masked",
                 arguments.out, kSumPart);
  } else {
    spdlog::info("every number that would leave is in {}", arguments.out);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPreview(CLI::App* app, const Globals* globals, Action* action) {
  auto arguments = std::make_shared<PreviewArguments>();
  CLI::App* command = app->add_subcommand("preview", "Show exactly what round 1 of a study would send; sends none of it");
  command->add_option("study", arguments->study, "the study's name")->required();
  command->add_option("--out", arguments->out,
                      "a .tsv file for every number that would leave; under pooled, as it is before it is masked");
  command->add_option("--patience", arguments->patience, "seconds to go on trying when the coordinator cannot be reached");
  command->callback([=] { *action = [=] { return Preview(*globals, *arguments); }; });
}

}  // namespace attune
