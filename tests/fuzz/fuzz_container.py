"""Fuzz target: any bytes are a container or give an error of cmodel's.

pip install atheris
python tests/fuzz/fuzz_container.py -max_total_time=60 [a folder of containers]

The first byte of an input chooses what the bytes are: a file as it is, or a manifest and data whose
sizes and checksums are made right, so that the fuzzer gets past the checksums.
"""

import sys
import tempfile
import zlib
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cmodel"]):
    from cmodel import container
    from cmodel.container import layout
    from cmodel.errors import CmodelError

FOLDER = tempfile.TemporaryDirectory(prefix="cmodel-fuzz-")
FILE = Path(FOLDER.name, "x.cmodel")
MEMORY = 1 << 24


def sealed(data: bytes) -> bytes:
    """Return a file whose manifest and data are parts of `data`."""
    size = int.from_bytes(data[:2], "little")
    parts = [(layout.MANIFEST, data[2 : 2 + size]), (layout.DATA, data[2 + size :])]
    sections = [
        layout.Section(kind, 0, zlib.crc32(part), 0, len(part), len(part)) for kind, part in parts
    ]
    return layout.pack_head(sections, 0) + b"".join(part for _, part in parts)


def one_input(data: bytes) -> None:
    FILE.write_bytes(sealed(data[1:]) if data[:1] < b"\x80" else data[1:])
    try:
        container.verify(FILE, max_memory=MEMORY, threads=1)
        container.read(FILE, max_memory=MEMORY, threads=1)
    except CmodelError:
        return


def main() -> None:
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
