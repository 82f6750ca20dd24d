// SPDX-License-Identifier: Apache-2.0
//
// Writes the first seeds of every target, made up, into a corpus folder. They are kept in the project (tests/fuzz/corpus): run
// this again only when a format changes. Usage: fuzz_make_seeds tests/fuzz/corpus
#include <zlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "attune/v1/outputs.pb.h"
#include "common/security/certificates.h"
#include "common/wire/bundle.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "tests/fuzz/desk_study.h"
#include "tests/support/temp_folder.h"

namespace attune::fuzz {
namespace {

class Corpus {
 public:
  explicit Corpus(std::string folder) : folder_(std::move(folder)) {}
  void Add(const std::string& target, const std::string& name, const std::string& bytes) const {
    std::filesystem::create_directories(folder_ + "/" + target);
    std::ofstream(folder_ + "/" + target + "/" + name, std::ios::binary) << bytes;
  }

 private:
  const std::string folder_;
};

// As Input::Bytes reads them.
std::string Sized(const std::string& bytes) {
  return std::string{static_cast<char>(bytes.size() & 0xff), static_cast<char>(bytes.size() >> 8)} + bytes;
}
std::string Call(int call, int who, const std::string& message = "") {
  return std::string{static_cast<char>(call), static_cast<char>(who)} + Sized(message);
}

std::string Gzip(const std::string& text) {
  std::string bytes(compressBound(text.size()) + 64, '\0');
  z_stream stream = {};
  deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  deflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  deflateEnd(&stream);
  return bytes;
}

constexpr char kStudyYaml[] = R"(# a study
study: demo
features: {table: {columns: ["*_thickness", "total:?"]}}
batch: [scanner, 'coil']
covariates:
  - {name: age, type: continuous, unit: years}
  - name: sex
    type: categorical
    levels: [F, M]
method:
  combat:
    prior: parametric
    reference_batch: north/A
    fit_on: {group: HC}
release: per_batch
min_batch_size: 10
)";
constexpr char kSiteYaml[] = R"(participants: p.tsv
features: &f [lh.csv, rh.csv]
id_column: "id"
columns:
  - {name: age, column: age_months, multiply_by: 0.08333}
  - {name: sex, codes: {"1": M, "2": F}}
)";
constexpr char kParticipants[] =
    "participant_id\tscanner\tage\tsex\tgroup\nsub-2\tA\t20\tM\tHC\nsub-1\tA\t10.5\tF\tHC\nsub-3\tB\t30\tF\tn/a\n";
constexpr char kFeatures[] = "participant_id\tx\ty\nsub-1\t1.10\t2\nsub-2\t3\t4e-2\nsub-3\t5\t-6\n";

void AddTexts(const Corpus& corpus) {
  corpus.Add("yaml", "study", kStudyYaml);
  corpus.Add("yaml", "site", kSiteYaml);
  const std::string csv = "\"participant id\",\"a \"\"b\"\"\",c\r\n1, 2 ,\"3,4\"\r\n5,,n/a\r\n\r\n";
  corpus.Add("delimited", "tsv", std::string(1, '\0') + kFeatures);
  corpus.Add("delimited", "csv", "\1\xEF\xBB\xBF" + csv);
  corpus.Add("delimited", "blanks", "\2id  a   b\n1  2.5 3\n");
  corpus.Add("delimited", "gzip", "\3" + Gzip(kFeatures));
  corpus.Add("delimited", "gzip_members", "\3" + Gzip("id\ta\n") + Gzip("1\t2\n"));
  for (int options = 0; options < 8; ++options) {
    const bool missing = (options & 1) != 0;
    corpus.Add("site_tables", "options" + std::to_string(options),
               std::string(1, static_cast<char>(options)) + Sized(kParticipants) +
                   Sized(missing ? "participant_id\tx\ty\nsub-1\tn/a\t2\nsub-2\t3\t\nsub-3\t5\t6\n" : kFeatures));
  }
}

