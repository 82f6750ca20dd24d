// SPDX-License-Identifier: Apache-2.0
#include "site_agent/doctor_network.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/transport/tcp.h"
#include "site_agent/doctor.h"

namespace attune {
namespace {

constexpr absl::Duration kTolerableSkew = absl::Seconds(60);
constexpr char kClockFix[] = "let this machine set its clock by the network (NTP)";
constexpr char kOpenFirewall[] = "ask the IT department to allow this machine outbound TCP to this host and port";

std::string DateOf(absl::Time time) { return absl::FormatTime("%Y-%m-%d %H:%M UTC", time, absl::UTCTimeZone()); }

// One walk from here to the coordinator. Each step returns what it found and stops the walk when that is a problem.
class Walk {
 public:
  Walk(const GrpcCourierOptions& options, absl::Duration timeout) : options_(options), timeout_(timeout) {}

  std::vector<v1::DoctorCheck> Go() && {
    static_cast<void>(Names() && Reach() && Tunnel() && Tls() && RoundTrip());
    for (v1::DoctorCheck& check : checks_) check.set_network(true);
    return std::move(checks_);
  }

 private:
  bool proxied() const { return !options_.proxy.address.empty(); }
  const std::string& first_hop() const { return proxied() ? options_.proxy.address : options_.endpoint; }

  bool Add(v1::DoctorCheck check) {
    checks_.push_back(std::move(check));
    return checks_.back().finding() != v1::DOCTOR_FINDING_PROBLEM;
  }

  bool Names() {
    const absl::StatusOr<HostPort> hop = ParseHostPort(first_hop());
    const absl::StatusOr<HostPort> coordinator = ParseHostPort(options_.endpoint);
    if (!hop.ok() || !coordinator.ok()) {
      const absl::Status& wrong = hop.ok() ? coordinator.status() : hop.status();
      return Add(
          ProblemCheck("DOC-DNS", std::string(wrong.message()), "correct it with 'attune-site network', or enroll again"));
    }
    hop_ = *hop;
    host_ = options_.server_name.empty() ? coordinator->host : options_.server_name;
    if (IsAddress(hop_.host)) return Add(GoodCheck("DOC-DNS", absl::StrCat(first_hop(), " is an address: no name to look up")));
    const absl::StatusOr<std::vector<std::string>> addresses = AddressesOf(hop_.host);
    if (!addresses.ok()) {
      return Add(ProblemCheck("DOC-DNS", std::string(addresses.status().message()),
                              proxied()
                                  ? "check the proxy's name with the IT department ('attune-site network' shows it)"
                                  : "check the name with the coordinator's operator, or this machine's DNS server with the "
                                    "IT department; where only a proxy knows outside names, set it by 'attune-site network "
                                    "--proxy host:port'"));
    }
    return Add(GoodCheck("DOC-DNS", absl::StrCat("'", hop_.host, "' is ", JoinSome(*addresses, 3),
                                                 proxied() ? "; the proxy looks up the coordinator's name" : "")));
  }

  bool Reach() {
    absl::StatusOr<TcpConnection> opened = TcpConnection::Open(hop_, absl::Now() + timeout_);
    if (opened.ok()) {
      connection_.emplace(*std::move(opened));
      return Add(
          GoodCheck("DOC-TCP", absl::StrCat(proxied() ? "the proxy " : "the coordinator ", first_hop(), " takes connections")));
    }
    const std::string cause =
        absl::StrCat(first_hop(), " cannot be reached: ", opened.status().message(),
                     absl::IsDeadlineExceeded(opened.status()) ? " (a firewall drops packets without a word)"
                                                               : " (nothing listens there, or a firewall refuses)");
    if (proxied()) {
      return Add(ProblemCheck("DOC-TCP-PROXY", cause,
                              "check the proxy's name and port with the IT department; 'attune-site network' changes them"));
    }
    return Add(
        ProblemCheck("DOC-TCP", cause,
                     absl::StrCat(kOpenFirewall,
                                  ", or which proxy to use ('attune-site network --proxy host:port'); ask the coordinator's "
                                  "operator whether the coordinator runs")));
  }

  bool Tunnel() {
    if (!proxied()) return Add(GoodCheck("DOC-PROXY", "none is set; this machine dials directly"));
    const absl::Status opened = OpenTunnel(options_.proxy, options_.endpoint, &*connection_);
    if (opened.ok()) return Add(GoodCheck("DOC-PROXY", absl::StrCat("the proxy connects to ", options_.endpoint)));
    const char* code = absl::IsUnauthenticated(opened) ? "DOC-PROXY-LOGIN"
                       : absl::IsAborted(opened)       ? "DOC-PROXY-FORBIDS"
                                                       : "DOC-PROXY";
    return Add(ProblemCheck(code, std::string(opened.message()), "as said; 'attune-site network' shows what is set"));
  }

