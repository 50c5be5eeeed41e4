"""Backward passes against differences of the engine's own forward pass."""

import numpy as np
import pytest

from cmodel.engine import Engine, Gradients, NoGradientError, differentiable
from cmodel.engine.gradients.registry import GRADIENTS
from cmodel.net import unfolded

INPUT = "Input data: -> data {input_param { shape { dim: 2 dim: 4 dim: 7 dim: 6 } }}\n"
FLAT = "Input data: -> data {input_param { shape { dim: 3 dim: 8 } }}\n"
TWO = (
    "Input data: -> data {input_param { shape { dim: 2 dim: 4 dim: 5 dim: 3 } }}\n"
    "Power half: data -> half {power_param { scale: -0.5 shift: 0.1 }}\n"
)
ACROSS = "lrn_param { local_size: 3 alpha: 0.7 beta: 0.75 k: 1.5 }"
WITHIN = "lrn_param { local_size: 3 alpha: 0.7 beta: 0.6 norm_region: WITHIN_CHANNEL }"

CASES = {
    "relu": INPUT + "ReLU l: data -> top",
    "relu slope": INPUT + "ReLU l: data -> top {relu_param { negative_slope: 0.3 }}",
    "relu negative slope": INPUT + "ReLU l: data -> top {relu_param { negative_slope: -0.3 }}",
    "relu in place": INPUT + "Power p: data -> a\nReLU l: a -> a\nPower q: a -> top",
    "relu6": INPUT + "Power p: data -> a {power_param { scale: 5 }}\nReLU6 l: a -> top",
    "clip": INPUT + "Clip l: data -> top {clip_param { min: -0.5 max: 0.405 }}",
    "prelu": INPUT + "PReLU l: data -> top",
    "prelu shared": INPUT + "PReLU l: data -> top {prelu_param { channel_shared: true }}",
    "elu": INPUT + "ELU l: data -> top {elu_param { alpha: 0.7 }}",
    "sigmoid": INPUT + "Sigmoid l: data -> top",
    "tanh": INPUT + "TanH l: data -> top",
    "swish": INPUT + "Swish l: data -> top {swish_param { beta: 1.3 }}",
    "abs": INPUT + "AbsVal l: data -> top",
    "power": INPUT + "Power l: data -> top {power_param { power: 2 scale: 0.5 shift: 3 }}",
    "power linear": INPUT + "Power l: data -> top {power_param { scale: -2 shift: 3 }}",
    "power constant": INPUT + "Power l: data -> top {power_param { power: 0 shift: 3 }}",
    "convolution": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 5 kernel_size: 3 pad: 1 }}",
    "convolution pointwise": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 6 kernel_size: 1 }}",
    "convolution grouped": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 6 kernel_h: 3 kernel_w: 2"
    " group: 2 stride_h: 2 stride_w: 1 pad_h: 2 pad_w: 0 }}",
    "convolution grouped pointwise": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 6 kernel_size: 1 group: 2 }}",
    "convolution strided pointwise": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 3 kernel_size: 1 stride: 2 }}",
    "convolution dilated": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 3 kernel_size: 2"
    " dilation: 2 stride: 2 pad: 1 }}",
    "convolution depthwise": INPUT
    + "Convolution l: data -> top {convolution_param { num_output: 8 kernel_size: 3 group: 4"
    " stride: 2 }}",
    "convolution of two": TWO
    + "Convolution l: data half -> a b {convolution_param { num_output: 3 kernel_size: 2 }}\n"
    "Eltwise e: a b -> top {eltwise_param { operation: PROD }}",
    "convolution in one axis": FLAT
    + "Reshape r: data -> r {reshape_param { shape { dim: 0 dim: 2 dim: 4 } }}\n"
    "Convolution l: r -> top {convolution_param { num_output: 3 kernel_size: 2 }}",
    "convolution in four axes": FLAT
    + "Reshape r: data -> r {reshape_param { shape { dim: 1 dim: 2 dim: 3 dim: 2 dim: 2 dim: 1 } }}\n"
    "Convolution l: r -> top {convolution_param { num_output: 3 kernel_size: 2 pad: 1 }}",
    "deconvolution": INPUT
    + "Deconvolution l: data -> top {convolution_param { num_output: 6 kernel_size: 3 group: 2"
    " stride: 2 pad: 1 }}",
    "deconvolution in four axes": FLAT
    + "Reshape r: data -> r {reshape_param { shape { dim: 1 dim: 2 dim: 3 dim: 2 dim: 2 dim: 1 } }}\n"
    "Deconvolution l: r -> top {convolution_param { num_output: 3 kernel_size: 2 }}",
    "inner product": INPUT + "InnerProduct l: data -> top {inner_product_param { num_output: 5 }}",
    "inner product of the last axis": INPUT
    + "InnerProduct l: data -> top {inner_product_param { num_output: 5 axis: -1 }}",
    "inner product transposed": INPUT
    + "InnerProduct l: data -> top {inner_product_param { num_output: 5 axis: 2 transpose: true }}",
    "max": INPUT + "Pooling l: data -> top {pooling_param { kernel_size: 3 stride: 2 pad: 1 }}",
    "max with positions": INPUT
    + "Pooling l: data -> top where {pooling_param { kernel_size: 3 stride: 2 }}",
    "max global": INPUT + "Pooling l: data -> top {pooling_param { global_pooling: true }}",
    "average": INPUT
    + "Pooling l: data -> top {pooling_param { pool: AVE kernel_size: 3 stride: 2 pad: 2 }}",
    "average clipped": INPUT
    + "Pooling l: data -> top {pooling_param { pool: AVE kernel_h: 3 kernel_w: 2 stride: 2 }}",
    "average global": INPUT
    + "Pooling l: data -> top {pooling_param { pool: AVE global_pooling: true }}",
    "lrn across": INPUT + f"LRN l: data -> top {{{ACROSS}}}",
    "lrn across all": INPUT + f"LRN l: data -> top {{{ACROSS.replace('size: 3', 'size: 11')}}}",
    "lrn within": INPUT + f"LRN l: data -> top {{{WITHIN}}}",
    "batch norm": INPUT + "BatchNorm l: data -> top",
    "scale": INPUT + "Scale l: data -> top {scale_param { bias_term: true }}",
    "scale of all axes": INPUT + "Scale l: data -> top {scale_param { num_axes: -1 axis: 2 }}",
    "scale by a blob": TWO + "Scale l: data half -> top {scale_param { axis: 0 }}",
    "scale by a smaller blob": FLAT
    + "Slice s: data -> a b c {slice_param { slice_point: 2 slice_point: 5 }}\n"
    "Reshape r: a -> r {reshape_param { shape { dim: 6 } }}\n"
    "Reshape t: b -> t {reshape_param { shape { dim: 3 dim: 3 } }}\n"
    "Slice u: r -> v w {slice_param { axis: 0 slice_point: 3 }}\n"
    "Scale l: t v -> top {scale_param { axis: 0 }}",
    "bias": INPUT + "Bias l: data -> top",
    "bias of a blob": FLAT + "Slice s: data -> a b {slice_param { slice_point: 1 }}\n"
    "Reshape r: a -> r {reshape_param { shape { dim: 3 } }}\n"
    "Bias l: b r -> top {bias_param { axis: 0 }}",
    "sum": TWO + "Eltwise l: data half data -> top",
    "weighted sum": TWO + "Eltwise l: data half -> top {eltwise_param { coeff: 2 coeff: -3 }}",
    "product": TWO + "Eltwise l: data half data -> top {eltwise_param { operation: PROD }}",
    "maximum": TWO + "Eltwise l: data half -> top {eltwise_param { operation: MAX }}",
    "concat": TWO + "Concat l: data half data -> top {concat_param { axis: 2 }}",
    "slice": INPUT + "Slice l: data -> a b c {slice_param { slice_point: 1 slice_point: 2 }}\n"
    "Power p: c -> d {power_param { power: 2 shift: 2 }}\nConcat j: d a -> top",
    "split": INPUT
    + "Split l: data -> a b\nEltwise p: a b -> top {eltwise_param { operation: PROD }}",
    "crop": INPUT + "Pooling p: data -> p {pooling_param { kernel_size: 3 stride: 2 }}\n"
    "Power q: data -> q {power_param { power: 2 shift: 3 }}\n"
    "Crop l: q p -> top {crop_param { axis: 2 offset: 3 offset: 1 }}",
    "flatten": INPUT + "Flatten l: data -> a\nSigmoid s: a -> top",
    "dropout": INPUT + "Dropout l: data -> a\nSigmoid s: a -> top",
    "softmax": INPUT + "Softmax l: data -> top",
    "softmax of an axis": INPUT + "Softmax l: data -> top {softmax_param { axis: -1 }}",
    "residual": INPUT
    + "Convolution c: data -> c {convolution_param { num_output: 4 kernel_size: 3 pad: 1 }}\n"
    "BatchNorm n: c -> c\nScale s: c -> c {scale_param { bias_term: true }}\nReLU r: c -> c\n"
    "Eltwise e: c data -> e\nReLU t: e -> e\n"
    "InnerProduct p: e -> p {inner_product_param { num_output: 5 }}\n"
    "Power t: p -> t {power_param { scale: 0.02 }}\nSoftmax q: t -> top",
}


