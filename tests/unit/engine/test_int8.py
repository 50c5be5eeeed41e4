"""Kernels of 8-bit integers against the same integers in NumPy, and which layers have them."""

from math import prod

import numpy as np
import pytest

from cmodel import _engine
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.int8 import Int8Weights, grid_of, int8_convolution, int8_inner_product

LEVELS = _engine.INT8_LEVELS

# Images, groups, channels and outputs of a group, then by axis: size, kernel, stride, pad, dilation.
GEOMETRIES = [
    (1, 1, 3, 20, (1, 33, 35), (1, 7, 7), (1, 2, 2), (0, 3, 3), (1, 1, 1)),
    (2, 1, 3, 9, (1, 47, 47), (1, 11, 11), (1, 4, 4), (0, 0, 0), (1, 1, 1)),
    (3, 2, 64, 48, (1, 13, 13), (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1)),
    (2, 1, 101, 30, (1, 7, 7), (1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
    (1, 1, 64, 32, (1, 15, 14), (1, 1, 1), (1, 2, 2), (0, 0, 0), (1, 1, 1)),
    (1, 1, 20, 17, (1, 28, 28), (1, 5, 5), (1, 1, 1), (0, 2, 2), (1, 1, 1)),
    (2, 1, 8, 8, (1, 21, 19), (1, 3, 3), (1, 1, 1), (0, 2, 2), (1, 2, 2)),
    (2, 3, 5, 7, (1, 9, 300), (1, 2, 3), (1, 3, 2), (0, 1, 2), (1, 1, 3)),
    (1, 1, 160, 12, (1, 7, 9), (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1)),
    (2, 1, 6, 5, (5, 6, 7), (3, 3, 2), (2, 1, 1), (1, 0, 1), (1, 1, 1)),
    (1, 1, 7, 6, (1, 4, 4), (1, 4, 4), (1, 1, 1), (0, 0, 0), (1, 1, 1)),
    (1, 4, 1, 2, (1, 10, 11), (1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1)),
]  # fmt: skip
RANGES = [(0.0, 2.5), (-1.5, 2.0), (-3.0, 0.0)]


def integers(x, bounds):
    """Return the integers less their zero: those that the weights are multiplied by."""
    grid = grid_of(bounds)
    low, high = np.float32(-grid.zero), np.float32(LEVELS - grid.zero)
    return np.rint(np.clip(x * grid.inverse, low, high)).astype(np.int64)


def finished(sums, weights, finish, bounds, residual=None):
    """Return what follows the sums (images, outputs, positions), rounded as the kernels do."""
    found = weights.finish(finish, grid_of(bounds))
    y = sums.astype(np.float32) * found.scale[:, None]
    if found.bias is not None:
        y = y + found.bias[:, None]
    if residual is not None:
        y = y + residual
    if found.slope is not None:
        y = np.where(y < 0, y * np.float32(found.slope), y)
    return y


def positions(size, kernel, stride, pad, dilation):
    return tuple(
        (s + 2 * p - d * (k - 1) - 1) // t + 1
        for s, k, t, p, d in zip(size, kernel, stride, pad, dilation, strict=True)
    )


def convolved(x, ints, out, kernel, stride, pad, dilation):
    """Return the sums over the taps: x (images, groups, channels, size) of integers."""
    images, groups = x.shape[:2]
    padded = np.pad(x, [(0, 0)] * 3 + [(p, p) for p in pad])
    weights = ints.astype(np.int64).reshape(groups, -1, x.shape[2], *kernel)
    total = np.zeros((images, groups, weights.shape[1], *out), np.int64)
    for tap in np.ndindex(*kernel):
        places = tuple(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, o, s in zip(tap, dilation, out, stride, strict=True)
        )
        part = padded[(slice(None), slice(None), slice(None), *places)]
        total += np.einsum("ngcdhw,goc->ngodhw", part, weights[(..., *tap)])
    return total.reshape(images, -1, prod(out))


def space_for(layer):
    raw = np.zeros(4 * layer.space + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + 4 * layer.space].view(np.float32)


def run(layer, x, shape, residual=None):
    y = np.full(prod(shape), np.nan, np.float32)
    added = None if residual is None else np.ascontiguousarray(residual).reshape(-1)
    layer.run(np.ascontiguousarray(x).reshape(-1), y, added, space_for(layer))
    return y.reshape(shape)


def extreme(rng, shape):
    return rng.choice(np.array([-128, -127, 127], np.int8), shape)


def usual(rng, shape):
    return np.clip(np.rint(rng.standard_normal(shape) * 36), -128, 127).astype(np.int8)


@pytest.mark.parametrize("draw", [extreme, usual])
@pytest.mark.parametrize("bounds", RANGES, ids=str)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_convolutions_are_exact(geometry, bounds, draw):
    images, groups, channels, outputs, size, *window = geometry
    out = positions(size, *window)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((images, groups, channels, *size)).astype(np.float32) * 2
    ints = draw(rng, (groups * outputs, channels * prod(window[0])))
    weights = Int8Weights(ints, rng.random(groups * outputs).astype(np.float32))
    bias = rng.standard_normal(groups * outputs).astype(np.float32)
    shape = (images, groups * outputs, prod(out))
    residual = rng.standard_normal(shape).astype(np.float32)
    finish = Finish(bias=bias, residual=True, slope=0.25)
    shapes = (images, groups, channels, size, out, *window)
    expected = finished(
        convolved(integers(x, bounds), ints, out, *window), weights, finish, bounds, residual
    )
    for threads in (1, 2, 3):
        layer = int8_convolution(shapes, weights, bounds, finish, threads)
        assert (run(layer, x, shape, residual) == expected).all()


@pytest.mark.parametrize(
    ("value", "deep", "extras"),
    # 16 bits hold 258 times 127: eight weights of 32, four of 64.
    [(32, True, 0), (33, False, 0), (64, False, 0), (65, False, 12 * 8), (-64, False, 0),
     (-65, False, 12 * 8), (-128, False, 12 * 8)],
)  # fmt: skip
def test_quads_that_may_saturate_are_taken_apart(value, deep, extras):
    weights = _engine.Int8Weights(np.full((12, 64), value, np.int8), 1, 1)
    assert (weights.deep, weights.extras) == (deep, extras)


def test_usual_weights_have_few_extras():
    weights = _engine.Int8Weights(usual(np.random.default_rng(0), (60, 4000)), 1, 1)
    assert weights.deep
    assert 0 < weights.extras < 60 * 4000 / 16 / 10


@pytest.mark.parametrize("draw", [extreme, usual])
@pytest.mark.parametrize("bounds", RANGES, ids=str)
@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize(("inner", "outputs"), [(1, 3), (5, 7), (64, 4), (411, 10), (2500, 131)])
def test_inner_products_are_exact(rows, inner, outputs, bounds, draw):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((rows, inner)).astype(np.float32) * 2
    ints = draw(rng, (outputs, inner))
    weights = Int8Weights(ints, rng.random(outputs).astype(np.float32))
    finish = Finish(bias=rng.standard_normal(outputs).astype(np.float32), slope=0.0)
    sums = integers(x, bounds) @ ints.T.astype(np.int64)
    expected = finished(sums[..., None], weights, finish, bounds)[..., 0]
    for threads in (1, 3):
        layer = int8_inner_product(rows, weights, bounds, finish, threads)
        assert (run(layer, x, (rows, outputs)) == expected).all()


def test_activations_that_are_no_numbers_or_out_of_range():
    x = np.array([[np.nan, np.inf, -np.inf, 1e30, -1e30, 0.0]], np.float32)
    ints = np.eye(6, dtype=np.int8)
    weights = Int8Weights(ints, np.ones(6, np.float32))
    layer = int8_inner_product(1, weights, (-63.0, 64.0), Finish(), 1)
    assert run(layer, x, (1, 6)).tolist() == [[-63, 64, -63, 64, -63, 0]]


@pytest.mark.parametrize("bounds", [(0.0, 0.0), (0.0, 1e-45), (-1e-44, 0.0), (-3e38, 3e38)])
def test_ranges_of_extreme_width(bounds):
    grid = grid_of(bounds)
    assert np.isfinite(grid.inverse)
    assert grid.inverse > 0
    assert 0 <= grid.zero <= LEVELS


def test_sums_of_the_longest_rows():
    inner = _engine.MOST_INT8_INNER
    ints = np.full((1, inner), -128, np.int8)
    weights = Int8Weights(ints, np.ones(1, np.float32))
    x = np.full((1, inner), 1000, np.float32)
    layer = int8_inner_product(1, weights, (0.0, 127.0), Finish(), 1)
    assert run(layer, x, (1, 1))[0, 0] == np.float32(-128 * 127 * inner)
    with pytest.raises(ValueError, match="not fit"):
        _engine.Int8Weights(np.zeros((1, inner + 1), np.int8), 1, 1)


def test_levels(each_level):
    """The tests of this file pass in a process of each SIMD level."""
