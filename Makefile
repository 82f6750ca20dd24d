# SPDX-License-Identifier: Apache-2.0
# What a person types. Each target sets up what it needs on Debian 12 (deploy/install-debian-packages.sh).
SHELL := /bin/bash
JOBS ?= $(shell nproc)

.PHONY: demo test build bench fuzz soak lint format setup

setup:
	@deploy/install-debian-packages.sh

# The programs, in build/release/bin/.
build: setup
	deploy/build-web.sh
	cmake --preset release -DATTUNE_BUILD_TESTS=OFF -DATTUNE_BUILD_BENCHMARKS=OFF
	cmake --build --preset release --parallel $(JOBS)

# Made-up consortia, one of a table and one of images, harmonized by real processes over mTLS; shows the effects found against the true
# ones.
demo: build
	build/release/bin/attune-simulate --demo --force --out build/demo
	build/release/bin/attune-simulate --demo-images --force --out build/demo-images

# Everything that CI runs: all tests optimized, all under ASan and UBSan, the threaded ones under TSan.
test: setup
	deploy/test.sh $(JOBS)

# Ratios against a reference measured in the same run. BENCH_IMAGES: a folder of real images (tests/bench/voxels.sh).
bench: setup
	cmake --preset release -DATTUNE_BUILD_BENCHMARKS=ON
	cmake --build --preset release --parallel $(JOBS)
	mkdir -p build/bench
	TMPDIR=$(CURDIR)/build/bench tests/bench/run.sh build/release/bin
	TMPDIR=$(CURDIR)/build/bench tests/bench/voxels.sh build/release/bin $(BENCH_IMAGES)

# Every parser and message that comes from outside, FUZZ_SECONDS each, by libFuzzer.
fuzz: setup
	cmake --preset fuzz
	cmake --build --preset fuzz --parallel $(JOBS)
	tests/fuzz/run.sh build/fuzz $(JOBS)

# Studies again and again, and the longer fault tests: nothing may grow, nothing may be lost.
soak: build
	tests/soak/run.sh build/release/bin

lint: setup
	cmake --preset dev
	cmake --build --preset dev --parallel $(JOBS) --target attune_proto attune_proto_grpc
	deploy/lint.sh $(JOBS)

format: setup
	git ls-files '*.cc' '*.h' | xargs clang-format -i
