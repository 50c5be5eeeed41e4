"""The forms decode to exactly what the specification says."""

import numpy as np
import pytest

from cmodel.tensors import Codebook, Dense, Hashed, Linear, Product, Sparse, Trellis, crc32_of


def floats(values) -> Dense:
    return Dense(np.array(values, np.float32))


def test_codebook_copies_bits_even_of_nan():
    centroids = np.array([0x7FC12345, 0x80000000], np.uint32).view(np.float32)
    form = Codebook(Dense(centroids[None]), np.array([[1, 0]], np.uint8))
    assert form.to_dense().view(np.uint32).tolist() == [[0x80000000, 0x7FC12345]]


def test_codebook_refuses_an_index_outside():
    with pytest.raises(ValueError, match="outside the codebook"):
        Codebook(floats([[0, 0]]), np.array([2], np.uint8))


def test_linear_per_row_and_per_tensor():
    ints = np.array([[1, -2], [3, 4]], np.int8)
    per_row = Linear(floats([0.5, 2]), np.array([0, 1], np.int32), ints)
    assert per_row.to_dense().tolist() == [[0.5, -1.0], [4.0, 6.0]]
    one = Linear(floats([0.5]), np.array([1], np.int32), ints)
    assert one.to_dense().tolist() == [[0.0, -1.5], [1.0, 1.5]]
    assert one.to_dense().dtype == np.float32


def test_linear_zero_is_plus_zero_under_a_negative_scale():
    form = Linear(floats([-1]), np.zeros(1, np.int32), np.array([0], np.int8))
    assert form.to_dense().view(np.uint32).tolist() == [0]


@pytest.mark.parametrize(("scales", "match"), [([np.inf], "finite"), ([1, 1, 1], "3 groups")])
def test_linear_refuses(scales, match):
    values = floats(scales)
    with pytest.raises(ValueError, match=match):
        Linear(values, np.zeros(len(scales), np.int32), np.zeros((2, 2), np.int8))


def test_sparse_scatters_into_plus_zero():
    values = Codebook(floats([[-0.0, 7.0]]), np.array([1, 0], np.uint8))
    form = Sparse((2, 3), np.array([1, 5]), values)
    bits = form.to_dense().view(np.uint32)
    assert bits.tolist() == [[0, np.float32(7).view(np.uint32), 0], [0, 0, 0x80000000]]
    assert form.density == pytest.approx(1 / 3)


@pytest.mark.parametrize("positions", [[2, 1], [1, 1], [-1, 2], [0, 6]])
def test_sparse_refuses_bad_positions(positions):
    with pytest.raises(ValueError, match="position"):
        Sparse((2, 3), np.array(positions), Dense(np.ones(2, np.float32)))


def test_sparse_blocks():
    form = Sparse((4, 6), np.array([1, 3]), floats(np.arange(1, 13)), block=(2, 3))
    expected = np.zeros((4, 6), np.float32)
    expected[0:2, 3:6] = [[1, 2, 3], [4, 5, 6]]
    expected[2:4, 3:6] = [[7, 8, 9], [10, 11, 12]]
    assert (form.to_dense() == expected).all()
    assert form.density == 0.5
    with pytest.raises(ValueError, match="do not divide"):
        Sparse((4, 6), np.array([0]), floats(np.zeros(8)), block=(2, 4))


