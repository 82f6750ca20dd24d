// SPDX-License-Identifier: Apache-2.0
//
// What no program that reads and writes these images can do without: decompresses every .nii.gz of one folder twice and
// compresses every one of another once, by bare libdeflate at the level of Attune's images, all bytes in memory. Prints the
// seconds that took. Usage: attune_libdeflate_peer INPUTS OUTPUTS THREADS
#include <libdeflate.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/files.h"
#include "common/base/parallel.h"
#include "site_agent/imaging/image_derivative.h"

namespace {

using Decompressor = std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)>;
using Compressor = std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)>;

[[noreturn]] void Fail(const std::string& what) {
  std::cerr << "attune_libdeflate_peer: " << what << std::endl;
  std::exit(1);
}

std::vector<std::string> ReadImages(const std::string& folder) {
  std::vector<std::string> images;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (!absl::EndsWith(name, ".nii.gz") || !absl::StartsWith(name, "sub-")) continue;
    auto bytes = attune::ReadFile(entry.path().string());
    if (!bytes.ok()) Fail(std::string(bytes.status().message()));
    images.push_back(*std::move(bytes));
  }
  if (images.empty()) Fail("no image in '" + folder + "'");
  return images;
}

// The last four bytes of a gzip file of one member.
std::size_t SizeOf(const std::string& image) {
  std::uint32_t size = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    size |= static_cast<std::uint32_t>(static_cast<unsigned char>(image[image.size() - 4 + i])) << (8 * i);
  }
  return size;
}

void Inflate(const std::string& image, std::string* out) {
  thread_local const Decompressor decompressor(libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  out->resize(SizeOf(image));
  if (libdeflate_gzip_decompress(decompressor.get(), image.data(), image.size(), out->data(), out->size(), nullptr) !=
      LIBDEFLATE_SUCCESS) {
    Fail("an image is damaged");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) Fail("expected: INPUTS OUTPUTS THREADS");
  const int threads = std::max(1, std::atoi(argv[3]));
  const std::vector<std::string> inputs = ReadImages(argv[1]);
  std::vector<std::string> outputs = ReadImages(argv[2]);
  for (std::string& output : outputs) {
    std::string inflated;
    Inflate(output, &inflated);
    output = std::move(inflated);
  }
  const auto start = std::chrono::steady_clock::now();
  for (int pass = 0; pass < 2; ++pass) {
    attune::ParallelFor(inputs.size(), threads, [&](std::size_t i) {
      thread_local std::string buffer;
      Inflate(inputs[i], &buffer);
    });
  }
  attune::ParallelFor(outputs.size(), threads, [&](std::size_t i) {
    thread_local std::string buffer;
    thread_local const Compressor compressor(libdeflate_alloc_compressor(attune::kGzipLevel), libdeflate_free_compressor);
    buffer.resize(libdeflate_gzip_compress_bound(compressor.get(), outputs[i].size()));
    if (libdeflate_gzip_compress(compressor.get(), outputs[i].data(), outputs[i].size(), buffer.data(), buffer.size()) == 0) {
      Fail("an image cannot be compressed");
    }
  });
  std::cout << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() << std::endl;
  return 0;
}
