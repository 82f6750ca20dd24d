// SPDX-License-Identifier: Apache-2.0
//
// Hospital networks with the real programs: a real proxy (tinyproxy), intercepted TLS, a site that has no other way out.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "attune/v1/doctor.pb.h"
#include "common/security/certificates.h"
#include "common/transport/grpc_courier.h"
#include "common/transport/tcp.h"
#include "common/wire/json.h"
#include "coordinator/simulate/process.h"
#include "coordinator/simulate/split.h"
#include "coordinator/simulate/synthetic.h"
#include "tests/end_to_end/runner.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace attune::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr char kTinyproxy[] = "/usr/bin/tinyproxy";
constexpr char kIp[] = "/sbin/ip";
// What an administrator may have set for other programs: none of it may count.
const std::vector<std::string>& MisleadingEnvironment() {
  static const auto& environment =
      *new std::vector<std::string>{"https_proxy=http://127.0.0.1:1", "http_proxy=http://127.0.0.1:1",
                                    "grpc_proxy=http://127.0.0.1:1", "no_proxy=127.0.0.1", "no_grpc_proxy=127.0.0.1"};
  return environment;
}

std::string Stripped(const std::string& text) { return std::string(absl::StripAsciiWhitespace(text)); }

int FreePort() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(descriptor, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(descriptor);
  return ::ntohs(address.sin_port);
}

class NetworkTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(fs::exists(kTinyproxy)) << "give deploy/install-debian-packages.sh: tinyproxy-bin"; }

  ProgramResult Run(std::vector<std::string> command, const std::vector<std::string>& environment = {}) {
    const std::string log = temp_ / absl::StrCat("log-", ++count_);
    ProgramResult result;
    absl::StatusOr<Process> process = Process::Start(command, environment, log);
    EXPECT_OK(process);
    if (!process.ok()) return result;
    if (const auto end = process->WaitFor(120)) result.exit_code = end->exit_code;
    result.output = ReadText(log);
    return result;
  }

  ProgramResult Coordinator(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {ProgramPath("attune-coordinator"), "--dir", temp_ / "coordinator", "--quiet"});
    return Run(arguments);
  }

  std::vector<std::string> SiteCommand(const std::string& site, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {ProgramPath("attune-site"), "--dir", temp_ / ("sites/" + site)});
    return arguments;
  }
  ProgramResult Site(const std::string& site, const std::vector<std::string>& arguments) {
    return Run(SiteCommand(site, arguments), MisleadingEnvironment());
  }

  std::vector<std::string> Enrolment(const std::string& site, const std::vector<std::string>& more = {}) {
    const std::string file = temp_ / (site + ".invitation.json");
    if (!fs::exists(file)) {
      const ProgramResult invited = Coordinator({"site", "invite", site, "--coordinator", endpoint_, "--out", file});
      EXPECT_EQ(invited.exit_code, 0) << invited.output;
    }
    std::vector<std::string> arguments = {"enroll", "--invitation", file, "--fingerprint", fingerprint_, "--patience", "0.2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }

  // A consortium whose coordinator listens at `address` alone.
  void StartCoordinator(const std::string& address = "127.0.0.1") {
    const ProgramResult pki = Coordinator({"pki", "init", "--consortium", "net", "--host", address});
    ASSERT_EQ(pki.exit_code, 0) << pki.output;
    fingerprint_ = Stripped(pki.output);
    Serve(absl::StrCat(address, ":0"));
  }
  void Serve(const std::string& listen) {
    ASSERT_OK_AND_ASSIGN(Process serve, Process::Start({ProgramPath("attune-coordinator"), "--dir", temp_ / "coordinator",
                                                        "serve", "--listen", listen},
                                                       {}, temp_ / "serve.log"));
    serve_.emplace(std::move(serve));
    while (!fs::exists(temp_ / "coordinator/endpoint")) {
      ASSERT_FALSE(serve_->WaitFor(0.01).has_value()) << temp_.Read("serve.log");
    }
    endpoint_ = Stripped(temp_.Read("coordinator/endpoint"));
  }

  // A proxy at `address` that connects to the port of the coordinator, or to `port` alone.
  void StartProxy(const std::string& more = "", const std::string& port = "", const std::string& address = "127.0.0.1") {
    const int listen = FreePort();
    proxy_ = absl::StrCat(address, ":", listen);
    const std::string allowed = port.empty() ? endpoint_.substr(endpoint_.rfind(':') + 1) : port;
    const std::string file = temp_.Write(
        "proxy.conf", absl::StrCat("Port ", listen, "\nListen ", address, "\nTimeout 60\nMaxClients 50\nConnectPort ", allowed,
                                   "\nLogLevel Info\nLogFile \"", temp_ / "proxy.log", "\"\n", more, "\n"));
    ASSERT_OK_AND_ASSIGN(Process process, Process::Start({kTinyproxy, "-d", "-c", file}, {}, temp_ / "proxy.out"));
    proxy_process_.emplace(std::move(process));
    while (!TcpConnection::Open({address, listen}, absl::Now() + absl::Seconds(5)).ok()) {
      ASSERT_FALSE(proxy_process_->WaitFor(0.01).has_value()) << temp_.Read("proxy.out");
    }
  }

  std::string Credentials(const std::string& text) {
    const std::string file = temp_.Write("credentials", text);
    fs::permissions(file, fs::perms::owner_read | fs::perms::owner_write);
    return file;
  }

  // The checks of the doctor by code, and its exit code.
  std::map<std::string, v1::DoctorCheck> Doctor(const std::string& site, int* exit_code) {
    const ProgramResult result = Run(SiteCommand(site, {"--quiet", "doctor", "--json"}), MisleadingEnvironment());
    *exit_code = result.exit_code;
    v1::DoctorReport report;
    // What main says of an error comes last, on standard error.
    EXPECT_OK(FromJson(result.output.substr(0, result.output.rfind('}') + 1), "doctor", &report)) << result.output;
    std::map<std::string, v1::DoctorCheck> checks;
    for (const v1::DoctorCheck& check : report.checks()) checks[check.code()] = check;
    return checks;
  }

  // One site's data, and all that a doctor looks for at a site.
  void MakeSites() {
    ASSERT_OK(SyntheticConsortium(1).Write(temp_ / "data"));
    ASSERT_OK_AND_ASSIGN(sites_, SplitBySite(SyntheticConsortium::DataIn(temp_ / "data"), temp_ / "sites"));
    for (const std::string& site : sites_) WritePolicy(temp_ / ("sites/" + site));
  }

  // Everything until the sites run; `more`: what `first` gives to 'enroll' besides, in the words of `prefix`.
  void Prepare(const std::string& first, const std::vector<std::string>& more, const std::vector<std::string>& prefix = {}) {
    const auto at = [&](const std::string& site, const std::vector<std::string>& arguments) {
      std::vector<std::string> command = SiteCommand(site, arguments);
      if (site == first) command.insert(command.begin(), prefix.begin(), prefix.end());
      return Run(command, MisleadingEnvironment());
    };
    for (const std::string& site : sites_) {
      const ProgramResult enrolled = at(site, Enrolment(site, site == first ? more : std::vector<std::string>{}));
      ASSERT_EQ(enrolled.exit_code, 0) << enrolled.output;
    }
    const ProgramResult created = Coordinator({"study", "create", SyntheticConsortium::StudyFileIn(temp_ / "data")});
    ASSERT_EQ(created.exit_code, 0) << created.output;
    for (const std::string& site : sites_) {
      const ProgramResult registered = at(site, {"register", "demo"});
      ASSERT_EQ(registered.exit_code, 0) << registered.output;
    }
    const ProgramResult started = Coordinator({"study", "start", "demo"});
    ASSERT_EQ(started.exit_code, 0) << started.output;
    for (const std::string& site : sites_) {
      const ProgramResult approved = at(site, {"approve", "demo", "--hash", Stripped(started.output)});
      ASSERT_EQ(approved.exit_code, 0) << approved.output;
    }
  }

  // All sites run to the end; while `first`, in the words of `prefix`, does, `look` is called.
  template <typename Look>
  void RunAll(const std::string& first, const std::vector<std::string>& prefix, const Look& look) {
    std::map<std::string, Process> running;
    // The first begins alone, so that there is time to look at it.
    std::vector<std::string> command = SiteCommand(first, {"run", "demo"});
    command.insert(command.begin(), prefix.begin(), prefix.end());
    ASSERT_OK_AND_ASSIGN(Process process, Process::Start(command, MisleadingEnvironment(), temp_ / (first + ".log")));
    running.emplace(first, std::move(process));
    ASSERT_NO_FATAL_FAILURE(look(running.at(first)));
    for (const std::string& site : sites_) {
      if (site == first) continue;
      ASSERT_OK_AND_ASSIGN(
          Process other, Process::Start(SiteCommand(site, {"run", "demo"}), MisleadingEnvironment(), temp_ / (site + ".log")));
      running.emplace(site, std::move(other));
    }
    for (auto& [site, one] : running) {
      const auto end = one.WaitFor(120);
      ASSERT_TRUE(end.has_value()) << site;
      ASSERT_EQ(end->exit_code, 0) << temp_.Read(site + ".log");
    }
    EXPECT_TRUE(fs::exists(temp_ / ("sites/" + first + "/derivatives/demo/model.json")));
  }

  TempFolder temp_;
  std::string fingerprint_;
  std::string endpoint_;
  std::string proxy_;  // host:port
  std::vector<std::string> sites_;
  std::optional<Process> serve_;
  std::optional<Process> proxy_process_;
  int count_ = 0;
};

TEST_F(NetworkTest, Proxy_AWholeStudyAndTheEnvironmentNeverCounts) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_NO_FATAL_FAILURE(StartProxy());
  ASSERT_NO_FATAL_FAILURE(MakeSites());
  ASSERT_NO_FATAL_FAILURE(Prepare("davos", {"--proxy", proxy_}));
  const std::string request = absl::StrCat("CONNECT ", endpoint_);
  EXPECT_THAT(temp_.Read("proxy.log"), HasSubstr(request)) << "enrolled and registered around the proxy";
  fs::resize_file(temp_ / "proxy.log", 0);
  ASSERT_NO_FATAL_FAILURE(RunAll("davos", {}, [](Process&) {}));
  EXPECT_THAT(temp_.Read("proxy.log"), HasSubstr(request)) << "ran around the proxy";

  int exit_code = -1;
  for (const char* site : {"davos", "aachen"}) {
    const auto checks = Doctor(site, &exit_code);
    EXPECT_EQ(exit_code, 0);
    for (const char* code : {"DOC-IDENTITY", "DOC-DISK", "DOC-POLICY", "DOC-DATA", "DOC-CERT", "DOC-DNS", "DOC-TCP",
                             "DOC-PROXY", "DOC-TLS", "DOC-CLOCK", "DOC-ECHO"}) {
      ASSERT_EQ(checks.count(code), 1u) << code;
      EXPECT_EQ(checks.at(code).finding(), v1::DOCTOR_FINDING_OK) << checks.at(code).cause();
    }
  }
  const ProgramResult shown = Site("davos", {"network"});
  EXPECT_THAT(shown.output, AllOf(HasSubstr(proxy_), HasSubstr(endpoint_)));
  // Directly again.
  ASSERT_EQ(Site("davos", {"network", "--no-proxy"}).exit_code, 0);
  proxy_process_->Stop();
  Doctor("davos", &exit_code);
  EXPECT_EQ(exit_code, 0);
}

