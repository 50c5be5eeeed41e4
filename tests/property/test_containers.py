"""Any form, in any nesting, comes back from a container as it went in, to the bit."""

from __future__ import annotations

import io
import tempfile
from math import prod
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.nets import make_net

from cmodel import container
from cmodel.container import size_of_form
from cmodel.tensors import Codebook, Dense, Form, Hashed, Linear, Product, Sparse, Trellis, crc32_of

TEXT = 'layer { name: "a" type: "Any" }'
SHAPES = st.lists(st.integers(0, 7), min_size=0, max_size=4).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


def floats(rng: np.random.Generator, kind: str, *shape: int) -> Dense:
    if kind == "f32":
        # Any words at all, NaN with payloads included.
        return Dense(rng.integers(0, 2**32, shape, dtype=np.uint32).view(np.float32))
    if kind == "f16":
        return Dense(rng.normal(size=shape).astype(np.float16))
    return Dense(rng.integers(0x3000, 0x5000, shape).astype(np.uint16))


def groups_of(rng: np.random.Generator, size: int) -> int:
    return int(rng.choice([n for n in range(1, max(size, 1) + 1) if size % n == 0]))


def linear(rng: np.random.Generator, shape: tuple[int, ...]) -> Linear:
    groups = groups_of(rng, prod(shape))
    dtype = rng.choice([np.int8, np.uint8, np.int16, np.uint16])
    bounds = np.iinfo(dtype)
    return Linear(
        Dense(rng.normal(size=groups).astype(np.float32)),
        rng.integers(-(2**23), 2**23 + 1, groups).astype(np.int32) * int(rng.integers(2)),
        rng.integers(bounds.min, bounds.max + 1, shape).astype(dtype),
    )


def codebook(rng: np.random.Generator, shape: tuple[int, ...]) -> Codebook:
    groups, entries = groups_of(rng, prod(shape)), int(rng.choice([1, 2, 5, 256, 257, 3000]))
    centroids: Form = floats(rng, str(rng.choice(["f32", "f16", "bf16"])), groups, entries)
    if rng.random() < 0.2:
        centroids = linear(rng, (groups, entries))
    indices = rng.integers(0, entries, shape)
    return Codebook(centroids, indices.astype(np.uint8 if entries <= 256 else np.uint16))


def values(rng: np.random.Generator, count: int) -> Form:
    kind = rng.integers(3)
    if kind == 0:
        return floats(rng, str(rng.choice(["f32", "f16", "bf16"])), count)
    return codebook(rng, (count,)) if kind == 1 else linear(rng, (count,))


def sparse(rng: np.random.Generator, shape: tuple[int, ...]) -> Sparse:
    rows, columns = (shape[0] if shape else 1), prod(shape[1:])
    height = groups_of(rng, rows) if rows else 1
    width = groups_of(rng, columns) if columns else 1
    blocks = prod(shape) // (height * width)
    positions = np.flatnonzero(rng.random(blocks) < rng.random()).astype(np.int64)
    return Sparse(shape, positions, values(rng, positions.size * height * width), (height, width))


def product(rng: np.random.Generator, shape: tuple[int, ...]) -> Form:
    size = prod(shape)
    if not size:
        return floats(rng, "f32", *shape)
    width = groups_of(rng, size)
    dimension = groups_of(rng, width)
    blocks, stages, entries = width // dimension, int(rng.integers(1, 4)), int(rng.integers(1, 400))
    books = 1 if rng.random() < 0.5 else blocks
    codes = rng.integers(0, entries, (stages, size // width, blocks)).astype(np.uint16)
    turn = rng.normal(size=(width, width)).astype(np.float32) if width < 40 else None
    return Product(
        shape,
        tuple(int(axis) for axis in rng.permutation(len(shape))),
        Dense(rng.normal(size=(stages, books, entries, dimension)).astype(np.float32)),
        codes.astype(np.uint8) if entries <= 256 else codes,
        turn if rng.random() < 0.3 else None,
    )


def trellis(rng: np.random.Generator, shape: tuple[int, ...]) -> Trellis:
    dtype = rng.choice([np.int8, np.int16])
    ints = np.rint(rng.laplace(size=shape) * rng.choice([1, 9])).clip(-99, 99).astype(dtype)
    groups = groups_of(rng, prod(shape))
    return Trellis(Dense(rng.normal(size=groups).astype(np.float32)), ints)


def form(rng: np.random.Generator, shape: tuple[int, ...]) -> Form:
    match rng.integers(7):
        case 0:
            return floats(rng, str(rng.choice(["f32", "f16", "bf16"])), *shape)
        case 1:
            return codebook(rng, shape)
        case 2:
            return linear(rng, shape)
        case 3:
            return sparse(rng, shape)
        case 4:
            return product(rng, shape)
        case 5:
            return trellis(rng, shape)
        case _:
            buckets = int(rng.integers(1, 50))
            return Hashed(shape, values(rng, buckets), int(rng.integers(2**32)), rng.random() < 0.5)


@given(st.lists(SHAPES, min_size=1, max_size=4), SEEDS)
@settings(max_examples=60)
def test_any_form_round_trips(shapes, seed):
    rng = np.random.default_rng(seed)
    forms = [form(rng, shape) for shape in shapes]
    file = io.BytesIO()
    container.write_to(file, make_net(TEXT, {"a": forms}))
    again = io.BytesIO()
    container.write_to(again, make_net(TEXT, {"a": forms}))
    assert file.getvalue() == again.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.cmodel"
        path.write_bytes(file.getvalue())
        assert container.verify(path).ok
        opened = container.Container(path)
        for index, given_form in enumerate(forms):
            back = opened.form(f"a/{index}")
            assert type(back) is type(given_form)
            assert back.shape == given_form.shape
            assert crc32_of(back) == crc32_of(given_form)
            assert size_of_form(back) == size_of_form(given_form)
