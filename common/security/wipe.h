// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_COMMON_SECURITY_WIPE_H_
#define ATTUNE_COMMON_SECURITY_WIPE_H_

#include <string>

namespace attune {

// Overwrites the bytes of a secret, in a way that no optimizer removes, and leaves the string empty.
void Wipe(std::string& secret);

}  // namespace attune

#endif  // ATTUNE_COMMON_SECURITY_WIPE_H_
