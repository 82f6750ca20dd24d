// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_SITE_AGENT_DESCRIBE_H_
#define ATTUNE_SITE_AGENT_DESCRIBE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "site_agent/home.h"
#include "site_agent/tables/site_data.h"

namespace attune {

// A frozen study in words, for the person who approves it: lines of text, each ending with '\n'.
std::string DescribeManifest(const HeldManifest& held, absl::string_view site);

// "68: lh_bankssts, ..." or "597827 voxels".
std::string DescribeFeatures(const FeatureNames& features);

// Counts per batch as aligned lines, each ending with '\n'.
std::string DescribeBatches(const std::vector<BatchCount>& batches);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_DESCRIBE_H_
