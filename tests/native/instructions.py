"""Counts the instructions of the hot kernels under callgrind, beside the figures that are kept.

    python tests/native/instructions.py COMPILER [--record]

Instructions a symbol, element or flop do not depend on what else the machine does, so a change that
makes a kernel slower shows where no clock would tell. The figures of instructions.json belong to a
compiler and its major version; --record writes them. Callgrind does not know AVX-512, so the levels
are scalar and AVX2. Exit code: 1 where a kernel takes more than its figure and the tolerance, 77
where valgrind is not there or the compiler has no figures.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parent.parent
FIGURES = FOLDER / "instructions.json"
TOLERANCE = 0.05
CANNOT_RUN = 77
# As in setup.py.
FLAGS = (
    *("-std=c11", "-O3", "-g0", "-Wall", "-Wextra", "-DNDEBUG"),
    *("-ffp-contract=off", "-fvisibility=hidden", "-fopenmp", "-pthread"),
)

Figures = dict[str, tuple[float, str]]


def compiler_name(compiler: str) -> str:
    """Family and major version, such as gcc-12."""
    command = (compiler, "-dM", "-E", "-x", "c", "/dev/null")
    macros = subprocess.run(command, check=True, text=True, capture_output=True).stdout
    values = dict(re.findall(r"#define (\w+) (\d+)$", macros, re.MULTILINE))
    if "__clang_major__" in values:
        return f"clang-{values['__clang_major__']}"
    return f"gcc-{values['__GNUC__']}"


def build(compiler: str, program: Path) -> None:
    """Compile the driver together with all kernels."""
    kernels = sorted((ROOT / "ext" / "kernels").glob("*.c"))
    sources = [FOLDER / "instructions.c", *kernels]
    command = [compiler, *FLAGS, f"-I{ROOT / 'ext' / 'kernels'}", *sources, "-lm", "-o", program]
    subprocess.run(command, check=True)


def measure(program: Path, folder: Path) -> Figures:
    """Run the driver under callgrind; instructions a unit of work, and the unit, by name."""
    command = (
        *("valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"),
        f"--callgrind-out-file={folder / 'dump'}",
    )
    # One thread: the work of the others would be counted too, and their waiting.
    done = subprocess.run(
        (*command, program),
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        env={"OMP_NUM_THREADS": "1", "PATH": "/usr/local/bin:/usr/bin:/bin"},
    )
    counts: dict[str, int] = {}
    for dump in folder.glob("dump.*"):
        text = dump.read_text("utf-8")
        name = re.search(r"^desc: Trigger: Client Request: (\S+)$", text, re.MULTILINE)
        total = re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE)
        if name and total:
            counts[name[1]] = int(total[1])
    figures = {}
    for line in done.stdout.splitlines():
        name_, units, unit = line.split("\t")
        figures[name_] = (counts[name_] / int(units), unit)
    return figures


def compare(measured: Figures, kept: dict[str, float]) -> int:
    """Print a line a kernel; the number of those that got worse."""
    worse = 0
    for name, (value, unit) in measured.items():
        before = kept.get(name)
        note = ""
        if before is None:
            note = "no figure is kept: run with --record"
            worse += 1
        elif value > before * (1 + TOLERANCE):
            note = f"WORSE than {before:.4g}"
            worse += 1
        elif value < before * (1 - TOLERANCE):
            note = f"better than {before:.4g}: run with --record"
        print(f"{name:24} {value:8.4g} instructions/{unit:16} {note}".rstrip())
    for name in kept.keys() - measured.keys():
        print(f"{name:24} was not measured: the machine lacks its instructions?")
        worse += 1
    return worse


def main() -> int:
    """Build, count, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("compiler")
    parser.add_argument("--record", action="store_true", help="keep what is measured")
    arguments = parser.parse_args()
    if not (shutil.which("valgrind") and Path("/usr/include/valgrind/callgrind.h").exists()):
        print("valgrind (with its headers) is not installed")
        return CANNOT_RUN
    name = compiler_name(arguments.compiler)
    kept = json.loads(FIGURES.read_text("utf-8")) if FIGURES.exists() else {}
    if name not in kept and not arguments.record:
        print(f"{FIGURES.name} has figures of {', '.join(kept)}, not of {name}")
        return CANNOT_RUN
    with tempfile.TemporaryDirectory(prefix="cmodel-callgrind-") as folder:
        program = Path(folder) / "instructions"
        build(arguments.compiler, program)
        measured = measure(program, Path(folder))
    if arguments.record:
        kept[name] = {kernel: float(f"{value:.4g}") for kernel, (value, _) in measured.items()}
        FIGURES.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", "utf-8")
    worse = compare(measured, kept[name])
    if worse:
        print(f"{worse} of {len(measured)} are not as {FIGURES.name} says")
    return worse > 0


if __name__ == "__main__":
    sys.exit(main())
