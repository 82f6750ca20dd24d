// SPDX-License-Identifier: Apache-2.0
#include "coordinator/metrics.h"

#include <prometheus/counter.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "common/base/status.h"

namespace attune {
namespace {

prometheus::MetricFamily Gauge(const char* name, const char* help) {
  prometheus::MetricFamily family;
  family.name = name;
  family.help = help;
  family.type = prometheus::MetricType::Gauge;
  return family;
}

void Add(prometheus::MetricFamily& family, double value, const char* label = nullptr, const std::string& label_value = "") {
  prometheus::ClientMetric metric;
  if (label != nullptr) metric.label.push_back({label, label_value});
  metric.gauge.value = value;
  family.metric.push_back(std::move(metric));
}

}  // namespace

struct Metrics::Counters {
  prometheus::Registry registry;
  prometheus::Family<prometheus::Counter>& calls =
      prometheus::BuildCounter().Name("attune_calls_total").Help("Calls by name and status code").Register(registry);
  prometheus::Family<prometheus::Counter>& refused = prometheus::BuildCounter()
                                                         .Name("attune_refused_calls_total")
                                                         .Help("Calls refused by a limit, or for who the caller is")
                                                         .Register(registry);
  prometheus::Counter& received = prometheus::BuildCounter()
                                      .Name("attune_received_bytes_total")
                                      .Help("Bytes of answers received over the network")
                                      .Register(registry)
                                      .Add({});
};

Metrics::Metrics() : counters_(std::make_unique<Counters>()) {}
Metrics::~Metrics() = default;

void Metrics::CountCall(const std::string& call, const std::string& code) {
  counters_->calls.Add({{"call", call}, {"code", code}}).Increment();
}

void Metrics::CountRefused(const std::string& reason) { counters_->refused.Add({{"reason", reason}}).Increment(); }

void Metrics::CountReceived(std::uint64_t bytes) { counters_->received.Increment(static_cast<double>(bytes)); }

absl::StatusOr<std::string> Metrics::Text(const Desk& desk, const Invitations& invitations,
                                          const std::string& server_certificate_pem) const {
  std::vector<prometheus::MetricFamily> families = counters_->registry.Collect();
  prometheus::MetricFamily server =
      Gauge("attune_server_certificate_days_left", "Days until the certificate that 'serve' shows expires; negative: it has");
  ATTUNE_ASSIGN_OR_RETURN(const int server_days, DaysLeft(server_certificate_pem));
  Add(server, server_days);
  families.push_back(std::move(server));

  prometheus::MetricFamily certificates = Gauge(
      "attune_site_certificate_days_left", "Days until the newest certificate of an enrolled site expires; negative: it has");
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<MemberRecord> sites, invitations.Sites());
  for (const MemberRecord& site : sites) {
    if (site.state == "enrolled" || site.state == "expired") Add(certificates, site.certificate_days_left, "site", site.name);
  }
  families.push_back(std::move(certificates));

  prometheus::MetricFamily studies = Gauge("attune_studies", "Studies by state");
  prometheus::MetricFamily waited = Gauge("attune_sites_waited_for", "Sites whose answer or report a study waits for");
  ATTUNE_ASSIGN_OR_RETURN(const std::vector<StudyStatus> all, desk.ListStudies());
  std::map<std::string, int> by_state;
  for (const StudyStatus& study : all) {
    ++by_state[StateName(study.state)];
    Add(waited, static_cast<double>(study.WaitingFor().size()), "study", study.name);
  }
  for (const auto& [state, count] : by_state) Add(studies, count, "state", state);
  families.push_back(std::move(studies));
  families.push_back(std::move(waited));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace attune
