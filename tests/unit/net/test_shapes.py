"""Shape inference: every rule's sizes, and every way in which layers do not fit."""

import pytest
from google.protobuf import text_format

from cmodel.errors import NetError
from cmodel.net import Layer, Net, Parameters, Registry, Shape, infer_shapes, layer_keys
from cmodel.net.shapes.registry import RULES
from cmodel.proto import caffe_pb2


def net_of(text: str) -> Net:
    header = caffe_pb2.NetParameter()
    text_format.Parse(text, header)
    params = list(header.layer)
    del header.layer[:]
    keys = layer_keys([param.name for param in params])
    layers = [Layer(param, key) for param, key in zip(params, keys, strict=True)]
    return Net(header, layers, Parameters())


def one_layer(kind: str, fields: str, bottoms: list[Shape], tops: int = 1) -> Net:
    names = [f"b{i}" for i in range(len(bottoms))]
    shapes = " ".join(
        "shape { " + " ".join(f"dim: {size}" for size in shape) + " }" for shape in bottoms
    )
    source = " ".join(f'top: "{name}"' for name in names)
    return net_of(
        f'layer {{ name: "in" type: "Input" {source} input_param {{ {shapes} }} }}\n'
        f'layer {{ name: "l" type: "{kind}" '
        + " ".join(f'bottom: "{name}"' for name in names)
        + " ".join(f' top: "t{i}"' for i in range(tops))
        + f" {fields} }}"
    )


X = (2, 6, 7, 9)

