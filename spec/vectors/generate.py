"""Writes the conformance vectors and their index.

    python spec/vectors/generate.py

valid/ and uncommon/ hold files that every reader decodes to the CRCs in index.json; invalid/ holds files
that every reader refuses with the error name given there. The same files come out on every machine.
"""

from __future__ import annotations

import json
import shutil
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from builder import (
    ANCILLARY,
    DATA,
    DEFLATED,
    LABELS,
    MANIFEST,
    NOTES,
    PRESET,
    Coded,
    Form,
    Part,
    Tensor,
    bits_lsb,
    canonical,
    code_table,
    crc_of,
    data_parts,
    deflate,
    directory,
    file,
    headless,
    huffman,
    huffman_bits,
    huffman_lengths,
    layer,
    listed_table,
    message,
    network,
    packed,
    parametric_weights,
    planes,
    rans,
    split,
    varint,
)
from context import context, context_stream
from forms import (
    brain,
    codebook,
    dense,
    dense_planes,
    half,
    hashed,
    linear,
    product,
    sparse,
    trellis,
)

RNG = np.random.Generator(np.random.PCG64(2026))
index: dict[str, dict[str, object]] = {}


def floats(*shape: int) -> np.ndarray:
    """Random float32 values with few bits, so that NumPy's own rounding plays no part."""
    return (RNG.integers(-1000, 1000, shape) / 64).astype(np.float32)


def skewed(count: int, top: int) -> list[int]:
    """Random integers, small ones more often."""
    return [int(v) for v in np.minimum(RNG.geometric(0.25, count) - 1, top)]


def emit(folder: str, name: str, what: str, data: bytes, **facts: object) -> None:
    """Write one vector and note it in the index."""
    path = f"{folder}/{name}.cmodel"
    if path in index:
        raise ValueError(path)
    (HERE / path).write_bytes(data)
    index[path] = {"what": what, **facts}


def manifest(tensors: list[Tensor], layers: list[bytes], *more: tuple[int, bytes]) -> bytes:
    """A manifest: network 1, directory 3."""
    fields = [(1, network(layers))]
    if tensors:
        fields.append((3, directory(tensors)))
    return message(*fields, *more)


def names_of(tensors: list[Tensor], keys: list[str]) -> list[str]:
    """Names by section 4."""
    at, blob, names = 0, -1, []
    for tensor in tensors:
        if tensor.delta:
            at, blob = at + tensor.delta, -1
        blob = blob + 1 if tensor.blob is None else tensor.blob
        names.append(":mean" if at == len(keys) else f"{keys[at]}/{blob}")
    return names


def good(
    name: str,
    what: str,
    tensors: list[Tensor],
    *,
    folder: str = "valid",
    keys: list[str] | None = None,
    layers: list[bytes] | None = None,
    extra: list[Part] | None = None,
    more: list[tuple[int, bytes]] | None = None,
    log2: int = 0,
    squeeze: bool = False,
    preset: bool = False,
    version: tuple[int, int] = (1, 0),
) -> bytes:
    """Emit a file that decodes; return its bytes."""
    keys = keys if keys is not None else [f"l{i}" for i in range(4)]
    layers = layers if layers is not None else [layer(key) for key in keys]
    text = manifest(tensors, layers, *(more or []))
    head = Part(MANIFEST, text)
    if squeeze:
        flags = DEFLATED | (PRESET if preset else 0)
        head = Part(MANIFEST, deflate(text, preset=preset), flags, len(text))
    data = file([head, *data_parts(tensors), *(extra or [])], log2=log2, version=version)
    expected: dict[str, dict[str, object]] = {}
    for tensor, title in zip(tensors, names_of(tensors, keys), strict=True):
        parts = tensor.form.parts
        if parts:
            for part, values in parts.items():
                expected[f"{title}:{part}"] = {
                    "shape": list(values.shape),
                    "crc32": f"{crc_of(values):08x}",
                }
        else:
            expected[title] = {
                "shape": list(tensor.shape),
                "crc32": f"{crc_of(tensor.form.values):08x}",
            }
    emit(folder, name, what, data, tensors=expected)
    return data


def bad(name: str, error: str, what: str, data: bytes) -> None:
    """Emit a file that is refused by the name of an error."""
    emit("invalid", name, what, data, error=error)


def one(shape: tuple[int, ...], form: Form, **more: object) -> list[Tensor]:
    """A single tensor of the first layer."""
    return [Tensor(0, shape, form, **more)]  # type: ignore[arg-type]


def forged(form_text: bytes, streams: bytes, shape: tuple[int, ...] = (4,)) -> bytes:
    """A file of one tensor whose form is given as raw text and streams."""
    tensors = one(shape, Form(form_text, streams, np.zeros(1, np.float32)), crc=0)
    return file([Part(MANIFEST, manifest(tensors, [layer("l0")])), *data_parts(tensors)])


def raw_directory(text: bytes, streams: bytes = bytes(16)) -> bytes:
    """A file whose directory is given as bytes."""
    body = message((1, network([layer("l0"), layer("l1")])), (3, text))
    return file([Part(MANIFEST, body), Part(DATA, streams)])


# Good files


def book(entries: int, groups: int = 1) -> Form:
    """A dense codebook."""
    return dense(floats(groups, entries))


def coded_codebook(count: int, entries: int, coder: Callable[[list[int]], Coded]) -> Form:
    """A codebook form whose indices are coded by `coder`."""
    indices = skewed(count, entries - 1)
    return codebook(book(entries), 1, indices, coder(indices))


