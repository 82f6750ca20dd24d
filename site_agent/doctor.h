// SPDX-License-Identifier: Apache-2.0
//
// 'attune-site doctor': what may keep this site from taking part, each with its cause and what to do. Looks only; what leaves
// the machine is one handshake and noise that the coordinator sends back.
#ifndef ATTUNE_SITE_AGENT_DOCTOR_H_
#define ATTUNE_SITE_AGENT_DOCTOR_H_

#include <string>

#include "absl/status/status.h"
#include "attune/v1/doctor.pb.h"
#include "attune/v1/site_state.pb.h"
#include "site_agent/home.h"

namespace attune {

// Everything: identity, disk, policy, data, and the network (doctor_network.h) or the folder that is exchanged.
v1::DoctorReport Examine(const Home& home);

// ---- The checks of this machine. ----

// Room and right to write in the site's folder.
v1::DoctorCheck CheckDisk(const std::string& folder);
// policy.yaml is there and can be read; what it says is checked by 'policy check'.
v1::DoctorCheck CheckPolicyFile(const Home& home);
// site.yaml and the tables that it names can be read; what they say is checked by 'check'.
v1::DoctorCheck CheckData(const Home& home);
// This site's certificate by its days.
v1::DoctorCheck CheckCertificate(const Home& home);
// The folder that is exchanged is there and may be written to.
v1::DoctorCheck CheckExchangeFolder(const std::string& folder);

// ---- What comes of them. ----

v1::DoctorCheck GoodCheck(std::string code, std::string cause);
v1::DoctorCheck WarningCheck(std::string code, std::string cause, std::string fix);
v1::DoctorCheck ProblemCheck(std::string code, std::string cause, std::string fix);

// "PROBLEM  DOC-DNS  <cause>. Fix: <fix>"
std::string LineOf(const v1::DoctorCheck& check);

// OK without problems; Unavailable when one is of the network, else FailedPrecondition. The message counts them.
absl::Status VerdictOf(const v1::DoctorReport& report);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_DOCTOR_H_
