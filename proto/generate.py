"""Writes src/cmodel/proto/*_pb2.py and *.pyi from every proto/cmodel/*.proto.

    python proto/generate.py

The generated code refuses to run on a protobuf older than the one that its generator belongs to, so
an old generator is used on purpose (GENERATOR); this file runs itself again in a throw-away
environment that has it. `--here` uses the grpcio-tools of the calling interpreter instead.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import venv
from importlib import resources
from pathlib import Path

# Writes code for protobuf 6.30 and newer; pyproject.toml allows 6.31 and newer.
GENERATOR = ("grpcio-tools==1.72.2", "setuptools<81")

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
TARGET = ROOT / "src" / "cmodel" / "proto"


def main(argv: list[str] | None = None) -> int:
    """Generate, in an environment of its own unless told otherwise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--here", action="store_true", help="use this interpreter's grpcio-tools")
    parser.add_argument("--out", type=Path, default=TARGET, help="folder of the generated code")
    options = parser.parse_args(argv)
    if options.here:
        generate(options.out)
        return 0
    with tempfile.TemporaryDirectory(prefix="cmodel-proto-") as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *GENERATOR], check=True)
        subprocess.run([python, __file__, "--here", "--out", str(options.out)], check=True)
    return 0


def generate(target: Path) -> None:
    """Compile all proto files of the package with the grpcio-tools at hand."""
    # Only the throw-away environment needs to have it.
    from grpc_tools import protoc

    well_known = resources.files("grpc_tools") / "_proto"
    names = sorted(path.relative_to(PROTO).as_posix() for path in PROTO.glob("cmodel/*.proto"))
    with tempfile.TemporaryDirectory(prefix="cmodel-proto-") as folder:
        status = protoc.main(
            [
                "protoc",
                f"--proto_path={PROTO}",
                f"--proto_path={well_known}",
                f"--python_out={folder}",
                f"--pyi_out={folder}",
                *names,
            ]
        )
        if status:
            sys.exit(status)
        for path in sorted(Path(folder, "cmodel").iterdir()):
            text = path.read_text(encoding="utf-8")
            # The files are registered as cmodel/x.proto, the modules stand in cmodel.proto.
            text = re.sub(r"^from cmodel import", "from cmodel.proto import", text, flags=re.M)
            text = re.sub(r"'cmodel\.(\w+_pb2)'", r"'cmodel.proto.\1'", text)
            # mypy --strict wants the type arguments.
            text = re.sub(r"\b_Mapping\b(?=[\],])", "_Mapping[str, object]", text)
            (target / path.name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
