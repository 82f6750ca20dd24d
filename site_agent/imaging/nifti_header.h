// SPDX-License-Identifier: Apache-2.0
//
// The two versions of the header, and what must be true of them.
#ifndef ATTUNE_SITE_AGENT_IMAGING_NIFTI_HEADER_H_
#define ATTUNE_SITE_AGENT_IMAGING_NIFTI_HEADER_H_

#include <cstddef>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "site_agent/imaging/nifti.h"

namespace attune {

inline constexpr std::size_t kNifti1HeaderBytes = 348;
inline constexpr std::size_t kNifti2HeaderBytes = 540;

// The header at the beginning of `bytes`, which are those of a file or at least its first kNifti2HeaderBytes. Fails as
// ReadNiftiHeader does, naming `path`.
absl::StatusOr<NiftiHeader> ParseNiftiHeader(const std::string& path, absl::string_view bytes);

// The geometry of a header (sizes, spacings, both matrices, the unit of length), for voxels of `type` without a scale, in the
// same version of NIfTI, and the four bytes that say that no extension follows. Nothing else is taken over: what else a header
// holds may tell who was imaged, when and how.
std::string GeometryHeader(const NiftiHeader& geometry, ImageType type);

// InvalidArgument: the image is of a kind that is not accepted, or (damaged) is not what was once written.
absl::Status ImageError(const std::string& path, absl::string_view what);
absl::Status DamagedImage(const std::string& path, absl::string_view what);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_NIFTI_HEADER_H_