CASES = [
    ("Filter", "", [X, (2, 3), (2,)], [X, (2, 3)], []),
    ("Filter", "", [X, (2, 1, 1)], [X], []),
    (
        "RNN",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        [(4, 2, 5, 2), (4, 2), (2, 7), (1, 2, 3)],
        [(4, 2, 3), (1, 2, 3)],
        [(3, 10), (3,), (3, 7), (3, 3), (3, 3), (3,)],
    ),
    (
        "LSTM",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        [(4, 2, 5), (4, 2), (1, 2, 3), (1, 2, 3)],
        [(4, 2, 3), (1, 2, 3), (1, 2, 3)],
        [(12, 5), (12,), (12, 3)],
    ),
    ("HDF5Output", "", [X, X], [], []),
    ("InfogainLoss", "infogain_loss_param { axis: -1 }", [(4, 3), (4,)], [(), (4, 3)], []),
    ("MultinomialLogisticLoss", "", [(4, 3), (4, 1, 1, 1)], [()], []),
    ("ReLU6", "", [X], [X], []),
    (
        "ConvolutionDepthwise",
        "convolution_param { num_output: 6 kernel_size: 3 pad: 1 stride: 2 }",
        [X],
        [(2, 6, 4, 5)],
        [(6, 1, 3, 3), (6,)],
    ),
    (
        "DepthwiseConvolution",
        "convolution_param { num_output: 6 group: 2 kernel_size: 3 bias_term: false }",
        [X],
        [(2, 6, 5, 7)],
        [(6, 3, 3, 3)],
    ),
    ("ShuffleChannel", "shuffle_channel_param { group: 3 }", [X], [X], []),
    ("Permute", "permute_param { order: 0 order: 2 order: 3 order: 1 }", [X], [(2, 7, 9, 6)], []),
    ("Permute", "permute_param { order: 3 }", [X], [(9, 2, 6, 7)], []),
    ("Normalize", "", [X], [X], [()]),
    ("Normalize", "norm_param { channel_shared: false }", [X], [X], [(6,)]),
    ("Axpy", "", [(2, 6, 1, 1), X, X], [X], []),
    ("BN", "", [X], [X], [(1, 6, 1, 1)] * 4),
    ("BN", "bn_param { bn_mode: LEARN }", [X], [X], [(1, 6, 1, 1)] * 2),
    ("Interp", "interp_param { height: 3 width: 20 }", [X], [(2, 6, 3, 20)], []),
    ("Interp", "interp_param { zoom_factor: 3 pad_beg: -1 }", [X], [(2, 6, 16, 22)], []),
    ("Interp", "interp_param { shrink_factor: 3 }", [X], [(2, 6, 3, 3)], []),
    ("Interp", "interp_param { shrink_factor: 2 zoom_factor: 2 }", [X], [(2, 6, 7, 9)], []),
    ("Interp", "", [X, (1, 1, 4, 5)], [(2, 6, 4, 5)], []),
    ("Upsample", "upsample_param { scale: 2 }", [X], [(2, 6, 14, 18)], []),
    ("Upsample", "", [X], [X], []),
    ("Upsample", "upsample_param { pad_out_h: true }", [X, X], [(2, 6, 13, 18)], []),
    ("Upsample", "upsample_param { upsample_w: 17 }", [X, X], [(2, 6, 14, 17)], []),
    (
        "ROIPooling",
        "roi_pooling_param { pooled_h: 2 pooled_w: 3 }",
        [X, (5, 5)],
        [(5, 6, 2, 3)],
        [],
    ),
    ("Reorg", "", [(2, 4, 6, 8)], [(2, 16, 3, 4)], []),
    ("Reorg", "reorg_param { reverse: true }", [(2, 8, 3, 5)], [(2, 2, 6, 10)], []),
    (
        "PriorBox",
        "prior_box_param { min_size: 3 max_size: 5 aspect_ratio: 2 aspect_ratio: 2 }",
        [X, (2, 3, 70, 90)],
        [(1, 2, 4 * 4 * 63)],
        [],
    ),
    (
        "DetectionOutput",
        "detection_output_param { num_classes: 3 share_location: false }",
        [(2, 24), (2, 6), (1, 2, 8)],
        [(1, 1, 1, 7)],
        [],
    ),
    # type, fields, bottoms, tops, parameters
    ("ReLU", "", [X], [X], []),
    ("LRN", "lrn_param { local_size: 3 }", [X], [X], []),
    ("Softmax", "softmax_param { axis: -1 }", [X], [X], []),
    ("PReLU", "", [X], [X], [(6,)]),
    ("PReLU", "prelu_param { channel_shared: true }", [X], [X], [()]),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 3 stride: 2 pad: 1 group: 2 }",
        [X],
        [(2, 4, 4, 5)],
        [(4, 3, 3, 3), (4,)],
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_h: 1 kernel_w: 3 pad_w: 1 bias_term: false }",
        [X],
        [(2, 4, 7, 9)],
        [(4, 6, 1, 3)],
    ),
    (
        "Convolution",
        "convolution_param { num_output: 1 kernel_size: 3 kernel_size: 2 dilation: 2 axis: 1 }",
        [X],
        [(2, 1, 3, 7)],
        [(1, 6, 3, 2), (1,)],
    ),
    (
        "Convolution",
        "convolution_param { num_output: 5 kernel_size: 3 axis: 0 }",
        [(6, 7, 9)],
        [(5, 5, 7)],
        [(5, 6, 3, 3), (5,)],
    ),
    (
        "Convolution",
        "convolution_param { num_output: 5 kernel_size: 2 }",
        [X, X],
        [(2, 5, 6, 8)] * 2,
        [(5, 6, 2, 2), (5,)],
    ),
    (
        "Deconvolution",
        "convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 2 }",
        [X],
        [(2, 4, 14, 18)],
        [(6, 2, 4, 4), (4,)],
    ),
    ("Im2col", "convolution_param { kernel_size: 3 }", [X], [(2, 54, 5, 7)], []),
    ("Pooling", "pooling_param { kernel_size: 2 stride: 2 }", [X], [(2, 6, 4, 5)], []),
    (
        "Pooling",
        "pooling_param { kernel_size: 2 stride: 2 round_mode: FLOOR }",
        [X],
        [(2, 6, 3, 4)],
        [],
    ),
    # The window that would start in the padding is dropped.
    ("Pooling", "pooling_param { kernel_size: 2 stride: 2 pad: 1 }", [X], [(2, 6, 4, 5)], []),
    ("Pooling", "pooling_param { kernel_size: 9 stride: 3 }", [X], [(2, 6, 1, 1)], []),
    ("Pooling", "pooling_param { pool: AVE global_pooling: true }", [X], [(2, 6, 1, 1)], []),
    ("Pooling", "pooling_param { kernel_size: 7 }", [X], [(2, 6, 1, 3)] * 2, []),
    ("InnerProduct", "inner_product_param { num_output: 3 }", [X], [(2, 3)], [(3, 378), (3,)]),
    (
        "InnerProduct",
        "inner_product_param { num_output: 3 axis: -1 transpose: true bias_term: false }",
        [X],
        [(2, 6, 7, 3)],
        [(9, 3)],
    ),
    (
        "Embed",
        "embed_param { num_output: 3 input_dim: 8 }",
        [(2, 5)],
        [(2, 5, 3)],
        [(8, 3), (3,)],
    ),
    ("Concat", "", [X, (2, 1, 7, 9)], [(2, 7, 7, 9)], []),
    ("Concat", "concat_param { concat_dim: 0 }", [X, X], [(4, 6, 7, 9)], []),
    ("Slice", "", [X], [(2, 2, 7, 9)] * 3, []),
    ("Slice", "slice_param { axis: -1 slice_point: 4 }", [X], [(2, 6, 7, 4), (2, 6, 7, 5)], []),
    ("Slice", "slice_param { slice_dim: 0 }", [X], [(1, 6, 7, 9)] * 2, []),
    ("Split", "", [X], [X, X], []),
    ("Silence", "", [X], [], []),
    ("BatchNorm", "", [X], [X], [(6,), (6,), (1,)]),
    ("BatchNorm", "", [(4,)], [(4,)], [(1,), (1,), (1,)]),
    ("Scale", "scale_param { bias_term: true }", [X], [X], [(6,), (6,)]),
    ("Scale", "scale_param { axis: 0 num_axes: 2 }", [X], [X], [(2, 6)]),
    ("Scale", "scale_param { axis: 2 num_axes: -1 }", [X], [X], [(7, 9)]),
    ("Scale", "scale_param { num_axes: 0 }", [X], [X], [()]),
    ("Scale", "scale_param { axis: 0 bias_term: true }", [X, (2, 6)], [X], [(2, 6)]),
    ("Bias", "bias_param { axis: -2 }", [X], [X], [(7,)]),
    ("Bias", "", [X, (6, 7)], [X], []),
    ("Eltwise", "eltwise_param { coeff: 1 coeff: -1 }", [X, X], [X], []),
    ("Flatten", "", [X], [(2, 378)], []),
    ("Flatten", "flatten_param { axis: 1 end_axis: -2 }", [X], [(2, 42, 9)], []),
    ("Reshape", "reshape_param { shape { dim: 0 dim: -1 dim: 2 } }", [X], [(2, 189, 2)], []),
    (
        "Reshape",
        "reshape_param { axis: 1 num_axes: 1 shape { dim: 2 dim: 3 } }",
        [X],
        [(2, 2, 3, 7, 9)],
        [],
    ),
    ("Reshape", "reshape_param { axis: -1 shape { dim: 1 } }", [X], [(*X, 1)], []),
    ("ArgMax", "argmax_param { axis: 1 top_k: 2 }", [X], [(2, 2, 7, 9)], []),
    ("ArgMax", "argmax_param { out_max_val: true top_k: 3 }", [X], [(2, 2, 3, 1)], []),
    ("ArgMax", "", [(4, 5)], [(4, 1, 1)], []),
    ("Accuracy", "", [(4, 5), (4,)], [(), (5,)], []),
    ("SoftmaxWithLoss", "", [X, (2, 1, 7, 9)], [(), X], []),
    ("HingeLoss", "", [(4, 5), (4,)], [()], []),
    ("EuclideanLoss", "", [(4, 5), (4, 5)], [()], []),
    ("ContrastiveLoss", "", [(4, 5), (4, 5), (4,)], [()], []),
    (
        "LSTM",
        "recurrent_param { num_output: 3 }",
        [(4, 2, 5), (4, 2), (2, 6)],
        [(4, 2, 3)],
        [(12, 5), (12,), (12, 6), (12, 3)],
    ),
    ("LSTMUnit", "", [(1, 2, 3), (1, 2, 12), (1, 2)], [(1, 2, 3)] * 2, []),
    ("Tile", "tile_param { axis: -1 tiles: 3 }", [X], [(2, 6, 7, 27)], []),
    ("Reduction", "reduction_param { axis: 2 }", [X], [(2, 6)], []),
    ("Crop", "crop_param { offset: 1 offset: 2 }", [X, (9, 9, 5, 4)], [(2, 6, 5, 4)], []),
    ("SPP", "spp_param { pyramid_height: 2 }", [X], [(2, 30)], []),
    ("SPP", "spp_param { pyramid_height: 1 }", [X], [(2, 6, 1, 1)], []),
    ("DummyData", "dummy_data_param { shape { dim: 3 dim: 4 } }", [], [(3, 4)] * 2, []),
    (
        "DummyData",
        "dummy_data_param { num: 3 num: 5 channels: 4 height: 1 width: 2 }",
        [],
        [(3, 4, 1, 2), (5, 4, 1, 2)],
        [],
    ),
    ("Parameter", "parameter_param { shape { dim: 2 dim: 3 } }", [], [(2, 3)], [(2, 3)]),
]