def weights_of(values: list[int], size: int) -> dict[int, int]:
    """Counts, at least 1, below 2^7, of all symbols below `size`."""
    counts = np.bincount(values, minlength=size)
    return {s: 1 + int(n) * 120 // max(int(counts.max()), 1) for s, n in enumerate(counts)}


def listed(values: list[int], size: int, **more: object) -> Coded:
    """rANS with a listed table of all symbols."""
    weights = weights_of(values, size)
    return rans(values, listed_table(weights, p=7, r=3, gaps=False), weights, **more)  # type: ignore[arg-type]


def parametric(values: list[int], size: int, c: int, a: int, b: int, **more: object) -> Coded:
    """rANS with a parametric table."""
    table = bytes([0x80]) + varint(c) + bytes([a, b])
    return rans(values, table, parametric_weights(size, c, a, b), **more)  # type: ignore[arg-type]


def write_valid() -> None:
    """Files of the common kind."""
    indices = [0, 1, 1, 0, 0, 1]
    form = codebook(dense(np.array([[0.5, -2.0]])), 1, indices, packed(indices, 1))
    text = message((1, network([layer("ip")], "n")), (3, directory(one((2, 3), form))))
    emit(
        "valid",
        "example",
        "the file that the specification explains byte by byte",
        file([Part(MANIFEST, text), *data_parts(one((2, 3), form))]),
        tensors={"ip/0": {"shape": [2, 3], "crc32": f"{crc_of(form.values):08x}"}},
    )
    good("dense-f32", "float32 values as they are", one((3, 5), dense(floats(3, 5))))
    good("dense-f16", "half floats, widened", one((7,), half(floats(7) / 64)))
    words = RNG.integers(0x3F00, 0x4100, 9)
    good("dense-bf16", "bfloat16 words", one((3, 3), brain(words)))
    indices = skewed(24, 4)
    good(
        "codebook-packed",
        "a codebook of 5, indices packed in 3 bits",
        one((4, 6), codebook(book(5), 1, indices, packed(indices, 3))),
    )
    form = coded_codebook(1000, 32, huffman)
    good("codebook-huffman", "indices coded by Huffman", one((10, 100), form))
    form = coded_codebook(1000, 32, lambda v: huffman(v, runs=False))
    good("codebook-huffman-plain-table", "code lengths without run codes", one((1000,), form))
    form = coded_codebook(5000, 16, huffman)
    good("huffman-four-streams", "5000 integers: four sub-streams", one((5000,), form))
    form = coded_codebook(10001, 16, huffman)
    good("huffman-chunks", "10001 integers in chunks of 4096", one((10001,), form))
    indices = [int(v) for v in RNG.integers(0, 300, 700)]
    form = codebook(book(300), 1, indices, huffman(indices))
    good("codebook-16-bit", "300 entries: 16-bit indices", one((700,), form))
    form = codebook(book(300), 1, indices, packed(indices, 9))
    good("codebook-16-bit-packed", "300 entries in 9 bits", one((700,), form))
    indices = skewed(30, 3)
    form = codebook(book(4, 5), 5, indices, packed(indices, 2))
    good("codebook-groups", "a codebook for each of 5 rows", one((5, 6), form))
    levels = linear(dense(np.array([0.25])), [-3, 0, 5], -3, 0, packed([0, 3, 8], 4))
    indices = [0, 1, 2, 2, 1]
    form = codebook(levels, 1, indices, packed(indices, 2))
    good("codebook-of-integers", "centroids in fixed point", one((5,), form))
    ints = [int(v) for v in RNG.integers(-128, 128, 40)]
    good(
        "linear-int8",
        "8-bit fixed point, one scale",
        one((5, 8), linear(dense(floats(1)), ints, -128, 0, packed([i + 128 for i in ints], 8))),
    )
    good(
        "linear-rows",
        "a scale for each row, coded by Huffman",
        one((5, 8), linear(dense(floats(5)), ints, -128, 0, huffman([i + 128 for i in ints]))),
    )
    ints = [int(v) for v in RNG.integers(0, 200, 12)]
    zeros = [3, -70000, 1 << 23]
    form = linear(dense(floats(3)), ints, 0, 1, packed(ints, 8), zeros)
    good("linear-zeros", "unsigned integers with zeros of up to 24 bits", one((3, 4), form))
    ints = [int(v) for v in RNG.integers(-30000, 30000, 20)]
    form = linear(half(floats(2) / 8), ints, -30000, 2, packed([i + 30000 for i in ints], 16))
    good("linear-int16", "16-bit integers in two groups, scales in half floats", one((20,), form))
    ints = [int(v) for v in RNG.integers(0, 60000, 9)]
    form = linear(dense(floats(1)), ints, 0, 3, packed(ints, 16))
    good("linear-uint16", "unsigned 16-bit integers", one((9,), form))
    positions = sorted(int(v) for v in RNG.choice(600, 40, replace=False))
    form = sparse((20, 30), positions, dense(floats(40)))
    good("sparse-gaps", "a 4-bit relative index with escapes", one((20, 30), form))
    symbols_form = sparse((20, 30), positions, dense(floats(40)), bits=3)
    good("sparse-gaps-3", "a 3-bit relative index", one((20, 30), symbols_form))
    form = sparse((20, 30), positions, half(floats(40) / 32), coder="bitmap")
    good("sparse-bitmap", "a bitmap of positions", one((20, 30), form))
    form = sparse((20, 30), positions, dense(floats(40)), coder="mask")
    good("sparse-mask", "an adaptively coded mask", one((20, 30), form))
    form = sparse((20, 3, 2, 5), positions, dense(floats(40)), coder="mask", period=10)
    good("sparse-mask-period", "a mask with a period of 10", one((20, 3, 2, 5), form))
    rows = sorted(
        int(r * 64 + c) for r in range(0, 40, 3) for c in RNG.choice(64, 9, replace=False)
    )
    form = sparse((40, 64), rows, dense(floats(len(rows))), coder="mask")
    good("sparse-mask-rows", "a mask with empty rows", one((40, 64), form))
    indices = skewed(40, 15)
    inner = codebook(book(16), 1, indices, huffman(indices))
    form = sparse((600,), positions, inner, coded=None)
    good("sparse-codebook", "Deep Compression: sparse, shared values, Huffman", one((600,), form))
    ints = [int(v) for v in RNG.integers(-8, 8, 40)]
    inner = linear(dense(floats(1)), ints, -8, 0, packed([i + 8 for i in ints], 4))
    form = sparse((600,), positions, inner)
    good("sparse-linear", "sparse fixed point", one((600,), form))
    blocks = [0, 3, 7, 11, 19]
    form = sparse((8, 30), blocks, dense(floats(5 * 12)), block=(4, 3), bits=2)
    good("sparse-blocks", "blocks of 4 x 3", one((8, 30), form))
    form = sparse((8, 30), blocks, dense(floats(5 * 12)), block=(4, 3), coder="mask")
    good("sparse-blocks-mask", "blocks of 4 x 3, an adaptively coded mask", one((8, 30), form))
    codes = RNG.integers(0, 6, (1, 8, 3))
    flat = [int(c) for c in codes.reshape(-1)]
    form = product((8, 12), dense(floats(1, 3, 6, 4)), (1, 3, 6, 4), codes, packed(flat, 3))
    good("product", "three subspaces of dimension 4", one((8, 12), form))
    form = product((8, 12), dense(floats(1, 1, 6, 4)), (1, 1, 6, 4), codes, packed(flat, 3))
    good("product-shared", "one codebook for all blocks", one((8, 12), form))
    codes = RNG.integers(0, 5, (3, 8, 2))
    flat = [int(c) for c in codes.reshape(-1)]
    books = dense(RNG.standard_normal((3, 2, 5, 6)).astype(np.float32))
    form = product((8, 12), books, (3, 2, 5, 6), codes, packed(flat, 3))
    good("product-residual", "three stages, summed in double precision", one((8, 12), form))
    codes = RNG.integers(0, 4, (1, 4 * 9, 2))
    flat = [int(c) for c in codes.reshape(-1)]
    form = product(
        (4, 6, 3, 3),
        dense(floats(1, 2, 4, 3)),
        (1, 2, 4, 3),
        codes,
        packed(flat, 2),
        axes=(0, 2, 3, 1),
    )
    good("product-convolution", "over the input channels of a convolution", one((4, 6, 3, 3), form))
    codes = RNG.integers(0, 4, (1, 5, 2))
    flat = [int(c) for c in codes.reshape(-1)]
    turn = dense(np.linalg.qr(RNG.standard_normal((4, 4)))[0].astype(np.float32))
    form = product(
        (5, 4), dense(floats(1, 2, 4, 2)), (1, 2, 4, 2), codes, packed(flat, 2), rotation=turn
    )
    good("product-rotated", "decoded in parts: blocks and rotation", one((5, 4), form))
    good("hashed", "bucket and sign hashes", one((9, 11), hashed(99, dense(floats(7)), 12345)))
    form = hashed(99, dense(floats(7)), 0xFFFFFFFF, signed=False)
    good("hashed-unsigned", "no sign hash, the largest seed", one((99,), form))
    form = coded_codebook(900, 20, lambda v: listed(v, 20))
    good("rans-listed", "rANS with a listed table, one lane", one((900,), form))
    indices = [v * 3 for v in skewed(900, 8)]
    weights = {s: w for s, w in weights_of(indices, 25).items() if s % 3 == 0}
    coded = rans(indices, listed_table(weights, p=7, r=2, gaps=True), weights)
    form = codebook(book(30), 1, indices, coded)
    good("rans-gaps", "a listed table with unused symbols", one((900,), form))
    indices = [int(v) for v in np.clip(np.rint(RNG.standard_normal(900) * 3 + 10), 0, 20)]
    form = codebook(book(21), 1, indices, parametric(indices, 21, 40, 0x00, 0x7F))
    good("rans-gaussian", "a parametric table: a bell", one((900,), form))
    form = codebook(book(21), 1, indices, parametric(indices, 21, 38, 0x1F, 0x00))
    good("rans-geometric", "a parametric table: a two-sided slope", one((900,), form))
    form = codebook(book(21), 1, indices, parametric(indices, 21, 40, 0x9A, 0x7F))
    good("rans-two-humps", "a parametric table: a negative slope", one((900,), form))
    form = coded_codebook(9000, 20, lambda v: listed(v, 20))
    good("rans-chunks", "three chunks of one lane", one((9000,), form))
    form = coded_codebook(9000, 20, lambda v: listed(v, 20, wide=True))
    good("rans-wide", "three chunks, two of them of 32 lanes", one((9000,), form))
    form = coded_codebook(6000, 20, lambda v: listed(v, 20, wide=True, log2=13))
    good("rans-wide-one", "one chunk of 32 lanes", one((6000,), form))
    form = dense_planes(floats(40), 0, ["packed", "packed", "huffman", "huffman"])
    good("planes-rotated", "byte planes, words rotated", one((5, 8), form))
    form = dense_planes(np.sort(floats(40)), 1, ["huffman", "packed", "huffman", "packed"])
    good("planes-ordered", "byte planes of distances in the order of the floats", one((40,), form))
    form = dense_planes((floats(30) / 64).astype(np.float16), 0, ["packed", "huffman"])
    good("planes-half", "byte planes of half floats", one((30,), form))
    form = dense_planes(np.full(30, 1.0, np.float32), 0, ["rans", "rans", "rans", "packed"])
    good("planes-constant", "planes of one value", one((30,), form))
    indices = [int(v) for v in RNG.integers(0, 60000, 500)]
    form = codebook(book(60000), 1, indices, split(indices, 8, huffman([v >> 8 for v in indices])))
    good("split-huffman", "16-bit integers split, the high part by Huffman", one((500,), form))
    high = [v >> 11 for v in indices]
    form = codebook(book(60000), 1, indices, split(indices, 11, listed(high, 30)))
    good("split-rans", "16-bit integers split, the high part by rANS", one((500,), form))
    first, second, third = (skewed(300, 7) for _ in range(3))
    lengths = huffman_lengths(first + second + third)
    table = code_table(lengths)
    codes = canonical(lengths)
    owner = table + huffman_bits(first, codes)
    own: Coded = (varint(1) + varint(len(owner)), owner)
    bits = huffman_bits(second, codes)
    other: Coded = (varint(1 | 1 << 3) + varint(len(bits)), bits)
    weights = {s: 10 + s for s in range(8)}
    text = varint(8) + listed_table(weights, p=7, r=2, gaps=False)
    r1 = rans(first, text[1:], weights)
    r2 = headless(rans(third, text[1:], weights), text, 1)
    again = huffman_bits(third, codes)
    last: Coded = (varint(1 | 1 << 3) + varint(len(again)), again)
    shared = [
        Tensor(0, (300,), codebook(book(8), 1, first, own)),
        Tensor(0, (300,), codebook(book(8), 1, second, other)),
        Tensor(0, (300,), codebook(book(8), 1, first, r1), begins=True),
        Tensor(0, (300,), codebook(book(8), 1, third, r2)),
        Tensor(0, (300,), codebook(book(8), 1, third, last)),
    ]
    good("shared-tables", "streams that use the tables of others, across sections", shared)
    tensors = [
        Tensor(0, (3, 4), dense(floats(3, 4))),
        Tensor(0, (3,), dense(floats(3))),
        Tensor(2, (2, 2), half(floats(4) / 64)),
        Tensor(1, (5,), dense(floats(5)), begins=True),
    ]
    good("several", "several tensors in two sections, aligned to 64", tensors, log2=6)
    good("squeezed", "a deflated manifest", tensors, squeeze=True)
    good(
        "preset",
        "a manifest deflated with the preset dictionary",
        tensors,
        squeeze=True,
        preset=True,
    )
    transform = message((1, 256), (2, 256), (3, 227), (4, 227), (7, 2))
    mean = [*tensors, Tensor(1, (3, 2, 2), dense(floats(3, 2, 2)))]
    good("mean-image", "a mean image beside the parameters", mean, more=[(4, transform)])
    extra = [
        Part(NOTES, b'{"recipe":{"name":"x"}}', ANCILLARY),
        Part(LABELS, deflate(b"cat\ndog\n" * 9), ANCILLARY | DEFLATED, 72),
    ]
    good("notes-and-labels", "ancillary sections", tensors, extra=extra)
    notes, labels = b'{"recipe":{"name":"linear8"},"seed":0}', b"airplane\nautomobile\ncactus\n"
    flags = ANCILLARY | DEFLATED | PRESET
    extra = [
        Part(NOTES, deflate(notes, preset=True), flags, len(notes)),
        Part(LABELS, deflate(labels, preset=True), flags, len(labels)),
    ]
    good("preset-texts", "notes and labels with the preset dictionary", tensors, extra=extra)


def write_uncommon() -> None:
    """Files that are allowed and rare."""

    def rare(name: str, what: str, tensors: list[Tensor], **more: object) -> None:
        good(name, what, tensors, folder="uncommon", **more)  # type: ignore[arg-type]

    rare("empty", "a network without parameters", [])
    rare("no-layers", "no layers at all", [], keys=[])
    rare("scalar", "rank 0: one element", one((), dense(floats(1))))
    rare("zero-elements", "an extent of 0", one((0, 5), dense(floats(0, 5))))
    form = codebook(book(3), 1, [], (varint(1) + varint(1), b"\0"))
    rare("zero-elements-huffman", "an empty Huffman stream", one((0,), form))
    form = codebook(book(3), 1, [], (varint(2) + varint(1), b"\0"))
    rare("zero-elements-rans", "an empty rANS stream", one((0,), form))
    rare("rank-32", "thirty-two dimensions", one((1,) * 31 + (2,), dense(floats(2))))
    odd = np.array([0x7FC12345, 0x7F800001, 0xFF800000, 0x80000000, 1], np.uint32).view(np.float32)
    rare("nan", "NaN payloads, infinity, -0 and a subnormal", one((5,), dense(odd)))
    form = codebook(dense(odd), 1, [0, 1, 2, 3, 4, 0], packed([0, 1, 2, 3, 4, 0], 3))
    rare("nan-codebook", "the same as centroids: words are copied", one((6,), form))
    halves = np.array([0x7E01, 0xFC00, 0x8000, 1, 0x7BFF], np.uint16).view(np.float16)
    values = Form(b"\x10", halves.tobytes(), halves.astype(np.float32))
    rare(
        "half-limits",
        "half floats: infinity, -0, subnormal, largest",
        one((4,), _without_nan(values)),
    )
    form = codebook(book(1), 1, [0] * 50, packed([0] * 50, 0))
    rare("width-0", "a packed stream of no bits", one((50,), form))
    form = codebook(book(9), 1, [8] * 50, huffman([8] * 50))
    rare("huffman-one-symbol", "one used symbol: no payload", one((50,), form))
    single: Coded = (varint(2) + varint(2), varint(9) + b"\xc0")
    rare(
        "rans-one-symbol",
        "one used symbol: no payload",
        one((50,), codebook(book(9), 1, [8] * 50, single)),
    )
    indices = [int(v) for v in RNG.integers(0, 2048, 6000)]
    form = codebook(book(2048), 1, indices, huffman(indices))
    rare("huffman-2048", "the largest alphabet, flat", one((6000,), form))
    lengths = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 11]
    counts = [2 ** (11 - n) for n in lengths]
    indices = [s for s, n in enumerate(counts) for _ in range(n)]
    form = codebook(book(12), 1, indices, huffman(indices))
    rare("huffman-11-bits", "code lengths of 1 to 11", one((len(indices),), form))
    indices = [0] * 3 + [255] * 2
    rare(
        "huffman-long-run",
        "254 unused symbols",
        one((5,), codebook(book(256), 1, indices, huffman(indices))),
    )
    indices = [int(v) for v in RNG.integers(0, 3, 4096)]
    form = codebook(book(3), 1, indices, huffman(indices))
    rare("huffman-4096", "the longest single sub-stream", one((4096,), form))
    indices = [int(v) for v in RNG.integers(0, 3, 4097)]
    form = codebook(book(3), 1, indices, huffman(indices))
    rare("huffman-4097", "a chunk of 4096 and one of 1", one((4097,), form))
    form = codebook(book(3), 1, indices, huffman(indices, log2=20))
    rare(
        "huffman-4097-large",
        "one chunk of 4097: the fourth sub-stream is shorter",
        one((4097,), form),
    )
    form = sparse((6, 10), [], dense(floats(0)))
    rare("sparse-nothing", "no stored value", one((6, 10), form))
    form = sparse((6, 10), [], dense(floats(0)), coder="mask")
    rare("sparse-nothing-mask", "no stored value: an empty mask", one((6, 10), form))
    form = sparse((2, 3), list(range(6)), dense(floats(6)), coder="mask")
    rare("sparse-everything-mask", "every value stored: an empty mask", one((2, 3), form))
    form = sparse((2, 3), list(range(6)), dense(floats(6)), bits=1)
    rare("sparse-everything", "every value stored, 1-bit gaps", one((2, 3), form))
    form = sparse((1 << 20,), [(1 << 20) - 1], dense(floats(1)), bits=8)
    rare("sparse-far", "one value at the end of a million", one((1 << 20,), form))
    values = dense(np.array([-0.0, 1.0], np.float32))
    rare("sparse-minus-zero", "a stored -0 stays", one((5,), sparse((5,), [1, 3], values)))
    ints = [-1, 0, 1]
    form = linear(dense(np.array([-2.0])), ints, -1, 0, packed([0, 1, 2], 2))
    rare("linear-negative-scale", "a zero is +0 under a negative scale", one((3,), form))
    form = linear(
        dense(np.array([1e-45, 3e38], np.float32)), [127, -128], -128, 0, packed([255, 0], 8)
    )
    rare("linear-limits", "a subnormal scale and an overflow to infinity", one((2,), form))
    form = hashed(70000, dense(np.array([0.0, -0.0, 1.5], np.float32)), 7)
    rare("hashed-zeros", "-0 buckets and signs: zeros are +0", one((70000,), form))
    tensors = [Tensor(0, (2,), dense(floats(2))), Tensor(1, (2,), dense(floats(2)))]
    rare(
        "names",
        "quotes, a backslash, controls and a name of a prototype",
        [*tensors, Tensor(1, (1,), dense(floats(1))), Tensor(1, (1,), dense(floats(1)))],
        keys=['a"b\\c\n', "__proto__", "\u00e9\u4e2d\U0001f600", ""],
    )
    rare(
        "repeated-names",
        "layers of the same name are numbered",
        [*tensors, Tensor(1, (1,), dense(floats(1)))],
        keys=["a", "a#2", "a#3"],
        layers=[layer("a"), layer("a"), layer("a")],
    )
    shared = [layer("a", ["w", ""]), layer("b", ["w", ""])]
    rare(
        "shared",
        "a shared parameter is stored with its owner",
        [
            Tensor(0, (2, 2), dense(floats(2, 2))),
            Tensor(0, (2,), dense(floats(2))),
            Tensor(1, (2,), dense(floats(2)), blob=1),
        ],
        keys=["a", "b"],
        layers=shared,
    )
    empty_codes = np.zeros((1, 0, 2), np.int64)
    form = product(
        (0, 6, 2),
        dense(floats(1, 2, 4, 3)),
        (1, 2, 4, 3),
        empty_codes,
        packed([], 2),
        axes=(0, 2, 1),
    )
    rare("product-zero", "product codes of no element", one((0, 6, 2), form))
    rare("blob-stated", "blob numbers stated though implied", one((1,), dense(floats(1)), blob=0))
    rare("aligned-4096", "the largest alignment", tensors, log2=12)
    future = [Part(77, b"from the future", ANCILLARY)]
    rare(
        "unknown-ancillary", "an ancillary section of the future is skipped", tensors, extra=future
    )
    odd_flags = [Part(78, b"\x01", ANCILLARY | PRESET | DEFLATED | 4, 300)]
    rare(
        "unknown-flags",
        "flags of an ancillary section of the future mean nothing to a reader",
        tensors,
        extra=odd_flags,
    )
    ends = np.array([-0.5, 0.0], np.float32), np.array([4.0, 0.0], np.float32)
    ranges = message((1, b"\0\3"), *((2 + i, end.tobytes()) for i, end in enumerate(ends)))
    rare("ranges", "what layers 0 and 3 read", tensors, more=[(6, ranges)], version=(1, 1))
    rare("minor-version", "version 1.200 with nothing new", tensors, version=(1, 200))
    rare(
        "many-sections",
        "a data section for each of 12 tensors",
        [Tensor(int(i > 0), (1,), dense(np.array([i])), begins=True) for i in range(12)],
        keys=[f"l{i}" for i in range(12)],
    )
    rare(
        "type-65535",
        "the largest section type",
        tensors,
        extra=[Part(65535, b"", ANCILLARY)],
    )
    whole_preset = message((100, (HERE.parent / "dictionary.bin").read_bytes()))
    rare(
        "preset-whole",
        "a copy from the first byte of the preset dictionary",
        tensors,
        more=[(99, whole_preset)],
        squeeze=True,
        preset=True,
    )
    rare("unknown-field", "a manifest field of the future is skipped", tensors, more=[(99, b"new")])
    kept = message((1, 1), (2, b"convolution_param"), (3, b"mode: FANCY"))
    rare("unknown-layer-field", "a field of a Caffe fork is kept", tensors, more=[(2, kept)])
    rare(
        "mean-only", "a mean image and no parameter", [Tensor(4, (1, 2, 2), dense(floats(1, 2, 2)))]
    )
    rare("empty-data", "a data section of no bytes", one((0,), dense(floats(0))))
    stored = b'{"x":"' + bytes(i % 251 for i in range(600)).hex().encode() + b'"}'
    rare(
        "stored-deflate",
        "notes deflated as stored blocks",
        tensors,
        extra=[Part(NOTES, _stored_blocks(stored), ANCILLARY | DEFLATED, len(stored))],
    )


