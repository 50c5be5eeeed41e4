"""Turns the nets of older Caffe versions into today's layout, as Caffe itself does.

V0 (one message for all layer types) becomes V1 (types as an enumeration), V1 becomes V2 (types as
strings, one ParamSpec for each parameter). Legacy input fields stay in the header, where
`Net.inputs` reads them. Learning rates and decays are never changed: they play no part here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from cmodel.errors import NetError, UnsupportedError, did_you_mean
from cmodel.net import UnknownField
from cmodel.proto import caffe_pb2

V0 = caffe_pb2.V0LayerParameter
V1 = caffe_pb2.V1LayerParameter
V2 = caffe_pb2.LayerParameter

M = TypeVar("M", bound=Message)

_V1_OF_V0 = {
    "accuracy": V1.ACCURACY,
    "bnll": V1.BNLL,
    "concat": V1.CONCAT,
    "conv": V1.CONVOLUTION,
    "data": V1.DATA,
    "dropout": V1.DROPOUT,
    "euclidean_loss": V1.EUCLIDEAN_LOSS,
    "flatten": V1.FLATTEN,
    "hdf5_data": V1.HDF5_DATA,
    "hdf5_output": V1.HDF5_OUTPUT,
    "im2col": V1.IM2COL,
    "images": V1.IMAGE_DATA,
    "infogain_loss": V1.INFOGAIN_LOSS,
    "innerproduct": V1.INNER_PRODUCT,
    "lrn": V1.LRN,
    "multinomial_logistic_loss": V1.MULTINOMIAL_LOGISTIC_LOSS,
    "pool": V1.POOLING,
    "relu": V1.RELU,
    "sigmoid": V1.SIGMOID,
    "softmax": V1.SOFTMAX,
    "softmax_loss": V1.SOFTMAX_LOSS,
    "split": V1.SPLIT,
    "tanh": V1.TANH,
    "window_data": V1.WINDOW_DATA,
}

# The message of a V1 layer that a V0 type's own fields go to.
_PARAM_OF_V0 = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}

# V0 field -> (V0 types that have it, name in their message).
_FIELDS_OF_V0 = {
    "num_output": (("conv", "innerproduct"), "num_output"),
    "biasterm": (("conv", "innerproduct"), "bias_term"),
    "weight_filler": (("conv", "innerproduct"), "weight_filler"),
    "bias_filler": (("conv", "innerproduct"), "bias_filler"),
    "pad": (("conv", "pool"), "pad"),
    "kernelsize": (("conv", "pool"), "kernel_size"),
    "group": (("conv",), "group"),
    "stride": (("conv", "pool"), "stride"),
    "pool": (("pool",), "pool"),
    "dropout_ratio": (("dropout",), "dropout_ratio"),
    "local_size": (("lrn",), "local_size"),
    "alpha": (("lrn",), "alpha"),
    "beta": (("lrn",), "beta"),
    "k": (("lrn",), "k"),
    "source": (("data", "hdf5_data", "images", "window_data", "infogain_loss"), "source"),
    "batchsize": (("data", "hdf5_data", "images", "window_data"), "batch_size"),
    "rand_skip": (("data", "images"), "rand_skip"),
    "shuffle_images": (("images",), "shuffle"),
    "new_height": (("images",), "new_height"),
    "new_width": (("images",), "new_width"),
    "concat_dim": (("concat",), "concat_dim"),
    "det_fg_threshold": (("window_data",), "fg_threshold"),
    "det_bg_threshold": (("window_data",), "bg_threshold"),
    "det_fg_fraction": (("window_data",), "fg_fraction"),
    "det_context_pad": (("window_data",), "context_pad"),
    "det_crop_mode": (("window_data",), "crop_mode"),
}
# V0 field -> field of transform_param, whatever the type.
_TRANSFORM_OF_V0 = {
    "scale": "scale",
    "meanfile": "mean_file",
    "cropsize": "crop_size",
    "mirror": "mirror",
}

_V2_OF_V1 = {
    V1.NONE: "",
    V1.ABSVAL: "AbsVal",
    V1.ACCURACY: "Accuracy",
    V1.ARGMAX: "ArgMax",
    V1.BNLL: "BNLL",
    V1.CONCAT: "Concat",
    V1.CONTRASTIVE_LOSS: "ContrastiveLoss",
    V1.CONVOLUTION: "Convolution",
    V1.DATA: "Data",
    V1.DECONVOLUTION: "Deconvolution",
    V1.DROPOUT: "Dropout",
    V1.DUMMY_DATA: "DummyData",
    V1.ELTWISE: "Eltwise",
    V1.EUCLIDEAN_LOSS: "EuclideanLoss",
    V1.EXP: "Exp",
    V1.FLATTEN: "Flatten",
    V1.HDF5_DATA: "HDF5Data",
    V1.HDF5_OUTPUT: "HDF5Output",
    V1.HINGE_LOSS: "HingeLoss",
    V1.IM2COL: "Im2col",
    V1.IMAGE_DATA: "ImageData",
    V1.INFOGAIN_LOSS: "InfogainLoss",
    V1.INNER_PRODUCT: "InnerProduct",
    V1.LRN: "LRN",
    V1.MEMORY_DATA: "MemoryData",
    V1.MULTINOMIAL_LOGISTIC_LOSS: "MultinomialLogisticLoss",
    V1.MVN: "MVN",
    V1.POOLING: "Pooling",
    V1.POWER: "Power",
    V1.RELU: "ReLU",
    V1.SIGMOID: "Sigmoid",
    V1.SIGMOID_CROSS_ENTROPY_LOSS: "SigmoidCrossEntropyLoss",
    V1.SILENCE: "Silence",
    V1.SLICE: "Slice",
    V1.SOFTMAX: "Softmax",
    V1.SOFTMAX_LOSS: "SoftmaxWithLoss",
    V1.SPLIT: "Split",
    V1.TANH: "TanH",
    V1.THRESHOLD: "Threshold",
    V1.WINDOW_DATA: "WindowData",
}

# Their transformation fields moved to transform_param.
_DATA_PARAM_OF_V1 = {
    V1.DATA: "data_param",
    V1.IMAGE_DATA: "image_data_param",
    V1.WINDOW_DATA: "window_data_param",
}


@dataclass
class UpgradedLayer:
    """A V2 layer and the unknown fields of the layer that it was made of."""

    param: caffe_pb2.LayerParameter
    unknown: tuple[UnknownField, ...] = ()


Ignored = Callable[[str], None]


def upgrade_layers(
    net: caffe_pb2.NetParameter,
    layers_unknown: dict[int, list[UnknownField]] | None = None,
    layer_unknown: dict[int, list[UnknownField]] | None = None,
    *,
    on_warning: Ignored = lambda text: None,
) -> list[UpgradedLayer]:
    """Return the layers of a net, V0 and V1 (`layers`) or V2 (`layer`), as V2 layers.

    net : is not changed; of a prototxt or of `Caffemodel.net`. Where it has both lists, as files
        put together from several have them, the old layers come first.
    layers_unknown, layer_unknown : unknown fields of the two lists by index, carried over.
    on_warning : told of fields of V0 layers that have no meaning there.

    Raises
    ------
    NetError
        A V0 padding layer stands before what cannot pad.
    UnsupportedError
        A layer type that the old formats do not have.
    """
    old = [(_copy(V1(), layer), i) for i, layer in enumerate(net.layers)]
    if any(layer.HasField("layer") for layer, _ in old):
        old = _fold_padding(old)
        old = [(_v1_of_v0(layer, on_warning), i) for layer, i in old]
    result = [
        UpgradedLayer(_v2_of_v1(layer), _moved((layers_unknown or {}).get(i, ())))
        for layer, i in old
    ]
    result += [
        UpgradedLayer(_copy(V2(), layer), tuple((layer_unknown or {}).get(i, ())))
        for i, layer in enumerate(net.layer)
    ]
    return result


def _copy(target: M, source: M) -> M:
    target.CopyFrom(source)
    return target


def _moved(unknown: list[UnknownField] | tuple[UnknownField, ...]) -> tuple[UnknownField, ...]:
    """Unknown fields of a V0 or V1 layer at their places in the V2 layer."""
    result = []
    for entry in unknown:
        # A V0 layer's message is dissolved into its layer.
        path = "" if entry.path == "layer" or entry.path.startswith("layer.") else entry.path
        result.append(replace(entry, path=path))
    return tuple(result)


def _fold_padding(layers: list[tuple[V1, int]]) -> list[tuple[V1, int]]:
    """Drop V0 padding layers; the convolution or pooling after them takes the padding over."""
    source_of: dict[str, V1] = {}
    kept = []
    for layer, index in layers:
        if layer.layer.type == "padding":
            if len(layer.bottom) != 1 or len(layer.top) != 1:
                raise NetError(
                    f"the padding layer `{layer.layer.name}` needs one bottom and one top"
                )
        else:
            kept.append((layer, index))
            for i, bottom in enumerate(layer.bottom):
                source = source_of.get(bottom)
                if source is None or source.layer.type != "padding":
                    continue
                if layer.layer.type not in ("conv", "pool") or len(layer.bottom) != 1:
                    raise NetError(
                        f"the padding layer `{source.layer.name}` stands before "
                        f"`{layer.layer.name}` ({layer.layer.type}); only a conv or pool layer "
                        "with one bottom can take its padding"
                    )
                layer.layer.pad = source.layer.pad
                layer.bottom[i] = source.bottom[0]
        source_of.update(dict.fromkeys(layer.top, layer))
    return kept


def _v1_of_v0(layer: V1, on_warning: Ignored) -> V1:
    if not layer.HasField("layer"):
        return layer
    old = layer.layer
    result = V1(bottom=layer.bottom, top=layer.top, name=old.name or layer.name)
    if old.HasField("type"):
        if old.type not in _V1_OF_V0:
            raise UnsupportedError(
                f"there is no V0 layer type `{old.type}`",
                where=f"layer `{old.name}`",
                hint=did_you_mean(old.type, _V1_OF_V0),
            )
        result.type = _V1_OF_V0[old.type]
    result.blobs.extend([*layer.blobs, *old.blobs])
    result.blobs_lr.extend(old.blobs_lr)
    result.weight_decay.extend(old.weight_decay)
    for found, value in old.ListFields():
        if found.name in _TRANSFORM_OF_V0:
            setattr(result.transform_param, _TRANSFORM_OF_V0[found.name], value)
        elif found.name == "hdf5_output_param" and old.type == "hdf5_output":
            result.hdf5_output_param.CopyFrom(value)
        elif found.name not in ("name", "type", "blobs", "blobs_lr", "weight_decay"):
            types, name = _FIELDS_OF_V0.get(found.name, ((), ""))
            if old.type not in types:
                on_warning(
                    f"layer `{old.name}`: `{found.name}` has no meaning for the V0 type "
                    f"`{old.type}` and is ignored"
                )
                continue
            _set(getattr(result, _PARAM_OF_V0[old.type]), name, found, value)
    return result


def _set(target: Message, name: str, found: FieldDescriptor, value: object) -> None:
    """Set a field of whatever kind; a repeated one gets its one value."""
    if found.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
        getattr(target, name).CopyFrom(value)
    elif target.DESCRIPTOR.fields_by_name[name].is_repeated:
        getattr(target, name).append(value)
    else:
        setattr(target, name, value)


def _v2_of_v1(layer: V1) -> V2:
    if layer.type not in _V2_OF_V1:
        raise UnsupportedError(
            f"there is no V1 layer type {layer.type}", where=f"layer `{layer.name}`"
        )
    _move_transformation(layer)
    result = V2(bottom=layer.bottom, top=layer.top, blobs=layer.blobs)
    if layer.HasField("name"):
        result.name = layer.name
    if layer.HasField("type"):
        result.type = _V2_OF_V1[layer.type]
    for i, name in enumerate(layer.param):
        _spec(result, i).name = name
    for i, mode in enumerate(layer.blob_share_mode):
        # The same numbers in both enumerations.
        _spec(result, i).share_mode = cast("caffe_pb2.ParamSpec.DimCheckMode", mode)
    for i, rate in enumerate(layer.blobs_lr):
        _spec(result, i).lr_mult = rate
    for i, decay in enumerate(layer.weight_decay):
        _spec(result, i).decay_mult = decay
    for found, value in layer.ListFields():
        if found.name in ("include", "exclude", "loss_weight"):
            getattr(result, found.name).extend(value)
        elif found.name.endswith("_param"):
            getattr(result, found.name).CopyFrom(value)
    return result


def _spec(layer: V2, index: int) -> caffe_pb2.ParamSpec:
    while len(layer.param) <= index:
        layer.param.add()
    return layer.param[index]


def _move_transformation(layer: V1) -> None:
    name = _DATA_PARAM_OF_V1.get(layer.type)
    if name is None or not layer.HasField(name):
        return
    param = getattr(layer, name)
    for field in ("scale", "mean_file", "crop_size", "mirror"):
        if param.HasField(field):
            setattr(layer.transform_param, field, getattr(param, field))
            param.ClearField(field)