@pytest.mark.parametrize(("kind", "fields", "bottoms", "tops", "parameters"), CASES)
def test_rule(kind, fields, bottoms, tops, parameters):
    shapes = infer_shapes(one_layer(kind, fields, bottoms, len(tops)))
    assert shapes.tops["l"] == tops
    assert shapes.parameters["l"] == parameters
    assert [shapes.blobs[f"t{i}"] for i in range(len(tops))] == tops


BAD = [
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 8 }", [X], 1, "spans 8"),
    ("Convolution", "convolution_param { num_output: 4 }", [X], 1, "kernel_size is not set"),
    ("Convolution", "convolution_param { kernel_size: 1 }", [X], 1, "num_output"),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 1 group: 4 }",
        [X],
        1,
        "does not divide",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 1 stride: 0 }",
        [X],
        1,
        "stride must be 1",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 1 pad: 1 pad_h: 1 }",
        [X],
        1,
        "both",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4 kernel_size: 1 axis: 4 }",
        [X],
        1,
        "axis 4",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 4294967295 kernel_size: 1 }",
        [X],
        1,
        "the limit is",
    ),
    (
        "Convolution",
        "convolution_param { num_output: 2 kernel_size: 1 pad: 4294967295 }",
        [X],
        1,
        "the limit is",
    ),
    (
        "Deconvolution",
        "convolution_param { num_output: 2 kernel_size: 1 pad: 9 }",
        [X],
        1,
        "would have the shape",
    ),
    ("Pooling", "pooling_param { kernel_size: 99 }", [X], 1, "too large"),
    ("Pooling", "pooling_param { kernel_size: 2 pad: 2 }", [X], 1, "not smaller"),
    ("Pooling", "pooling_param { kernel_h: 2 }", [X], 1, "needed both"),
    ("Pooling", "pooling_param { global_pooling: true stride: 2 }", [X], 1, "stride 1"),
    ("Pooling", "pooling_param { pool: AVE kernel_size: 2 }", [X], 2, "1 top"),
    ("Pooling", "pooling_param { kernel_size: 2 }", [(2, 3)], 1, "axes"),
    ("LRN", "lrn_param { local_size: 4 }", [X], 1, "odd"),
    ("InnerProduct", "inner_product_param { num_output: 3 axis: -5 }", [X], 1, "axis -5"),
    ("Concat", "", [X, (2, 6, 7, 8)], 1, "does not join"),
    ("Slice", "", [X], 4, "do not divide"),
    ("Slice", "slice_param { slice_point: 6 }", [X], 2, "do not rise"),
    ("Slice", "slice_param { slice_point: 1 slice_point: 2 }", [X], 2, "make 3 tops"),
    ("Scale", "scale_param { num_axes: 4 }", [X], 1, "does not fit"),
    ("Scale", "", [X, (5,)], 1, "does not match"),
    ("Eltwise", "eltwise_param { operation: MAX coeff: 1 coeff: 1 }", [X, X], 1, "SUM only"),
    ("Eltwise", "eltwise_param { coeff: 1 }", [X, X], 1, "1 coefficients"),
    ("Eltwise", "", [X, (2, 6, 7)], 1, "differs"),
    ("Reshape", "reshape_param { shape { dim: 0 dim: 5 dim: -1 } }", [X], 1, "do not fill"),
    ("Reshape", "reshape_param { shape { dim: -1 dim: -1 } }", [X], 1, "more than one"),
    ("Flatten", "flatten_param { axis: 2 end_axis: 1 }", [X], 1, "before axis"),
    ("ArgMax", "argmax_param { top_k: 9 axis: 1 }", [X], 1, "top_k 9"),
    ("Accuracy", "", [(4, 5), (3,)], 1, "3 labels"),
    ("Crop", "crop_param { offset: 5 }", [X, X], 1, "exceed"),
    ("SPP", "spp_param { pyramid_height: 6 }", [X], 1, "more bins"),
    ("SPP", "spp_param { pyramid_height: 60 }", [X], 1, "exceeds"),
    ("ReLU", "", [X, X], 1, "takes 1 bottom"),
    ("LSTM", "recurrent_param { num_output: 3 }", [(4, 2, 5), (4, 3)], 1, "is not 4x2"),
    ("LSTMUnit", "", [(1, 2, 3), (1, 2, 9), (1, 2)], 2, "is not 1x2x12"),
    ("RNN", "recurrent_param { num_output: 3 }", [(4, 2, 5), (4, 2), (3, 1)], 1, "2 streams"),
    (
        "RNN",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        [(4, 2, 5), (4, 2), (1, 2, 4)],
        2,
        "is not 1x2x3",
    ),
    (
        "LSTM",
        "recurrent_param { num_output: 3 expose_hidden: true }",
        [(4, 2, 5), (4, 2)],
        3,
        "takes 4 to 5 bottom",
    ),
    ("Filter", "", [X], 0, "the last bottom selects"),
    ("Filter", "", [X, (2, 2)], 1, "more than one value"),
    ("Filter", "", [X, (3,)], 1, "its 2 items do not go with the 3"),
    ("InfogainLoss", "", [(4, 3), (4,), (3, 2)], 1, "is not 3x3"),
    ("HDF5Output", "", [X, X], 1, "gives 0 top"),
    ("Axpy", "", [(2, 5), X, X], 1, "one factor for each channel"),
    ("Axpy", "", [(2, 6, 1, 1), X, (2, 6, 7, 8)], 1, "is not 2x6x7x9"),
    ("Permute", "permute_param { order: 4 }", [X], 1, "names axis 4"),
    ("Permute", "permute_param { order: 1 order: 1 }", [X], 1, "an axis twice"),
    ("ShuffleChannel", "shuffle_channel_param { group: 4 }", [X], 1, "does not divide 6"),
    ("Reorg", "", [X], 1, "does not go with"),
    ("Reorg", "reorg_param { stride: 0 }", [X], 1, "stride must be 1"),
    ("Interp", "", [X], 1, "it takes height and width"),
    ("Interp", "interp_param { pad_beg: 1 zoom_factor: 2 }", [X], 1, "must not be above 0"),
    ("Interp", "interp_param { pad_beg: -7 zoom_factor: 2 }", [X], 1, "leave nothing"),
    ("Interp", "interp_param { zoom_factor: -2 }", [X], 1, "zoom_factor must be 1"),
    ("Interp", "interp_param { height: 2147483647 width: 2147483647 }", [X], 1, "the limit is"),
    ("Upsample", "upsample_param { scale: 0 }", [X], 1, "scale must be 1"),
    ("Upsample", "", [X, (2, 6, 7, 8)], 1, "differs"),
    ("Upsample", "upsample_param { upsample_h: 0 }", [X, X], 1, "would have the shape"),
    ("ROIPooling", "roi_pooling_param { pooled_h: 2 }", [X, (3, 5)], 1, "pooled_w must be 1"),
    (
        "ROIPooling",
        "roi_pooling_param { pooled_h: 2 pooled_w: 2 }",
        [X, (3, 4)],
        1,
        "one row of 5",
    ),
    ("PriorBox", "", [X, X], 1, "min_size is needed"),
    ("PriorBox", "prior_box_param { min_size: 3 max_size: 2 }", [X, X], 1, "above its min_size"),
    (
        "PriorBox",
        "prior_box_param { min_size: 3 max_size: 4 max_size: 5 }",
        [X, X],
        1,
        "2 max_size",
    ),
    ("PriorBox", "prior_box_param { min_size: 3 aspect_ratio: 0 }", [X, X], 1, "above 0, not 0"),
    ("PriorBox", "prior_box_param { min_size: 3 variance: 1 variance: 2 }", [X, X], 1, "or four"),
    ("DetectionOutput", "", [(1, 8), (1, 6), (1, 2, 8)], 1, "num_classes must be 1"),
    (
        "DetectionOutput",
        "detection_output_param { num_classes: 3 }",
        [(1, 8), (1, 5), (1, 2, 8)],
        1,
        "is not 1x6, for 2 boxes and 3 classes",
    ),
    (
        "DetectionOutput",
        "detection_output_param { num_classes: 3 }",
        [(1, 8), (1, 6), (1, 1, 8)],
        1,
        "is not 1x2x(4 boxes)",
    ),
]


