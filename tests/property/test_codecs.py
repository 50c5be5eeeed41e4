import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cmodel.codecs import (
    CODERS,
    bitpack,
    context,
    decode_ints,
    encode_ints,
    huffman,
    mask,
    planes,
    rans,
    reference,
    reference_context,
    reference_mask,
    reference_rans,
    relindex,
    split,
)
from cmodel.errors import BadStream, ChecksumMismatch

DTYPES = [np.uint8, np.uint16]


@st.composite
def symbols(draw, top=2047):
    dtype = draw(st.sampled_from(DTYPES))
    highest = draw(st.integers(0, min(top, np.iinfo(dtype).max)))
    part = draw(arrays(dtype, st.integers(0, 200), elements=st.integers(0, highest)))
    # Repetition reaches the chunks and lanes of long streams.
    return np.tile(part, draw(st.sampled_from([1, 1, 30, 100])))


@given(symbols(65535), st.data())
def test_bitpack(ints, data):
    width = data.draw(st.integers(bitpack.width_of(ints), 8 * ints.itemsize))
    packed = bitpack.encode(ints, width)
    np.testing.assert_array_equal(bitpack.decode(packed, ints.size, width, ints.dtype), ints)
    if ints.size < 300:
        assert packed == reference.bitpack_encode(ints, width)


@given(symbols(), st.integers(12, 20), st.integers(1, 3))
def test_huffman(ints, chunk_log2, threads):
    coded = huffman.encode(ints, chunk_log2=chunk_log2)
    decoded = huffman.decode(coded, ints.size, ints.dtype, threads)
    np.testing.assert_array_equal(decoded, ints)
    if ints.size < 300:
        assert coded == reference.huffman_encode(ints.tolist(), chunk_log2)
        assert reference.huffman_decode(coded, ints.size) == ints.tolist()
        assert len(coded) == huffman.encoded_size(np.bincount(ints))


@given(st.lists(st.integers(0, 10**12), max_size=100))
def test_code_lengths(histogram):
    lengths = huffman.code_lengths(histogram).tolist()
    assert lengths == reference.huffman_lengths(histogram)
    used = [length for length in lengths if length]
    if len(used) > 1:
        assert sum(2 ** (11 - length) for length in used) == 2**11


@given(st.lists(st.integers(0, 3000), unique=True, max_size=60), st.integers(1, 11))
def test_relindex(positions, b):
    positions.sort()
    size = 3001
    coded = relindex.encode(np.array(positions, np.int64), size, b)
    assert coded.tolist() == reference.relindex_encode(positions, b)
    assert relindex.decode(coded, len(positions), size, b).tolist() == positions


@given(symbols(65535))
def test_streams(ints):
    coded = encode_ints(ints)
    decoded = decode_ints(coded.coder, coded.width, coded.data, ints.size, ints.dtype)
    np.testing.assert_array_equal(decoded, ints)
    assert len(coded.data) <= ints.nbytes


@given(symbols(), st.data())
def test_damaged_huffman_is_an_error_or_symbols(ints, data):
    """As the reference says: the same symbols, or both refuse."""
    coded = bytearray(huffman.encode(ints, chunk_log2=12))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(coded) - 1))
        coded[at] = data.draw(st.integers(0, 255))
    damaged = bytes(coded[: data.draw(st.integers(0, len(coded)))])
    try:
        decoded = huffman.decode(damaged, ints.size, np.uint16, data.draw(st.integers(1, 2)))
    except (BadStream, ChecksumMismatch):
        if ints.size < 5000:
            with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
                reference.huffman_decode(damaged, ints.size)
    else:
        assert reference.huffman_decode(damaged, ints.size) == decoded.tolist()


@given(st.binary(max_size=60), st.integers(0, 10_000))
def test_random_bytes_are_no_huffman_stream_or_one(data, count):
    try:
        decoded = huffman.decode(data, count, np.uint16)
    except BadStream:
        if count < 1000:
            with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
                reference.huffman_decode(data, count)
    else:
        assert reference.huffman_decode(data, count) == decoded.tolist()


