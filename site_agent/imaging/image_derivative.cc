// SPDX-License-Identifier: Apache-2.0
#include "site_agent/imaging/image_derivative.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/crash_point.h"
#include "common/base/digest.h"
#include "common/base/files.h"
#include "common/base/mapped_file.h"
#include "common/base/parallel.h"
#include "common/base/status.h"
#include "common/base/version.h"
#include "common/kernel/study_facts.h"
#include "common/tables/tsv_writer.h"
#include "common/wire/harmonized_input.h"
#include "common/wire/json.h"
#include "common/wire/manifest.h"
#include "common/wire/model_file.h"
#include "site_agent/imaging/progress.h"

namespace attune {
namespace {

namespace fs = std::filesystem;

const char* NameOf(ImageType type) { return type == ImageType::kFloat64 ? "float64" : "float32"; }

// Letters and digits, as a value of a BIDS entity may have.
std::string Alphanumeric(absl::string_view text) {
  std::string kept;
  for (const char c : text) {
    if (absl::ascii_isalnum(static_cast<unsigned char>(c))) kept += c;
  }
  return kept;
}

// One image of the model.
struct Map {
  std::string name;
  std::vector<double> values;
};

class Writer {
 public:
  Writer(const ImageData& data, const std::map<BatchId, BatchModel>& models,
         absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply, const v1::Sidecar& sidecar,
         const v1::ModelFile& model, const ImageOutput& output)
      : data_(data), models_(models), apply_(apply), sidecar_(sidecar), model_(model), output_(output) {}

  absl::Status WriteImages() {
    std::vector<std::size_t> rows;
    for (std::size_t row = 0; row < data_.rows().size(); ++row) {
      if (!data_.people().rows[row].excluded) rows.push_back(row);
    }
    Progress progress("harmonized", "images", rows.size());
    // Each thread has buffers of its own, which it uses again.
    std::vector<absl::Status> statuses(rows.size());
    std::atomic<bool> failed{false};
    std::atomic<std::size_t> next{0};
    const auto threads = static_cast<std::size_t>(std::max(1, output_.threads));
    ParallelFor(std::min(threads, rows.size()), output_.threads, [&](std::size_t) {
      Buffers buffers;
      for (std::size_t i = next++; i < rows.size() && !failed; i = next++) {
        statuses[i] = WriteImage(rows[i], &buffers);
        if (!statuses[i].ok()) failed = true;
        progress.Step();
      }
    });
    for (const absl::Status& status : statuses) ATTUNE_RETURN_IF_ERROR(status);
    return absl::OkStatus();
  }

  // alpha, sigma and beta are those of all batches; gamma and delta (not its square) each batch's own.
  absl::Status WriteMaps() {
    if (models_.empty()) return absl::OkStatus();
    std::vector<std::pair<std::string, std::function<std::vector<double>()>>> maps;
    const auto row = [](const Blocks& parameters, const char* name, Eigen::Index i) {
      const auto block = parameters[name];
      std::vector<double> values(static_cast<std::size_t>(block.cols()));
      for (Eigen::Index f = 0; f < block.cols(); ++f) values[static_cast<std::size_t>(f)] = block(i, f);
      return values;
    };
    const Blocks& any = models_.begin()->second.parameters;
    maps.emplace_back("desc-alpha_map", [&] { return row(any, "alpha", 0); });
    maps.emplace_back("desc-sigma_map", [&] { return row(any, "sigma", 0); });
    for (Eigen::Index i = 0; i < any["beta"].rows(); ++i) {
      maps.emplace_back(absl::StrCat("desc-beta", Alphanumeric(model_.design_columns(static_cast<int>(i))), "_map"),
                        [&, i] { return row(any, "beta", i); });
    }
    std::set<std::string> labels;
    for (const auto& [batch, model] : models_) {
      // Two labels may differ in what a file's name cannot hold.
      std::string label = Alphanumeric(LabelOf(batch));
      while (label.empty() || !labels.insert(label).second) label += "x";
      const Blocks& own = model.parameters;
      maps.emplace_back(absl::StrCat("batch-", label, "_desc-gamma_map"), [&] { return row(own, "gamma", 0); });
      maps.emplace_back(absl::StrCat("batch-", label, "_desc-delta_map"), [&] {
        std::vector<double> values = row(own, "delta2", 0);
        for (double& value : values) value = std::sqrt(value);
        return values;
      });
    }
    ATTUNE_RETURN_IF_ERROR(MakeFolder(PathIn("maps"), FileAccess::kShared));
    std::vector<absl::Status> statuses(maps.size());
    ParallelFor(maps.size(), output_.threads, [&](std::size_t i) {
      NiftiBuffers buffers;
      const std::string path = PathIn(absl::StrCat("maps/", maps[i].first, ".nii.gz"));
      const Mask& mask = data_.mask();
      auto staged = StageNifti(path, mask.header(), nullptr, mask.runs(), maps[i].second(), output_.type, kGzipLevel,
                               FileAccess::kShared, &buffers);
      statuses[i] = staged.ok() ? std::move(staged->file).Place() : staged.status();
    });
    for (const absl::Status& status : statuses) ATTUNE_RETURN_IF_ERROR(status);
    return absl::OkStatus();
  }

