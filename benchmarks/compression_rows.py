"""Points of a comparison of compressed nets: how they are compared, printed and stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from math import exp, inf, log
from pathlib import Path
from typing import Any

import numpy as np
from compression_cases import CASES


@dataclass(frozen=True)
class Row:
    """One measured point. ratio : float32 bytes of the original's parameters / bytes."""

    net: str
    peer: str
    setting: str
    bytes: int
    tensor_bytes: int
    ratio: float
    top1: float
    kl: float
    images: int


def bytes_at_kl(points: Iterable[tuple[float, float]], kl: float) -> float | None:
    """Return the bytes of a curve of (KL, bytes) at a KL, linear in the logarithms of both.

    Points with more bytes than one of less KL do not count. Below the least KL it is the bytes
    there: the curve would need no fewer. None above the largest KL: curves are not extended.
    """
    curve: list[tuple[float, float]] = []
    for x, y in sorted(points):
        if x < inf and (not curve or log(y) < curve[-1][1]):
            curve.append((log(max(x, 1e-12)), log(y)))
    x = log(max(kl, 1e-12))
    if not curve or x > curve[-1][0] + 1e-9:
        return None
    return exp(float(np.interp(x, *zip(*curve, strict=True))))


def saving(ours: Row, peers: Sequence[Row]) -> dict[str, float | None]:
    """Return for both counts how many percent fewer bytes ours has than the peer at the same KL."""
    result: dict[str, float | None] = {}
    for count in ("bytes", "tensor_bytes"):
        theirs = bytes_at_kl([(row.kl, getattr(row, count)) for row in peers], ours.kl)
        result[count] = None if theirs is None else 100 * (1 - getattr(ours, count) / theirs)
    return result


def table(rows: Sequence[Row], original: float) -> str:
    """Return the rows of one net as text, with the saving of ours against each peer."""
    others = ("nncodec", "k-means")
    lines = [
        f"{rows[0].net}: top-1 {original:.2f} % on {rows[0].images} images",
        f"{'':10}{'':>9}{'bytes':>10}{'tensors':>10}{'ratio':>8}{'top-1':>8}{'KL':>10}"
        + "".join(f"{f'vs {peer}':>12}" for peer in others),
    ]
    for row in rows:
        line = (
            f"{row.peer:10}{row.setting:>9}{row.bytes:10d}{row.tensor_bytes:10d}"
            f"{row.ratio:7.1f}x{row.top1:8.2f}{row.kl:10.5f}"
        )
        if row.peer not in others:
            for peer in others:
                fewer = saving(row, [r for r in rows if r.peer == peer])["tensor_bytes"]
                line += f"{'':>12}" if fewer is None else f"{-fewer:+11.1f}%"
        lines.append(line)
    return "\n".join(lines)


@dataclass
class Document:
    """A file of results, by net.

    top1 : of the originals, in percent. searched : what the search found for the layers.
    """

    rows: dict[str, list[Row]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    top1: dict[str, float] = field(default_factory=dict)
    searched: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file; there may be none yet."""
        result = cls()
        if path.exists():
            stored = json.loads(path.read_text("utf-8"))
            for values in stored["rows"]:
                result.rows.setdefault(values["net"], []).append(Row(**values))
            result.versions = stored["versions"]
            result.top1 = stored.get("top1", {})
            result.searched = stored.get("searched", {})
        return result

    def write(self, path: Path, command: str) -> None:
        """Write the file, nets in the order of CASES."""
        nets = [net for net in CASES if net in self.rows]
        document = {
            "command": command,
            "versions": self.versions,
            "top1": {net: self.top1[net] for net in nets if net in self.top1},
            "searched": {net: self.searched[net] for net in nets if net in self.searched},
            "rows": [asdict(row) for net in nets for row in self.rows[net]],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
