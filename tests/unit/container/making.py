"""Containers for tests: nets of every form, and files changed with their checksums made right."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tests.nets import toy_net

from cmodel import container
from cmodel.container import layout
from cmodel.container.deflation import inflate
from cmodel.net import Net
from cmodel.proto import manifest_pb2
from cmodel.tensors import Codebook, Dense, Hashed, Linear, Product, Sparse, Trellis


def packed(net: Net) -> bytes:
    """Return the bytes of the container of `net`."""
    file = io.BytesIO()
    container.write_to(file, net)
    return file.getvalue()


def write(path: Path, data: bytes) -> Path:
    """Write a file and return its path."""
    path.write_bytes(data)
    return path


def every_form(seed: int = 0) -> Net:
    """Return the toy net with another form for each parameter."""
    rng = np.random.default_rng(seed)
    net = toy_net()
    values = rng.normal(size=40).astype(np.float32)
    net.parameters["conv/0"] = Codebook(
        Dense(np.sort(rng.normal(size=(1, 300))).astype(np.float32)),
        rng.integers(0, 300, (4, 3, 3, 3)).astype(np.uint16),
    )
    net.parameters["conv/1"] = Dense(rng.normal(size=4).astype(np.float16))
    net.parameters["fc/0"] = Sparse(
        (6, 144),
        np.sort(rng.choice(864, 40, replace=False)),
        Codebook(Dense(np.sort(values)[None]), np.argsort(np.argsort(values)).astype(np.uint8)),
    )
    net.parameters["fc/1"] = Linear(
        Dense(rng.normal(size=6).astype(np.float32)),
        rng.integers(-5, 5, 6).astype(np.int32),
        rng.integers(-128, 128, 6).astype(np.int8),
    )
    return net


def more_forms(seed: int = 0) -> Net:
    """Return the toy net with the forms that `every_form` leaves out."""
    rng = np.random.default_rng(seed)
    net = toy_net()

    def floats(*shape: int) -> Dense:
        return Dense(rng.normal(size=shape).astype(np.float32))

    net.parameters["conv/0"] = Product(
        (4, 3, 3, 3),
        (0, 2, 3, 1),
        floats(2, 1, 300, 3),
        rng.integers(0, 300, (2, 36, 1)).astype(np.uint16),
    )
    levels = Linear(
        Dense(np.array([0.25], np.float32)), np.zeros(1, np.int32), np.array([[-3, 2]], np.int8)
    )
    net.parameters["conv/1"] = Codebook(levels, np.array([1, 0, 1, 1], np.uint8))
    positions = np.array([0, 5, 71, 140])
    net.parameters["fc/0"] = Sparse((6, 144), positions, floats(24), block=(2, 3))
    net.parameters["fc/1"] = Hashed((6,), floats(3), seed=0xDEADBEEF)
    return net


def rotated_forms(seed: int = 0) -> Net:
    """Return the toy net with a rotation, a bitmap, groups, half floats and 16-bit integers."""
    rng = np.random.default_rng(seed)
    net = toy_net()
    turn = np.linalg.qr(rng.normal(size=(144, 144)))[0].astype(np.float32)
    books = Dense(rng.normal(size=(1, 36, 5, 4)).astype(np.float32))
    codes = rng.integers(0, 5, (1, 6, 36)).astype(np.uint8)
    net.parameters["fc/0"] = Product((6, 144), (0, 1), books, codes, turn)
    positions = np.flatnonzero(rng.random(108) < 0.7)
    bfloats = rng.integers(0x3F00, 0x4000, positions.size).astype(np.uint16)
    net.parameters["conv/0"] = Sparse((4, 3, 3, 3), positions, Dense(bfloats))
    net.parameters["conv/1"] = Linear(
        Dense(rng.normal(size=2).astype(np.float16)),
        np.array([1 << 23, -(1 << 23)], np.int32),
        np.array([-30000, 2, 3, 32000], np.int16),
    )
    net.parameters["fc/1"] = Codebook(
        Dense(rng.normal(size=(3, 2)).astype(np.float32)), np.array([0, 1, 1, 1, 0, 0], np.uint8)
    )
    return net


def trellis_forms(seed: int = 0) -> Net:
    """Return the toy net with trellises, whose integers are best coded by contexts."""
    rng = np.random.default_rng(seed)
    net = toy_net()

    def scales(groups: int) -> Dense:
        return Dense(rng.gamma(2, size=groups).astype(np.float32))

    def ints(*shape: int) -> Any:
        # The second half of each row is almost zero, which only contexts notice.
        sizes = np.repeat([4, 0.1], [shape[-1] // 2, shape[-1] - shape[-1] // 2])
        return np.rint(rng.laplace(size=shape) * sizes)

    net.parameters["conv/0"] = Trellis(scales(12), ints(4, 27).reshape(4, 3, 3, 3).astype(np.int8))
    net.parameters["conv/1"] = Linear(scales(1), np.zeros(1, np.int32), ints(4).astype(np.int8))
    net.parameters["fc/0"] = Trellis(scales(1), (50 * ints(6, 144)).astype(np.int16))
    net.parameters["fc/1"] = Trellis(scales(3), ints(6).astype(np.int16))
    return net


def resealed(
    data: bytes,
    change: Callable[[manifest_pb2.Manifest], object],
    body: bytes | None = None,
) -> bytes:
    """Change the manifest of a file (and its data), and make sizes and checksums right again."""
    sections = layout.parse_head(memoryview(data)).sections
    first = sections[0]
    stored = data[first.offset : first.offset + first.stored_size]
    manifest = manifest_pb2.Manifest.FromString(inflate(first, stored, "the manifest"))
    change(manifest)
    text = manifest.SerializeToString()
    parts = [(replace(first, flags=0, decoded_size=len(text)), text)]
    if body is None:
        parts += [(s, data[s.offset : s.offset + s.stored_size]) for s in sections[1:]]
    else:
        parts.append((replace(sections[1], decoded_size=len(body)), body))
    table = [
        replace(section, crc32=zlib.crc32(payload), stored_size=len(payload))
        for section, payload in parts
    ]
    return layout.pack_head(table, 0) + b"".join(payload for _, payload in parts)
