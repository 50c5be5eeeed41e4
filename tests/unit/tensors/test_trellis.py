import numpy as np
import pytest

from cmodel.tensors import Dense, Trellis, stored_floats
from cmodel.tensors.trellis import levels


def scales(*values):
    return Dense(np.array(values, np.float32))


def test_worked_example():
    """That of the specification."""
    form = Trellis(scales(0.5), np.array([[1, 0, -1, 2]], np.int8))
    assert form.to_dense().tolist() == [[1.0, 0.0, -0.5, 1.5]]
    assert [values.tolist() for values in stored_floats(form)] == [[0.5]]


@pytest.mark.parametrize("dtype", [np.int8, np.int16])
@pytest.mark.parametrize("shape", [(6, 50), (1, 300), (300, 1), (4, 3, 5, 5), (12,)])
@pytest.mark.parametrize("groups", [1, 2, 3])
def test_agrees_with_the_definition(dtype, shape, groups):
    rng = np.random.default_rng(0)
    bounds = np.iinfo(dtype)
    ints = rng.integers(bounds.min, bounds.max + 1, shape).astype(dtype)
    ints[rng.random(shape) < 0.3] = 0
    factors = rng.normal(size=groups).astype(np.float32)
    expected = levels(ints.reshape(shape[0], -1)).reshape(groups, -1).astype(np.float32)
    expected = expected * factors[:, None] + np.float32(0)
    dense = Trellis(scales(*factors), ints).to_dense()
    np.testing.assert_array_equal(dense.view(np.uint32), expected.reshape(shape).view(np.uint32))


def test_scalars_and_nothing():
    assert Trellis(scales(2), np.array(3, np.int8)).to_dense() == 12
    assert Trellis(scales(2), np.empty((0, 4), np.int8)).to_dense().shape == (0, 4)
    assert Trellis(scales(2), np.empty((3, 0), np.int16)).to_dense().shape == (3, 0)


def test_zeros_are_positive_and_large_products_infinite():
    dense = Trellis(scales(-3e38), np.array([[0, 2]], np.int8)).to_dense()
    assert dense.tolist() == [[0.0, -np.inf]]
    assert not np.signbit(dense[0, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Trellis(scales(1), np.zeros((2, 2), np.uint8)), "ints: int8 or int16"),
        (lambda: Trellis(scales(1), np.zeros((2, 2), np.int8), 4), "8 states, not 4"),
        (lambda: Trellis(scales(1, 2, 3), np.zeros((2, 2), np.int8)), "3 groups"),
        (lambda: Trellis(scales(np.nan), np.zeros((2, 2), np.int8)), "finite"),
        (lambda: Trellis(Dense(np.ones((1, 1), np.float32)), np.zeros(2, np.int8)), "1-D"),
    ],
)
def test_refuses_what_is_none(make, message):
    with pytest.raises(ValueError, match=message):
        make()