def test_grouped_codebooks_and_scales():
    indices = np.array([[0, 1, 1], [1, 1, 0]], np.uint8)
    per_row = Codebook(floats([[1, 2], [3, 4]]), indices)
    assert per_row.to_dense().tolist() == [[1, 2, 2], [4, 4, 3]]
    ints = np.array([[1, 2, 3, 4]], np.int8)
    grouped = Linear(floats([1, 10]), np.zeros(2, np.int32), ints)
    assert grouped.to_dense().tolist() == [[1, 2, 30, 40]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("groups", [1, 7])
def test_codebook_kernel_equals_its_numpy_twin(dtype, groups):
    rng = np.random.default_rng(0)
    entries = 256 if dtype == np.uint8 else 300
    books = rng.normal(size=(groups, entries)).astype(np.float32)
    # Several blocks of the kernel, and groups that end within a block.
    indices = rng.integers(0, entries, (7, 100_003)).astype(dtype)
    rows = indices.reshape(groups, -1).astype(np.intp)
    expected = np.take_along_axis(books, rows, axis=1).reshape(indices.shape)
    assert (Codebook(Dense(books), indices).to_dense() == expected).all()
    # Any memory layout will do.
    turned = np.asfortranarray(indices)
    assert (Codebook(Dense(books), turned).to_dense() == expected).all()


def test_nested_centroids():
    levels = Linear(floats([0.5]), np.zeros(1, np.int32), np.array([[-1, 3]], np.int8))
    assert Codebook(levels, np.array([1, 0], np.uint8)).to_dense().tolist() == [1.5, -0.5]


def test_bfloat16_widens_exactly():
    words = np.array([0x3F80, 0xC000, 0x7FC1], np.uint16)
    assert Dense(words).to_dense().view(np.uint32).tolist() == [0x3F800000, 0xC0000000, 0x7FC10000]


def test_product_codes_over_input_channels():
    # (out 2, in 4, 1, 1) in the order (0, 2, 3, 1): rows of four input channels, two blocks of two.
    books = floats([[[[1, 2], [3, 4]], [[5, 6], [7, 8]]]])
    codes = np.array([[[0, 1], [1, 0]]], np.uint8)
    form = Product((2, 4, 1, 1), (0, 2, 3, 1), books, codes)
    assert form.to_dense().reshape(2, 4).tolist() == [[1, 2, 7, 8], [3, 4, 5, 6]]


def test_residual_product_sums_in_double_and_rounds_once():
    books = floats([[[[1.0]]], [[[2.0**-30]]], [[[2.0**-24]]]])
    form = Product((1, 1), (0, 1), books, np.zeros((3, 1, 1), np.uint8))
    exact = 1.0 + 2.0**-30 + 2.0**-24
    assert form.to_dense().item() == np.float32(exact)
    assert np.float32(exact) != np.float32(np.float32(1 + 2.0**-30) + np.float32(2.0**-24))


def test_rotated_product():
    books = floats([[[[1, 0]]]])
    turn = np.array([[0, -1], [1, 0]], np.float32)
    form = Product((3, 2), (0, 1), books, np.zeros((1, 3, 1), np.uint8), turn)
    assert form.to_dense().tolist() == [[0, 1]] * 3
    assert form.blocks().tolist() == [[1, 0]] * 3


def test_hashed_is_the_stated_hash():
    def mix(x: int) -> int:
        x ^= x >> 16
        x = x * 0x85EBCA6B % 2**32
        x ^= x >> 13
        x = x * 0xC2B2AE35 % 2**32
        return x ^ (x >> 16)

    seed = 12345
    start = mix((seed + 0x9E3779B1) % 2**32)
    buckets = np.array([1.5, 2.5, -3.5], np.float32)
    expected = []
    for i in range(50):
        h = mix(i ^ start)
        sign = -1 if mix(h ^ 0x9E3779B1) >> 31 else 1
        expected.append(sign * buckets[h % 3])
    form = Hashed((5, 10), Dense(buckets), seed)
    assert form.to_dense().reshape(-1).tolist() == expected
    unsigned = Hashed((5, 10), Dense(buckets), seed, signed=False)
    assert (np.abs(unsigned.to_dense()) == np.abs(form.to_dense())).all()
    assert (unsigned.to_dense() > 0).any()


def test_half_widens_exactly():
    values = np.array([1.5, -0.0, 6.1e-5], np.float16)
    assert (Dense(values).to_dense() == values.astype(np.float32)).all()


def test_crc32_is_over_little_endian_words():
    # zlib.crc32 of 00 00 80 3f, fixed by hand.
    import zlib

    assert crc32_of(Dense(np.ones(1, np.float32))) == zlib.crc32(b"\x00\x00\x80\x3f")
    assert crc32_of(Dense(np.zeros((0, 3), np.float32))) == 0


def test_a_trellis_interleaves_two_grids():
    # States 0 -1-> 2 -0-> 1 (odd: 2k - sign) -1-> 7 (odd) -0-> 7; a row starts anew.
    ints = np.array([[1, 0, 1, 2], [-2, 0, 0, 3]], np.int8)
    scales = Dense(np.array([0.5, -2], np.float32))
    form = Trellis(scales, ints)
    assert form.shape == (2, 4)
    assert (form.to_dense() == [[1, 0, 0.5, 1.5], [8, 0, 0, -12]]).all()
    assert not np.signbit(form.to_dense()[form.to_dense() == 0]).any()
    with pytest.raises(ValueError, match="states"):
        Trellis(scales, ints, 4)
    with pytest.raises(ValueError, match="ints"):
        Trellis(scales, ints.astype(np.uint8))