@given(
    st.lists(st.integers(0, 20), max_size=40),
    st.integers(0, 40),
    st.integers(0, 200),
    st.integers(1, 4),
)
def test_random_gaps(gaps, count, size, b):
    try:
        decoded = relindex.decode(np.array(gaps, np.uint8), count, size, b)
    except BadStream:
        with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
            reference.relindex_decode(gaps, count, size, b)
    else:
        assert decoded.tolist() == reference.relindex_decode(gaps, count, size, b)
        assert decoded.size == count


@given(
    st.sampled_from([*CODERS, "x"]),
    st.integers(-1, 33),
    st.binary(max_size=40),
    st.integers(0, 50),
    st.sampled_from(DTYPES),
)
def test_random_streams(coder, width, data, count, dtype):
    try:
        decoded = decode_ints(coder, width, data, count, dtype)
    except BadStream:
        return
    assert decoded.size == count
    assert decoded.dtype == dtype
    # Nothing in a stream may go unread: one byte more, and it is refused.
    with pytest.raises(BadStream):
        decode_ints(coder, width, data + b"\0", count, dtype)


@given(symbols(), st.integers(12, 20), st.sampled_from([None, 1, 32]), st.integers(1, 3))
def test_rans(ints, chunk_log2, lanes, threads):
    coded = rans.encode(ints, chunk_log2=chunk_log2, lanes=lanes)
    decoded = rans.decode(coded, ints.size, ints.dtype, threads)
    np.testing.assert_array_equal(decoded, ints)
    table = rans.table_of(np.bincount(ints))
    assert coded.startswith(table)
    if ints.size < 300:
        assert coded[len(table) :] == reference_rans.encode(ints.tolist(), table)
        assert reference_rans.decode(coded, ints.size) == ints.tolist()


@given(st.lists(st.integers(0, 10**12), max_size=100))
def test_rans_frequencies(histogram):
    table = rans.table_of(histogram)
    frequencies = rans.frequencies(table).tolist()
    assert reference_rans.read_table(table) == (frequencies, len(table))
    assert sum(frequencies) == (4096 if any(histogram) else 0)
    for count, frequency in zip(histogram, frequencies, strict=False):
        assert frequency > 0 or count == 0


@given(symbols(), symbols(), st.sampled_from([huffman, rans]))
def test_shared_tables(first, second, codec):
    together = np.bincount(np.concatenate([first, second]).astype(np.intp))
    table = codec.table_of(together)
    for ints in (first, second):
        coded = codec.encode(ints, table=table)
        decoded = codec.decode(coded, ints.size, np.uint16, table=table)
        np.testing.assert_array_equal(decoded, ints)


def damage(data, coded):
    damaged = bytearray(coded)
    for _ in range(data.draw(st.integers(1, 4))):
        if damaged:
            at = data.draw(st.integers(0, len(damaged) - 1))
            damaged[at] = data.draw(st.integers(0, 255))
    return bytes(damaged[: data.draw(st.integers(0, len(damaged)))])


@given(symbols(), st.data())
def test_damaged_rans_is_an_error_or_symbols(ints, data):
    """As the reference says: the same symbols, or both refuse."""
    lanes = data.draw(st.sampled_from([1, 32]))
    damaged = damage(data, rans.encode(ints, chunk_log2=12, lanes=lanes))
    try:
        decoded = rans.decode(damaged, ints.size, np.uint16, data.draw(st.integers(1, 2)))
    except (BadStream, ChecksumMismatch):
        if ints.size < 5000:
            with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
                reference_rans.decode(damaged, ints.size)
    else:
        assert reference_rans.decode(damaged, ints.size) == decoded.tolist()


@given(st.binary(max_size=60), st.integers(0, 5000))
def test_random_bytes_are_no_rans_stream_or_one(data, count):
    try:
        decoded = rans.decode(data, count, np.uint16)
    except BadStream:
        with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
            reference_rans.decode(data, count)
    else:
        assert reference_rans.decode(data, count) == decoded.tolist()