  bool Tls() {
    const absl::StatusOr<TlsPeer> peer = ProbeTls(
        options_.ca_pem, host_, [this](absl::string_view bytes) { return connection_->Send(bytes); },
        [this] { return connection_->Receive(16 << 10); });
    connection_.reset();
    if (peer.ok()) return Add(JudgeTls(*peer, options_.endpoint, absl::Now()));
    return Add(
        ProblemCheck("DOC-TLS", absl::StrCat(options_.endpoint, ": ", peer.status().message()),
                     "check host and port with the coordinator's operator; if they are right, a device on the way breaks "
                     "TLS: the IT department has to let this host and port through unchanged"));
  }

  bool RoundTrip() {
    const absl::StatusOr<EchoTrip> trip = Echo(options_, kDoctorEchoBytes);
    if (!trip.ok()) {
      return Add(ProblemCheck(
          "DOC-ECHO", absl::StrCat("a round trip of ", kDoctorEchoBytes / 1'000'000, " MB fails: ", trip.status().message()),
          "if nothing else is a problem, tell the coordinator's operator this message and the time"));
    }
    if (!Add(JudgeClock(*trip))) return false;
    const double seconds = absl::ToDoubleSeconds(trip->time);
    return Add(GoodCheck("DOC-ECHO", absl::StrFormat("%d MB went to the coordinator and back in %.1f s",
                                                     kDoctorEchoBytes / 1'000'000, seconds)));
  }

  const GrpcCourierOptions& options_;
  const absl::Duration timeout_;
  std::vector<v1::DoctorCheck> checks_;
  HostPort hop_;
  std::string host_;  // whose certificate is expected
  std::optional<TcpConnection> connection_;
};

}  // namespace

v1::DoctorCheck JudgeTls(const TlsPeer& peer, const std::string& endpoint, absl::Time now) {
  const PresentedCertificate& leaf = peer.chain.front();
  switch (peer.trust) {
    case TlsTrust::kOtherAuthority:
      return ProblemCheck(
          "DOC-TLS-INTERCEPTED",
          absl::StrCat(
              "the certificate that came for ", endpoint, " (", leaf.subject, ") was issued by '", leaf.issuer,
              "', not by the authority of this consortium: this network intercepts TLS, or this is not the coordinator"),
          absl::StrCat(
              "the IT department has to exempt ", endpoint,
              " from TLS inspection: both ends prove who they are inside TLS, so it must arrive as it was sent. If "
              "nobody inspects, ask the coordinator's operator for the right endpoint, or for the authority to give to "
              "'attune-site network --server-ca FILE'"));
    case TlsTrust::kNotYetValid:
      return ProblemCheck("DOC-CLOCK",
                          absl::StrCat("the coordinator's certificate is valid from ", DateOf(leaf.not_before),
                                       ", and this machine's clock says ", DateOf(now)),
                          kClockFix);
    case TlsTrust::kExpired:
      return ProblemCheck("DOC-TLS-EXPIRED",
                          absl::StrCat("the coordinator's certificate expired on ", DateOf(leaf.not_after),
                                       "; this machine's clock says ", DateOf(now)),
                          "if the clock is right, the coordinator's operator has to renew the certificate");
    case TlsTrust::kOther:
      return ProblemCheck(
          "DOC-TLS",
          absl::StrCat("the certificate that came for ", endpoint, " (", leaf.subject, ") does not count: ", peer.reason),
          "tell the coordinator's operator");
    case TlsTrust::kTrusted:
      break;
  }
  if (!peer.name_matches) {
    return ProblemCheck("DOC-TLS-NAME",
                        absl::StrCat("the certificate that came for ", endpoint, " (", leaf.subject, ") is for another host"),
                        "dial a name that the coordinator's operator gave to 'pki init --host'");
  }
  if (!peer.modern) {
    return ProblemCheck("DOC-TLS-VERSION", absl::StrCat(endpoint, " speaks only ", peer.protocol),
                        "TLS 1.2 or newer is needed: a device on the way is outdated; ask the IT department");
  }
  if (!peer.http2) {
    return ProblemCheck("DOC-TLS-HTTP2", absl::StrCat("what ends TLS at ", endpoint, " does not speak HTTP/2"),
                        "a load balancer in front of the coordinator must pass TLS through unchanged: tell its operator");
  }
  return GoodCheck("DOC-TLS", absl::StrCat(peer.protocol, ", ", peer.cipher, "; certificate of ", leaf.subject, " by ",
                                           leaf.issuer, " until ", DateOf(leaf.not_after)));
}

v1::DoctorCheck JudgeClock(const EchoTrip& trip) {
  const absl::Duration skew = absl::AbsDuration(trip.clock_ahead);
  const std::string cause =
      absl::StrFormat("this machine's clock is %.1f s %s the coordinator's (give or take %.1f s)", absl::ToDoubleSeconds(skew),
                      trip.clock_ahead > absl::ZeroDuration() ? "behind" : "ahead of", absl::ToDoubleSeconds(trip.clock_doubt));
  // What a slow network alone explains is no skew.
  if (skew <= kTolerableSkew + trip.clock_doubt) return GoodCheck("DOC-CLOCK", cause);
  return WarningCheck("DOC-CLOCK", cause, kClockFix);
}

std::vector<v1::DoctorCheck> CheckNetwork(const GrpcCourierOptions& options, absl::Duration timeout) {
  return Walk(options, timeout).Go();
}

}  // namespace attune