TEST_F(NetworkTest, Proxy_Login) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_NO_FATAL_FAILURE(StartProxy("BasicAuth site s3cret-Pass_w"));
  const auto enroll = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--proxy", proxy_});
    return Site("north", Enrolment("north", more));
  };
  const ProgramResult none = enroll({});
  EXPECT_EQ(none.exit_code, 5);
  EXPECT_THAT(none.output, AllOf(HasSubstr("asks for a user and password"), HasSubstr("--proxy-credentials")));
  const std::string file = Credentials("site:wrong\n");
  const ProgramResult wrong = enroll({"--proxy-credentials", file});
  EXPECT_EQ(wrong.exit_code, 5);
  EXPECT_THAT(wrong.output, AllOf(HasSubstr("does not take the user and password"), Not(HasSubstr("wrong"))));
  Credentials("site:s3cret-Pass_w\n");
  fs::permissions(file, fs::perms::group_read, fs::perm_options::add);
  const ProgramResult open = enroll({"--proxy-credentials", file});
  EXPECT_EQ(open.exit_code, 3);
  EXPECT_THAT(open.output, HasSubstr("chmod 600"));
  Credentials("site:s3cret-Pass_w\n");
  const ProgramResult right = enroll({"--proxy-credentials", file});
  EXPECT_EQ(right.exit_code, 0) << right.output;
  EXPECT_THAT(ReadText(temp_ / "sites/north/identity/identity.json"), Not(HasSubstr("s3cret")));

  Credentials("site:wrong\n");
  int exit_code = -1;
  const auto checks = Doctor("north", &exit_code);
  EXPECT_EQ(exit_code, 5);
  ASSERT_EQ(checks.count("DOC-PROXY-LOGIN"), 1u);
  EXPECT_EQ(checks.count("DOC-TLS"), 0u) << "what lies behind a problem is not tried";
  EXPECT_THAT(Site("north", {"network"}).output, HasSubstr(file));
  EXPECT_THAT(Site("north", {"network", "--proxy", "another:1"}).output, Not(HasSubstr(file))) << "told to another proxy";
}

