// SPDX-License-Identifier: Apache-2.0
//
// What the doctor makes of what it sees; tests/end_to_end/network_test.cc walks real ways.
#include "site_agent/doctor.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/security/certificates.h"
#include "site_agent/doctor_network.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

MATCHER_P2(Finds, code, finding, "") {
  *result_listener << LineOf(arg);
  return arg.code() == code && arg.finding() == finding && (finding == v1::DOCTOR_FINDING_OK) == arg.fix().empty();
}

TlsPeer GoodPeer() {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  return {.protocol = "TLSv1.3",
          .modern = true,
          .cipher = "X",
          .http2 = true,
          .chain = {{"CN = leaf", "CN = issuer", now - absl::Hours(24), now + absl::Hours(24)}},
          .trust = TlsTrust::kTrusted,
          .name_matches = true};
}

v1::DoctorCheck Judge(const TlsPeer& peer) { return JudgeTls(peer, "c.example:443", absl::FromUnixSeconds(1'800'000'000)); }

TEST(Doctor, JudgeTls_Good) { EXPECT_THAT(Judge(GoodPeer()), Finds("DOC-TLS", v1::DOCTOR_FINDING_OK)); }

TEST(Doctor, JudgeTls_InterceptionNamesTheIssuerAndWhatToExempt) {
  TlsPeer peer = GoodPeer();
  peer.trust = TlsTrust::kOtherAuthority;
  peer.name_matches = false;  // whatever else is wrong with it
  const v1::DoctorCheck check = Judge(peer);
  EXPECT_THAT(check, Finds("DOC-TLS-INTERCEPTED", v1::DOCTOR_FINDING_PROBLEM));
  EXPECT_THAT(check.cause(), AllOf(HasSubstr("issued by 'CN = issuer'"), HasSubstr("CN = leaf")));
  EXPECT_THAT(check.fix(), HasSubstr("exempt c.example:443 from TLS inspection"));
}

TEST(Doctor, JudgeTls_EachFlawHasItsCode) {
  const auto broken = [](auto change) {
    TlsPeer peer = GoodPeer();
    change(peer);
    return Judge(peer);
  };
  const auto problem = v1::DOCTOR_FINDING_PROBLEM;
  EXPECT_THAT(broken([](TlsPeer& p) { p.trust = TlsTrust::kNotYetValid; }), Finds("DOC-CLOCK", problem));
  EXPECT_THAT(broken([](TlsPeer& p) { p.trust = TlsTrust::kExpired; }), Finds("DOC-TLS-EXPIRED", problem));
  EXPECT_THAT(broken([](TlsPeer& p) { p.trust = TlsTrust::kOther; }), Finds("DOC-TLS", problem));
  EXPECT_THAT(broken([](TlsPeer& p) { p.name_matches = false; }), Finds("DOC-TLS-NAME", problem));
  EXPECT_THAT(broken([](TlsPeer& p) { p.modern = false; }), Finds("DOC-TLS-VERSION", problem));
  EXPECT_THAT(broken([](TlsPeer& p) { p.http2 = false; }), Finds("DOC-TLS-HTTP2", problem));
}

TEST(Doctor, JudgeClock_AMinuteAndWhatTheNetworkExplains) {
  const auto judge = [](int ahead, int doubt) {
    return JudgeClock({.clock_ahead = absl::Seconds(ahead), .clock_doubt = absl::Seconds(doubt)});
  };
  EXPECT_THAT(judge(0, 0), Finds("DOC-CLOCK", v1::DOCTOR_FINDING_OK));
  EXPECT_THAT(judge(60, 0), Finds("DOC-CLOCK", v1::DOCTOR_FINDING_OK));
  EXPECT_THAT(judge(61, 0), Finds("DOC-CLOCK", v1::DOCTOR_FINDING_WARNING));
  EXPECT_THAT(judge(-61, 0), Finds("DOC-CLOCK", v1::DOCTOR_FINDING_WARNING));
  EXPECT_THAT(judge(61, 5), Finds("DOC-CLOCK", v1::DOCTOR_FINDING_OK));
  EXPECT_THAT(judge(3600, 0).cause(), HasSubstr("3600.0 s behind"));
  EXPECT_THAT(judge(-3600, 0).cause(), HasSubstr("3600.0 s ahead of"));
}

TEST(Doctor, CheckPolicyFile_MissingOrEmpty) {
  const TempFolder folder;
  const Home home(folder.path());
  EXPECT_THAT(CheckPolicyFile(home), Finds("DOC-POLICY", v1::DOCTOR_FINDING_PROBLEM));
  EXPECT_THAT(CheckPolicyFile(home).fix(), HasSubstr("policy init"));
  folder.Write("policy.yaml", "");
  EXPECT_THAT(CheckPolicyFile(home), Finds("DOC-POLICY", v1::DOCTOR_FINDING_PROBLEM));
  folder.Write("policy.yaml", "x: 1\n");
  EXPECT_THAT(CheckPolicyFile(home), Finds("DOC-POLICY", v1::DOCTOR_FINDING_OK));
}

TEST(Doctor, CheckData_NamesTheTable) {
  const TempFolder folder;
  const Home home(folder.path());
  const auto problem = Finds("DOC-DATA", v1::DOCTOR_FINDING_PROBLEM);
  EXPECT_THAT(CheckData(home), problem);
  folder.Write("site.yaml", "participants: [}");
  EXPECT_THAT(CheckData(home), problem);
  folder.Write("site.yaml", "participants: p.tsv\n");
  folder.Write("p.tsv", "participant_id\n");
  EXPECT_THAT(CheckData(home), problem);
  folder.Write("site.yaml", "participants: p.tsv\nfeatures: [f.tsv, missing.tsv]\n");
  folder.Write("f.tsv", "participant_id\n");
  EXPECT_THAT(CheckData(home), problem);
  EXPECT_THAT(CheckData(home).cause(), HasSubstr("missing.tsv"));
  fs::create_directory(folder / "missing.tsv");
  EXPECT_THAT(CheckData(home).cause(), HasSubstr("is a folder"));
  fs::remove(folder / "missing.tsv");
  folder.Write("missing.tsv", "participant_id\n");
  EXPECT_THAT(CheckData(home), Finds("DOC-DATA", v1::DOCTOR_FINDING_OK));
}

TEST(Doctor, CheckDisk_FolderThatIsNotThereAndWhatItLeaves) {
  const TempFolder folder;
  EXPECT_THAT(CheckDisk(folder / "none"), Finds("DOC-DISK", v1::DOCTOR_FINDING_PROBLEM));
  EXPECT_NE(CheckDisk(folder.path()).cause().find("MiB free"), std::string::npos);
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(Doctor, CheckExchangeFolder_StickThatIsNotMounted) {
  const TempFolder folder;
  EXPECT_THAT(CheckExchangeFolder(folder / "stick"), Finds("DOC-FOLDER", v1::DOCTOR_FINDING_PROBLEM));
  fs::create_directory(folder / "stick");
  EXPECT_THAT(CheckExchangeFolder(folder / "stick"), Finds("DOC-FOLDER", v1::DOCTOR_FINDING_OK));
  EXPECT_TRUE(fs::is_empty(folder / "stick"));
  folder.Write("file", "x");
  EXPECT_THAT(CheckExchangeFolder(folder / "file"), Finds("DOC-FOLDER", v1::DOCTOR_FINDING_PROBLEM));
}

TEST(Doctor, CheckCertificate_ByDays) {
  const TempFolder folder;
  const Home home(folder.path());
  EXPECT_THAT(CheckCertificate(home), Finds("DOC-CERT", v1::DOCTOR_FINDING_PROBLEM));
  ASSERT_OK(home.MakeIdentityFolder());
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate authority, MakeAuthority("c"));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest request, MakeKeyAndRequest("a"));
  for (const auto& [days, finding] :
       std::vector<std::pair<int, v1::DoctorFinding>>{{10, v1::DOCTOR_FINDING_WARNING}, {100, v1::DOCTOR_FINDING_OK}}) {
    ASSERT_OK_AND_ASSIGN(const std::string pem, SignSiteRequest(authority, request.request_pem, SiteUri("c", "a"), days));
    folder.Write("identity/certificate.pem", pem);
    EXPECT_THAT(CheckCertificate(home), Finds("DOC-CERT", finding));
  }
}

TEST(Doctor, Verdict_NetworkIs5LocalIs3WarningsAreFine) {
  v1::DoctorReport report;
  *report.add_checks() = GoodCheck("DOC-X", "good");
  *report.add_checks() = WarningCheck("DOC-X", "almost", "do");
  EXPECT_OK(VerdictOf(report));
  *report.add_checks() = ProblemCheck("DOC-X", "bad", "do");
  EXPECT_THAT(VerdictOf(report), StatusIs(absl::StatusCode::kFailedPrecondition, "1 problem found"));
  EXPECT_EQ(static_cast<int>(ExitCodeOf(VerdictOf(report))), 3);
  v1::DoctorCheck network = ProblemCheck("DOC-X", "bad", "do");
  network.set_network(true);
  *report.add_checks() = network;
  EXPECT_THAT(VerdictOf(report), StatusIs(absl::StatusCode::kUnavailable, "2 problems found"));
  EXPECT_EQ(static_cast<int>(ExitCodeOf(VerdictOf(report))), 5);
}

TEST(Doctor, LineOf_IsOneLine) {
  EXPECT_THAT(LineOf(ProblemCheck("DOC-X", "a\nb", "c\nd")),
              AllOf(HasSubstr("PROBLEM  DOC-X"), HasSubstr("a b. Fix: c d"), Not(HasSubstr("\n"))));
}

TEST(Doctor, Examine_NotEnrolledAndByFolder) {
  const TempFolder folder;
  const Home home(folder.path());
  folder.Write("policy.yaml", "x: 1\n");
  folder.Write("p.tsv", "participant_id\n");
  folder.Write("site.yaml", "participants: p.tsv\nfeatures: p.tsv\n");
  v1::DoctorReport report = Examine(home);
  EXPECT_THAT(report.checks(0), Finds("DOC-IDENTITY", v1::DOCTOR_FINDING_PROBLEM));
  EXPECT_THAT(VerdictOf(report), StatusIs(absl::StatusCode::kFailedPrecondition, "1 problem found"));
  v1::AgentIdentity identity;
  identity.set_site("a");
  identity.set_folder(folder / "stick");
  fs::create_directory(folder / "stick");
  ASSERT_OK(home.MakeIdentityFolder());
  ASSERT_OK(home.WriteIdentity(identity));
  report = Examine(home);
  EXPECT_OK(VerdictOf(report));
  EXPECT_THAT(*report.checks().rbegin(), Finds("DOC-FOLDER", v1::DOCTOR_FINDING_OK));
}

}  // namespace
}  // namespace attune::testing
