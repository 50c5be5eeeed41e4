#!/bin/sh
# The viewer's page in a headless Chromium: run.sh PYTHON. Exit code 77 where playwright-core cannot
# be had; CHROMIUM names another browser than the one that is found.
set -eu
python=$1
case $python in */*) python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python") ;; esac
cd "$(dirname "$0")"
if [ -z "${CHROMIUM:-}" ]; then
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        CHROMIUM=$(command -v "$name") && break
    done
fi
if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --no-fund --no-audit --ignore-scripts >/dev/null 2>&1 || exit 77
fi
FILES=$(mktemp -d)
trap 'rm -rf "$FILES"' EXIT
PYTHON=$python
export CHROMIUM FILES PYTHON
"$PYTHON" make_files.py "$FILES"
node --test --test-concurrency=1 viewer.test.mjs