TEST_F(NetworkTest, Proxy_ForbidsThePortOrIsNotThere) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_NO_FATAL_FAILURE(StartProxy("", "1"));
  const ProgramResult refused = Site("north", Enrolment("north", {"--proxy", proxy_}));
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_THAT(refused.output, AllOf(HasSubstr(absl::StrCat("forbids to connect to ", endpoint_)), HasSubstr("IT department")));
  ASSERT_EQ(Site("north", Enrolment("north")).exit_code, 0);
  ASSERT_EQ(Site("north", {"network", "--proxy", proxy_}).exit_code, 0);
  int exit_code = -1;
  EXPECT_EQ(Doctor("north", &exit_code).count("DOC-PROXY-FORBIDS"), 1u);
  EXPECT_EQ(exit_code, 5);
  EXPECT_EQ(Site("north", {"network", "--proxy", "http://proxy:3128"}).exit_code, 3);

  proxy_process_->Stop();
  EXPECT_EQ(Doctor("north", &exit_code).count("DOC-TCP-PROXY"), 1u);
  const ProgramResult gone = Site("south", Enrolment("south", {"--proxy", proxy_}));
  EXPECT_EQ(gone.exit_code, 5);
  EXPECT_THAT(gone.output, HasSubstr(absl::StrCat("the proxy ", proxy_, " cannot be reached")));
  ASSERT_EQ(Site("north", {"network", "--proxy", "no-such-proxy.invalid:3128"}).exit_code, 0);
  EXPECT_EQ(Doctor("north", &exit_code).count("DOC-DNS"), 1u);
  EXPECT_EQ(exit_code, 5);
}

TEST_F(NetworkTest, Keepalive_AWayThatDiedIsNoticedLongBeforeTheDeadline) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_NO_FATAL_FAILURE(StartProxy());
  ASSERT_EQ(Site("north", Enrolment("north")).exit_code, 0);
  const std::string own = temp_ / "sites/north/identity/";
  ASSERT_OK_AND_ASSIGN(
      const auto courier,
      MakeGrpcCourier({.endpoint = endpoint_,
                       .ca_pem = ReadText(own + "ca.pem"),
                       .key_pem = ReadText(own + "key.pem"),
                       .certificate_pem = ReadText(own + "certificate.pem"),
                       .proxy = {.address = proxy_},
                       .keepalive = {.site_interval = absl::Milliseconds(200), .timeout = absl::Milliseconds(500)},
                       .patience = absl::ZeroDuration()}));
  EXPECT_THAT(courier->GetStudy("none"), StatusIs(absl::StatusCode::kNotFound, HasSubstr("none")));
  // The cable is pulled: the connection stays, and nothing comes any more.
  ASSERT_EQ(::kill(proxy_process_->pid(), SIGSTOP), 0);
  const absl::Time start = absl::Now();
  EXPECT_THAT(courier->GetStudy("none"), StatusIs(absl::StatusCode::kUnavailable, HasSubstr("could not ask")));
  EXPECT_LT(absl::Now() - start, absl::Seconds(15)) << "the deadline is at 30 s";
  ASSERT_EQ(::kill(proxy_process_->pid(), SIGCONT), 0);
}

