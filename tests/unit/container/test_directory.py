"""The tensor directory, forged: every rule of the specification is held, with checksums that fit."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.container.making import every_form, packed, resealed, write

from cmodel import container
from cmodel.container.varints import ByteReader, ByteWriter
from cmodel.errors import BadManifest, CmodelError, LimitMemory, UnknownFeature


def directory(*numbers: int | bytes) -> bytes:
    """Return a directory: numbers as varints, bytes as they are."""
    writer = ByteWriter()
    for number in numbers:
        if isinstance(number, bytes):
            for byte in number:
                writer.byte(byte)
        else:
            writer.varint(number)
    return writer.bytes()


CRC = bytes(4)
# One tensor of the second layer, first in the first data section, of shape (4,).
HEAD = (1, CRC, 1 << 2 | 2, 1, 4)
DENSE = b"\x00"


def forged(data: bytes, body: bytes | None = None) -> bytes:
    def change(manifest):
        manifest.directory = data

    return resealed(packed(every_form()), change, body)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (directory(3), BadManifest),  # no tensor of three
        (directory(2, CRC, *[0] * 2), BadManifest),  # one CRC of two
        (directory(*HEAD, DENSE, 0), BadManifest),  # bytes after the end
        (directory(*HEAD, DENSE), BadManifest),  # the section has more bytes
        (b"\x81\x00", BadManifest),  # not the shortest form
        (b"\xff" * 9 + b"\x01", BadManifest),  # too long
        (directory(1, CRC, 1 << 2, 1, 4, DENSE), BadManifest),  # in no section
        (directory(1, CRC, 9 << 2 | 2, 1, 4, DENSE), BadManifest),  # no such layer
        (directory(2, CRC, CRC, *HEAD[2:], DENSE, 1, 0, 1, 4, DENSE), BadManifest),  # blob 0 twice
        (directory(1, CRC, 7, 3, 1, 4, DENSE), BadManifest),  # blobs with a gap
        (directory(1, CRC, 6, 40, *[1] * 40, DENSE), BadManifest),  # 40 dimensions
        (directory(1, CRC, 6, 2, 1 << 30, 1 << 30, DENSE), BadManifest),  # 2^60 elements
        (directory(*HEAD, b"\x0f"), UnknownFeature),  # a form of the future
        (directory(*HEAD, b"\x70"), UnknownFeature),  # a float type of the future
        (directory(*HEAD, b"\x01", 0, DENSE, 0), BadManifest),  # no entries
        (directory(*HEAD, b"\x01", 70000, DENSE, 0), BadManifest),  # too many entries
        (directory(*HEAD, b"\x11", 3, 2, DENSE, 0), BadManifest),  # 3 groups of 4
        (directory(*HEAD, b"\x41", 2, DENSE, 0), UnknownFeature),  # a variant of the future
        (directory(*HEAD, b"\x01", 2, b"\x03"), BadManifest),  # sparse centroids
        (directory(*HEAD, b"\x01", 2, DENSE, 7), UnknownFeature),  # a coder of the future
        (directory(*HEAD, b"\x01", 2, DENSE, 9 << 3), BadManifest),  # 9 bits for a byte
        (directory(*HEAD, b"\x02", 2 * 200, DENSE, 0), BadManifest),  # lowest is 200
        (directory(*HEAD, b"\x03", 5, 1, 5, 0, DENSE), BadManifest),  # 5 values of 4
        (directory(*HEAD, b"\x03", 2, 9, 2, 0, DENSE), BadManifest),  # 9-bit gaps
        (directory(*HEAD, b"\x03", 2, 1, 99, 0, DENSE), BadManifest),  # 99 gap symbols
        (directory(*HEAD, b"\x13", 1, 1, 1, DENSE), BadManifest),  # blocks of 1 x 1
        (directory(*HEAD, b"\x13", 3, 1, 1, DENSE), BadManifest),  # blocks do not divide
        (directory(*HEAD, b"\x63", 1, DENSE), UnknownFeature),  # a position coder to come
        (directory(*HEAD, b"\x04", 1, 3, 2, 1, DENSE, 0), BadManifest),  # 3 blocks in 4
        (directory(*HEAD, b"\x14", 7, 1, 2, 2, 2, DENSE, 0), BadManifest),  # no permutation
        (directory(*HEAD, b"\x05", 0, CRC, DENSE), BadManifest),  # no buckets
    ],
)
def test_forged_directories_are_refused(tmp_path, data, error):
    path = write(tmp_path / "x.cmodel", forged(data))
    with pytest.raises(error) as caught:
        container.Container(path)
    assert str(path) in str(caught.value)


def test_a_valid_forgery_is_read(tmp_path):
    words = np.array([1, 2, 3, 4], np.float32)
    data = directory(*HEAD, DENSE)
    opened = container.Container(write(tmp_path / "x.cmodel", forged(data, words.tobytes())))
    assert (opened.form("conv/0").to_dense() == words).all()
    assert [damage.error.name for damage in container.verify(opened.path).damages] == ["checksum"]


def test_a_huge_tensor_is_refused_before_memory_is_taken(tmp_path):
    # 2^36 elements of a codebook of one entry take no bytes but the centroid.
    data = directory(1, CRC, 1 << 2 | 2, 1, 1 << 36, b"\x01", 1, DENSE, 0)
    path = write(tmp_path / "x.cmodel", forged(data, bytes(4)))
    with pytest.raises(LimitMemory):
        container.Container(path)
    assert container.Container(path, max_memory=1 << 40).tensors[0].shape == (1 << 36,)


def test_random_changes_give_named_errors(tmp_path):
    original = packed(every_form())
    rng = np.random.default_rng(0)
    path = tmp_path / "x.cmodel"

    def change(manifest):
        raw = bytearray(manifest.directory)
        for _ in range(rng.integers(1, 4)):
            raw[rng.integers(len(raw))] ^= rng.integers(1, 256)
        manifest.directory = bytes(raw)

    for _ in range(400):
        path.write_bytes(resealed(original, change))
        try:
            result = container.verify(path, max_memory=1 << 24)
        except CmodelError:
            continue
        assert not result.ok


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, (1 << 53)])
def test_varints(value):
    writer = ByteWriter()
    writer.varint(value)
    reader = ByteReader(writer.bytes())
    assert reader.varint() == value
    assert reader.at_end
    with pytest.raises(BadManifest, match="too early"):
        reader.byte()


@pytest.mark.parametrize("value", [0, -1, 1, -64, 64, 8388608, -8388608])
def test_zigzag(value):
    writer = ByteWriter()
    writer.zigzag(value)
    assert ByteReader(writer.bytes()).zigzag(1 << 23) == value


def test_numbers_beyond_their_limit_are_named():
    with pytest.raises(BadManifest, match="at most 5"):
        ByteReader(b"\x06").varint(5)
