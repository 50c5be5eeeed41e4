"""The kernels on compressed weights beside the plain reference on the same weights, made dense."""

from dataclasses import replace

import numpy as np
import pytest

from cmodel import _engine
from cmodel.engine import Engine, run_reference
from cmodel.engine.ops.compressed import coded, sparse_rows
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.op import NativeKernel
from cmodel.engine.plan import allocate
from cmodel.net import Parameters
from cmodel.tensors import Codebook, Dense, Sparse

PRODUCT = """
Input x: -> x {input_param { shape { dim: %d dim: %d } }}
InnerProduct c: x -> c {inner_product_param { num_output: %d }}
Scale s: c -> s {scale_param { bias_term: true }}
ReLU r: s -> r {relu_param { negative_slope: 0.5 }}
"""


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pruned(shape, density, block=(1, 1), entries=0, groups=1):
    """A sparse form; with entries, its values are a codebook's."""
    rng = np.random.default_rng(7)
    height, width = block
    grid = int(np.prod(shape)) // (height * width)
    count = max(1, round(density * grid))
    positions = np.sort(rng.choice(grid, count, replace=False)).astype(np.int64)
    size = count * height * width
    values = Dense(draw(size, seed=1))
    if entries:
        indices = rng.integers(0, entries, size).astype(np.uint8)
        values = Codebook(Dense(draw(groups, entries, seed=2)), indices)
    return Sparse(tuple(shape), positions, values, block)


def shared(shape, entries, groups=1):
    indices = np.random.default_rng(3).integers(0, entries, shape).astype(np.uint8)
    return Codebook(Dense(draw(groups, entries, seed=2)), indices)


def close(found, expected, tolerance=1e-5):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance


def kernels(engine):
    """The compiled layers of the only section's plan."""
    (stage,) = engine._stages
    return [k.layer for k in stage.plan.kernels if isinstance(k, NativeKernel)]


def holding(net, form):
    """The net with these weights in layer c."""
    name = next(layer for layer in net.layers if layer.key == "c").parameters[0]
    return replace(net, parameters=Parameters({**net.parameters, name: form}.items()))


def compare(net, form, feed, top, kind):
    """All of a net's results with `form` as the weights of layer c; `kind`: of the kernel."""
    compressed, dense = holding(net, form), holding(net, Dense(form.to_dense()))
    expected = run_reference(dense, feed)[top]
    engine = Engine(compressed, 1)
    found = engine.run(feed)[top]
    close(found, expected)
    close(found, Engine(dense, 1).run(feed)[top])
    close(Engine(compressed, 1, compressed=False).run(feed)[top], expected)
    if _engine.available():
        assert any(isinstance(kernel, kind) for kernel in kernels(engine))
    for threads in (2, 3):
        assert (Engine(compressed, threads).run(feed)[top] == found).all()


@pytest.mark.parametrize("rows", [1, 2, 5, 9, 40])
@pytest.mark.parametrize(
    ("form", "density"),
    [("floats", 0.05), ("indices", 0.03), ("many", 0.05), ("blocks", 0.05), ("coded blocks", 0.04)],
)
def test_sparse_inner_product(make_net, rows, form, density):
    shape = (120, 1000)
    block = (4, 2) if "blocks" in form else (1, 1)
    entries = {"floats": 0, "blocks": 0, "many": 200}.get(form, 13)
    net = make_net(PRODUCT % (rows, shape[1], shape[0]))
    weights = pruned(shape, density, block, entries)
    compare(net, weights, {"x": draw(rows, shape[1], seed=4)}, "r", _engine.Coded)


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
@pytest.mark.parametrize(("entries", "groups"), [(16, 1), (5, 2), (2, 300)])
def test_coded_inner_product(make_net, rows, entries, groups):
    shape = (300, 1003)
    net = make_net(PRODUCT % (rows, shape[1], shape[0]))
    weights = shared(shape, entries, groups)
    compare(net, weights, {"x": draw(rows, shape[1], seed=4)}, "r", _engine.Coded)


@pytest.mark.parametrize("shape", [(7, 3), (1, 33), (5, 64)])
@pytest.mark.parametrize("rows", [1, 3, 20])
def test_small_products(shape, rows):
    """Shapes for which the planner would not choose the kernels."""
    outputs, inner = shape
    x, y = draw(rows, inner), np.empty((rows, outputs), np.float32)
    finish = Finish().native(outputs)
    sparse = sparse_rows(pruned(shape, 0.3), outputs)
    assert sparse is not None
    columns = sparse.columns.astype(np.uint16)
    made = [
        _engine.Coded(rows, *shape, sparse.starts, columns, sparse.values, None, None, finish, 2)
    ]
    forms = [pruned(shape, 0.3)]
    if rows <= _engine.MOST_CODED_ROWS:
        table = coded(shared(shape, 9), outputs)
        made.append(
            _engine.Coded(rows, *shape, None, None, None, table.indices, table.entries, finish, 2)
        )
        forms.append(shared(shape, 9))
    for kernel, form in zip(made, forms, strict=True):
        space = allocate(kernel.space)
        kernel.run(x.reshape(-1), y.reshape(-1), None, space)
        np.testing.assert_allclose(y, x @ form.to_dense().T, rtol=1e-5, atol=1e-5)


