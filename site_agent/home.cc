// SPDX-License-Identifier: Apache-2.0
#include "site_agent/home.h"

#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/yaml.h"

namespace attune {
namespace {

template <typename Message>
absl::StatusOr<Message> ReadJson(const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  Message message;
  if (const absl::Status parsed = FromJson(text, path, &message); !parsed.ok()) return absl::DataLossError(parsed.message());
  return message;
}

absl::Status WriteJson(const std::string& path, const google::protobuf::Message& message) {
  return WriteFileAtomically(path, ToJson(message), FileAccess::kOwnerOnly);
}

}  // namespace

std::string StudyFolder::File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }
std::string StudyFolder::QuestionPath(std::uint32_t round) const { return File(absl::StrCat("question-", round, ".bundle")); }
std::string StudyFolder::OwnPath(std::uint32_t round) const { return File(absl::StrCat("own-", round, ".bundle")); }
std::string StudyFolder::AnswerPath(std::uint32_t round) const { return File(absl::StrCat("answer-", round, ".bundle")); }

absl::StatusOr<v1::GetStudyReply> StudyFolder::ReadStudy() const {
  ATTUNE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(File("study.pb")));
  v1::GetStudyReply reply;
  if (!reply.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat("'", File("study.pb"), "' is damaged: remove it and ask the coordinator again"));
  }
  return reply;
}

absl::Status StudyFolder::WriteStudy(const v1::GetStudyReply& reply) const {
  return WriteFileAtomically(File("study.pb"), reply.SerializeAsString(), FileAccess::kOwnerOnly);
}

absl::StatusOr<HeldManifest> StudyFolder::ReadManifest() const {
  ATTUNE_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(File("manifest.bin")));
  HeldManifest held;
  ATTUNE_ASSIGN_OR_RETURN(held.manifest, ParseManifest(bytes));
  held.sha256 = Sha256Hex(bytes);
  return held;
}

absl::StatusOr<v1::Approval> StudyFolder::ReadApproval() const { return ReadJson<v1::Approval>(File("approval.json")); }

absl::Status StudyFolder::Approve(absl::string_view manifest_bytes, const v1::Approval& approval) const {
  const absl::StatusOr<std::string> held = ReadFile(File("manifest.bin"));
  if (held.ok() && *held != manifest_bytes) {
    // The approval goes first: a crash in between must not leave it beside files of another manifest.
    ATTUNE_RETURN_IF_ERROR(ClearAggregation());
    std::vector<std::filesystem::path> stale{File("approval.json"), File("inputs.json"), File("output.json"),
                                             File("aggregation.json")};
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".bundle" || extension == ".part") stale.push_back(entry.path());
    }
    for (const std::filesystem::path& path : stale) {
      if (!error) std::filesystem::remove(path, error);
    }
    if (error) return absl::InternalError(absl::StrCat("cannot empty '", path_, "': ", error.message()));
  }
  ATTUNE_RETURN_IF_ERROR(WriteFileAtomically(File("manifest.bin"), manifest_bytes, FileAccess::kOwnerOnly));
  CrashPoint("site.manifest_kept");
  return WriteJson(File("approval.json"), approval);
}

absl::StatusOr<v1::AggregationState> StudyFolder::ReadAggregation() const {
  return ReadJson<v1::AggregationState>(File("aggregation.json"));
}

absl::Status StudyFolder::WriteAggregation(const v1::AggregationState& state) const {
  return WriteJson(File("aggregation.json"), state);
}

absl::Status StudyFolder::ClearAggregation() const {
  ATTUNE_RETURN_IF_ERROR(EraseFile(File(kAggregationSecretsFile)));
  std::error_code error;
  std::vector<std::filesystem::path> stale;
  for (const auto& entry : std::filesystem::directory_iterator(path_, error)) {
    if (absl::StartsWith(entry.path().filename().string(), "aggregation-")) stale.push_back(entry.path());
  }
  for (const std::filesystem::path& path : stale) {
    if (!error) std::filesystem::remove(path, error);
  }
  if (error) return absl::InternalError(absl::StrCat("cannot empty '", path_, "': ", error.message()));
  return absl::OkStatus();
}

absl::StatusOr<v1::AnsweredInputs> StudyFolder::ReadInputs() const { return ReadJson<v1::AnsweredInputs>(File("inputs.json")); }
absl::Status StudyFolder::WriteInputs(const v1::AnsweredInputs& inputs) const { return WriteJson(File("inputs.json"), inputs); }

absl::StatusOr<v1::OutputClaim> StudyFolder::ReadOutputClaim() const { return ReadJson<v1::OutputClaim>(File("output.json")); }
absl::Status StudyFolder::WriteOutputClaim(const v1::OutputClaim& claim) const { return WriteJson(File("output.json"), claim); }

std::uint32_t StudyFolder::LastAnsweredRound() const {
  std::uint32_t round = 0;
  while (FileExists(AnswerPath(round + 1))) ++round;
  return round;
}

std::string Home::IdentityFile(absl::string_view name) const { return absl::StrCat(path_, "/identity/", name); }

absl::StatusOr<v1::AgentIdentity> Home::ReadIdentity() const {
  if (!FileExists(IdentityFile("identity.json"))) {
    return absl::FailedPreconditionError(
        absl::StrCat("this site has not enrolled: '", IdentityFile("identity.json"),
                     "' is missing. Give 'attune-site enroll --invitation FILE --fingerprint HEX', or --dir where it has"));
  }
  return ReadJson<v1::AgentIdentity>(IdentityFile("identity.json"));
}

absl::Status Home::WriteIdentity(const v1::AgentIdentity& identity) const {
  return WriteJson(IdentityFile("identity.json"), identity);
}

absl::Status Home::MakeIdentityFolder() const { return MakeFolder(absl::StrCat(path_, "/identity"), FileAccess::kOwnerOnly); }

absl::StatusOr<v1::SiteConfig> Home::ReadSiteConfig() const {
  const std::string path = absl::StrCat(path_, "/site.yaml");
  if (!FileExists(path)) {
    return absl::NotFoundError(absl::StrCat("'", path,
                                            "' is missing: write it with the lines 'participants: <table>' and "
                                            "'features: <table>' (docs/study-file.md)"));
  }
  v1::SiteConfig config;
  ATTUNE_RETURN_IF_ERROR(ReadYamlFile(path, &config));
  return config;
}

absl::StatusOr<StudyFolder> Home::Study(const std::string& study) const {
  if (!IsPlainName(study)) {
    return absl::InvalidArgumentError(
        absl::StrCat("'", study, "' cannot be a study's name: expected letters, digits, '.', '_', '-'"));
  }
  const std::string path = absl::StrCat(path_, "/studies/", study);
  ATTUNE_RETURN_IF_ERROR(MakeFolder(path, FileAccess::kOwnerOnly));
  return StudyFolder(path);
}

}  // namespace attune