@pytest.mark.parametrize(("kind", "fields", "bottoms", "tops", "message"), BAD)
def test_misfit_is_named(kind, fields, bottoms, tops, message):
    with pytest.raises(NetError) as caught:
        infer_shapes(one_layer(kind, fields, bottoms, tops))
    assert message in str(caught.value)
    assert f"layer `l` ({kind})" in str(caught.value)


def test_in_place_keeps_one_blob():
    net = net_of(
        'input: "x" input_dim: 1 input_dim: 2 input_dim: 3 input_dim: 4 '
        'layer { name: "r" type: "ReLU" bottom: "x" top: "x" }'
    )
    assert infer_shapes(net).blobs == {"x": (1, 2, 3, 4)}


def test_given_shapes_replace_declared_ones():
    net = one_layer("Flatten", "", [X])
    assert infer_shapes(net, {"b0": (5, 2, 2)}).blobs["t0"] == (5, 4)
    with pytest.raises(NetError, match="no input blob `b1`"):
        infer_shapes(net, {"b1": (1,)})


def test_unknown_types_and_shapes_spread():
    net = net_of(
        'layer { name: "d" type: "Data" top: "x" top: "label" }'
        'layer { name: "c" type: "Convolution" bottom: "x" top: "c" '
        "convolution_param { num_output: 2 kernel_size: 1 } }"
        'layer { name: "mine" type: "Mine" bottom: "c" top: "m" }'
        'layer { name: "r" type: "ReLU" bottom: "m" top: "r" }'
    )
    shapes = infer_shapes(net)
    assert shapes.blobs == dict.fromkeys(("x", "label", "c", "m", "r"))
    assert shapes.parameters == {"d": [], "c": None, "mine": None, "r": None}
    shapes = infer_shapes(net, {"x": (1, 3, 2, 2)})
    assert shapes.blobs["c"] == (1, 2, 2, 2)
    assert shapes.blobs["m"] is None
    assert shapes.parameters["c"] == [(2, 3, 1, 1), (2,)]


