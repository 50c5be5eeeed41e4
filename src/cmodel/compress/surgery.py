"""Layers replaced by others: what rewrites of the net share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.selectors import Target
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net, parameter_name
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense, FloatArray, Form, Shape


@dataclass(frozen=True, eq=False)
class NewLayer:
    """A layer to put in: its parameter message (name, bottom and top are set later) and forms.

    suffix : what its name adds to the old layer's.
    """

    param: caffe_pb2.LayerParameter
    forms: Sequence[Form]
    suffix: str


def plain_weights(net: Net, target: Target, method: str) -> tuple[FloatArray, Form | None]:
    """Return weights and bias of a layer that may be rewritten.

    Raises
    ------
    RecipeError : it is no Convolution or InnerProduct, has several bottoms, shares parameters, or
        is quantized.
    """
    layer = target.layer
    if layer.type not in ("Convolution", "InnerProduct") or target.blob != 0:
        raise RecipeError(
            f"`{method}` works on the weights of Convolution and InnerProduct layers; "
            f"`{target.name}` belongs to a {layer.type}",
        )
    if len(layer.bottoms) != 1:
        raise RecipeError(f"`{method}`: `{layer.key}` serves {len(layer.bottoms)} bottoms at once")
    for other in net.layers:
        if other.key != layer.key and set(other.parameters) & set(layer.parameters):
            raise RecipeError(
                f"`{method}`: `{layer.key}` shares parameters with `{other.key}`",
                hint=f'select.exclude = "{layer.key}"',
            )
    weights = unquantized(form_of(net, target.name), target.name, method)
    return weights, form_of(net, layer.parameters[1]) if len(layer.parameters) > 1 else None


def form_of(net: Net, name: str) -> Form:
    """Return a parameter's form."""
    form: Form = net.parameters[name]  # type: ignore[assignment]
    return form


def unique_name(net: Net, wanted: str) -> str:
    """Return a name that no layer and no blob has: `wanted`, or with a number after it."""
    taken = {layer.key for layer in net.layers} | {layer.name for layer in net.layers}
    taken.update(net.inputs, *(layer.tops for layer in net.layers))
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    return name


def replace_layer(net: Net, key: str, new: Sequence[NewLayer]) -> list[str]:
    """Put a chain of layers in the place of one; return their keys.

    The first reads the old layer's bottom, the last writes its top; blobs between have the names
    of their layers. The old layer's parameters are removed.
    """
    place = next(i for i, layer in enumerate(net.layers) if layer.key == key)
    old = net.layers[place]
    for name in old.parameters:
        del net.parameters[name]
    blob, keys = old.bottoms[0], []
    for i, item in enumerate(new):
        name = unique_name(net, f"{old.name}{item.suffix}")
        last = i == len(new) - 1
        param = caffe_pb2.LayerParameter()
        param.CopyFrom(item.param)
        param.name = name
        param.bottom[:] = [blob]
        param.top[:] = [old.tops[0] if last else name]
        del param.param[len(item.forms) :]
        blob = param.top[0]
        names = [parameter_name(name, j) for j in range(len(item.forms))]
        layer = Layer(param, name, names, old.unknown if last else ())
        if i == 0:
            net.layers[place] = layer
        else:
            net.layers.insert(place + i, layer)
        for parameter, form in zip(names, item.forms, strict=True):
            net.parameters[parameter] = form
        keys.append(name)
    return keys