// An image of 2 x 2 x 2 voxels without a byte too many.
std::string Nifti(int version, std::int16_t type, std::int16_t bits, double slope) {
  std::string bytes(version == 1 ? 352 : 544, '\0');
  const auto put = [&](std::size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof(value)); };
  if (version == 1) {
    put(0, std::int32_t{348});
    for (std::size_t i = 0; i < 8; ++i) put(40 + 2 * i, static_cast<std::int16_t>(i == 0 ? 3 : i <= 3 ? 2 : 1));
    put(70, type);
    put(72, bits);
    for (std::size_t i = 0; i < 4; ++i) put(76 + 4 * i, i == 0 ? 1.0F : 1.5F);
    put(108, 352.0F);
    put(112, static_cast<float>(slope));
    put(116, -1.0F);
    put(252, std::int16_t{1});
    put(254, std::int16_t{2});
    for (std::size_t i = 0; i < 3; ++i) put(280 + 20 * i, 1.5F);
    std::memcpy(bytes.data() + 344, "n+1", 4);
  } else {
    put(0, std::int32_t{540});
    std::memcpy(bytes.data() + 4, "n+2\0\r\n\032\n", 8);
    put(12, type);
    put(14, bits);
    for (std::size_t i = 0; i < 8; ++i) put(16 + 8 * i, std::int64_t{i == 0 ? 3 : i <= 3 ? 2 : 1});
    for (std::size_t i = 0; i < 4; ++i) put(104 + 8 * i, i == 0 ? 1.0 : 1.5);
    put(168, std::int64_t{544});
    put(176, slope);
    put(184, -1.0);
    put(348, std::int32_t{2});
    for (std::size_t i = 0; i < 3; ++i) put(400 + 40 * i, 1.5);
  }
  for (std::size_t i = 0; i < 8 * static_cast<std::size_t>(bits) / 8; ++i) bytes.push_back(static_cast<char>(i * 37));
  return bytes;
}

void AddImages(const Corpus& corpus) {
  for (const int version : {1, 2}) {
    const std::string name = "nifti" + std::to_string(version);
    corpus.Add("nifti", name + "_uint8", std::string(1, '\0') + Nifti(version, 2, 8, 0.25));
    corpus.Add("nifti", name + "_float32_zipped", "\1" + Nifti(version, 16, 32, 1));
    corpus.Add("nifti", name + "_float64_as_float32", std::string(1, '\0') + Nifti(version, 64, 64, 0));
    corpus.Add("nifti", name + "_int64_as_float64", "\3" + Nifti(version, 1024, 64, 2));
    const std::string whole = Nifti(version, 4, 16, 2);
    corpus.Add("nifti", name + "_gzip_members", "\2" + Gzip(whole.substr(0, 200)) + Gzip(whole.substr(200)));
  }
}

void AddCertificates(const Corpus& corpus) {
  const KeyAndCertificate authority = *MakeAuthority("net");
  const std::string request = MakeKeyAndRequest("north")->request_pem;
  corpus.Add("certificate_request", "request", request);
  corpus.Add("certificate_request", "uri", SiteUri("net", "north"));
  v1::EnrollRequest enroll;
  enroll.set_site("north");
  enroll.set_token(*MakeToken());
  enroll.set_certificate_request_pem(request);
  corpus.Add("enroll", "wrong_token", enroll.SerializeAsString());
  v1::Invitation invitation;
  invitation.set_consortium("net");
  invitation.set_site("north");
  invitation.set_coordinator("localhost:1234");
  invitation.set_token(*MakeToken());
  invitation.set_expires("2026-01-31T12:00:00Z");
  invitation.set_ca_pem(authority.certificate_pem);
  corpus.Add("invitation", "invitation", ToJson(invitation));
}

void AddAggregation(const Corpus& corpus) {
  for (int what = 0; what < 10; ++what) {
    const std::string begin{static_cast<char>(what), '\0'};
    corpus.Add("aggregation", "honest" + std::to_string(what), begin);
    corpus.Add("aggregation", "changed" + std::to_string(what), begin + std::string("\x05\0\xff\x50\0\x01", 6));
  }
}

void AddBundles(const Corpus& corpus, const DeskStudy& study) {
  const BundleBinding binding = {study.manifest_sha256, 1, Sha256Hex("q")};
  const auto add = [&](v1::BundleKind kind, const char* name) {
    corpus.Add("bundle", name, std::string(1, static_cast<char>(kind - 1)) + study.folder.Read("b"));
  };
  Blocks blocks = Blocks::Zero({{.name = "n", .kind = BlockKind::kCount, .rows = 1, .cols = 1},
                                {.name = "flags", .kind = BlockKind::kCount, .rows = 1, .cols = 9},
                                {.name = "sum", .rows = 2, .cols = 3, .resolution_log2 = -30}});
  blocks.Mutable("flags")(0, 8) = 1;
  blocks.Mutable("sum").setConstant(1.5);
  const Question question = {.round = 1, .form = blocks.form(), .body = blocks};
  const std::string path = study.folder / "b";
  WriteQuestion(path, binding, question).IgnoreError();
  add(v1::BUNDLE_KIND_QUESTION, "question");
  WriteAnswer(path, binding, {{"north/a", blocks}, {"north/b", blocks}}).IgnoreError();
  add(v1::BUNDLE_KIND_ANSWER, "answer");
  const Correction correction = {
      .common = blocks, .by_batch = {{"north/a", blocks}}, .evidence = blocks, .notes = {"a note"}, .batch_notes = {"another"}};
  WriteCorrectionCommon(path, binding, correction).IgnoreError();
  add(v1::BUNDLE_KIND_CORRECTION_COMMON, "common");
  WriteCorrectionSite(path, binding, correction, "north").IgnoreError();
  add(v1::BUNDLE_KIND_CORRECTION_SITE, "site");
  WriteEvidence(path, binding, correction).IgnoreError();
  add(v1::BUNDLE_KIND_EVIDENCE, "evidence");
}

