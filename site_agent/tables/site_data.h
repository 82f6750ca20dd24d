// SPDX-License-Identifier: Apache-2.0
//
// A site's tables as a cohort: participants and features, joined by participant id, read in the study's terms.
#ifndef ATTUNE_SITE_AGENT_TABLES_SITE_DATA_H_
#define ATTUNE_SITE_AGENT_TABLES_SITE_DATA_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "attune/v1/config.pb.h"
#include "attune/v1/outputs.pb.h"
#include "common/kernel/cohort.h"
#include "common/kernel/feature_names.h"
#include "common/tables/tsv_writer.h"

namespace attune {

class ImageData;  // site_agent/imaging/image_data.h

struct SiteDataOptions {
  std::string site;    // the first part of every batch id
  std::string folder;  // where the relative paths of site.yaml start
  // The study's features, in its order, once the manifest is frozen (or from a model). Empty: what the study's column patterns
  // select, in the order of the tables' columns, or all voxels of the mask.
  FeatureNames features;
  std::string mask;                     // images: the file of the study's mask
  std::string mask_sha256;              // what it must be; empty: any
  int threads = 1;                      // images: that read at once
  bool allow_harmonized_input = false;  // --force: read a table that carries our sidecar
  bool for_apply = false;               // a model is applied: fit_on columns need not be there
  std::string batch_label;              // everybody's batch, whatever the study's columns; empty: as these say
};

struct BatchCount {
  BatchId batch;
  std::int64_t subjects = 0;  // rows that will be harmonized
  std::int64_t fit = 0;       // of these, rows that the model is estimated on
  std::int64_t excluded = 0;  // rows left out because a covariate is missing (missing_covariates: exclude)
};

// Opening reads and checks every cell once, so that what comes after cannot fail on the data. Memory: ids, covariates and one
// row of features, not the table. Thread-compatible.
class SiteData : public Cohort {
 public:
  // Fails with NotFound or InvalidArgument: file, line, column and what to do. These messages name rows and values: they are
  // for the site's own eyes and never sent.
  static absl::StatusOr<std::unique_ptr<SiteData>> Open(const v1::SiteConfig& site, const v1::StudyConfig& study,
                                                        const SiteDataOptions& options);

  virtual const FeatureNames& features() const = 0;
  // This, where the features are images.
  virtual const ImageData* images() const { return nullptr; }
  virtual const std::vector<BatchCount>& batches() const = 0;  // sorted by id
  // For people: columns set aside, merged hemispheres, mapped names.
  virtual const std::vector<std::string>& notes() const = 0;
  // Every input file, in the order of site.yaml.
  virtual const std::vector<std::string>& input_paths() const = 0;
  // Their SHA-256; names without folders.
  virtual const std::vector<v1::FileDigest>& inputs() const = 0;

  // Writes the table again, for `path` (.tsv), where the caller's Commit puts it: the same columns, order and ids; features as
  // `apply` returns them, with 17 significant digits; cells that come back unchanged keep their text; other columns keep
  // theirs; features of excluded rows and missing values are n/a. `apply` is called once per row that is not excluded, in the
  // order of rows. FailedPrecondition where the data are no table.
  virtual absl::StatusOr<TsvWriter> StageTable(
      const std::string& path, absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply) const;
};

}  // namespace attune

#endif  // ATTUNE_SITE_AGENT_TABLES_SITE_DATA_H_
