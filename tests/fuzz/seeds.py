"""Writes seeds for fuzz_container.py from the conformance vectors: files, and sealed parts of files.

python tests/fuzz/seeds.py FOLDER
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

from cmodel.container import layout

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
        sections = layout.parse_head(memoryview(data))[0]
        first = sections[0]
        manifest = data[first.offset : first.offset + first.stored_size]
        if first.deflated:
            manifest = zlib.decompress(manifest, -15)
        body = b"".join(
            data[s.offset : s.offset + s.stored_size] for s in sections if s.type == layout.DATA
        )
        head = b"\x00" + len(manifest).to_bytes(2, "little")
        (target / f"{stem}-sealed").write_bytes(head + manifest + body)


if __name__ == "__main__":
    main()