  std::string PathIn(absl::string_view name) const { return (fs::path(output_.folder) / std::string(name)).string(); }

 private:
  struct Buffers {
    NiftiImage input;
    NiftiBuffers output;
    std::vector<double> values;
    std::vector<double> harmonized;
  };

  v1::Sidecar SidecarOfImage(std::size_t row) const {
    const ImageRow& image = data_.rows()[row];
    v1::Sidecar sidecar = sidecar_;
    sidecar.clear_notes();
    sidecar.set_subjects(1);
    sidecar.clear_subjects_excluded();
    sidecar.clear_inputs();
    sidecar.clear_batches();
    sidecar.add_batches(data_.people().SubjectOf(row, {}).batch);
    v1::FileDigest* input = sidecar.add_inputs();
    input->set_file(fs::path(image.path).filename().string());
    input->set_sha256(image.sha256);
    sidecar.set_output_type(absl::StrCat(NameOf(output_.type), ", gzip level ", kGzipLevel));
    return sidecar;
  }

  // Whether an earlier run has written this very image.
  bool IsFinished(const std::string& path, const v1::Sidecar& expected) const {
    const auto text = ReadFile(SidecarPathOf(path));
    v1::Sidecar found;
    if (!text.ok() || !FromJson(*text, path, &found).ok()) return false;
    const std::string output_sha256 = found.output_sha256();
    found.clear_output_sha256();
    if (found.SerializeAsString() != expected.SerializeAsString()) return false;
    const auto here = Sha256OfFile(path);
    return here.ok() && *here == output_sha256;
  }

  absl::Status WriteImage(std::size_t row, Buffers* buffers) const {
    const std::string path = PathIn(absl::StrCat("images/", HarmonizedImageName(data_.rows()[row].name)));
    v1::Sidecar sidecar = SidecarOfImage(row);
    if (IsFinished(path, sidecar)) return absl::OkStatus();
    buffers->values.resize(data_.features().size());
    buffers->harmonized.resize(data_.features().size());
    ATTUNE_RETURN_IF_ERROR(data_.Read(row, &buffers->input, buffers->values));
    ATTUNE_RETURN_IF_ERROR(apply_(data_.people().SubjectOf(row, buffers->values), buffers->harmonized));
    double sum = 0;
    for (std::size_t v = 0; v < buffers->values.size(); ++v) {
      // A missing value stays missing.
      if (!std::isnan(buffers->values[v])) sum += buffers->harmonized[v] - buffers->harmonized[v];
    }
    if (sum != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(data_.rows()[row].path, ": a harmonized voxel is not a finite number; look for extreme values in it"));
    }
    ATTUNE_RETURN_IF_ERROR(MakeFolder(fs::path(path).parent_path().string(), FileAccess::kShared));
    // The image last: what has no sidecar could be taken for data that were never harmonized.
    ATTUNE_ASSIGN_OR_RETURN(StagedImage staged,
                            StageNifti(path, buffers->input.header, &buffers->input, data_.mask().runs(), buffers->harmonized,
                                       output_.type, kGzipLevel, FileAccess::kShared, &buffers->output));
    sidecar.set_output_sha256(staged.sha256);
    ATTUNE_ASSIGN_OR_RETURN(AtomicFile text, AtomicFile::Create(SidecarPathOf(path), FileAccess::kShared));
    text.Write(ToJson(sidecar));
    ATTUNE_RETURN_IF_ERROR(std::move(text).Place());
    CrashPoint("site.image_staged");
    return std::move(staged.file).Place();
  }

