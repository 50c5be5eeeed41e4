import os
import subprocess
import sys

import pytest

from cmodel import _simd

DIGEST = """
import zlib
import numpy as np
from cmodel import _kmeans, _rdo, _simd
from cmodel.codecs import huffman
from cmodel.tensors.trellis import NEXT, QUANTIZER
values = np.random.default_rng(0).standard_normal(200_003).astype(np.float32)
centroids = np.linspace(-3, 3, 33).astype(np.float32)
parts = []
for k in (1, 2, 33):
    indices = _kmeans.assign(values, centroids[:k])
    data = huffman.encode(indices)
    parts += [indices.tobytes(), data, huffman.decode(data, indices.size, "u1").tobytes()]
factor = np.triu(np.full((1, 50, 50), 0.1, np.float32), 1) + np.eye(50, dtype=np.float32)
costs = np.linspace(0, 2, 40, dtype=np.float32).reshape(1, 2, 20)
for trellis in ((NEXT, QUANTIZER), (NEXT, 0 * QUANTIZER)):
    flat = 3 * values[:5000].reshape(1, 100, 50)
    none = np.zeros(100, np.int32)
    parts.append(_rdo.quantize(
        flat, factor, np.ones((1, 50), np.float32), costs, none, none[:50], trellis, None, 30, 0
    ).tobytes())
print(_simd.level(), zlib.crc32(b"".join(parts)))
"""


def run(level, code=DIGEST):
    environment = {**os.environ, "CMODEL_SIMD": level}
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )


def test_level_is_available():
    assert _simd.level() in _simd.available()
    assert _simd.available()[0] == "scalar"


def test_every_level_gives_the_same_bits():
    digests = set()
    for level in _simd.available():
        done = run(level)
        assert done.returncode == 0, done.stderr
        used, digest = done.stdout.split()
        assert used == level
        digests.add(digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    "level", ["sse9", "AVX2", "neon" if "avx2" in _simd.available() else "avx2"]
)
def test_unknown_level_is_a_usage_error(level):
    code = """
from cmodel.errors import UsageError
try:
    from cmodel import _huffman
except UsageError as error:
    print(error)
"""
    done = run(level, code)
    assert done.returncode == 0, done.stderr
    assert f"no SIMD level `{level}`" in done.stdout
    assert "CMODEL_SIMD" in done.stdout
    assert "scalar" in done.stdout
