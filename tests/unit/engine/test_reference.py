"""Engine and reference agree on random nets, for one thread and for two."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cmodel.engine import Engine, run_reference
from cmodel.engine.ops.registry import OPS
from cmodel.engine.reference import FUNCTIONS
from cmodel.errors import NetError, UnsupportedError

SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
# float32 against float64: sums of a few hundred terms, and tanh, exp, pow of the C library.
TOLERANCE = 3e-6


def hold(net, feed, tolerance=TOLERANCE):
    """Engine (1 and 2 threads, all blobs and outputs only) against the reference."""
    expected = run_reference(net, feed)
    found = Engine(net, threads=1).run(feed, blobs="all")
    threaded = Engine(net, threads=2).run(feed, blobs="all")
    outputs = Engine(net, threads=2).run(feed)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        close(name, found[name], values, tolerance)
        assert found[name].tobytes() == threaded[name].tobytes(), name
    # Layers that are fused into others because nobody asks for their tops round differently.
    for name, values in outputs.items():
        close(name, values, expected[name], tolerance)


def close(name, found, expected, tolerance):
    finite = np.isfinite(expected)
    largest = np.abs(expected[finite]).max(initial=1e-3)
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=tolerance * largest, equal_nan=True, err_msg=name
    )


def values(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dims(shape):
    return " ".join(f"dim: {size}" for size in shape)


def inputs(**shapes):
    return "".join(
        f"Input in_{name}: -> {name} {{input_param {{ shape {{ {dims(shape)} }} }}}}\n"
        for name, shape in shapes.items()
    )


@st.composite
def windows(draw, axes):
    """kernel, stride, pad, dilation of each axis."""
    kernel = [draw(st.integers(1, 4)) for _ in range(axes)]
    stride = [draw(st.integers(1, 3)) for _ in range(axes)]
    pad = [draw(st.integers(0, 3)) for _ in range(axes)]
    dilation = [draw(st.integers(1, 2)) for _ in range(axes)]
    return kernel, stride, pad, dilation


def repeated(**fields):
    return " ".join(f"{name}: {value}" for name, entries in fields.items() for value in entries)


@given(
    axes=st.integers(1, 3),
    data=st.data(),
    group=st.integers(1, 3),
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
    bias=st.booleans(),
    kind=st.sampled_from(["Convolution", "Deconvolution"]),
    relu=st.sampled_from(
        ["", "ReLU r: y -> y", "ReLU r: y -> z {relu_param {negative_slope: 0.3}}"]
    ),
    seed=st.integers(0, 99),
)
@SETTINGS
def test_convolutions(make_net, axes, data, group, sizes, bias, kind, relu, seed):
    images, channels, outputs = sizes
    kernel, stride, pad, dilation = data.draw(windows(axes))
    spatial = [
        data.draw(st.integers(max(1, (k - 1) * d + 1 - 2 * p), 9))
        for k, d, p in zip(kernel, dilation, pad, strict=True)
    ]
    if kind == "Deconvolution":
        # The padding may not take everything away.
        pad = [
            min(p, (s * (n - 1) + (k - 1) * d) // 2)
            for p, s, n, k, d in zip(pad, stride, spatial, kernel, dilation, strict=True)
        ]
    shape = (images, channels * group, *spatial)
    fields = repeated(kernel_size=kernel, stride=stride, pad=pad, dilation=dilation)
    net = make_net(
        inputs(x=shape)
        + f"{kind} c: x -> y {{convolution_param {{ num_output: {outputs * group} group: {group} "
        f"bias_term: {str(bias).lower()} {fields} }}}}\n" + relu,
        seed=seed,
    )
    hold(net, {"x": values(shape, seed)})


@pytest.mark.parametrize("kind", ["Convolution", "Deconvolution"])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("relu", ["", "ReLU r: y -> y {relu_param {negative_slope: 0.3}}"])
def test_convolution_over_more_than_three_axes(make_net, kind, group, relu):
    for shape, fields in [
        ((2, 4, 3, 4, 2, 3), "kernel_size: 2 stride: 1 stride: 2 stride: 1 stride: 2 pad: 1"),
        (
            (1, 2, 2, 1, 3, 2, 2),
            "kernel_size: 1 kernel_size: 1 kernel_size: 2 kernel_size: 1 "
            "kernel_size: 2 dilation: 1 bias_term: false",
        ),
    ]:
        net = make_net(
            inputs(x=shape)
            + f"{kind} c: x -> y {{convolution_param {{ num_output: 4 group: {group} {fields} }}}}\n"
            + relu
        )
        hold(net, {"x": values(shape, 5)})


def test_convolution_in_many_tiles_and_blocks(make_net):
    for shape, fields in [
        ((2, 40, 33, 47), "num_output: 70 kernel_size: 3 pad: 1"),
        ((1, 24, 50, 51), "num_output: 140 kernel_size: 1"),
        ((1, 300, 5, 5), "num_output: 300 kernel_size: 3 pad: 1"),
        ((2, 64, 1, 1), "num_output: 200 kernel_size: 1"),
        ((1, 6, 40, 41), "num_output: 6 kernel_size: 3 stride: 2 group: 6"),
    ]:
        net = make_net(
            inputs(x=shape) + f"Convolution c: x -> y {{convolution_param {{ {fields} }}}}"
        )
        hold(net, {"x": values(shape, 5)})


@given(
    pool=st.sampled_from(["MAX", "AVE"]),
    data=st.data(),
    mode=st.sampled_from(["CEIL", "FLOOR"]),
    tops=st.integers(1, 2),
    seed=st.integers(0, 99),
)
@SETTINGS
def test_pooling(make_net, pool, data, mode, tops, seed):
    kernel = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    stride = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    pad = tuple(data.draw(st.integers(0, k - 1)) for k in kernel)
    spatial = [
        data.draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(kernel, pad, strict=True)
    ]
    shape = (2, 3, *spatial)
    outputs = "y m" if tops == 2 and pool == "MAX" else "y"
    net = make_net(
        inputs(x=shape)
        + f"Pooling p: x -> {outputs} {{pooling_param {{ pool: {pool} round_mode: {mode} "
        f"kernel_h: {kernel[0]} kernel_w: {kernel[1]} stride_h: {stride[0]} stride_w: {stride[1]} "
        f"pad_h: {pad[0]} pad_w: {pad[1]} }}}}"
    )
    x = values(shape, seed)
    if seed % 5 == 0:
        x[0, 0, 0, 0] = np.nan
        x[1, 1] = -np.inf
    hold(net, {"x": x})


@given(
    rows=st.sampled_from([1, 2, 5, 131]),
    inner=st.integers(1, 40),
    outputs=st.sampled_from([1, 3, 64, 65, 150]),
    transpose=st.booleans(),
    bias=st.booleans(),
    seed=st.integers(0, 99),
)
@SETTINGS
def test_inner_product(make_net, rows, inner, outputs, transpose, bias, seed):
    net = make_net(
        inputs(x=(rows, inner))
        + f"InnerProduct ip: x -> y {{inner_product_param {{ num_output: {outputs} "
        f"transpose: {str(transpose).lower()} bias_term: {str(bias).lower()} }}}}",
        seed=seed,
    )
    hold(net, {"x": values((rows, inner), seed)})


LAYERS = [
    ("ReLU", "relu_param { negative_slope: 0.1 }"),
    ("ReLU", ""),
    ("PReLU", ""),
    ("ELU", "elu_param { alpha: 0.7 }"),
    ("Sigmoid", ""),
    ("TanH", ""),
    ("AbsVal", ""),
    ("BNLL", ""),
    ("Power", "power_param { power: 2 scale: 0.5 shift: 0.3 }"),
    ("Power", "power_param { power: 3 scale: 0 shift: 2 }"),
    ("Power", "power_param { power: 0 shift: 2 }"),
    ("Exp", "exp_param { base: 2 scale: 0.5 shift: 0.5 }"),
    ("Exp", ""),
    ("Log", "log_param { base: 3 scale: 0.1 shift: 1 }"),
    ("Threshold", "threshold_param { threshold: 0.2 }"),
    ("Clip", "clip_param { min: -0.5 max: 0.75 }"),
    ("Swish", "swish_param { beta: 1.5 }"),
    ("Dropout", ""),
    ("Softmax", ""),
    ("Softmax", "softmax_param { axis: 0 }"),
    ("Softmax", "softmax_param { axis: -1 }"),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 }"),
    ("LRN", "lrn_param { local_size: 5 alpha: 0.5 beta: 0.6 k: 2 }"),
    ("LRN", "lrn_param { local_size: 3 alpha: 0.5 norm_region: WITHIN_CHANNEL }"),
    ("BatchNorm", ""),
    ("BatchNorm", "batch_norm_param { use_global_stats: false eps: 0.01 }"),
    ("Scale", "scale_param { bias_term: true }"),
    ("Scale", "scale_param { axis: -2 num_axes: -1 }"),
    ("Scale", "scale_param { num_axes: 0 bias_term: true }"),
    ("Bias", "bias_param { axis: 0 num_axes: 2 }"),
    ("MVN", "mvn_param { across_channels: true }"),
    ("MVN", "mvn_param { normalize_variance: false }"),
]


@pytest.mark.parametrize(("kind", "fields"), LAYERS)
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 70, 9, 13)])
def test_layers_of_one_shape(make_net, kind, fields, shape):
    x = values(shape, 7)
    if kind == "Log":
        x = np.abs(x)
    text = inputs(x=shape) + f"{kind} l: x -> y {{{fields}}}\n"
    hold(make_net(text), {"x": x})
    # The same in place: on the fed blob, and on one of the net's own.
    hold(make_net(text.replace("-> y", "-> x")), {"x": x})
    copied = inputs(x=shape) + "Power p: x -> y\n" + f"{kind} l: y -> y {{{fields}}}\n"
    hold(make_net(copied), {"x": x})


GRAPHS = [
    "Eltwise e: a b c -> y {eltwise_param { operation: PROD }}",
    "Eltwise e: a b c -> y {eltwise_param { operation: MAX }}",
    "Eltwise e: a b c -> y {eltwise_param { coeff: 0.5 coeff: -1 coeff: 2 }}",
    "Eltwise e: a a -> a",
    "Concat k: a b c -> y",
    "Concat k: a b -> y {concat_param { concat_dim: 0 }}",
    "Concat k: a b -> y {concat_param { axis: -1 }}",
    "Slice s: a -> p q {slice_param { slice_point: 1 }}",
    "Slice s: a -> p q {slice_param { axis: 2 }}",
    "Flatten f: a -> y {flatten_param { axis: 1 end_axis: 2 }}",
    "Reshape r: a -> y {reshape_param { shape { dim: 0 dim: -1 } }}",
    "Scale s: a m -> y {scale_param { axis: 0 bias_term: true }}",
    "Bias s: a m -> y {bias_param { axis: 0 }}",
    "ArgMax x: a -> y",
    "ArgMax x: a -> y {argmax_param { top_k: 3 out_max_val: true }}",
    "ArgMax x: a -> y {argmax_param { top_k: 2 axis: -2 }}",
    "ArgMax x: a -> y {argmax_param { axis: 1 out_max_val: true }}",
    "Tile t: a -> y {tile_param { axis: 2 tiles: 3 }}",
    "Reduction r: a -> y {reduction_param { operation: ASUM axis: 1 coeff: 2 }}",
    "Reduction r: a -> y {reduction_param { operation: SUMSQ axis: -1 }}",
    "Reduction r: a -> y {reduction_param { operation: MEAN }}",
    "Crop c: a t -> y {crop_param { axis: 1 offset: 1 offset: 2 offset: 0 }}",
    "SPP s: a -> y {spp_param { pyramid_height: 2 pool: AVE }}",
    "SPP s: a -> y {spp_param { pyramid_height: 1 }}",
    "Im2col i: a -> y {convolution_param { kernel_size: 2 pad: 1 stride: 2 }}",
    "Embed e: index -> y {embed_param { input_dim: 5 num_output: 3 }}",
    "BatchReindex b: a which -> y",
    "Accuracy x: m label -> y",
    "Accuracy x: m label -> y z {accuracy_param { top_k: 2 ignore_label: 1 }}",
    "SoftmaxWithLoss x: m label -> y z",
    "SoftmaxWithLoss x: m label -> y {loss_param { ignore_label: 1 normalization: FULL }}",
    "SoftmaxWithLoss x: m label -> y {loss_param { normalize: false }}",
    "HingeLoss x: m label -> y {hinge_loss_param { norm: L2 }}",
    "HingeLoss x: m label -> y",
    "EuclideanLoss x: a b -> y",
    "SigmoidCrossEntropyLoss x: a odds -> y",
    "SigmoidCrossEntropyLoss x: a odds -> y {loss_param { normalize: true }}",
    "ContrastiveLoss x: m n label -> y {contrastive_loss_param { margin: 3 }}",
    "ContrastiveLoss x: m n label -> y {contrastive_loss_param { margin: 9 legacy_version: true }}",
    "MultinomialLogisticLoss x: rates label -> y",
    "InfogainLoss x: m label gain -> y z",
    "InfogainLoss x: m label gain -> y {loss_param { ignore_label: 1 normalization: FULL }}",
    "LSTM l: x3 cont -> y {recurrent_param { num_output: 3 }}",
    "LSTM l: x3 cont m5 -> y {recurrent_param { num_output: 2 }}",
    "LSTM l: x3 cont h0 c0 -> y hidden cell {recurrent_param { num_output: 3 expose_hidden: true }}",
    "LSTM l: x3 cont m5 h0 c0 -> y hidden cell {recurrent_param { num_output: 3 expose_hidden: true }}",
    "RNN l: x3 cont -> y {recurrent_param { num_output: 3 }}",
    "RNN l: x3 cont m5 -> y {recurrent_param { num_output: 2 }}",
    "RNN l: x3 cont h0 -> y hidden {recurrent_param { num_output: 3 expose_hidden: true }}",
    "RNN l: x3 cont m5 h0 -> y hidden {recurrent_param { num_output: 3 expose_hidden: true }}",
    "LSTMUnit u: c1 g1 cont1 -> y z",
    "Parameter w: -> w {parameter_param { shape { dim: 2 dim: 3 } }}\nEltwise e: m w -> y",
    "DummyData d: -> d {dummy_data_param { shape { dim: 2 dim: 3 } data_filler { value: 1.5 } }}\n"
    "Eltwise e: m d -> y",
    "Power p: a -> p\nSplit s: p -> q r\nReLU l: q -> q\nPower w: r -> r {power_param { shift: 1 }}\n"
    "Eltwise e: q r p -> y",
    "Power p: a -> p\nFlatten f: p -> f\nDropout d: f -> f\nReLU l: f -> f\nPower w: p -> v",
    "Power p: a -> p\nSilence s: p ->\nTanH t: p -> p",
    "Power p: a -> p\nHDF5Output s: p p ->",
    "Flatten f: a -> f\nReLU l: f -> f\nSplit s: f -> q r\nPower w: r -> r {power_param { shift: 1 }}\n"
    "Eltwise e: q r -> y",
    "Power p: a -> p\nConcat k: p -> k\nSlice s: k -> s\nReLU l: s -> s\nTanH w: p -> w",
    # Layers behind one whose size the values decide.
    "Filter f: m n label -> p q\nEltwise e: p q -> y\nTanH w: a -> w\nReLU r: y -> y",
    "TanH w: m -> w\nFilter f: w label label -> p s\nFilter g: p s -> q\nReLU r: q -> q\nEltwise e: p q -> y",
    "Flatten v: m -> v {flatten_param { axis: 0 }}\nFilter f: m label -> p\nReLU l: v -> v\n"
    "TanH w: m -> w",
    # Of forks.
    "ReLU6 r: big -> y",
    "ReLU6 r: big -> big",
    "ConvolutionDepthwise c: a -> y {convolution_param { num_output: 3 kernel_size: 3 pad: 1 }}",
    "ConvolutionDepthwise c: a -> y {convolution_param { num_output: 6 kernel_size: 2 stride: 2 }}",
    "DepthwiseConvolution c: a -> y {convolution_param { num_output: 3 group: 3 kernel_size: 3 }}",
    "ShuffleChannel s: wide -> y {shuffle_channel_param { group: 3 }}",
    "ShuffleChannel s: wide -> y",
    "Permute p: a -> y {permute_param { order: 0 order: 2 order: 3 order: 1 }}",
    "Permute p: a -> y {permute_param { order: 3 }}",
    "Permute p: m -> y {permute_param { order: 1 order: 0 }}",
    "Normalize n: a -> y",
    "Normalize n: a -> a {norm_param { across_spatial: false channel_shared: false }}",
    "Normalize n: m -> y {norm_param { across_spatial: false eps: 0.5 }}",
    "Axpy x: scales a b -> y",
    "Axpy x: m m n -> y",
    "BN n: a -> y {bn_param { eps: 0.01 }}",
    "BN n: m -> m",
    "BN n: a -> y {bn_param { bn_mode: INFERENCE }}",
    "BN n: a -> y {bn_param { scale_filler { value: 1 } }}",
    "Interp i: a -> y {interp_param { height: 7 width: 3 }}",
    "Interp i: a -> y {interp_param { zoom_factor: 3 }}",
    "Interp i: a -> y {interp_param { shrink_factor: 2 }}",
    "Interp i: a -> y {interp_param { shrink_factor: 2 zoom_factor: 3 pad_beg: -1 }}",
    "Interp i: a -> y {interp_param { height: 1 width: 9 pad_beg: -1 pad_end: -2 }}",
    "Interp i: a t -> y",
    "Upsample u: a -> y {upsample_param { scale: 3 }}",
    "Upsample u: a -> y {upsample_param { scale_h: 2 }}",
    "Pooling p: a -> p mask {pooling_param { kernel_size: 2 stride: 2 }}\n"
    "Upsample u: p mask -> y {upsample_param { pad_out_w: true }}",
    "Pooling p: a -> p mask {pooling_param { kernel_size: 2 stride: 2 }}\n"
    "Upsample u: p mask -> y {upsample_param { scale: 2 upsample_h: 4 upsample_w: 5 }}",
    "ROIPooling r: a regions -> y {roi_pooling_param { pooled_h: 2 pooled_w: 3 spatial_scale: 0.5 }}",
    "ROIPooling r: a regions -> y {roi_pooling_param { pooled_h: 3 pooled_w: 2 }}",
    "Reorg r: wide -> y",
    "Reorg r: wide -> y {reorg_param { reverse: true }}",
    "Reorg r: a -> y {reorg_param { stride: 1 }}",
    "PriorBox p: a big -> y {prior_box_param { min_size: 3 }}",
    "PriorBox p: a big -> y {prior_box_param { min_size: 3.9 min_size: 5 max_size: 5.2 max_size: 9 "
    "aspect_ratio: 2 aspect_ratio: 1 aspect_ratio: 0.5 clip: true "
    "variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 }}",
    "PriorBox p: a big -> y {prior_box_param { min_size: 2 aspect_ratio: 3 flip: false variance: 0.3 "
    "img_w: 50 img_h: 40 step: 9 offset: 0.25 }}",
    "DetectionOutput d: loc conf prior -> y {detection_output_param { num_classes: 3 }}",
    "DetectionOutput d: loc conf prior -> y {detection_output_param { num_classes: 3 "
    "code_type: CENTER_SIZE confidence_threshold: 0.2 keep_top_k: 4 nms_param { nms_threshold: 0.6 "
    "top_k: 5 eta: 0.8 } }}\nTanH w: y -> w",
    "DetectionOutput d: each conf prior -> y {detection_output_param { num_classes: 3 "
    "share_location: false code_type: CORNER_SIZE background_label_id: -1 keep_top_k: 7 }}",
    "DetectionOutput d: each conf prior -> y {detection_output_param { num_classes: 3 "
    "share_location: false variance_encoded_in_target: true confidence_threshold: 99 }}",
]


@pytest.mark.parametrize("text", GRAPHS)
def test_graphs(make_net, text):
    shape = (2, 3, 4, 5)
    shapes = {
        "a": shape,
        "b": shape,
        "c": shape,
        "odds": shape,
        "t": (1, 2, 2, 3),
        "m": (2, 3),
        "n": (2, 3),
    }
    shapes |= {"x3": (4, 2, 5), "m5": (2, 4), "c1": (1, 2, 3), "g1": (1, 2, 12)}
    feed = {name: values(size, i) for i, (name, size) in enumerate(shapes.items())}
    feed["odds"] = np.random.default_rng(3).random(shape).astype(np.float32)
    feed["a"][0, 0, 1] = feed["a"][0, 0, 0]
    shapes |= {"label": (2,), "index": (2, 2), "which": (3,)}
    feed |= {
        "label": np.array([1, 0]),
        "index": np.array([[4, 0], [2, 2]]),
        "which": np.array([1, 1, 0]),
    }
    shapes |= {"h0": (1, 2, 3), "c0": (1, 2, 3), "gain": (3, 3), "rates": (2, 3)}
    shapes |= {
        "big": (1, 3, 36, 45),
        "wide": (2, 12, 4, 6),
        "scales": (2, 3, 1, 1),
        "regions": (4, 5),
    }
    shapes |= {"loc": (2, 32), "each": (2, 96), "conf": (2, 24), "prior": (1, 2, 32)}
    feed |= {name: values(shapes[name], 7) for name in ("h0", "c0", "gain", "wide", "scales")}
    feed |= {"big": 9 * values(shapes["big"], 1), "rates": np.full((2, 3), 0.3)}
    feed["regions"] = np.array(
        [[0, 0, 0, 4, 3], [1, 1.4, 2.5, 9, 3.4], [1, -3, -2, 2, 1], [0, 3, 3, 1, 1]], np.float32
    )
    boxes = np.random.default_rng(4).random((2, 8, 4)).astype(np.float32)
    boxes[0, :, 2:] += boxes[0, :, :2]
    feed |= {"prior": boxes.reshape(1, 2, 32), "conf": np.random.default_rng(6).random((2, 24))}
    feed |= {name: values(shapes[name], 8) / 4 for name in ("loc", "each")}
    shapes |= {"cont": (4, 2), "cont1": (1, 2)}
    feed |= {"cont": np.array([[0, 0], [1, 1], [0, 1], [1, 1]]), "cont1": np.array([[1, 0]])}
    hold(make_net(inputs(**shapes) + text), feed)


ELEMENTWISE = [
    "ReLU",
    "TanH",
    "Sigmoid",
    "AbsVal",
    "BatchNorm",
    "Scale",
    "PReLU",
    "Dropout",
    "Softmax",
]


@given(data=st.data(), seed=st.integers(0, 99))
@SETTINGS
def test_random_graphs(make_net, data, seed):
    """Layers in and out of place over shared blobs: memory reuse never shows."""
    blobs, text = ["x"], ""
    for i in range(data.draw(st.integers(1, 12))):
        source = data.draw(st.sampled_from(blobs))
        kind = data.draw(
            st.sampled_from([*ELEMENTWISE, "Convolution", "Eltwise", "Split", "Pooling"])
        )
        if kind in ELEMENTWISE:
            top = data.draw(st.sampled_from([source, f"b{i}"]))
            text += f"{kind} l{i}: {source} -> {top}\n"
        elif kind == "Convolution":
            top = f"b{i}"
            text += f"{kind} l{i}: {source} -> {top} {{convolution_param {{ num_output: 3 kernel_size: 3 pad: 1 }}}}\n"
        elif kind == "Pooling":
            top = f"b{i}"
            text += (
                f"{kind} l{i}: {source} -> {top} {{pooling_param {{ kernel_size: 3 pad: 1 }}}}\n"
            )
        elif kind == "Eltwise":
            other = data.draw(st.sampled_from(blobs))
            top = data.draw(st.sampled_from([source, f"b{i}"]))
            text += (
                f"{kind} l{i}: {source} {other} -> {top} {{eltwise_param {{ operation: MAX }}}}\n"
            )
        else:
            top = f"b{i}"
            text += f"{kind} l{i}: {source} -> {top} s{i}\n"
            blobs.append(f"s{i}")
        if top not in blobs:
            blobs.append(top)
    net = make_net(inputs(x=(2, 3, 5, 4)) + text, seed=seed)
    x = values((2, 3, 5, 4), seed)
    # A dozen layers with random gains multiply the rounding of the first.
    hold(net, {"x": x}, tolerance=1e-4)
    everything = Engine(net).run({"x": x}, blobs="all")
    for name in blobs:
        alone = Engine(net).run({"x": x}, blobs=[name])[name]
        close(name, alone, everything[name], 1e-4)


def test_reference_has_every_operation():
    assert set(FUNCTIONS) == set(OPS)


def test_reference_errors(make_net):
    net = make_net(inputs(x=(2, 3)) + "Mystery m: x -> y")
    with pytest.raises(UnsupportedError, match="`Mystery`"):
        run_reference(net, {"x": values((2, 3), 0)})
    with pytest.raises(NetError, match="`x` is not fed"):
        run_reference(net, {})