TEST_F(NetworkTest, Tls_InterceptedOrOfAnotherAuthority) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_EQ(Site("north", Enrolment("north")).exit_code, 0);
  // A device that inspects TLS shows a certificate of its own for the coordinator's host.
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate inspector, MakeAuthority("Hospital-TLS-Inspection"));
  ASSERT_OK_AND_ASSIGN(const KeyAndCertificate shown,
                       MakeServerCertificate(inspector, "Hospital-TLS-Inspection", {"127.0.0.1"}, 9));
  serve_->Stop();
  temp_.Write("coordinator/pki/server.key", shown.key_pem);
  temp_.Write("coordinator/pki/server.pem", shown.certificate_pem);
  ASSERT_NO_FATAL_FAILURE(Serve(endpoint_));
  int exit_code = -1;
  auto checks = Doctor("north", &exit_code);
  EXPECT_EQ(exit_code, 5);
  ASSERT_EQ(checks.count("DOC-TLS-INTERCEPTED"), 1u);
  const v1::DoctorCheck& found = checks["DOC-TLS-INTERCEPTED"];
  EXPECT_THAT(found.cause(), AllOf(HasSubstr("issued by 'O = Hospital-TLS-Inspection"), HasSubstr("intercepts TLS")));
  EXPECT_THAT(found.fix(), HasSubstr(absl::StrCat("exempt ", endpoint_, " from TLS inspection")));
  EXPECT_THAT(Site("south", Enrolment("south")).output, AllOf(HasSubstr("intercepts TLS"), HasSubstr("attune-site doctor")));

  // The same certificate, where the consortium says that it is the coordinator's.
  const std::string authority = temp_.Write("institution.pem", inspector.certificate_pem);
  ASSERT_EQ(Site("north", {"network", "--server-ca", authority}).exit_code, 0);
  checks = Doctor("north", &exit_code);
  EXPECT_EQ(checks["DOC-ECHO"].finding(), v1::DOCTOR_FINDING_OK) << checks["DOC-ECHO"].cause();
  EXPECT_EQ(Site("south", Enrolment("south", {"--server-ca", authority})).exit_code, 0);
  EXPECT_TRUE(fs::exists(temp_ / "sites/south/identity/server-ca.pem"));
  ASSERT_EQ(Site("north", {"network", "--no-server-ca"}).exit_code, 0);
  EXPECT_EQ(Doctor("north", &exit_code).count("DOC-TLS-INTERCEPTED"), 1u);
}

TEST_F(NetworkTest, Tls_NameOfAnotherHostAndNobodyThere) {
  ASSERT_NO_FATAL_FAILURE(StartCoordinator());
  ASSERT_EQ(Site("north", Enrolment("north")).exit_code, 0);
  const std::string identity = temp_ / "sites/north/identity/identity.json";
  int exit_code = -1;
  const std::string before = ReadText(identity);
  const auto dial = [&](const std::string& endpoint) {
    std::string text = before;
    text.replace(text.find(endpoint_), endpoint_.size(), endpoint);
    WriteText(identity, text);
    return Doctor("north", &exit_code);
  };
  EXPECT_EQ(dial(absl::StrCat("127.0.0.2", endpoint_.substr(endpoint_.find(':')))).count("DOC-TCP"), 1u);
  EXPECT_EQ(dial(absl::StrCat("localhost", endpoint_.substr(endpoint_.find(':')))).count("DOC-TLS-NAME"), 1u);
  EXPECT_EQ(exit_code, 5);
}

// A network namespace with one cable to this one, and nothing behind the cable but what listens at `near`.
class Namespace {
 public:
  Namespace()
      : name_(absl::StrCat("attune-", ::getpid())),
        cable_(absl::StrCat("at", ::getpid(), "h")),
        near_(absl::StrCat("198.18.", ::getpid() % 250, ".1")),
        beyond_(absl::StrCat("198.18.", ::getpid() % 250, ".9")) {}
  ~Namespace() {
    Ip({"link", "del", cable_});
    Ip({"netns", "del", name_});
  }

