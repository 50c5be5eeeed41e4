"""The way a user gets the package: sdist, wheel from the sdist, a clean environment.

    python tests/dist_check.py

Builds the sdist, builds a wheel from the unpacked sdist, compares the wheel's files with those of a
wheel built from the tree, installs it where nothing else is, and packs and runs a small model there.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

SMOKE = ROOT / "tests" / "wheel_smoke.py"


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command; on failure show what it printed."""
    done = subprocess.run([str(word) for word in command], cwd=cwd, text=True, capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def files_of(wheel: Path) -> set[str]:
    """Names in a wheel, without the record that names them again."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.endswith("RECORD")}


def main() -> None:
    """Build, compare, install, run."""
    with tempfile.TemporaryDirectory(prefix="cmodel-dist-") as name:
        folder = Path(name)
        build = (sys.executable, "-m", "build", "--no-isolation", "--outdir")
        # From a copy, so that the build leaves nothing behind in the tree.
        tree = folder / "tree"
        run("git", "clone", "--quiet", ROOT, tree, cwd=folder)
        run(*build, folder / "sdist", "--sdist", tree, cwd=folder)
        (sdist,) = (folder / "sdist").glob("*.tar.gz")
        with tarfile.open(sdist) as archive:
            archive.extractall(folder / "unpacked", filter="data")
        (unpacked,) = (folder / "unpacked").iterdir()
        run(*build, folder / "wheel", "--wheel", unpacked, cwd=folder)
        run(*build, folder / "direct", "--wheel", tree, cwd=folder)
        (wheel,), (direct,) = (folder / "wheel").glob("*.whl"), (folder / "direct").glob("*.whl")
        difference = files_of(wheel) ^ files_of(direct)
        if difference:
            sys.exit(f"sdist and tree give different wheels: {sorted(difference)}")
        print(f"{wheel.name}: {len(files_of(wheel))} files, {wheel.stat().st_size} bytes")
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        run(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
        print(run(python, SMOKE, cwd=folder).strip())
        print(run(python, "-m", "cmodel", "--version", cwd=folder).strip())
        if not (folder / "venv" / "share" / "man" / "man1" / "cmodel.1").is_file():
            sys.exit("the wheel does not bring the manual page")


if __name__ == "__main__":
    main()
