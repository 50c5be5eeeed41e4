"""The engine's own kernels beside BLAS and NumPy, and what the plan fuses."""

import os

import numpy as np
import pytest

from cmodel import _engine
from cmodel.engine import Engine, run_reference

# Images, channels, outputs, groups, height, width, kernel, stride, pad, dilation.
GEOMETRIES = [
    (1, 3, 20, 1, 33, 35, 7, 2, 3, 1),
    (2, 3, 96, 1, 47, 47, 11, 4, 0, 1),
    (3, 64, 48, 2, 13, 13, 3, 1, 1, 1),
    (2, 100, 30, 1, 7, 7, 1, 1, 0, 1),
    (1, 64, 32, 1, 14, 14, 1, 2, 0, 1),
    (1, 20, 17, 1, 28, 28, 5, 1, 2, 1),
    (2, 8, 8, 1, 21, 19, 3, 1, 2, 2),
    (1, 48, 64, 1, 30, 31, 3, 1, 1, 1),
    (2, 40, 40, 40, 15, 16, 3, 1, 1, 1),
    (1, 32, 32, 32, 17, 15, 3, 2, 1, 1),
    (1, 6, 6, 6, 11, 9, 5, 1, 2, 1),
]

NET = """
Input x: -> x {input_param { shape { dim: %d dim: %d dim: %d dim: %d } }}
Convolution c: x -> c {convolution_param { num_output: %d group: %d WINDOW }}
""".replace("WINDOW", "kernel_size: %d stride: %d pad: %d dilation: %d")

RESIDUAL = """
Input x: -> x {input_param { shape { dim: 2 dim: 8 dim: 9 dim: 11 } }}
Convolution a: x -> a {convolution_param { num_output: 12 kernel_size: 1 bias_term: false }}
BatchNorm an: a -> an {}
Convolution b: x -> b {convolution_param { num_output: 12 kernel_size: 3 pad: 1 }}
BatchNorm bn: b -> bn {}
Scale bs: bn -> bs {scale_param { bias_term: true }}
Eltwise sum: an bs -> sum {}
ReLU r: sum -> r {relu_param { negative_slope: 0.5 }}
Convolution d: r -> d {convolution_param { num_output: 3 kernel_size: 2 }}
Bias db: d -> db {}
ReLU dr: db -> dr {}
"""


def image(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.fixture(params=GEOMETRIES, ids=str)
def case(request, make_net):
    images, channels, outputs, groups, height, width, *window = request.param
    net = make_net(NET % (images, channels, height, width, outputs, groups, *window))
    return net, {"x": image(images, channels, height, width)}


def close(found, expected, tolerance):
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        error = np.abs(found[name] - values).max() / np.abs(values).max()
        assert error <= tolerance, name


def test_convolution_is_the_reference(case):
    net, feed = case
    close(Engine(net, 2).run(feed), {"c": run_reference(net, feed)["c"]}, 1e-6)


def test_fast_is_close_to_the_reference(case):
    net, feed = case
    close(Engine(net, 2, "fast").run(feed), {"c": run_reference(net, feed)["c"]}, 2e-5)


def test_bits_depend_neither_on_threads_nor_on_the_batch(case):
    net, feed = case
    expected = Engine(net, 1).run(feed)["c"]
    for threads in (2, 3):
        assert (Engine(net, threads).run(feed)["c"] == expected).all()
    engine = Engine(net, 2)
    for i, single in enumerate(feed["x"]):
        assert (engine.run({"x": single[None]})["c"][0] == expected[i]).all()


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 16, 40])
@pytest.mark.parametrize(("inner", "outputs"), [(2500, 31), (17, 7), (3, 1), (400, 120)])
def test_inner_product(make_net, rows, inner, outputs):
    net = make_net(
        f"Input x: -> x {{input_param {{ shape {{ dim: {rows} dim: {inner} }} }}}}\n"
        f"InnerProduct i: x -> i {{inner_product_param {{ num_output: {outputs} }}}}\n"
        "Scale s: i -> s {scale_param { bias_term: true }}\n"
        "ReLU r: s -> r {relu_param { negative_slope: 0.5 }}\n"
    )
    feed = {"x": image(rows, inner)}
    found = [Engine(net, threads).run(feed) for threads in (1, 2, 3)]
    close(found[0], {"r": run_reference(net, feed)["r"]}, 1e-6)
    assert all((other["r"] == found[0]["r"]).all() for other in found)


@pytest.mark.parametrize("pool", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("height", "width", "kernel", "stride", "pad"),
    [(13, 15, 3, 2, 0), (8, 5, 2, 2, 0), (14, 37, 3, 1, 1), (9, 9, 5, 3, 2), (30, 31, 3, 2, 1),
     (7, 7, 7, 1, 0), (3, 3, 2, 2, 1), (40, 33, 8, 2, 3)],
)  # fmt: skip
def test_pooling(make_net, pool, height, width, kernel, stride, pad):
    net = make_net(
        f"Input x: -> x {{input_param {{ shape {{ dim: 2 dim: 5 dim: {height} dim: {width} }} }}}}\n"
        f"Pooling p: x -> p {{pooling_param {{ pool: {pool} kernel_size: {kernel} "
        f"stride: {stride} pad: {pad} }}}}\n"
    )
    feed = {"x": image(2, 5, height, width)}
    feed["x"][0, 0, 2, 1] = -np.inf
    found, expected = Engine(net, 2).run(feed), run_reference(net, feed)
    np.testing.assert_allclose(found["p"], expected["p"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 3, 5, 5), (1, 20, 13, 11), (1, 1, 2, 2)])
@pytest.mark.parametrize("size", [1, 5, 9])
def test_lrn(make_net, shape, size):
    dims = " ".join(f"dim: {n}" for n in shape)
    net = make_net(
        f"Input x: -> x {{input_param {{ shape {{ {dims} }} }}}}\n"
        f"LRN n: x -> n {{lrn_param {{ local_size: {size} alpha: 0.5 beta: 0.75 k: 2 }}}}\n"
    )
    feed = {"x": image(*shape)}
    close(Engine(net, 2).run(feed), {"n": run_reference(net, feed)["n"]}, 1e-6)


def test_what_follows_a_convolution_is_fused(make_net):
    net = make_net(RESIDUAL)
    feed = {"x": image(2, 8, 9, 11)}
    engine = Engine(net, 2)
    close(engine.run(feed), {"dr": run_reference(net, feed)["dr"]}, 2e-6)
    (stage,) = engine._stages
    fused = len(stage.plan.kernels)
    assert fused == 3 if _engine.available() else fused > 3
    everything = engine.run(feed, "all")
    for name in ("an", "bn", "bs", "sum", "r", "db"):
        close({name: engine.run(feed, name)[name]}, {name: everything[name]}, 2e-6)


@pytest.mark.skipif(
    not (hasattr(os, "fork") and _engine.available()), reason="OpenMP does not survive a fork"
)
def test_the_pool_of_threads_after_a_fork(make_net):
    """The child of a fork has none of the parent's threads, and starts its own."""
    net = make_net(NET % (1, 32, 40, 40, 48, 1, 3, 1, 1, 1))
    feed = {"x": image(1, 32, 40, 40)}
    engine = Engine(net, 2)
    expected = engine.run(feed)["c"]
    child = os.fork()
    if child == 0:
        os._exit(0 if (engine.run(feed)["c"] == expected).all() else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (engine.run(feed)["c"] == expected).all()


def test_levels(each_level):
    """The tests of this file pass in a process of each SIMD level."""