def test_missing_bottom_suggests():
    net = net_of('input: "data" layer { name: "r" type: "ReLU" bottom: "dta" top: "r" }')
    with pytest.raises(NetError) as caught:
        infer_shapes(net)
    assert "blob `dta`" in str(caught.value)
    assert "did you mean `data`" in str(caught.value)


@pytest.mark.parametrize(
    "second",
    [
        'layer { name: "b" type: "ReLU" bottom: "x" top: "y" }',
        'layer { name: "b" type: "Split" bottom: "x" top: "z" top: "z" }',
        'layer { name: "b" type: "Input" top: "x" }',
    ],
)
def test_blob_made_twice(second):
    net = net_of('input: "x" layer { name: "a" type: "ReLU" bottom: "x" top: "y" }' + second)
    with pytest.raises(NetError, match="made by an earlier layer") as caught:
        infer_shapes(net)
    assert "layer `b`" in str(caught.value)


@pytest.mark.parametrize("dims", ["0", "-1", "65536 dim: 65536"])
def test_input_sizes_are_checked(dims):
    net = net_of(f'input: "x" input_shape {{ dim: {dims} }}')
    with pytest.raises(NetError, match="input `x`"):
        infer_shapes(net)


def test_registry_refuses_duplicates():
    table: Registry[int] = Registry("thing")
    table.add("a", 1)
    with pytest.raises(ValueError, match="thing `a` is registered twice"):
        table.add("a", 2)
    assert table.get("b") is None
    assert list(table) == ["a"]
    assert "ReLU" in RULES
