"""Build of the compiled side; everything else is declared in pyproject.toml.

Environment: CMODEL_DEBUG=1 builds with bounds checks and without optimisation;
CMODEL_OPENMP=0 builds without OpenMP (one thread); CMODEL_COVERAGE=1 counts the lines of the
kernels for gcov (`make coverage`).

The kernels use what GCC and Clang have beyond C11 (target attributes, vector extensions), which
Microsoft's compiler has not: on Windows they are built by MinGW-w64.
"""

import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("CMODEL_DEBUG") == "1"
COVERAGE = os.environ.get("CMODEL_COVERAGE") == "1"
OPENMP = os.environ.get("CMODEL_OPENMP", "1" if sys.platform == "linux" else "0") == "1"
SHARED = "cmodel._cyutility"

openmp = ["-fopenmp"] if OPENMP else []
# The pool of threads of the engine's kernels.
threads = [] if sys.platform == "win32" else ["-pthread"]
# Decoding is exact to the bit on every machine, so the compiler may not fuse
# multiply and add on its own.
common = ["-std=c11", "-ffp-contract=off", "-fvisibility=hidden", *openmp, *threads]
# The counters have to bear several threads.
counting = ["--coverage", "-fprofile-update=atomic"] if COVERAGE else []
SLOW = DEBUG or COVERAGE
wrapper_flags = [*common, *(["-O0", "-g"] if SLOW else ["-O2", "-g0"])]
kernel_flags = [*common, *counting, *(["-O1", "-g"] if SLOW else ["-O3", "-g0"])]
kernel_flags += ["-Wall", "-Wextra"]

# A module holds the kernels that it calls, and no others.
trimming = ["-Wl,--gc-sections"] if sys.platform == "linux" and not SLOW else []
if trimming:
    kernel_flags += ["-ffunction-sections", "-fdata-sections"]

# On Windows the runtime of GCC is linked in, so that a wheel needs no library of MinGW's.
linking = [*openmp, *threads, *counting, *trimming]
linking += ["-static"] if sys.platform == "win32" else []
compiler = {"build": {"compiler": "mingw32"}} if sys.platform == "win32" else {}

kernel_sources = sorted(str(path) for path in Path("ext/kernels").glob("*.c"))
kernel_headers = sorted(str(path) for path in Path("ext/kernels").glob("*.h"))
kernels = (
    "cmodel_kernels",
    {"sources": kernel_sources, "obj_deps": {"": kernel_headers}, "cflags": kernel_flags},
)


def extension(name: str, source: str) -> Extension:
    return Extension(
        name,
        [source],
        include_dirs=["ext/kernels"],
        depends=[*kernel_headers, *kernel_sources],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        extra_compile_args=wrapper_flags,
        extra_link_args=linking,
    )


modules = [
    extension(f"cmodel.{path.stem}", str(path)) for path in sorted(Path("ext/cmodel").glob("*.pyx"))
]

setup(
    options=compiler,
    libraries=[kernels],
    ext_modules=cythonize(
        [*modules, extension(SHARED, "ext/cmodel/_cyutility.c")],
        include_path=["ext"],
        shared_utility_qualified_name=SHARED,
        compiler_directives={
            "language_level": 3,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "binding": True,
            "embedsignature": True,
            "boundscheck": DEBUG,
        },
    ),
)