# Images, channels, outputs, groups, height, width, kernel, stride, pad, dilation.
GEOMETRIES = [
    (1, 64, 48, 1, 14, 14, 1, 1, 0, 1),
    (2, 64, 40, 1, 7, 7, 1, 1, 0, 1),
    (1, 64, 48, 1, 28, 28, 1, 2, 0, 1),
    (2, 48, 40, 1, 30, 29, 3, 1, 1, 1),
    (1, 64, 32, 2, 13, 13, 3, 1, 1, 1),
    (2, 64, 36, 1, 7, 7, 3, 1, 1, 1),
    (1, 48, 28, 1, 23, 25, 5, 2, 2, 1),
    (1, 64, 24, 1, 24, 20, 3, 1, 2, 2),
    (2, 30, 26, 1, 27, 31, 5, 1, 0, 1),
]
CONVOLUTION = """
Input x: -> x {input_param { shape { dim: %d dim: %d dim: %d dim: %d } }}
Convolution d: x -> d {convolution_param { num_output: %d group: %d WINDOW bias_term: false }}
Convolution c: x -> c {convolution_param { num_output: %d group: %d WINDOW }}
Eltwise sum: d c -> sum {}
ReLU r: sum -> r {relu_param { negative_slope: 0.5 }}
""".replace("WINDOW", "kernel_size: %d stride: %d pad: %d dilation: %d")


@pytest.mark.parametrize("form", ["floats", "indices", "blocks", "wide blocks"])
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_sparse_convolution(make_net, geometry, form):
    images, channels, outputs, groups, height, width, kernel, *_ = geometry
    window = (outputs, groups, *geometry[6:])
    net = make_net(CONVOLUTION % (images, channels, height, width, *window, *window))
    height_of, width_of = {"blocks": (4, 1), "wide blocks": (2, 2)}.get(form, (1, 1))
    if outputs // groups % height_of:
        height_of = 1
    shape = (outputs, channels // groups, kernel, kernel)
    weights = pruned(shape, 0.06, (height_of, width_of), 7 if form == "indices" else 0)
    feed = {"x": draw(images, channels, *geometry[4:6], seed=5)}
    compare(net, weights, feed, "r", _engine.SparseConvolution)


def test_fast_leaves_sparse_convolutions_sparse(make_net):
    net = make_net(CONVOLUTION % (1, 64, 28, 28, *(48, 1, 3, 1, 1, 1) * 2))
    form = pruned((48, 64, 3, 3), 0.05)
    feed = {"x": draw(1, 64, 28, 28)}
    engine = Engine(holding(net, form), 1, "fast")
    close(engine.run(feed)["r"], run_reference(holding(net, form), feed)["r"], 1e-4)
    if _engine.available():
        assert any(isinstance(layer, _engine.SparseConvolution) for layer in kernels(engine))


def test_large_layers_stay_compressed(make_net):
    net = make_net(PRODUCT % (1, 2000, 500))
    for form in (pruned((500, 2000), 0.1), shared((500, 2000), 16)):
        engine = Engine(holding(net, form), 1)
        engine.run({"x": draw(1, 2000)})
        weights = engine._ops["c"].weights
        assert ("plain" in vars(weights)) != _engine.available()


def test_dense_enough_is_dense(make_net):
    net = make_net(PRODUCT % (1, 1000, 120))
    form = pruned((120, 1000), 0.6)
    engine = Engine(holding(net, form), 1)
    engine.run({"x": draw(1, 1000)})
    assert not any(isinstance(kernel, _engine.Coded) for kernel in kernels(engine))


@pytest.mark.parametrize(
    "change",
    [{"starts": [0, 2, 1, 3]}, {"starts": [0, 1, 2, 4]}, {"starts": [0, 3]}, {"columns": [0, 5, 1]},
     {"values": [1.0]}, {"starts": [1, 2, 2, 3]}],
)  # fmt: skip
def test_matrices_that_do_not_fit(change):
    good = {"starts": [0, 1, 2, 3], "columns": [0, 4, 1], "values": [1.0, 2.0, 3.0]}
    types = {"starts": np.int64, "columns": np.uint16, "values": np.float32}
    finish = Finish().native(3)

    def make(arrays):
        found = [np.array(arrays[name], types[name]) for name in types]
        return _engine.Coded(1, 3, 5, *found, None, None, finish, 1)

    make(good)
    with pytest.raises(ValueError, match=r"not fit|not follow|lies outside"):
        make({**good, **change})


def test_levels(each_level):
    """The tests of this file pass in a process of each SIMD level."""
