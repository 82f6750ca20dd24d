// SPDX-License-Identifier: Apache-2.0
//
// verify and export: what the record of a study says, to check it and to hand it on.
#include <google/protobuf/util/json_util.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "attune/v1/outputs.pb.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/status.h"
#include "common/methods/registry.h"
#include "common/wire/json.h"
#include "coordinator/commands/commands.h"
#include "coordinator/desk.h"
#include "coordinator/state_folder.h"
#include "coordinator/study_view.h"
#include "coordinator/verify.h"

namespace attune {
namespace {

absl::Status VerifyRecord(const std::string& dir, const std::string& study) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  const std::string folder = absl::StrCat(dir, "/verify-", ::getpid());
  absl::Status verified;
  if (const absl::StatusOr<BlobStore> scratch = BlobStore::Open(folder); scratch.ok()) {
    verified = VerifyStudy(state.consortium, study, *state.journal, state.blobs, FindMethod, *scratch,
                           [](absl::string_view step) { std::cout << "ok  " << step << "\n"; });
  } else {
    verified = scratch.status();
  }
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  return verified;
}

struct ExportOptions {
  std::string study;
  std::string out;
  bool force = false;
};

absl::StatusOr<std::string> JournalLines(const std::vector<JournalEntry>& entries) {
  google::protobuf::util::JsonPrintOptions print;
  print.preserve_proto_field_names = true;
  std::string lines;
  for (const JournalEntry& e : entries) {
    v1::JournalLine line;
    line.set_sequence(static_cast<std::uint32_t>(e.sequence));
    line.set_time(e.time);
    line.set_kind(e.kind);
    line.set_site(e.site);
    line.set_round(e.round);
    line.set_blob(e.blob);
    line.set_body(e.body);
    std::string json;
    if (!google::protobuf::util::MessageToJsonString(line, &json, print).ok()) {
      return absl::InternalError(absl::StrCat("journal entry ", e.sequence, " cannot be written as JSON"));
    }
    absl::StrAppend(&lines, json, "\n");
  }
  return lines;
}

absl::Status CopyBlob(const BlobStore& blobs, const std::string& sha256, const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string from, blobs.Verified(sha256));
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(path, FileAccess::kOwnerOnly));
  ATTUNE_ASSIGN_OR_RETURN(const std::shared_ptr<const MappedFile> source, MappedFile::Open(from));
  file.Write(source->bytes());
  return std::move(file).Commit();
}

absl::Status ExportRecord(const std::string& dir, const ExportOptions& options) {
  ATTUNE_ASSIGN_OR_RETURN(const StateFolder state, OpenStateFolder(dir));
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<JournalEntry> entries, state.journal->Read(options.study));
  ATTUNE_ASSIGN_OR_RETURN(const StudyStatus status, ReplayStudy(options.study, entries));
  ATTUNE_ASSIGN_OR_RETURN(const std::optional<v1::StudySummary> summary, SummaryOf(status, state.blobs));

  std::map<std::string, std::string> texts;  // path -> content
  std::map<std::string, std::string> files;  // path -> SHA-256
  const auto path = [&](absl::string_view name) { return absl::StrCat(options.out, "/", name); };
  ATTUNE_ASSIGN_OR_RETURN(texts[path("journal.jsonl")], JournalLines(entries));
  if (summary.has_value()) texts[path("summary.json")] = ToJson(*summary);
  if (status.started()) files[path("manifest.bin")] = status.manifest_sha256;
  if (status.correction.has_value()) {
    files[path("correction-common.bundle")] = status.correction->common_sha256;
    for (const auto& [site, sha256] : status.correction->by_site) {
      files[path(absl::StrCat("correction-site-", site, ".bundle"))] = sha256;
    }
    if (!status.correction->evidence_sha256.empty()) files[path("evidence.bundle")] = status.correction->evidence_sha256;
  }
  std::vector<std::string> outputs;
  for (const auto& [name, content] : texts) outputs.push_back(name);
  for (const auto& [name, sha256] : files) outputs.push_back(name);
  ATTUNE_RETURN_IF_ERROR(CheckOutputs(outputs, options.force));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(options.out, FileAccess::kOwnerOnly));
  for (const auto& [name, content] : texts) ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(name, content, FileAccess::kOwnerOnly));
  for (const auto& [name, sha256] : files) ATTUNE_RETURN_IF_ERROR(CopyBlob(state.blobs, sha256, name));
  spdlog::info("Wrote {} files to '{}'.", outputs.size(), options.out);
  return absl::OkStatus();
}

}  // namespace

void AddRecordCommands(CLI::App& app, CommandLine& line) {
  CLI::App* const verify = app.add_subcommand("verify", "Replay a study from its journal and compare every digest");
  const auto study = std::make_shared<std::string>();
  verify->add_option("name", *study, "The study")->required();
  verify->callback([&line, study] { line.run = [&line, study] { return VerifyRecord(line.dir, *study); }; });

  CLI::App* const record = app.add_subcommand("export", "Write a study's manifest, journal, correction, evidence and summary");
  const auto options = std::make_shared<ExportOptions>();
  record->add_option("name", options->study, "The study")->required();
  record->add_option("--out", options->out, "The folder to write to")->required();
  record->add_flag("--force", options->force, "Write over existing files");
  record->callback([&line, options] { line.run = [&line, options] { return ExportRecord(line.dir, *options); }; });
}

}  // namespace attune