def spread(shape, seed=1):
    """Values far enough from zero and from each other that no maximum changes."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape))
    values = (np.arange(count) + 0.5) / count * 4 - 2
    return rng.permutation(values).reshape(shape).astype(np.float32)


def check(net, x, tolerance, step, blob="top", directions=6):
    """Compare directional derivatives of a random linear function of `blob`."""
    rng = np.random.default_rng(3)
    name = next(iter(net.inputs))
    engine = Engine(net, threads=2)
    top = engine.run({name: x}, [blob])[blob]
    given = rng.standard_normal((2, *top.shape)).astype(np.float32)
    gradients = Gradients(net, [blob], [name], threads=2)
    found = gradients.run({name: x}, {blob: given})[name]
    assert found.shape == (2, *x.shape)
    assert found.dtype == np.float32
    for _ in range(directions):
        way = rng.choice([-step, step], x.shape).astype(np.float32)
        # The steps as they are rounded are those that count.
        ahead, behind = x + way, x - way
        moved = engine.run({name: ahead}, [blob])[blob].astype(np.float64)
        moved -= engine.run({name: behind}, [blob])[blob]
        expected = given.reshape(2, -1).astype(np.float64) @ moved.reshape(-1)
        change = ahead.astype(np.float64) - behind
        actual = found.reshape(2, -1).astype(np.float64) @ change.reshape(-1)
        size = np.linalg.norm(found.reshape(2, -1), axis=1) * np.linalg.norm(change)
        assert (np.abs(actual - expected) <= tolerance * size + 1e-9).all()


@pytest.mark.parametrize("case", CASES)
def test_gradient(case, make_net):
    net = make_net(CASES[case])
    x = spread(next(iter(net.inputs.values())))
    check(net, x, 1e-3, 0.004)


def test_every_backward_pass_is_tested(make_net):
    tested = {layer.type for text in CASES.values() for layer in make_net(text).layers}
    assert set(GRADIENTS) - tested == {"ConvolutionDepthwise", "DepthwiseConvolution"}


def test_equal_values_share_as_in_caffe(make_net):
    ones = np.ones((2, 4, 7, 6), np.float32)
    net = make_net(INPUT + "Pooling l: data -> top {pooling_param { kernel_size: 2 stride: 2 }}")
    found = Gradients(net, ["top"], ["data"]).run(
        {"data": ones}, {"top": np.ones((1, 2, 4, 4, 3), np.float32)}
    )["data"][0]
    assert (found[:, :, ::2, ::2] == 1).all()
    assert found.sum() == 2 * 4 * 4 * 3
    net = make_net(
        INPUT + "Power p: data -> other\n"
        "Eltwise l: data other -> top {eltwise_param { operation: MAX }}"
    )
    found = Gradients(net, ["top"], ["other"]).run({"data": ones}, {"top": ones[None]})
    assert (found["other"] == 1).all()


def test_gradients_at_several_blobs_and_from_several_heads(make_net):
    net = make_net(CASES["residual"])
    values = unfolded(net)
    conv = values.layer("c").tops[0]
    x = spread((2, 4, 7, 6))
    gradients = Gradients(net, ["top", "p"], [conv, "p", "data"])
    one = {"top": np.ones((1, 2, 5), np.float32) * np.arange(5, dtype=np.float32)}
    other = {"p": np.ones((1, 2, 5), np.float32)}
    first, second, both = (gradients.run({"data": x}, given) for given in (one, other, one | other))
    assert set(first) == {conv, "p", "data"}
    for name, gradient in both.items():
        assert np.allclose(gradient, first[name] + second[name], atol=1e-5)
    made = gradients.run({"data": x}, lambda found: {"p": np.ones_like(found["p"])[None]})
    assert (made["data"] == second["data"]).all()


def test_a_layer_without_a_backward_pass_is_named(make_net):
    net = make_net(
        INPUT + "Convolution a: data -> a {convolution_param { num_output: 4 kernel_size: 1 }}\n"
        "MVN n: a -> n\nReLU r: n -> n\n"
        "InnerProduct p: n -> p {inner_product_param { num_output: 5 }}"
    )
    with pytest.raises(NoGradientError, match=r"`n` \(MVN\)"):
        Gradients(net, ["p"], ["a"])
    values = unfolded(net)
    assert differentiable(values, ["p"]) == {"n", "n'", "p"}
    assert list(
        Gradients(net, ["p"], ["n"]).run(
            {"data": spread((2, 4, 7, 6))}, {"p": np.ones((1, 2, 5), np.float32)}
        )
    ) == ["n"]


def test_statistics_of_the_batch_have_no_backward_pass(make_net):
    net = make_net(
        INPUT + "BatchNorm n: data -> top {batch_norm_param { use_global_stats: false }}"
    )
    assert differentiable(net, ["top"]) == {"top"}


def test_the_results_do_not_depend_on_threads(make_net):
    net = make_net(CASES["residual"])
    x, given = spread((2, 4, 7, 6)), {"top": np.ones((3, 2, 5), np.float32) * spread((5,))}
    one, two = (
        Gradients(net, ["top"], ["data"], threads).run({"data": x}, given) for threads in (1, 2)
    )
    assert (one["data"] == two["data"]).all()