def two_layers(
    layer: Layer, shape: Shape, first: FloatArray, last: FloatArray, bias: Form | None
) -> list[NewLayer]:
    """Return the layers that compute ``last @ (first @ patch) + bias`` for each group.

    shape : of the old layer's weights.
    first : (groups, rank, columns): takes over kernel, stride and padding.
    last : (groups, rows, rank): a 1x1 convolution, or an inner product.
    """
    groups, rank, columns = first.shape
    rows = last.shape[1]
    head, tail = copied(layer.param), copied(layer.param)
    if layer.type == "InnerProduct":
        for param, outputs in ((head, rank), (tail, rows)):
            param.inner_product_param.num_output = outputs
            param.inner_product_param.transpose = False
        head.inner_product_param.bias_term = False
        shapes: tuple[Shape, Shape] = ((rank, columns), (rows, rank))
    else:
        head.convolution_param.num_output = groups * rank
        head.convolution_param.bias_term = False
        set_window(tail.convolution_param)
        shapes = (
            (groups * rank, *shape[1:]),
            (groups * rows, rank, *(1 for _ in shape[2:])),
        )
    return [
        NewLayer(head, [Dense(positive_zeros(first.reshape(shapes[0])))], "_v"),
        NewLayer(tail, [Dense(positive_zeros(last.reshape(shapes[1]))), *with_bias(bias)], "_u"),
    ]


def copied(param: caffe_pb2.LayerParameter) -> caffe_pb2.LayerParameter:
    """Return a copy of a layer's message."""
    copy = caffe_pb2.LayerParameter()
    copy.CopyFrom(param)
    return copy


def with_bias(bias: Form | None) -> list[Form]:
    """Return the bias as the list of forms that follow the weights."""
    return [] if bias is None else [bias]


def positive_zeros(values: NDArray[np.floating]) -> FloatArray:
    """Return the values as float32 in C order, -0 turned into +0."""
    result: FloatArray = np.ascontiguousarray(values, np.float32)
    return result + np.float32(0)


def set_window(
    param: caffe_pb2.ConvolutionParameter,
    kernel: Sequence[int] = (1,),
    stride: Sequence[int] = (),
    pad: Sequence[int] = (),
    dilation: Sequence[int] = (),
) -> None:
    """State a convolution's window anew, one number for each axis or one for all; 1x1 as it is."""
    for name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_h", "pad_w"):
        param.ClearField(name)
    param.kernel_size[:] = kernel
    param.stride[:] = stride
    param.pad[:] = pad
    param.dilation[:] = dilation


def readers_of(net: Net, place: int, blob: str) -> list[Layer]:
    """Return the layers after `place` that read the blob before it is written again."""
    readers = []
    for other in net.layers[place + 1 :]:
        if blob in other.bottoms:
            readers.append(other)
        if blob in other.tops:
            break
    return readers


def channel_layers(net: Net, targets: Sequence[Target]) -> list[Layer]:
    """Return the layers of selected weights whose outputs are channels of axis 1.

    They have one bottom and one top, and share no parameters.
    """
    uses: dict[str, int] = {}
    for layer in net.layers:
        for name in layer.parameters:
            uses[name] = uses.get(name, 0) + 1
    found = []
    for target in targets:
        layer = net.layer(target.layer.key)
        if layer.type == "InnerProduct":
            axis = layer.param.inner_product_param.axis
        elif layer.type in (
            "Convolution",
            "ConvolutionDepthwise",
            "Deconvolution",
            "DepthwiseConvolution",
        ):
            axis = layer.param.convolution_param.axis
        else:
            continue
        plain = len(layer.bottoms) == len(layer.tops) == 1
        if target.blob == 0 and axis == 1 and plain and all(uses[n] == 1 for n in layer.parameters):
            found.append(layer)
    return found


def plain_bias(net: Net, layer: Layer, method: str) -> NDArray[np.float64]:
    """Return the bias of a layer, float64 (channels,).

    Raises
    ------
    RecipeError : it is quantized.
    """
    name = layer.parameters[1]
    form = form_of(net, name)
    if not isinstance(form, Dense):
        raise RecipeError(
            f"`{method}` changes biases: `{name}` is quantized already",
            hint="put the step before those that quantize biases",
        )
    return form.to_dense().reshape(-1).astype(np.float64)


def set_bias(net: Net, layer: Layer, values: NDArray[np.float64]) -> None:
    """Give a layer's bias new values (channels,)."""
    name = layer.parameters[1]
    net.parameters[name] = Dense(positive_zeros(values.reshape(net.parameters.shape(name))))
