#!/usr/bin/env bash
# Builds the page of reports (common/report/web) into build/web/report.html, which CMake takes into the programs. Does nothing where
# it is up to date. Needs Node.js 18 or later and npm; without them it says so and leaves things as they are.
set -euo pipefail
cd "$(dirname "$0")/.."
source=common/report/web
work=build/web/work
page=build/web/report.html

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  echo "deploy/build-web.sh: no Node.js and npm here: programs are built without the page of reports" >&2
  exit 0
fi
if [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 18 ]; then
  echo "deploy/build-web.sh: Node.js $(node --version) is too old (18 is needed): programs are built without the page of reports" >&2
  exit 0
fi

mkdir -p "$work"
digest() { (cd "$source" && find "$@" -type f | sort | xargs sha256sum | sha256sum); }
packages=$(digest package.json package-lock.json)
sources=$(digest .)

if [ "$(cat "$work/packages.stamp" 2>/dev/null)" != "$packages" ]; then
  cp "$source/package.json" "$source/package-lock.json" "$work/"
  if ! (cd "$work" && npm ci --no-audit --no-fund --loglevel=error); then
    echo "deploy/build-web.sh: npm could not fetch its packages: programs are built without the page of reports" >&2
    exit 0
  fi
  echo "$packages" >"$work/packages.stamp"
fi
if [ "$(cat "$work/sources.stamp" 2>/dev/null)" != "$sources" ] || [ ! -f "$page" ]; then
  rm -rf "$work/src" "$work/dist"
  cp -r "$source/." "$work/"
  (cd "$work" && npx --no-install tsc --noEmit && npx --no-install vite build --logLevel warn)
  cp "$work/dist/index.html" "$page.new"
  mv "$page.new" "$page"
  echo "$sources" >"$work/sources.stamp"
fi