def _without_nan(form: Form) -> Form:
    """Drop the first value, a NaN whose widened payload depends on nobody's rules."""
    return Form(form.text, form.streams[2:], form.values[1:])


def _stored_blocks(data: bytes) -> bytes:
    """Raw DEFLATE in two stored blocks."""
    half = len(data) // 2
    out = b""
    for last, part in ((0, data[:half]), (1, data[half:])):
        size = len(part)
        out += (
            bytes([last])
            + size.to_bytes(2, "little")
            + (size ^ 0xFFFF).to_bytes(2, "little")
            + part
        )
    return out


# Bad files


def write_invalid() -> None:
    """Files that are refused: one defect each, every other checksum right."""
    tensors = one((4,), dense(np.arange(4, dtype=np.float32)))
    text = manifest(tensors, [layer("l0")])
    parts = [Part(MANIFEST, text), *data_parts(tensors)]
    whole = file(parts)

    def head(name: str, error: str, what: str, **forge: object) -> None:
        bad(name, error, what, file([Part(p.type, p.stored) for p in parts], **forge))  # type: ignore[arg-type]

    def sections(name: str, error: str, what: str, new: list[Part], **forge: object) -> None:
        bad(name, error, what, file(new, **forge))  # type: ignore[arg-type]

    bad("empty-file", "bad-signature", "no bytes", b"")
    head("signature", "bad-signature", "another first byte", signature=b"\x88CMD\r\n\x1a\n")
    head(
        "signature-text",
        "bad-signature",
        "line ends changed as in text",
        signature=b"\x89CMD\n\n\x1a\n",
    )
    bad("signature-cut", "truncated", "the file ends within the signature", whole[:5])
    bad("header-cut", "truncated", "the file ends within the header", whole[:20])
    bad("table-cut", "truncated", "the file ends within the section table", whole[:25])
    bad("data-cut", "truncated", "the last byte is missing", whole[:-1])
    bad("trailing", "trailing-data", "a byte after the end", whole + b"\0")
    head("version-major", "bad-version", "version 9", version=(9, 0))
    head("version-draft", "bad-version", "a draft: version 0.2", version=(0, 2))
    head("alignment", "bad-header", "an alignment of 2^13", log2=13)
    head("reserved-byte", "bad-header", "the reserved byte is not zero", reserved=1)
    bad("no-sections", "bad-header", "no sections", file([]))
    head("table-beyond", "truncated", "a table longer than the file", table_size=1 << 31)
    head("header-crc", "checksum", "another CRC of the header", crc=1)
    bad("table-flip", "checksum", "a bit of the section table", _flip(whole, 8 * 22))
    head("padding", "bad-header", "padding that is not zero", log2=6, fill=7)
    entries = [part.entry() for part in parts]
    head("entry-cut", "bad-header", "a table that ends within an entry", table=entries[0][:-1])
    head(
        "entry-overlong",
        "bad-header",
        "a size that is not in its shortest form",
        table=entries[0] + b"\x20\x90\x00" + entries[1][2:],
    )
    head(
        "entry-type",
        "bad-header",
        "a section type of 2^16",
        table=b"".join(entries) + varint(1 << 20 | ANCILLARY) + bytes(5),
    )
    sections(
        "section-huge",
        "bad-header",
        "a section of 2^54 bytes",
        [parts[0], Part(DATA, parts[1].stored, size=1 << 54)],
    )
    sections(
        "section-beyond",
        "truncated",
        "a section of 2^53 bytes",
        [parts[0], Part(DATA, parts[1].stored, size=1 << 53)],
    )
    for flags, folder in ((4, parts[1]), (ANCILLARY | 4, Part(NOTES, b"{}"))):
        forged_part = Part(folder.type, folder.stored, flags)
        name = f"flag-{'data' if folder.type == DATA else 'notes'}"
        new = [parts[0], forged_part] if folder.type == DATA else [*parts, forged_part]
        sections(name, "unknown-feature", "a flag of the future", new)
    sections(
        "preset-stored",
        "bad-header",
        "a preset dictionary and no deflation",
        [Part(MANIFEST, text, PRESET), parts[1]],
    )
    with_preset = deflate(text, preset=True)
    sections(
        "preset-missing",
        "bad-manifest",
        "a reference into the preset dictionary without its flag",
        [Part(MANIFEST, with_preset, DEFLATED, len(text)), parts[1]],
    )
    # A copy of three bytes from 4085 bytes back, by fixed codes.
    beyond = bits_lsb([(1, 1), (1, 2), (0b1000000, 7), (0b11101, 5), (1012, 10), (0, 7)])
    sections(
        "preset-beyond",
        "bad-manifest",
        "a reference to before the preset dictionary",
        [Part(MANIFEST, beyond, DEFLATED | PRESET, 3), parts[1]],
    )
    sections(
        "deflated-data",
        "bad-header",
        "a deflated data section",
        [parts[0], Part(DATA, parts[1].stored, DEFLATED)],
    )
    sections(
        "critical-labels", "bad-header", "labels that are critical", [*parts, Part(LABELS, b"a\n")]
    )
    sections(
        "ancillary-data",
        "bad-header",
        "data that is ancillary",
        [parts[0], Part(DATA, parts[1].stored, ANCILLARY)],
    )
    sections("two-manifests", "bad-header", "two manifests", [parts[0], parts[0], parts[1]])
    sections("manifest-second", "bad-header", "the manifest comes second", [parts[1], parts[0]])
    notes = Part(NOTES, b"{}", ANCILLARY)
    sections("two-notes", "bad-header", "two sections of notes", [*parts, notes, notes])
    sections(
        "critical-unknown",
        "unknown-feature",
        "a critical section of the future",
        [*parts, Part(99, b"x")],
    )
    sections(
        "manifest-crc",
        "checksum",
        "another CRC of the manifest",
        [Part(MANIFEST, text, crc=1), parts[1]],
    )
    sections(
        "data-crc",
        "checksum",
        "a flipped bit in the data",
        [parts[0], Part(DATA, _flip(parts[1].stored, 3), crc=zlib.crc32(parts[1].stored))],
    )
    squeezed = deflate(text)
    sections(
        "deflate-broken",
        "bad-manifest",
        "bytes that are not DEFLATE",
        [Part(MANIFEST, b"\xff" * 9, DEFLATED, len(text)), parts[1]],
    )
    sections(
        "deflate-short",
        "bad-manifest",
        "a deflated manifest cut short",
        [Part(MANIFEST, squeezed[:-4], DEFLATED, len(text)), parts[1]],
    )
    sections(
        "deflate-size",
        "bad-manifest",
        "another decoded size",
        [Part(MANIFEST, squeezed, DEFLATED, len(text) + 1), parts[1]],
    )
    sections(
        "deflate-trailing",
        "bad-manifest",
        "bytes after the deflated ones",
        [Part(MANIFEST, squeezed + b"\0", DEFLATED, len(text)), parts[1]],
    )
    sections(
        "manifest-garbage",
        "bad-manifest",
        "a manifest that is no message",
        [Part(MANIFEST, b"\x0a\xff\xff"), parts[1]],
    )
    sections(
        "manifest-huge",
        "limit-memory",
        "a manifest of 2^40 bytes",
        [Part(MANIFEST, squeezed, DEFLATED, 1 << 40), parts[1]],
    )
    sections(
        "required",
        "unknown-feature",
        "a required feature of the future",
        [Part(MANIFEST, text + message((5, b"warp"))), parts[1]],
    )
    heavy = message(
        (1, network([layer("l0") + message((7, message((5, bytes(4)))))])), (3, directory(tensors))
    )
    sections(
        "blobs", "bad-manifest", "weights within the manifest", [Part(MANIFEST, heavy), parts[1]]
    )
    old = message(
        (1, network([layer("l0")]) + message((2, message((4, b"old"))))), (3, directory(tensors))
    )
    sections(
        "layers-v1",
        "bad-manifest",
        "layers of an old version in the network",
        [Part(MANIFEST, old), parts[1]],
    )
    unknown = text + message((2, message((1, 5), (3, b"x: 1"))))
    sections(
        "unknown-layer",
        "bad-manifest",
        "an unknown field of a layer that is not there",
        [Part(MANIFEST, unknown), parts[1]],
    )
    sections(
        "no-directory",
        "bad-manifest",
        "data and no directory",
        [Part(MANIFEST, message((1, network([])))), parts[1]],
    )
    sections("no-data", "bad-manifest", "tensors and no data section", [parts[0]])

    latin = message((1, b"caf\xe9"), (2, b"InnerProduct"))
    named = message((1, network([latin])), (3, directory(tensors)))
    sections(
        "name-encoding",
        "bad-manifest",
        "a name that is not UTF-8",
        [Part(MANIFEST, named), parts[1]],
    )
    flat_mean = [Tensor(1, (4,), dense(np.arange(4, dtype=np.float32)))]
    sections(
        "mean-rank",
        "bad-manifest",
        "a mean image of one dimension",
        [Part(MANIFEST, manifest(flat_mean, [layer("l0")])), *data_parts(flat_mean)],
    )

    crc = bytes(4)
    d = b"\x00"
    entry = varint(2) + varint(1) + varint(4) + d
    alone = varint(1) + crc
    two = varint(2) + crc + crc
    for name, what, data in (
        ("directory-empty", "a directory of no bytes", b""),
        ("directory-cut", "it ends within a tensor", alone + entry[:-1]),
        ("directory-checksums", "it ends within the checksums", varint(2) + crc + b"\0\0"),
        ("directory-count", "1000 tensors of one", varint(1000) + crc + entry),
        ("directory-trailing", "bytes follow the last tensor", alone + entry + b"\0"),
        ("directory-overlong", "a varint not in its shortest form", b"\x81\x00" + crc + entry),
        ("directory-endless", "a varint of ten bytes", b"\x80" * 9 + b"\x01"),
        (
            "first-without-section",
            "the first tensor begins no section",
            alone + varint(0) + varint(1) + varint(4) + d,
        ),
        (
            "sections-too-many",
            "a tensor in a third section of one",
            two + entry + varint(6) + varint(1) + varint(0) + d,
        ),
        (
            "layer-beyond",
            "a layer that is not there",
            alone + varint(3 << 2 | 2) + varint(1) + varint(4) + d,
        ),
        (
            "blob-order",
            "blobs that do not ascend",
            two + entry + varint(1) + varint(0) + varint(1) + varint(0) + d,
        ),
        (
            "blob-gap",
            "blobs with a gap",
            alone + varint(3) + varint(2) + varint(1) + varint(4) + d,
        ),
        ("rank-33", "33 dimensions", alone + varint(2) + varint(33) + varint(1) * 33 + d),
        (
            "elements",
            "2^42 elements",
            alone + varint(2) + varint(2) + varint(1 << 21) * 2 + d,
        ),
        (
            "data-unused",
            "bytes of a section that no tensor takes",
            alone + varint(2) + varint(1) + varint(3) + d,
        ),
        (
            "data-short",
            "a tensor beyond the end of its section",
            alone + varint(2) + varint(1) + varint(5) + d,
        ),
    ):
        bad(name, "bad-manifest", what, raw_directory(data))
    bad(
        "limit-memory",
        "limit-memory",
        "2^38 elements of nothing",
        forged(b"\x01\x01\x00\x00", bytes(4), (1 << 38,)),
    )

    for name, error, what, form_text, streams in (
        ("form-unknown", "unknown-feature", "a form of the future", b"\x0f", b""),
        ("float-unknown", "unknown-feature", "a float type of the future", b"\x70", b""),
        (
            "codebook-variant",
            "unknown-feature",
            "a codebook variant of the future",
            b"\x81\x02",
            b"",
        ),
        ("codebook-none", "bad-manifest", "a codebook without entries", b"\x01\x00\x00\x00", b""),
        ("codebook-many", "bad-manifest", "70,000 entries", b"\x01" + varint(70000) + b"\0\0", b""),
        ("codebook-groups", "bad-manifest", "3 groups of 4 elements", b"\x11\x03\x02\x00\x00", b""),
        ("codebook-sparse", "bad-manifest", "centroids that are sparse", b"\x01\x02\x03\x00", b""),
        (
            "coder-unknown",
            "unknown-feature",
            "a coder of the future",
            b"\x01\x02\x00\x07\x01",
            bytes(9),
        ),
        (
            "width-beyond",
            "bad-manifest",
            "9 bits for a byte",
            b"\x01\x02\x00" + varint(9 << 3),
            bytes(13),
        ),
        (
            "index-beyond",
            "bad-stream",
            "an index beyond the codebook",
            b"\x01\x03\x00" + varint(2 << 3),
            bytes(12) + b"\xff",
        ),
        (
            "packed-padding",
            "bad-stream",
            "padding bits that are not zero",
            b"\x01\x02\x00" + varint(1 << 3),
            bytes(8) + b"\x1f",
        ),
        (
            "linear-lowest",
            "bad-manifest",
            "a lowest integer of 200 for int8",
            b"\x02" + varint(400) + b"\0\0",
            bytes(4),
        ),
        (
            "linear-range",
            "bad-stream",
            "an integer of 128 for int8",
            b"\x02" + varint(254) + b"\0" + varint(1 << 3),
            bytes(4) + b"\x02",
        ),
        (
            "linear-scale",
            "bad-stream",
            "an infinite scale",
            b"\x02\x00\x00\x00",
            np.float32(np.inf).tobytes(),
        ),
        (
            "linear-codebook-scale",
            "bad-manifest",
            "scales that are a codebook",
            b"\x02\x00\x01\x01\x00\x00\x00",
            bytes(4),
        ),
        (
            "linear-zero",
            "bad-stream",
            "a zero beyond 2^23",
            b"\x82\x00\x00" + varint(1 << 24) + varint(1 << 3) + b"\0\0",
            bytes(4) + b"\x01",
        ),
        ("sparse-count", "bad-manifest", "5 values of 4", b"\x03\x05\x01\x05\x00\x00", b""),
        ("sparse-bits", "bad-manifest", "gaps of 9 bits", b"\x03\x01\x09\x01\x00\x00", bytes(4)),
        (
            "sparse-symbols",
            "bad-manifest",
            "more gap symbols than can be",
            b"\x03\x01\x02\x09\x00\x00",
            bytes(4),
        ),
        (
            "sparse-escape",
            "bad-stream",
            "the last gap symbol is an escape",
            b"\x03\x01\x01\x02" + varint(1 << 3) + b"\0",
            b"\x02" + bytes(4),
        ),
        (
            "sparse-position",
            "bad-stream",
            "a position beyond the tensor",
            b"\x03\x01\x03\x01" + varint(3 << 3) + b"\0",
            b"\x06" + bytes(4),
        ),
        (
            "sparse-fewer",
            "bad-stream",
            "fewer values than stated",
            b"\x03\x02\x01\x03" + varint(1 << 3) + b"\0",
            b"\x03" + bytes(8),
        ),
        (
            "sparse-coder",
            "unknown-feature",
            "a position coder of the future",
            b"\x63\x01\x00",
            bytes(4),
        ),
        (
            "sparse-nested",
            "bad-manifest",
            "values that are sparse",
            b"\x03\x01\x01\x01\x00\x03",
            b"",
        ),
        (
            "bitmap-count",
            "bad-stream",
            "a bitmap with more bits than values",
            b"\x23\x01\x00",
            b"\x03" + bytes(4),
        ),
        (
            "bitmap-padding",
            "bad-stream",
            "a bitmap with a padding bit",
            b"\x23\x01\x00",
            b"\x10" + bytes(4),
        ),
        (
            "block-one",
            "bad-manifest",
            "stated blocks of 1 x 1",
            b"\x13\x01\x01\x01\x01\x01\x00\x00",
            bytes(4),
        ),
        (
            "block-divide",
            "bad-manifest",
            "blocks that do not divide",
            b"\x13\x03\x01\x01\x01\x01\x00\x00",
            bytes(12),
        ),
        (
            "product-divide",
            "bad-manifest",
            "3 blocks of a tensor of 4",
            b"\x04\x01\x03\x01\x01\x00\x00",
            b"",
        ),
        ("product-stages", "bad-manifest", "no stages", b"\x04\x00\x02\x01\x02\x00\x00", b""),
        (
            "product-axes",
            "bad-manifest",
            "axes that are no permutation",
            b"\x14\x01\x01\x02\x01\x02\x00\x00",
            b"",
        ),
        (
            "product-code",
            "bad-stream",
            "a code beyond its codebook",
            b"\x04\x01\x02\x01\x02\x00" + varint(1 << 3),
            bytes(16) + b"\x02",
        ),
        ("hashed-none", "bad-manifest", "no buckets", b"\x05\x00" + crc + b"\0", b""),
    ):
        bad(name, error, what, forged(form_text, streams))

    def stream(
        name: str, what: str, data: bytes, *, count: int = 8, coder: int = 1, entries: int = 8
    ) -> None:
        form_text = b"\x01" + varint(entries) + b"\x00" + varint(coder) + varint(len(data))
        bad(name, "bad-stream", what, forged(form_text, bytes(4 * entries) + data, (count,)))

    table = code_table([2, 2, 2, 2])
    stream("huffman-nothing", "a Huffman stream of no bytes", b"")
    stream("huffman-empty", "no alphabet for 8 integers", b"\0")
    stream("huffman-alphabet", "an alphabet of 2049", varint(2049) + bytes(9))
    stream(
        "huffman-alphabet-8",
        "300 symbols of 8 bits",
        code_table([9] * 212 + [8] * 150)[:9] + bytes(9),
        entries=255,
    )
    stream(
        "huffman-overlong",
        "an alphabet size not in its shortest form",
        b"\x84\x00" + table[1:] + b"\xe4\xe4",
    )
    stream("huffman-kraft-under", "an incomplete code", code_table([2, 2, 2]) + b"\x24\x49")
    stream("huffman-kraft-over", "too many codes", code_table([1, 1, 1]) + b"\x24")
    stream(
        "huffman-first-repeat",
        "a table that begins with a repetition",
        varint(4) + b"\x0c\x02" + b"\xe4\xe4",
    )
    stream("huffman-run-beyond", "a run beyond the alphabet", varint(4) + b"\xc2\x0f" + b"\xe4\xe4")
    stream("huffman-last-zero", "the last symbol has no code", varint(3) + b"\x11\x00" + b"\x24")
    stream("huffman-table-cut", "it ends within the table", varint(8) + b"\x33")
    stream(
        "huffman-table-padding",
        "a padding nibble that is not zero",
        varint(3) + b"\x12\xf2" + b"\x24\x49",
    )
    stream("huffman-single-length", "one symbol of length 2", varint(1) + b"\x02")
    stream("huffman-single-payload", "a payload for one symbol", varint(1) + b"\x01\x00")
    stream("huffman-short", "it ends before its last integer", table + b"\xe4")
    stream("huffman-long", "a byte after the last integer", table + b"\xe4\xe4\x00")
    stream("huffman-padding", "padding bits that are not zero", table + b"\xe4\xe4\x40", count=9)
    quarter = [i % 4 for i in range(5000)]
    body = huffman(quarter)[1]
    place = len(code_table([2, 2, 2, 2]))
    stream(
        "huffman-chunk-size",
        "chunks of 2^21",
        body[:place] + b"\x15" + body[place + 1 :],
        count=5000,
    )
    stream(
        "huffman-chunk-small",
        "chunks of 2^11",
        body[:place] + b"\x0b" + body[place + 1 :],
        count=5000,
    )
    stream(
        "huffman-chunk-flip",
        "a flipped bit in a chunk",
        _flip(body, len(body) * 8 - 30),
        count=5000,
    )
    index["invalid/huffman-chunk-flip.cmodel"]["error"] = "checksum"
    stream(
        "huffman-jump",
        "a chunk longer than the stream",
        body[: place + 1] + b"\xff\xff" + body[place + 3 :],
        count=5000,
    )
    stream("huffman-chunk-trailing", "a byte after the last chunk", body + b"\0", count=5000)
    one_chunk = huffman(quarter, log2=20)[1]
    stream(
        "huffman-substream",
        "a sub-stream longer than its chunk",
        one_chunk[: place + 1] + b"\xff\x7f" + one_chunk[place + 3 :],
        count=5000,
    )

    few = [0, 1, 2, 3, 0, 1, 0, 0]
    weights = {0: 60, 1: 40, 2: 20, 3: 10}
    listed_ = listed_table(weights, p=7, r=3, gaps=False)
    body = rans(few, listed_, weights)[1]
    payload = len(varint(4) + listed_)
    stream("rans-nothing", "a rANS stream of no bytes", b"", coder=2)
    stream("rans-empty", "no alphabet for 8 integers", b"\0", coder=2)
    stream("rans-alphabet", "an alphabet of 2049", varint(2049) + bytes(9), coder=2)
    stream("rans-head", "a table of the future", varint(4) + b"\xa0" + body[2:], coder=2)
    stream("rans-table-cut", "it ends within the table", body[:3], coder=2)
    stream("rans-single-payload", "a payload for one symbol", varint(1) + b"\xc0\x00", coder=2)
    stream(
        "rans-parametric-one",
        "a parametric table of one symbol",
        varint(1) + b"\x80\x00\x00\x00",
        coder=2,
    )
    stream(
        "rans-centre",
        "a centre beyond the alphabet",
        varint(4) + b"\x80\x7f\x00\x00" + body[payload:],
        coder=2,
    )
    stream("rans-short", "its last word is missing", body[:-2], coder=2)
    stream("rans-long", "a word too many", body + b"\x01\x01", coder=2)
    stream("rans-state", "it does not end in its first state", _flip(body, 8 * payload), coder=2)
    many = [i % 4 for i in range(5000)]
    wide = rans(many, listed_, weights, wide=True, log2=13)[1]
    stream(
        "rans-wide-byte",
        "an unknown bit in the chunk byte",
        wide[:payload] + b"\xcd" + wide[payload + 1 :],
        coder=2,
        count=5000,
    )
    stream(
        "rans-wide-state",
        "a first state below 2^16",
        wide[: payload + 1] + bytes(4) + wide[payload + 5 :],
        coder=2,
        count=5000,
    )
    stream("rans-wide-short", "32 lanes that run out of words", wide[:-2], coder=2, count=5000)
    stream("rans-wide-long", "32 lanes with a word left", wide + bytes(2), coder=2, count=5000)

    rows, columns = 6, 8
    positions = [1, 9, 10, 27, 40]
    form = sparse((rows, columns), positions, dense(floats(5)), coder="mask")
    size = len(form.streams) - 20
    coded = form.streams[:size]

    def masked(name: str, what: str, data: bytes, count: int = 5) -> None:
        form_text = b"\x43" + varint(count) + varint(len(data)) + b"\x00"
        bad(name, "bad-stream", what, forged(form_text, data + bytes(4 * count), (rows, columns)))

    masked("mask-nothing", "a mask of no bytes", b"")
    masked("mask-short", "its last byte is missing", coded[:-1])
    masked("mask-long", "a byte too many", coded + b"\0")
    masked("mask-code", "a code beyond the range", b"\x00" + b"\xff" * 7)
    masked("mask-period", "a period beyond the columns", varint(9) + coded[1:])
    masked("mask-trivial", "bytes where all elements are stored", coded, rows * columns)
    indices = [int(v) for v in RNG.integers(0, 60000, 40)]
    high = huffman([v >> 8 for v in indices])
    whole_split = split(indices, 8, high)[1]

    def cut(name: str, what: str, data: bytes) -> None:
        form_text = b"\x01" + varint(60000) + b"\x00" + varint(3) + varint(len(data))
        bad(name, "bad-stream", what, forged(form_text, bytes(240000) + data, (40,)))

    cut("split-head", "no low bits", b"\x00" + whole_split[1:])
    cut("split-reserved", "an unknown bit in the head", b"\x18" + whole_split[1:])
    cut("split-short", "it ends within the low part", whole_split[:20])
    cut("split-large", "a high part that is too large", b"\x09" + bits_lsb([(0, 9)] * 40) + high[1])
    text_of_split = b"\x01" + varint(60000) + b"\x00" + varint(3 | 1 << 3)
    bad(
        "split-variant",
        "unknown-feature",
        "a split stream with variant bits",
        forged(text_of_split + varint(len(whole_split)), bytes(240000) + whole_split, (40,)),
    )
    stream("split-8-bit", "a split stream of 8-bit integers", whole_split, coder=3)
    index["invalid/split-8-bit.cmodel"]["error"] = "unknown-feature"

    def planed(name: str, what: str, data: bytes) -> None:
        bad(name, "bad-stream", what, forged(b"\x40" + varint(len(data)), data, (3,)))

    body = planes([1, 2, 3], 32, 0, ["packed"] * 4)
    planed("planes-transform", "a transform of the future", b"\x02" + body[1:])
    planed("planes-short", "three planes of four", body[:-1])
    planed("planes-long", "bytes after the last plane", body + b"\0")
    planed("planes-width", "a plane of 9 bits", b"\x00\x09" + bytes(9))
    bad(
        "table-missing",
        "bad-manifest",
        "a shared table that is not there",
        forged(b"\x01\x02\x00" + varint(1 | 1 << 3) + b"\x01", bytes(9)),
    )
    wrong = one((4,), dense(np.arange(4, dtype=np.float32)), crc=1)
    sections(
        "tensor-crc",
        "checksum",
        "another CRC of the decoded values",
        [Part(MANIFEST, manifest(wrong, [layer("l0")])), *data_parts(wrong)],
    )


