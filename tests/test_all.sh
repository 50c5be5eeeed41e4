#!/bin/sh
# What `make test-all` does after `make test`: test_all.sh PYTHON
set -eu
python=$1
here=$(dirname "$0")

need() { # need COMMAND PACKAGE...: install Debian packages where a command is missing
    command=$1
    shift
    command -v "$command" >/dev/null && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "== Installing $*"
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1 ||
            { apt-get update -qq >/dev/null 2>&1 &&
                DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null 2>&1; } ||
            echo "   $* cannot be installed"
    fi
    if command -v "$command" >/dev/null; then
        fresh="$fresh $command"
    else
        missing="$missing $command"
    fi
}

missing=
fresh=
need node nodejs
need npm npm
need cargo cargo rustc
need clang clang
need arm-linux-gnueabihf-gcc gcc-arm-linux-gnueabihf
need qemu-arm qemu-user
need valgrind valgrind
for name in chromium-browser google-chrome google-chrome-stable chromium; do
    command -v "$name" >/dev/null && break
done || need chromium chromium

echo "== Retraining, with PyTorch"
"$python" -c 'import torch' 2>/dev/null ||
    "$python" -m pip --disable-pip-version-check --quiet install torch==2.13.0 || true
if "$python" -c 'import torch' 2>/dev/null; then
    "$python" -m pytest -q "$here/finetune"
else
    missing="$missing torch"
fi
echo "== Scale-out, with dask"
"$python" -c 'import distributed' 2>/dev/null ||
    "$python" -m pip --disable-pip-version-check --quiet install 'distributed>=2026.8' || true
if "$python" -c 'import distributed' 2>/dev/null; then
    "$python" -m pytest -q "$here/scaleout"
else
    missing="$missing distributed"
fi
echo "== Readers in C, JavaScript and Rust over all vectors"
sh "$here/interop/run.sh" "$python"
if [ -n "$fresh" ]; then
    echo "== Again with$fresh: containers of this package through the other readers"
    "$python" -m pytest -q "$here/interop"
fi
case " $missing " in
*" chromium "* | *" node "* | *" npm "*) ;;
*)
    echo "== The viewer's page in a headless Chromium"
    status=0
    sh "$here/viewer/browser/run.sh" "$python" || status=$?
    case $status in
    0) ;;
    77) missing="$missing playwright-core" ;;
    *) exit "$status" ;;
    esac
    ;;
esac
echo "== The documentation site: pages, links, anchors"
status=0
"$python" "$here/../docs/build_site.py" || status=$?
case $status in
0) ;;
77) missing="$missing mkdocs-material" ;;
*) exit "$status" ;;
esac
echo "== Instructions of the hot kernels, under callgrind"
status=0
"$python" "$here/native/instructions.py" cc || status=$?
case $status in
0) ;;
77)
    case " $missing " in
    *" valgrind "*) ;;
    *) missing="$missing figures-of-this-compiler" ;;
    esac
    ;;
*) exit "$status" ;;
esac
echo "== Fuzzing for a minute"
sh "$here/fuzz/run.sh" "$python" 60
if [ -n "$missing" ]; then
    echo "== make test-all: all passed; left out for want of:$missing"
else
    echo "== make test-all: all passed; nothing was left out"
fi