  const ImageData& data_;
  const std::map<BatchId, BatchModel>& models_;
  const absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply_;
  const v1::Sidecar& sidecar_;  // as it is when the images are written
  const v1::ModelFile& model_;
  const ImageOutput& output_;
};

absl::Status CopyFile(const std::string& from, const std::string& to) {
  std::error_code ignored;
  if (fs::equivalent(from, to, ignored)) return absl::OkStatus();
  ATTUNE_ASSIGN_OR_RETURN(const auto bytes, MappedFile::Open(from));
  ATTUNE_ASSIGN_OR_RETURN(AtomicFile file, AtomicFile::Create(to, FileAccess::kShared));
  file.Write(bytes->bytes());
  return std::move(file).Place();
}

// No output may lie where an input lies, whatever name it goes by.
absl::Status CheckImagesAreNoInputs(const ImageData& data, const Writer& writer) {
  std::error_code ignored;
  for (const ImageRow& row : data.rows()) {
    const std::string path = writer.PathIn(absl::StrCat("images/", HarmonizedImageName(row.name)));
    if (row.name.empty() || !FileExists(path)) continue;
    for (const std::string& input : data.input_paths()) {
      if (!fs::equivalent(input, path, ignored)) continue;
      return absl::AlreadyExistsError(
          absl::StrCat("the output would replace the image that is read, '", input, "'; choose another folder"));
    }
  }
  return absl::OkStatus();
}

absl::Status WriteTable(const ImageData& data, const std::string& path) {
  ATTUNE_ASSIGN_OR_RETURN(TsvWriter table, TsvWriter::Create(path, FileAccess::kShared));
  table.WriteRow({"participant_id", kImageColumn});
  for (std::size_t row = 0; row < data.rows().size(); ++row) {
    const Person& person = data.people().rows[row];
    table.WriteRow({person.id, person.excluded ? "n/a" : absl::StrCat("images/", HarmonizedImageName(data.rows()[row].name))});
  }
  return std::move(table).Commit();
}

}  // namespace

absl::Status WriteImageDerivative(const ImageData& data, const std::map<BatchId, BatchModel>& models,
                                  absl::FunctionRef<absl::Status(const Subject&, std::span<double> out)> apply,
                                  v1::Sidecar sidecar, v1::ModelFile model, const ImageOutput& output) {
  ATTUNE_RETURN_IF_ERROR(CheckDerivativeFree(output.folder, output.force));
  ATTUNE_RETURN_IF_ERROR(CheckIsNoInput(data, output.folder));
  Writer writer(data, models, apply, sidecar, model, output);
  ATTUNE_RETURN_IF_ERROR(CheckImagesAreNoInputs(data, writer));
  ATTUNE_RETURN_IF_ERROR(MakeFolder(output.folder, FileAccess::kShared));

  // From here on the table of an earlier run must not stand beside what is new.
  const std::string table = writer.PathIn(kHarmonizedImages);
  if (::unlink(table.c_str()) != 0 && errno != ENOENT) {
    return absl::InternalError(absl::StrCat("cannot replace '", table, "': ", std::strerror(errno)));
  }
  model.mutable_parameters()->set_file(kModelParameters);
  ATTUNE_ASSIGN_OR_RETURN(*model.mutable_parameters()->mutable_sha256(),
                          WriteModels(writer.PathIn(kModelParameters), model.manifest_sha256(), models));
  const std::string model_json = ToJson(model);
  FillInSidecar(data, model_json, &sidecar);
  const auto write = [&](const char* name, absl::string_view text) {
    return WriteFileAtomically(writer.PathIn(name), text, FileAccess::kShared);
  };
  ATTUNE_RETURN_IF_ERROR(write(kHarmonizedImagesSidecar, ToJson(sidecar)));
  ATTUNE_RETURN_IF_ERROR(write(kDescriptionFile, DatasetDescription(sidecar.study())));
  ATTUNE_RETURN_IF_ERROR(CopyFile(data.mask_path(), writer.PathIn(model.mask().file())));
  ATTUNE_RETURN_IF_ERROR(write(kModelFile, model_json));
  CrashPoint("site.model_written");
  ATTUNE_RETURN_IF_ERROR(writer.WriteMaps());
  ATTUNE_RETURN_IF_ERROR(writer.WriteImages());
  // The table says that all of it is there, also after a power cut. Once for all: a wait for the disk at every image would take
  // longer than the images do.
  ATTUNE_RETURN_IF_ERROR(SyncFileSystem(output.folder));
  return WriteTable(data, table);
}

}  // namespace attune
