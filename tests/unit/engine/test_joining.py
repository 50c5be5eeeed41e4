"""Concatenations whose parts are written in place, of one image and of several."""

import numpy as np
import pytest

from cmodel import _engine
from cmodel.engine import Engine, run_reference

INPUT = "Input x: -> x {input_param { shape { dim: 1 dim: 6 dim: 9 dim: 11 } }}\n"
CONV = "Convolution %s: %s -> %s {convolution_param { num_output: %d kernel_size: 3 pad: 1 }}\n"
A, B = CONV % ("a", "x", "a", 4), CONV % ("b", "x", "b", 5)
RELU = "ReLU ra: a -> a\n"
POOL = "Pooling p: x -> p {pooling_param { kernel_size: 3 stride: 1 pad: 1 }}\n"
# With how many concatenations are left to copy, of several images.
NETS = {
    "two": (A + RELU + B + "Concat c: a b -> c\n" + CONV % ("d", "c", "d", 3), 0),
    "with pooling": (A + POOL + "Concat c: p a -> c\nReLU r: c -> c\n", 0),
    "behind an alias": (A + B + "Dropout o: a -> o\nConcat c: b o -> c\n", 0),
    "residual": (
        POOL + A + CONV % ("b", "x", "b", 4) + "Eltwise s: a b -> s\nReLU r: s -> s\n"
        "Concat c: s p -> c\n",
        0,
    ),
    "flat": (
        A + B + "Flatten fa: a -> fa\nFlatten fb: b -> fb\nConcat c: fa fb -> c\n"
        "InnerProduct d: c -> d {inner_product_param { num_output: 3 }}\n",
        0,
    ),
    "a part of the input": (A + "Concat c: x a -> c\n", 1),
    "read elsewhere": (A + B + "Concat c: a b -> c\n" + CONV % ("d", "a", "d", 3), 1),
    "twice the same": (A + "Concat c: a a -> c\n", 1),
    "nested": (A + B + "Concat c: a b -> c\n" + POOL + "Concat e: c p -> e\n", 1),
    "other axis": (
        A + CONV % ("b", "x", "b", 4) + "Concat c: a b -> c {concat_param { axis: 2 }}\n",
        1,
    ),
    "of inner products": (
        "InnerProduct a: x -> a {inner_product_param { num_output: 4 }}\n"
        "InnerProduct b: x -> b {inner_product_param { num_output: 5 }}\n"
        "Concat c: a b -> c\n",
        1,
    ),
}


@pytest.mark.parametrize("images", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", NETS)
def test_joined_blobs_are_those_of_the_reference(make_net, name, images, threads):
    text, _ = NETS[name]
    net = make_net(INPUT + text)
    feed = {"x": np.random.default_rng(0).standard_normal((images, 6, 9, 11), np.float32)}
    engine = Engine(net, threads=threads)
    expected = run_reference(net, feed)
    for blobs in (None, "all"):
        for _ in range(2):
            found = engine.run(feed, blobs)
            assert list(found) == list(expected if blobs else net.outputs)
            for blob, values in found.items():
                assert values.shape == expected[blob].shape
                error = np.abs(values - expected[blob]).max()
                assert error <= 1e-5 * np.abs(expected[blob]).max()


@pytest.mark.parametrize("name", NETS)
def test_concatenations_of_several_images_are_written_in_place(make_net, name):
    text, left = NETS[name]
    net = make_net(INPUT + text)
    feed = {"x": np.zeros((3, 6, 9, 11), np.float32)}
    steps = Engine(net, threads=1).profile(feed, runs=1)
    joins = {layer.key for layer in net.layers if layer.type == "Concat"}
    copied = [step for step in steps if joins.intersection(step.layers)]
    # What BLAS computes has its ReLU, or its sum, apart.
    assert len(copied) == left if _engine.available() else len(copied) >= left
    assert all(step.shapes[0][0] == 3 for step in steps)


def test_levels(each_level):
    """The tests of this file pass in a process of each SIMD level."""