@st.composite
def masks(draw):
    rows, columns = draw(st.integers(1, 20)), draw(st.integers(1, 40))
    ones = st.sets(st.integers(0, rows * columns - 1), max_size=60)
    positions = np.array(sorted(draw(ones)), np.int64)
    return positions, rows, columns, draw(st.integers(0, columns))


@given(masks())
def test_mask(one):
    positions, rows, columns, period = one
    coded = mask.encode(positions, rows, columns, periods=[period])
    assert coded == reference_mask.encode(positions.tolist(), rows, columns, period)
    assert reference_mask.decode(coded, rows, columns, positions.size) == positions.tolist()
    decoded = mask.decode(coded, rows, columns, positions.size)
    np.testing.assert_array_equal(decoded, positions)


@given(masks(), st.data())
def test_damaged_mask_is_an_error_or_positions(one, data):
    positions, rows, columns, period = one
    damaged = damage(data, mask.encode(positions, rows, columns, periods=[period]))
    try:
        decoded = mask.decode(damaged, rows, columns, positions.size)
    except BadStream:
        with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
            reference_mask.decode(damaged, rows, columns, positions.size)
    else:
        found = reference_mask.decode(damaged, rows, columns, positions.size)
        assert found == decoded.tolist()


@given(st.binary(max_size=40), st.integers(1, 30), st.integers(1, 30), st.integers(0, 900))
def test_random_bytes_are_no_mask_or_one(data, rows, columns, count):
    count = min(count, rows * columns)
    try:
        decoded = mask.decode(data, rows, columns, count)
    except BadStream:
        with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
            reference_mask.decode(data, rows, columns, count)
    else:
        assert reference_mask.decode(data, rows, columns, count) == decoded.tolist()


@given(symbols(65535))
def test_split(ints):
    decoded = split.decode(split.encode(ints), ints.size, ints.dtype)
    np.testing.assert_array_equal(decoded, ints)


@given(
    arrays(st.sampled_from([np.uint16, np.uint32]), st.integers(0, 100)),
    st.booleans(),
    st.data(),
)
def test_planes(words, ordered, data):
    if ordered:
        words.sort()
    coded = planes.encode(words)
    np.testing.assert_array_equal(planes.decode(coded, words.size, words.dtype), words)
    try:
        decoded = planes.decode(damage(data, coded), words.size, words.dtype)
    except BadStream:
        return
    assert (decoded.size, decoded.dtype) == (words.size, words.dtype)


@st.composite
def matrices(draw):
    rows, columns = draw(st.integers(1, 12)), draw(st.integers(1, 20))
    top = draw(st.sampled_from([2, 20, 255]))
    ints = draw(st.lists(st.integers(0, top), min_size=rows * columns, max_size=rows * columns))
    distances = draw(st.integers(0, columns)), draw(st.integers(0, columns))
    return ints, rows, draw(st.integers(0, 255)), *distances, draw(st.booleans())


@given(matrices())
def test_context(one):
    ints = one[0]
    coded = reference_context.encode(*one)
    assert reference_context.decode(coded, len(ints), 8) == ints
    assert context.decode(coded, len(ints), np.uint8).tolist() == ints
    given_ints = np.array(ints, np.uint8)
    matrix = context.Matrix(one[1], one[2], [(one[3], one[4])], one[5])
    best = context.encode(given_ints, matrix)
    plain = reference_context.encode(ints, one[1], one[2], 0, 0, one[5])
    assert best == min([plain, coded], key=len)


@given(matrices(), st.data())
def test_damaged_context_is_an_error_or_integers(one, data):
    damaged = damage(data, reference_context.encode(*one))
    try:
        decoded = context.decode(damaged, len(one[0]), np.uint8)
    except BadStream:
        with pytest.raises(ValueError):  # noqa: PT011 - the reference has no error names
            reference_context.decode(damaged, len(one[0]), 8)
    else:
        assert reference_context.decode(damaged, len(one[0]), 8) == decoded.tolist()