  // Empty when it was made, else why not.
  std::string Make() {
    if (!fs::exists(kIp)) return "there is no /sbin/ip (iproute2)";
    const std::string far_cable = absl::StrCat("at", ::getpid(), "n");
    const std::string far = absl::StrCat(near_.substr(0, near_.rfind('.')), ".2/30");
    for (const std::vector<std::string>& step :
         std::vector<std::vector<std::string>>{{"netns", "add", name_},
                                               {"link", "add", cable_, "type", "veth", "peer", "name", far_cable},
                                               {"link", "set", far_cable, "netns", name_},
                                               {"addr", "add", near_ + "/30", "dev", cable_},
                                               {"addr", "add", beyond_ + "/32", "dev", cable_},
                                               {"link", "set", cable_, "up"},
                                               {"-n", name_, "addr", "add", far, "dev", far_cable},
                                               {"-n", name_, "link", "set", far_cable, "up"},
                                               {"-n", name_, "link", "set", "lo", "up"}}) {
      if (const std::string failed = Ip(step); !failed.empty()) return failed;
    }
    return "";
  }

  std::vector<std::string> Prefix() const { return {kIp, "netns", "exec", name_}; }
  const std::string& near() const { return near_; }      // this end of the cable
  const std::string& beyond() const { return beyond_; }  // an address to which the namespace has no route

 private:
  std::string Ip(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), kIp);
    const std::string log = temp_ / absl::StrCat("ip-", ++count_);
    absl::StatusOr<Process> process = Process::Start(arguments, {}, log);
    if (!process.ok()) return std::string(process.status().message());
    const auto end = process->WaitFor(20);
    return end && end->exit_code == 0 ? "" : absl::StrCat("ip ", arguments[1], ": ", ReadText(log));
  }

  const std::string name_;
  const std::string cable_;
  const std::string near_;
  const std::string beyond_;
  TempFolder temp_;
  int count_ = 0;
};

TEST_F(NetworkTest, Namespace_TheProxyIsTheOnlyWayOutAndTheSiteNeverListens) {
  Namespace network;
  if (const std::string failed = network.Make(); !failed.empty()) {
    GTEST_SKIP() << "network namespaces cannot be made here: " << failed;
  }
  ASSERT_NO_FATAL_FAILURE(StartCoordinator(network.beyond()));
  ASSERT_NO_FATAL_FAILURE(StartProxy("", "", network.near()));
  ASSERT_NO_FATAL_FAILURE(MakeSites());
  const std::vector<std::string> prefix = network.Prefix();
  const auto in_namespace = [&](std::vector<std::string> command) {
    command.insert(command.begin(), prefix.begin(), prefix.end());
    return Run(command);
  };
  const ProgramResult direct = in_namespace(SiteCommand("davos", Enrolment("davos")));
  EXPECT_EQ(direct.exit_code, 5);
  EXPECT_THAT(direct.output, AllOf(HasSubstr("unreachable"), HasSubstr("--proxy"))) << "the way around the proxy is open";

  ASSERT_NO_FATAL_FAILURE(Prepare("davos", {"--proxy", proxy_}, prefix));
  const ProgramResult doctor = in_namespace(SiteCommand("davos", {"doctor"}));
  EXPECT_EQ(doctor.exit_code, 0) << doctor.output;
  ASSERT_NO_FATAL_FAILURE(RunAll("davos", prefix, [&](Process& site) {
    // Connected through the proxy, it waits for the others: now it would listen, if it ever did.
    const std::string established = absl::StrCat("dst ", network.near());
    for (int attempt = 0;; ++attempt) {
      ASSERT_LT(attempt, 300) << temp_.Read("davos.log");
      ASSERT_FALSE(site.Poll().has_value()) << temp_.Read("davos.log");
      if (!Stripped(in_namespace({"/bin/ss", "-Htn", "state", "established", established}).output).empty()) break;
    }
    EXPECT_THAT(Stripped(in_namespace({"/bin/ss", "-Hltn"}).output), IsEmpty());
    EXPECT_THAT(Stripped(in_namespace({"/bin/ss", "-Hlun"}).output), IsEmpty());
  }));
  ASSERT_EQ(in_namespace(SiteCommand("davos", {"network", "--no-proxy"})).exit_code, 0);
  const ProgramResult without = in_namespace(SiteCommand("davos", {"doctor"}));
  EXPECT_EQ(without.exit_code, 5);
  EXPECT_THAT(without.output, AllOf(HasSubstr("PROBLEM  DOC-TCP "), HasSubstr("unreachable"), HasSubstr("network --proxy")));
}

}  // namespace
}  // namespace attune::testing
