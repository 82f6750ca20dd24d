# SPDX-License-Identifier: Apache-2.0
# Prints the seconds of sva's ComBat() call alone, on a matrix that is already in memory.
# Rscript vbm_sva.R RAW SUBJECTS SITES: RAW as of attune_voxel_bench raw; equal shares of the subjects, in order, are the sites.
args <- commandArgs(trailingOnly = TRUE)
subjects <- as.integer(args[2])
values <- readBin(args[1], "double", file.size(args[1]) / 8, size = 8, endian = "little")
dat <- matrix(values, ncol = subjects)  # voxels x subjects
batch <- factor(rep(seq_len(as.integer(args[3])), each = subjects / as.integer(args[3])))
rm(values)
invisible(gc())
suppressPackageStartupMessages(library(sva))
seconds <- system.time(suppressMessages(ComBat(dat = dat, batch = batch)))[["elapsed"]]
cat(sprintf("sva_seconds %.2f\n", seconds))
