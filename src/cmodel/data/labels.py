"""Label files: one integer per line, .npy, or IDX; and list files: `path label` per line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cmodel.data.arrays import as_labels, is_npy, read_npy
from cmodel.data.idx import GZIP_MAGIC, is_idx, read_idx_labels
from cmodel.data.source import MAX_TEXT_BYTES, IntArray, decode_text, read_bytes
from cmodel.errors import DataError

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
# The last run of blanks separates the label, so paths may have blanks of their own.
_ENTRY = re.compile(rf"(.*\S)\s+({_INTEGER.pattern})")


@dataclass(frozen=True)
class Listing:
    """What a list file says: paths as written, their line numbers from 1, labels if it has any."""

    paths: list[str]
    lines: list[int]
    labels: IntArray | None


def read_labels(path: Path) -> IntArray:
    """Return the labels of a file, int64 (N,)."""
    try:
        with path.open("rb") as stream:
            head = stream.read(16)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if is_npy(head):
        return as_labels(read_npy(path), str(path))
    if head.startswith(GZIP_MAGIC) or is_idx(head):
        return read_idx_labels(path)
    lines = [line.strip() for line in decode_text(read_bytes(path, MAX_TEXT_BYTES), str(path))]
    while lines and not lines[-1]:
        lines.pop()
    for number, line in enumerate(lines, 1):
        if not _INTEGER.fullmatch(line):
            raise DataError(
                f"a label is one integer on a line of its own, not {line[:60]!r}",
                where=f"{path}:{number}",
            )
    return np.array([int(line) for line in lines], dtype=np.int64)


def parse_list(lines: list[str], where: str) -> Listing:
    """Parse Caffe's ImageData list: a path and a label on each line, or no label on any."""
    entries = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    matches = [_ENTRY.fullmatch(line) for _, line in entries]
    numbers = [number for number, _ in entries]
    if not any(matches):
        return Listing([line for _, line in entries], numbers, None)
    for (number, line), match in zip(entries, matches, strict=True):
        if match is None:
            raise DataError(
                f"no label follows the path {line[:120]!r}, while other lines have one",
                where=f"{where}:{number}",
            )
    found = [match for match in matches if match is not None]
    labels = np.array([int(match[2]) for match in found], dtype=np.int64)
    return Listing([match[1] for match in found], numbers, labels)
