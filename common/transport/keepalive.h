// SPDX-License-Identifier: Apache-2.0
//
// The pings of both ends of a connection. One header for both, so that they fit each other: a site that pings more often than
// the coordinator tolerates is cut off ("too_many_pings").
#ifndef ATTUNE_COMMON_TRANSPORT_KEEPALIVE_H_
#define ATTUNE_COMMON_TRANSPORT_KEEPALIVE_H_

#include "absl/time/time.h"

namespace attune {

struct Keepalive {
  // A site pings while a call is open and nothing else travels: firewalls forget connections that are silent for a minute.
  absl::Duration site_interval = absl::Seconds(20);
  // Pings that come faster than this count against the site.
  absl::Duration shortest_tolerated = absl::Seconds(10);
  // The coordinator pings whether a call is open or not: the connection of a site that vanished ends.
  absl::Duration coordinator_interval = absl::Seconds(45);
  // Without an answer for so long the connection counts as broken.
  absl::Duration timeout = absl::Seconds(15);
};

// Whether the two ends fit, with room for a network that delays one ping and not the next.
inline bool Fits(const Keepalive& keepalive) { return keepalive.site_interval >= 2 * keepalive.shortest_tolerated; }

}  // namespace attune

#endif  // ATTUNE_COMMON_TRANSPORT_KEEPALIVE_H_
