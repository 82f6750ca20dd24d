// SPDX-License-Identifier: Apache-2.0
//
// From stored voxels to numbers: the loops in which a pass over images spends what decompression leaves.
#ifndef ATTUNE_SITE_AGENT_IMAGING_VOXEL_VALUES_H_
#define ATTUNE_SITE_AGENT_IMAGING_VOXEL_VALUES_H_

#include "site_agent/imaging/nifti.h"

namespace attune {

// The values of one run of an image's voxels, slope and intercept applied in double precision and then rounded to Real (float
// or double), into values[0 .. run.count). Returns whether all of them are finite.
template <typename Real>
bool ConvertVoxels(const NiftiImage& image, VoxelRun run, Real* values);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_VOXEL_VALUES_H_
