#!/bin/sh
# What the tests run through, of Python and C: coverage.sh PYTHON [PYTEST ARGUMENT...]
#
# In a copy of the tree under build/coverage, whose compiled side counts its lines (CMODEL_COVERAGE);
# the tests that need data are left out. Pages: build/coverage/python, build/coverage/c.
set -eu
python=$1
shift
root=$(cd "$(dirname "$0")/.." && pwd)
out=$root/build/coverage
tree=$out/tree
rm -rf "$out"
mkdir -p "$tree"
git -C "$root" ls-files -z | tar -C "$root" --null -T - -cf - | tar -C "$tree" -xf -
cd "$tree"
echo "-- building with counters"
CMODEL_COVERAGE=1 "$python" setup.py -q build_clib build_ext --inplace
echo "-- Python tests"
export PYTHONPATH="$tree/src" COVERAGE_FILE="$out/python.data"
"$python" -m coverage run -m pytest -q -m 'not data' "$@"
"$python" -m coverage combine --quiet "$out"
"$python" -m coverage html --quiet --directory "$out/python"
"$python" -m coverage json --quiet -o "$out/python.json"
echo "-- C tests of the kernels"
make -s -C tests/native coverage
echo "-- Python: the modules with the most lines that no test reaches"
"$python" -m coverage report --sort=-miss | { head -22; tail -1; }
echo "-- C kernels"
mkdir -p "$out/c"
"$python" -m gcovr --root "$tree" --filter ext/kernels/ --gcov-ignore-parse-errors=all \
    --gcov-ignore-errors=all --merge-mode-functions=separate \
    --html-nested "$out/c/index.html" --json-summary "$out/c.json" --txt - "$tree" | cut -c1-60
