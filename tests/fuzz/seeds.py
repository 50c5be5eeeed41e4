"""Writes seeds for fuzz_container.py from the conformance vectors: files, and sealed parts of files.

python tests/fuzz/seeds.py FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cmodel.container import layout
from cmodel.container.deflation import inflate

VECTORS = Path(__file__).resolve().parents[2] / "spec" / "vectors"


def main() -> None:
    """Write two seeds for each small good vector."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    for name, facts in json.loads((VECTORS / "index.json").read_text()).items():
        data = (VECTORS / name).read_bytes()
        if "error" in facts or len(data) > 8192:
            continue
        stem = name.replace("/", "-")
        (target / f"{stem}-file").write_bytes(b"\xff" + data)
        sections = layout.parse_head(memoryview(data)).sections
        first = sections[0]
        stored = data[first.offset : first.offset + first.stored_size]
        manifest = inflate(first, stored, name)
        body = b"".join(
            data[s.offset : s.offset + s.stored_size] for s in sections if s.type == layout.DATA
        )
        head = b"\x00" + len(manifest).to_bytes(2, "little")
        (target / f"{stem}-sealed").write_bytes(head + manifest + body)


if __name__ == "__main__":
    main()
