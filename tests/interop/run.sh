#!/bin/sh
# Every reader over every conformance vector, with counts: run.sh PYTHON
# What cannot be built here is named and left out.
set -eu
python=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
check="$python $root/spec/vectors/check.py"
$check "$python" "$root/tests/interop/cmodel_read.py"
make -s -C "$root/spec/readers/c" BUILD="$work"
$check "$work/cmodel-read"
if command -v node >/dev/null; then
    $check node "$root/spec/readers/js/cmodel-read.mjs"
else
    echo "left out: node is not installed, so the JavaScript reader is not checked"
fi
if command -v cargo >/dev/null; then
    (cd "$root/spec/readers/rust" && CARGO_TARGET_DIR="$work/rust" cargo build --quiet --release --offline --locked)
    $check "$work/rust/release/cmodel-read"
else
    echo "left out: cargo is not installed, so the Rust reader is not checked"
fi
