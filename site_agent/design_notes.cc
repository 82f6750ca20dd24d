// SPDX-License-Identifier: Apache-2.0
#include "site_agent/design_notes.h"

#include <Eigen/Dense>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/base/status.h"
#include "common/base/text.h"

namespace attune {
namespace {

constexpr double kDependent = 1e-8;  // on the correlation scale

// Means and centred cross-products of one batch, one person at a time.
struct Spread {
  double n = 0;
  Eigen::VectorXd mean;
  Eigen::MatrixXd centred;

  void Add(const Eigen::Ref<const Eigen::VectorXd>& x) {
    if (n == 0) {
      mean = Eigen::VectorXd::Zero(x.size());
      centred = Eigen::MatrixXd::Zero(x.size(), x.size());
    }
    n += 1;
    const Eigen::VectorXd before = x - mean;
    mean += before / n;
    centred += before * (x - mean).transpose();
  }
};

}  // namespace

absl::StatusOr<std::vector<std::string>> DescribeDesign(const std::vector<Covariate>& covariates, const Cohort& cohort) {
  const std::vector<DesignColumn> columns = DesignColumns(covariates);
  const auto p = static_cast<Eigen::Index>(columns.size());
  std::vector<std::string> notes;
  if (p == 0) return notes;
  std::map<BatchId, Spread> by_batch;
  ATTUNE_RETURN_IF_ERROR(cohort.ForEach([&](const Subject& subject) {
    if (subject.fit) {
      by_batch[subject.batch].Add(Eigen::Map<const Eigen::VectorXd>(subject.covariates.data(), p));
    }
    return absl::OkStatus();
  }));
  Eigen::MatrixXd within = Eigen::MatrixXd::Zero(p, p);
  for (const auto& [batch, spread] : by_batch) within += spread.centred;

  std::vector<std::string> constant;
  std::vector<std::string> varying_names;
  std::vector<Eigen::Index> varying;
  for (Eigen::Index j = 0; j < p; ++j) {
    const std::string& name = columns[static_cast<std::size_t>(j)].name;
    if (within(j, j) > 0) {
      varying.push_back(j);
      varying_names.push_back(name);
    } else {
      constant.push_back(name);
    }
  }
  if (!constant.empty()) {
    notes.push_back(
        absl::StrCat("the same for everybody within each batch of this site: ", JoinSome(constant),
                     ". Their effect has to come from the other sites; a study of this site alone would be refused"));
  }
  if (varying.size() > 1) {
    const Eigen::VectorXd scale = within.diagonal()(varying).cwiseSqrt().cwiseInverse();
    const Eigen::MatrixXd correlation = scale.asDiagonal() * within(varying, varying) * scale.asDiagonal();
    Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(correlation);
    qr.setThreshold(kDependent);
    if (qr.rank() < correlation.cols()) {
      notes.push_back(absl::StrCat("not independent of each other within the batches of this site: ", JoinSome(varying_names),
                                   ". Other sites have to tell them apart"));
    }
  }
  return notes;
}

}  // namespace attune
