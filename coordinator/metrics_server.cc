// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics_server.h"

#include <httplib.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace attune {
namespace {

constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::size_t kThreads = 2;
constexpr std::size_t kMaxBodyBytes = 1 << 10;  // of a request: there is nothing to send
constexpr time_t kTimeoutSeconds = 5;

}  // namespace

class MetricsServer::Impl {
 public:
  Impl(const Metrics* metrics, const Desk* desk, const Invitations* invitations, std::string server_certificate_pem)
      : metrics_(metrics), desk_(desk), invitations_(invitations), server_certificate_pem_(std::move(server_certificate_pem)) {
    // The library's own would let two programs listen on one port, and each get some of the requests.
    http_.set_socket_options([](socket_t socket) {
      const int yes = 1;
      setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    });
    http_.new_task_queue = [] { return new httplib::ThreadPool(kThreads); };  // owned by the library
    http_.set_payload_max_length(kMaxBodyBytes);
    http_.set_read_timeout(kTimeoutSeconds);
    http_.set_write_timeout(kTimeoutSeconds);
    http_.Get("/healthz", [this](const httplib::Request&, httplib::Response& response) {
      const absl::Status health = desk_->StudyNames().status();
      if (!health.ok()) spdlog::error("/healthz: {}", health.ToString(absl::StatusToStringMode::kWithNoExtraData));
      response.status = health.ok() ? 200 : 503;
      response.set_content(health.ok() ? "ok\n" : "the journal cannot be read; the log says why\n", "text/plain");
    });
    http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
      const absl::StatusOr<std::string> text = metrics_->Text(*desk_, *invitations_, server_certificate_pem_);
      if (!text.ok()) spdlog::error("/metrics: {}", text.status().ToString(absl::StatusToStringMode::kWithNoExtraData));
      response.status = text.ok() ? 200 : 503;
      response.set_content(text.ok() ? *text : "the journal cannot be read; the log says why\n",
                           text.ok() ? kPrometheusText : "text/plain");
    });
  }

  ~Impl() {
    if (!thread_.joinable()) return;
    // stop() before the thread has begun to listen would be lost.
    while (!http_.is_running() && !ended_.load()) std::this_thread::yield();
    http_.stop();
    thread_.join();
  }

  bool Listen(const std::string& host, int port) {
    port_ = port != 0 ? port : http_.bind_to_any_port(host);
    if (port != 0 && !http_.bind_to_port(host, port)) return false;
    if (port_ <= 0) return false;
    thread_ = std::thread([this] {
      http_.listen_after_bind();
      ended_.store(true);
    });
    return true;
  }

  int port() const { return port_; }

 private:
  const Metrics* const metrics_;          // not owned
  const Desk* const desk_;                // not owned
  const Invitations* const invitations_;  // not owned
  const std::string server_certificate_pem_;
  httplib::Server http_;
  std::atomic<bool> ended_{false};
  int port_ = 0;
  std::thread thread_;
};

MetricsServer::MetricsServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MetricsServer::~MetricsServer() = default;

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(const std::string& listen, const Metrics* metrics,
                                                                    const Desk* desk, const Invitations* invitations,
                                                                    std::string server_certificate_pem) {
  const std::size_t colon = listen.rfind(':');
  int port = -1;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(listen.substr(colon + 1), &port) || port < 0 ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("--metrics '", listen, "' is not ADDRESS:PORT, as in 127.0.0.1:9464"));
  }
  absl::string_view host = absl::string_view(listen).substr(0, colon);
  absl::ConsumePrefix(&host, "[");
  absl::ConsumeSuffix(&host, "]");
  auto impl = std::make_unique<Impl>(metrics, desk, invitations, std::move(server_certificate_pem));
  if (!impl->Listen(std::string(host), port)) {
    return absl::UnavailableError(absl::StrCat("cannot listen on '", listen,
                                               "' for --metrics: the address is not this machine's, "
                                               "or the port is taken"));
  }
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(impl)));
}

int MetricsServer::port() const { return impl_->port(); }

}  // namespace attune
