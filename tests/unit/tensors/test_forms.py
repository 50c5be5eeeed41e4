"""The forms decode to exactly what the specification says."""

import numpy as np
import pytest

from cmodel.tensors import Codebook, Dense, Linear, Sparse, crc32_of


def test_codebook_copies_bits_even_of_nan():
    centroids = np.array([0x7FC12345, 0x80000000], np.uint32).view(np.float32)
    form = Codebook(centroids, np.array([[1, 0]], np.uint8))
    assert form.to_dense().view(np.uint32).tolist() == [[0x80000000, 0x7FC12345]]


def test_codebook_refuses_an_index_outside():
    with pytest.raises(ValueError, match="outside the codebook"):
        Codebook(np.zeros(2, np.float32), np.array([2], np.uint8))


def test_linear_per_row_and_per_tensor():
    ints = np.array([[1, -2], [3, 4]], np.int8)
    per_row = Linear(np.array([0.5, 2], np.float32), np.array([0, 1], np.int32), ints)
    assert per_row.to_dense().tolist() == [[0.5, -1.0], [4.0, 6.0]]
    one = Linear(np.array([0.5], np.float32), np.array([1], np.int32), ints)
    assert one.to_dense().tolist() == [[0.0, -1.5], [1.0, 1.5]]
    assert one.to_dense().dtype == np.float32


def test_linear_zero_is_plus_zero_under_a_negative_scale():
    form = Linear(np.array([-1], np.float32), np.zeros(1, np.int32), np.array([0], np.int8))
    assert form.to_dense().view(np.uint32).tolist() == [0]


@pytest.mark.parametrize(("scales", "match"), [([np.inf], "finite"), ([1, 1, 1], "fit neither")])
def test_linear_refuses(scales, match):
    values = np.array(scales, np.float32)
    with pytest.raises(ValueError, match=match):
        Linear(values, np.zeros(values.size, np.int32), np.zeros((2, 2), np.int8))


def test_sparse_scatters_into_plus_zero():
    values = Codebook(np.array([-0.0, 7.0], np.float32), np.array([1, 0], np.uint8))
    form = Sparse((2, 3), np.array([1, 5]), values)
    bits = form.to_dense().view(np.uint32)
    assert bits.tolist() == [[0, np.float32(7).view(np.uint32), 0], [0, 0, 0x80000000]]
    assert form.density == pytest.approx(1 / 3)


@pytest.mark.parametrize("positions", [[2, 1], [1, 1], [-1, 2], [0, 6]])
def test_sparse_refuses_bad_positions(positions):
    with pytest.raises(ValueError, match="position"):
        Sparse((2, 3), np.array(positions), Dense(np.ones(2, np.float32)))


def test_half_widens_exactly():
    values = np.array([1.5, -0.0, 6.1e-5], np.float16)
    assert (Dense(values).to_dense() == values.astype(np.float32)).all()


def test_crc32_is_over_little_endian_words():
    # zlib.crc32 of 00 00 80 3f, fixed by hand.
    import zlib

    assert crc32_of(Dense(np.ones(1, np.float32))) == zlib.crc32(b"\x00\x00\x80\x3f")
    assert crc32_of(Dense(np.zeros((0, 3), np.float32))) == 0
