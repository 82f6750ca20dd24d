// SPDX-License-Identifier: Apache-2.0
//
// A site's images as a cohort: one image per row of participants.tsv, read within the study's mask, a few at a time.
#ifndef ATTUNE_SITE_AGENT_IMAGING_IMAGE_DATA_H_
#define ATTUNE_SITE_AGENT_IMAGING_IMAGE_DATA_H_

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "site_agent/imaging/mask.h"
#include "site_agent/imaging/nifti.h"
#include "site_agent/tables/people.h"
#include "site_agent/tables/site_data.h"

namespace attune {

// The column of participants.tsv that names each row's image (site.yaml may map it).
inline constexpr char kImageColumn[] = "image";

// One row of participants.tsv.
struct ImageRow {
  std::string name;    // the cell: the path from the folder of images
  std::string path;    // the file
  std::string sha256;  // of the file when the data were opened; empty for an excluded row
};

// Values are those of the mask's voxels, slope and intercept applied. Memory: ids and covariates, and `threads` + 1 images
// while ForEach runs, whatever the number of rows. Thread-compatible.
class ImageData final : public SiteData {
 public:
  // Reads participants.tsv, the mask and every image's header, and digests every file. Fails as SiteData::Open says, with
  // NotFound or InvalidArgument naming the image where its file cannot be read or its grid is not the mask's.
  static absl::StatusOr<std::unique_ptr<ImageData>> Open(const v1::SiteConfig& site, const v1::StudyConfig& study,
                                                         const SiteDataOptions& options);

  const ImageData* images() const override { return this; }
  const FeatureNames& features() const override { return features_; }
  const std::vector<BatchCount>& batches() const override { return people_.batches; }
  const std::vector<std::string>& notes() const override { return notes_; }
  const std::vector<std::string>& input_paths() const override { return input_paths_; }
  const std::vector<v1::FileDigest>& inputs() const override { return inputs_; }

  // Reads `threads` images at once, ahead of `visit`. Besides what Cohort says, fails with InvalidArgument when a voxel of the
  // mask is infinite, or NaN where the study allows no missing values, or an image is damaged, and with DataLoss when one was
  // changed since the data were opened; the message names the file.
  absl::Status ForEach(absl::FunctionRef<absl::Status(const Subject&)> visit) const override;

  // Everybody as ForEach gives them, but with no values and without reading an image.
  absl::Status ForEachPerson(absl::FunctionRef<absl::Status(const Subject&)> visit) const;

  const Mask& mask() const { return mask_; }
  const std::string& mask_path() const { return mask_path_; }
  std::string mask_sha256() const { return mask_.sha256(); }
  // The folder from which rows' names count.
  const std::string& folder() const { return folder_; }
  // In the order of participants.tsv, like People::rows.
  const std::vector<ImageRow>& rows() const { return rows_; }
  const People& people() const { return people_; }

  // Reads one row's image into `image` and the values of its mask into `values` (as many as features). Thread-safe. Fails as
  // ForEach does.
  absl::Status Read(std::size_t row, NiftiImage* image, std::span<double> values) const;

 private:
  ImageData(People people, Mask mask, const SiteDataOptions& options) : people_(std::move(people)), mask_(std::move(mask)) {
    features_ = FeatureNames::Voxels(mask_.voxels());
    threads_ = options.threads;
  }
  absl::Status ReadRows(const DelimitedFile& participants, std::size_t column, const SiteDataOptions& options);
  std::vector<std::size_t> RowsInOrderOfIds() const;
  absl::Status CheckNames(const DelimitedFile& participants, std::size_t column) const;

  People people_;
  Mask mask_;
  std::string mask_path_;
  std::string folder_;
  FeatureNames features_;
  bool missing_allowed_ = false;
  int threads_ = 1;
  std::vector<ImageRow> rows_;
  std::vector<std::string> notes_;
  std::vector<std::string> input_paths_;
  std::vector<v1::FileDigest> inputs_;
};

// Where a row's harmonized image belongs, from the folder of images: "a/sub-01_desc-gmHarmonized_T1w.nii.gz" for
// "a/sub-01_desc-gm_T1w.nii", after BIDS: the entity "desc", or a new one before the last word.
std::string HarmonizedImageName(const std::string& name);

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_IMAGING_IMAGE_DATA_H_