# A generator of their own: the files before do not change with them.
OWN = np.random.Generator(np.random.PCG64(2027))


def weights_like(rows: int, columns: int, scale: float) -> list[int]:
    """Signed integers whose rows and columns differ in size, and whose neighbours share signs."""
    size = OWN.gamma(1.5, size=(rows, 1)) * OWN.gamma(1.5, size=columns) * scale
    noise = OWN.integers(-1000, 1001, (rows, columns)) / 1000
    smooth = noise + np.roll(noise, 1, axis=1)
    return [int(v) for v in np.rint(smooth * size).clip(-120, 120).reshape(-1)]


def contextual(ints: list[int], rows: int, lowest: int, **more: object) -> Coded:
    """Signed integers, coded with their zero."""
    return context([i - lowest for i in ints], rows, -lowest, **more)


def write_context() -> None:
    """Context streams and Trellis forms."""
    unit = dense(np.array([0.125]))
    few = weights_like(12, 20, 0.7)
    low = min(few)
    form = linear(unit, few, low, 0, contextual(few, 12, low))
    good("context", "small integers by mixed contexts", one((12, 20), form))
    kernels = weights_like(16, 54, 1.0)
    low = min(kernels)
    coded = contextual(kernels, 16, low, width=3, period=9)
    form = linear(unit, kernels, low, 0, coded)
    good("context-kernels", "the neighbours in 3 x 3 kernels", one((16, 6, 3, 3), form))
    large = [int(v) * 7 for v in weights_like(9, 30, 20.0)]
    low = min(large)
    form = linear(unit, large, low, 2, contextual(large, 9, low, width=6))
    good("context-int16", "16-bit integers, escapes of many lengths", one((9, 30), form))
    indices = skewed(300, 15)
    form = codebook(dense(np.arange(16) / 8), 1, indices, context(indices, 10, 3))
    good("context-codebook", "indices of a codebook, zero in their middle", one((10, 30), form))
    long = [int(v) for v in OWN.integers(-1, 2, 9000)]
    form = linear(unit, long, -1, 0, contextual(long, 300, -1))
    good("context-long", "counters that are full, 300 rows", one((300, 30), form))
    form = trellis(unit, 1, [1, 0, -1, 2], -1, packed([2, 1, 0, 3], 2))
    good("trellis", "a row of four, packed", one((1, 4), form))
    indices = weights_like(20, 45, 0.8)
    low = min(indices)
    coded = contextual(indices, 20, low, width=3, period=9, trellis=True)
    form = trellis(unit, 20, indices, low, coded)
    good("trellis-context", "dependent quantization of 3 x 3 kernels", one((20, 5, 3, 3), form))
    scales = dense(np.array([0.5, -0.25, 3.0, 0.1]))
    form = trellis(scales, 4, indices[:80], low, huffman([i - low for i in indices[:80]]))
    good("trellis-groups", "a scale for each row, one negative", one((4, 20), form))
    wide = [int(v) for v in OWN.integers(-3000, 3000, 60)]
    form = trellis(unit, 5, wide, -3000, packed([i + 3000 for i in wide], 13), wide=True)
    good("trellis-int16", "16-bit indices", one((5, 12), form))

    def rare(name: str, what: str, tensors: list[Tensor]) -> None:
        good(name, what, tensors, folder="uncommon")

    form = linear(unit, [], 0, 0, context([], 1, 0))
    rare("context-empty", "no integers and no bytes", one((0, 3), form))
    form = linear(unit, few[:20], -9, 0, contextual(few[:20], 1, -9, width=20, period=20))
    rare("context-one-row", "one row, distances as long as it is", one((20,), form))
    form = linear(unit, few[:20], -9, 0, contextual(few[:20], 20, -9, width=1, period=1))
    rare("context-one-column", "rows of one integer", one((20,), form))
    form = linear(unit, few, low, 0, contextual(few, 12, low, period=2))
    rare("context-period-only", "a period without a width", one((12, 20), form))
    form = linear(unit, few, low, 0, contextual(few, 12, low, width=1, trellis=True))
    rare("context-trellis-flag", "a trellis where there is none", one((12, 20), form))
    form = codebook(dense(np.arange(300)), 1, [299, 0, 7], context([299, 0, 7], 3, 65535))
    rare("context-zero", "zero at the top of the range", one((3,), form))
    form = linear(unit, [0, 65535], 0, 3, context([0, 65535], 1, 0))
    rare("context-largest", "the largest magnitude", one((2,), form))
    form = trellis(unit, 1, [3], 0, packed([3], 2))
    rare("trellis-scalar", "a scalar", one((), form))
    form = trellis(
        dense(np.array([1.0, 2.0])), 2, few[:18], low, packed([i - low for i in few[:18]], 6)
    )
    form_across = trellis(
        dense(np.array([1.0, 2.0, 4.0])), 2, few[:18], low, packed([i - low for i in few[:18]], 6)
    )
    rare("trellis-across", "groups that do not end with the rows", one((2, 9), form_across))
    rare("trellis-per-row", "a group for each row", one((2, 9), form))
    form = trellis(dense(np.array([3e38])), 1, [4, -1], -1, packed([5, 0], 3))
    rare("trellis-infinite", "products beyond float32", one((1, 2), form))

    def stream(name: str, what: str, data: bytes, count: int = 8) -> None:
        text = b"\x01\x08\x00" + varint(4) + varint(len(data))
        bad(name, "bad-stream", what, forged(text, bytes(32) + data, (count,)))

    body = context_stream([0, 1, 2, 3, 0, 1, 0, 0], 2, 1)
    stated = context_stream([0, 1, 2, 3, 0, 1, 0, 0], 2, 1, width=2)
    stream("context-nothing", "a context stream of no bytes", b"")
    stream("context-flag", "an unknown flag", b"\x04" + body[1:])
    stream("context-head", "it ends within the head", body[:2])
    stream("context-rows-0", "no rows", b"\x00\x00" + body[2:])
    stream("context-rows", "rows that do not divide the integers", b"\x00\x03" + body[2:])
    stream("context-rows-many", "more rows than integers", b"\x00\x10" + body[2:])
    stream("context-zero", "zero at 256 for 8 bits", b"\x00\x02\x80\x02" + body[3:])
    stream(
        "context-long-varint",
        "a varint that is not in its shortest form",
        b"\x00\x82\x00" + body[2:],
    )
    stream("context-width", "a width beyond the columns", b"\x02\x02\x01\x05\x00" + body[3:])
    stream("context-period", "a period beyond the columns", b"\x02\x02\x01\x00\x05" + body[3:])
    stream("context-no-distances", "distances stated as none", b"\x02\x02\x01\x00\x00" + body[3:])
    stream("context-short", "its last byte is missing", body[:-1])
    stream("context-short-head", "no code", stated[:5])
    stream("context-long", "a byte too many", body + b"\0")
    stream("context-code", "a code beyond the range", b"\x00\x02\x01" + b"\xff" * 8)
    stream(
        "context-range",
        "an integer below 0",
        context_stream([1, 2, 3, 4, 1, 1, 1, 1], 2, 4)[:2]
        + b"\x00"
        + context_stream([1, 2, 3, 4, 1, 1, 1, 1], 2, 4)[3:],
    )
    stream("context-runaway", "an escape without end", b"\x00\x01\x00" + bytes(12))
    stream("context-full", "bytes for no integers", body, 0)
    huge = varint(1) + varint(0)
    text = b"\x01\x08\x00" + varint(4) + varint(8)
    bad(
        "context-columns",
        "limit-memory",
        "columns that take more memory than the integers",
        forged(text, bytes(32) + b"\x00" + huge + bytes(5), (1 << 29,)),
    )
    text = b"\x01\x08\x00" + varint(4 | 1 << 3) + varint(len(body))
    bad("context-variant", "unknown-feature", "a variant", forged(text, bytes(32) + body, (8,)))
    plain = trellis(unit, 1, [1, 0, -1, 2], -1, packed([2, 1, 0, 3], 2))

    def formed(name: str, error: str, what: str, head: bytes) -> None:
        bad(name, error, what, forged(head + b"\x00\x10", plain.streams))

    formed("trellis-states", "unknown-feature", "a trellis of 4 states", b"\x06\x04\x01")
    formed("trellis-variant", "unknown-feature", "a variant of the future", b"\x46\x08\x01")
    formed("trellis-lowest", "bad-manifest", "a lowest integer above 0", b"\x06\x08\x02")
    formed(
        "trellis-lowest-range", "bad-manifest", "a lowest integer below int8", b"\x06\x08\x81\x02"
    )
    formed("trellis-groups", "bad-manifest", "groups that do not divide it", b"\x26\x03\x08\x01")
    high = b"\x06\x08\x00\x00\x40"
    bad(
        "trellis-range",
        "bad-stream",
        "an integer above int8",
        forged(high, plain.streams[:4] + b"\x80" * 4),
    )
    nan = np.array([np.nan], "<f4").tobytes()
    bad(
        "trellis-scale",
        "bad-stream",
        "a scale that is not finite",
        forged(b"\x06\x08\x01\x00\x10", nan + plain.streams[4:]),
    )
    inner = b"\x03\x04\x04\x04\x20" + plain.text
    bad(
        "trellis-inner",
        "bad-manifest",
        "a trellis within a sparse form",
        forged(inner, bytes(30), (1, 4)),
    )


def _flip(data: bytes, bit: int) -> bytes:
    out = bytearray(data)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def main() -> None:
    """Write everything anew."""
    for folder in ("valid", "uncommon", "invalid"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
        (HERE / folder).mkdir()
    write_valid()
    write_uncommon()
    write_invalid()
    write_context()
    (HERE / "index.json").write_text(json.dumps(index, indent=1, ensure_ascii=True) + "\n")
    for folder in ("valid", "uncommon", "invalid"):
        print(folder, sum(path.startswith(folder) for path in index))


if __name__ == "__main__":
    main()