void AddStudy(const Corpus& corpus, DeskStudy& study) {
  const v1::GetStudyReply reply = *study.desk->GetStudy("north", kStudy);
  const v1::Manifest manifest = *ParseManifest(reply.manifest());
  corpus.Add("manifest", "manifest", reply.manifest());
  const Blocks shift = Blocks::Zero({{.name = "shift", .rows = 1, .cols = 2}});
  corpus.Add("model_file", "model",
             ToJson(MakeModelFile(manifest, study.manifest_sha256, {{"north/s1", {"north/s1", shift, {"n"}}}}, {"a note"})));

  v1::NextRequest request;
  request.set_study(kStudy);
  request.set_manifest_sha256(study.manifest_sha256);
  const v1::NextReply next = *study.desk->Next("north", request);
  const std::string question = *ReadFile(study.blobs->PathOf(next.bundles(0).sha256()));
  v1::FolderError error;
  error.set_code(9);
  error.set_message("no");
  error.set_answers_to(Sha256Hex("x"));
  corpus.Add("folder_courier", "question",
             Sized(reply.SerializeAsString()) + Sized(next.SerializeAsString()) + Sized("") + Sized(question));
  corpus.Add("folder_courier", "error",
             Sized(reply.SerializeAsString()) + Sized(next.SerializeAsString()) + Sized(error.SerializeAsString()));

  v1::RegisterRequest registration;
  registration.set_study(kStudy);
  registration.add_batches("s1");
  registration.add_features("a");
  v1::ReportRequest report;
  report.set_study(kStudy);
  report.set_manifest_sha256(study.manifest_sha256);
  report.set_state(v1::SITE_STATE_HARMONIZED);
  const DeskStudy::Upload answer = study.AnswerOf("north");
  const std::string header = answer.header.SerializeAsString();
  const int north = 0x80 + 1;  // 0x81 % 3 == 0
  const int south = 0x80 + 2;
  const int east = 0x80;
  corpus.Add("desk", "whole_study",
             Call(9, north) + Call(9, south) + Call(2, north) + Call(9, north) + Call(9, south) + Call(2, south) +
                 Call(6, north) + Call(7, north, report.SerializeAsString()) + Call(7, south, report.SerializeAsString()) +
                 Call(2, north));
  corpus.Add("desk", "damaged_answer", Call(9, north, "\x20\x01\x7f\x30\x01\xff") + Call(9, north));
  corpus.Add(
      "desk", "pieces",
      Call(3, north, header) + Call(4, north, header) + Call(5, north, header) + Call(8, south, answer.bytes) + Call(3, east));
  corpus.Add("desk", "others",
             Call(0, north, registration.SerializeAsString()) + Call(0, east, registration.SerializeAsString()) +
                 Call(1, 0, "nothing") + Call(2, east) + Call(6, north, next.SerializeAsString()));
  const auto file = [](int name, const std::string& bytes) { return std::string(1, static_cast<char>(name)) + Sized(bytes); };
  corpus.Add("folder_service", "answer", file(0x80, answer.bytes));
  corpus.Add("folder_service", "requests",
             file(0, registration.SerializeAsString()) + file(1, header) + file(3, report.SerializeAsString()));
}

}  // namespace
}  // namespace attune::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_make_seeds CORPUS\n";
    return 2;
  }
  const attune::fuzz::Corpus corpus(argv[1]);
  attune::fuzz::DeskStudy study;
  attune::fuzz::AddTexts(corpus);
  attune::fuzz::AddImages(corpus);
  attune::fuzz::AddCertificates(corpus);
  attune::fuzz::AddAggregation(corpus);
  attune::fuzz::AddBundles(corpus, study);
  attune::fuzz::AddStudy(corpus, study);
}
