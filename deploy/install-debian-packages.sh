#!/usr/bin/env bash
# Installs the Debian 12 packages that Attune needs and that are missing, with sudo where not root.
# Usage: deploy/install-debian-packages.sh [--list]
set -euo pipefail

packages=(
  # tools
  ca-certificates ccache cmake g++ git make ninja-build pkg-config
  protobuf-compiler protobuf-compiler-grpc
  # libraries (docs/architecture.md says what each is used for)
  libabsl-dev libboost-math-dev libcli11-dev libcpp-httplib-dev libcsv-dev libdeflate-dev libeigen3-dev libgrpc++-dev
  libnifti2-dev libniftiio-dev libprotobuf-dev
  prometheus-cpp-dev libspdlog-dev libsqlite3-dev libssl-dev libyaml-cpp-dev zlib1g-dev
  # tests and benchmarks (tinyproxy-bin: the program without its service)
  iproute2 libbenchmark-dev libgmock-dev libgtest-dev tinyproxy-bin
  # make lint, make format
  clang-format clang-tidy
  # the page of reports, and its tests
  chromium nodejs npm
  # make fuzz
  clang-14 libclang-rt-14-dev
)

if [ "${1:-}" = --list ]; then
  printf '%s\n' "${packages[@]}"
  exit 0
fi

if ! command -v dpkg-query >/dev/null; then
  echo "deploy/install-debian-packages.sh: this is not a Debian system. Install the equivalents of:" >&2
  printf '  %s\n' "${packages[@]}" >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  # Node.js from elsewhere may bring npm with it, and does not go together with Debian's.
  case $package in nodejs) command -v node >/dev/null && continue ;; npm) command -v npm >/dev/null && continue ;; esac
  status=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "deploy/install-debian-packages.sh: not root and no sudo. As root, run: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi
echo "Installing ${#missing[@]} missing Debian packages: ${missing[*]}" >&2
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" >&2
