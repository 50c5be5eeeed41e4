#!/bin/sh
# Fuzzes the Python readers with atheris and the C reader with libFuzzer: run.sh PYTHON SECONDS
# SECONDS are shared among the targets. What cannot be had is named and left out.
set -eu
python=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
seconds=$2
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if ! "$python" -c 'import atheris' 2>/dev/null; then
    "$python" -m pip --disable-pip-version-check --quiet install atheris 2>/dev/null || true
fi
share=$((seconds / 4))
if "$python" -c 'import atheris' 2>/dev/null; then
    "$python" "$root/tests/fuzz/seeds.py" "$work/seeds"
    for target in container caffemodel prototxt; do
        echo "-- atheris: fuzz_$target.py, $share s"
        mkdir -p "$work/$target"
        corpus=$work/$target
        if [ $target = container ]; then corpus="$corpus $work/seeds"; fi
        # shellcheck disable=SC2086
        (cd "$work" && "$python" "$root/tests/fuzz/fuzz_$target.py" -max_total_time=$share $corpus) \
            >"$work/log" 2>&1 || { tail -40 "$work/log"; echo "fuzz_$target.py failed"; exit 1; }
        grep -E '^Done' "$work/log"
    done
else
    echo "left out: atheris cannot be installed here"
fi
if command -v clang >/dev/null; then
    echo "-- libFuzzer: spec/readers/c, $share s"
    make -s -C "$root/spec/readers/c" fuzz BUILD="$work" FUZZ_SECONDS=$share >"$work/log" 2>&1 ||
        { tail -40 "$work/log"; exit 1; }
    grep -E 'Done' "$work/log"
else
    echo "left out: clang is not installed, so the C reader is not fuzzed"
fi
