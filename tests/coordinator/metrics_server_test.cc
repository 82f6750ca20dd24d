// SPDX-License-Identifier: Apache-2.0
//
// /healthz and /metrics as a monitoring system reads them.
#include "coordinator/metrics_server.h"

#include <gmock/gmock.h>
#include <httplib.h>

#include "tests/coordinator/fixture.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Code = absl::StatusCode;

class MetricsServerTest : public DeskTest {
 public:
  void SetUp() override {
    DeskTest::SetUp();
    ASSERT_OK_AND_ASSIGN(authority_, MakeAuthority("net"));
    ASSERT_OK_AND_ASSIGN(const KeyAndCertificate certificate, MakeServerCertificate(authority_, "net", {"127.0.0.1"}, 20));
    invitations_ = std::make_unique<Invitations>("net", authority_, journal_.get());
    ASSERT_OK_AND_ASSIGN(
        server_, MetricsServer::Start("127.0.0.1:0", &metrics_, desk_.get(), invitations_.get(), certificate.certificate_pem));
  }
  void TearDown() override { server_.reset(); }

  std::pair<int, std::string> Get(const char* path) {
    httplib::Client client("127.0.0.1", server_->port());
    const httplib::Result result = client.Get(path);
    return result ? std::make_pair(result->status, result->body) : std::make_pair(0, std::string());
  }

  KeyAndCertificate authority_;
  std::unique_ptr<Invitations> invitations_;
  Metrics metrics_;
  std::unique_ptr<MetricsServer> server_;
};

TEST_F(MetricsServerTest, Healthz_Ok) { EXPECT_EQ(Get("/healthz"), std::make_pair(200, std::string("ok\n"))); }

TEST_F(MetricsServerTest, Healthz_TheJournalCannotBeRead) {
  // Another process records something, and what it wrote is damaged before this one has read it.
  {
    ASSERT_OK_AND_ASSIGN(const auto other, Journal::Open(folder_ / "journal.sqlite", false));
    ASSERT_OK(Desk("net", other.get(), *blobs_, [this](absl::string_view) { return method_; }).CreateStudy(Config(), false));
  }
  folder_.Write("journal.sqlite-wal", std::string(std::filesystem::file_size(folder_ / "journal.sqlite-wal"), 'x'));
  const auto [status, body] = Get("/healthz");
  EXPECT_EQ(status, 503);
  EXPECT_THAT(body, Not(HasSubstr(folder_.path())));
}

TEST_F(MetricsServerTest, Metrics_WhatWasCountedAndWhatIs) {
  StartDemo();
  ASSERT_OK(Submit("north", AnswerOf("north")));
  ASSERT_OK_AND_ASSIGN(const v1::Invitation invitation, invitations_->Invite("north", "host:1", 1));
  ASSERT_OK_AND_ASSIGN(const KeyAndRequest pair, MakeKeyAndRequest("north"));
  v1::EnrollRequest request;
  request.set_site("north");
  request.set_token(invitation.token());
  request.set_certificate_request_pem(pair.request_pem);
  ASSERT_OK(invitations_->Enroll(request));
  metrics_.CountCall("Next", "OK");
  metrics_.CountCall("Next", "OK");
  metrics_.CountCall("Next", "UNAUTHENTICATED");
  metrics_.CountRefused("limit");
  metrics_.CountReceived(1234);
  const auto [status, text] = Get("/metrics");
  EXPECT_EQ(status, 200);
  // A day more within the second in which they were made.
  EXPECT_THAT(text, ::testing::ContainsRegex("attune_server_certificate_days_left (19|20)\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("attune_site_certificate_days_left\\{site=\"north\"\\} (364|365)\n"));
  for (const char* line : {"attune_studies{state=\"running\"} 1\n", "attune_sites_waited_for{study=\"demo\"} 1\n",
                           "attune_received_bytes_total 1234\n", "attune_refused_calls_total{reason=\"limit\"} 1\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_THAT(text,
              ::testing::ContainsRegex("attune_calls_total\\{(call=\"Next\",code=\"OK\"|code=\"OK\",call=\"Next\")\\} 2\n"));
  ASSERT_OK(invitations_->RevokeSite("north"));
  EXPECT_THAT(Get("/metrics").second, Not(HasSubstr("site=\"north\"")));
}

TEST_F(MetricsServerTest, OtherPaths_AreNotThere) {
  EXPECT_EQ(Get("/").first, 404);
  EXPECT_EQ(Get("/metrics/../healthz").first, 404);
}

TEST_F(MetricsServerTest, Start_BadAddresses) {
  const auto start = [&](const std::string& listen) {
    return MetricsServer::Start(listen, &metrics_, desk_.get(), invitations_.get(), "");
  };
  for (const char* listen : {"", "9464", ":9464", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000"}) {
    EXPECT_THAT(start(listen), StatusIs(Code::kInvalidArgument, HasSubstr("127.0.0.1:9464"))) << listen;
  }
  EXPECT_THAT(start(absl::StrCat("127.0.0.1:", server_->port())), StatusIs(Code::kUnavailable, HasSubstr("--metrics")));
}

}  // namespace
}  // namespace attune::testing
