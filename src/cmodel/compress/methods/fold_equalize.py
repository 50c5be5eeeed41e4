"""Cross-layer equalisation: channels get the same range in the layer before and the one after.

M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight
Equalization and Bias Correction", 2019, section 4.1: f(s x) = s f(x) for s > 0 and a piecewise
linear f, so that W1 / s, b1 / s and W2 s compute the same (equations 7 to 9); with the ranges r1
and r2 of a channel's weights in both layers, s = sqrt(r1 r2) / r2 gives it the same range in both
(equations 10 and 11). Repeated over all pairs until nothing changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.options import check_int
from cmodel.compress.registry import Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.surgery import channel_layers, form_of, positive_zeros, readers_of
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

Doubles = NDArray[np.float64]

_SETTLED = 1e-3


@dataclass(frozen=True)
class Options:
    """iterations : most rounds over all pairs of layers."""

    iterations: int = 20

    def __post_init__(self) -> None:
        check_int("iterations", self.iterations, 1, 10000)


@rewrite("fold.equalize", Options)
def fold_equalize(task: RewriteTask[Options]) -> Rewritten:
    """Equalise pairs of selected layers; those without a partner stay as they are."""
    net = task.net
    layers = channel_layers(net, task.targets)
    keys = {layer.key for layer in layers}
    pairs = []
    for layer in layers:
        partner = _partner(net, layer)
        if partner is not None and partner.key in keys:
            pairs.append((layer, partner))
    if not pairs:
        raise RecipeError(
            "`fold.equalize` finds no two selected layers with only ReLU and the like between them",
            hint="put `fold.batchnorm` before it, or leave the step out",
        )
    weights = {
        layer.key: unquantized(
            form_of(net, layer.parameters[0]), layer.parameters[0], "fold.equalize"
        ).astype(np.float64)
        for pair in pairs
        for layer in pair
    }
    factors = {first.key: np.ones(_outputs(first)) for first, _ in pairs}
    rounds = max(task.options[target.name].iterations for target in task.targets)
    for _ in range(rounds):
        largest = 0.0
        for first, second in pairs:
            one, two = _by_output(first, weights), _by_input(first, second, weights)
            r1, r2 = (np.abs(view).max(axis=1, initial=0.0) for view in (one, two))
            alive = (r1 > 0) & (r2 > 0)
            s = np.sqrt(np.divide(r1, r2, out=np.ones_like(r1), where=alive))
            one /= s[:, None]
            two *= s[:, None]
            _put_output(first, weights, one)
            _put_input(first, second, weights, two)
            factors[first.key] *= s
            largest = max(largest, float(np.abs(np.log(s)).max(initial=0.0)))
        if largest < _SETTLED:
            break
    facts: dict[str, Facts] = {}
    for first, second in pairs:
        s = factors[first.key]
        if len(first.parameters) > 1:
            name = first.parameters[1]
            bias = unquantized(form_of(net, name), name, "fold.equalize")
            net.parameters[name] = Dense(positive_zeros(bias / s.reshape(bias.shape)))
        facts[first.parameters[0]] = {"with": second.key, "largest": float(s.max(initial=1.0))}
    for layer in {layer.key: layer for pair in pairs for layer in pair}.values():
        net.parameters[layer.parameters[0]] = Dense(positive_zeros(weights[layer.key]))
    return Rewritten(net, facts)


def _partner(net: Net, layer: Layer) -> Layer | None:
    """Return the layer that alone reads what this one puts out, behind homogeneous ones."""
    place, blob = net.layers.index(layer), layer.tops[0]
    while True:
        readers = readers_of(net, place, blob)
        if len(readers) != 1 or readers[0].bottoms != (blob,) or len(readers[0].tops) != 1:
            return None
        reader = readers[0]
        if not _homogeneous(reader):
            break
        place, blob = net.layers.index(reader), reader.tops[0]
    if reader.type == "InnerProduct":
        width = reader.param.inner_product_param.axis == 1 and _width(net, reader)
        return reader if width and width % _outputs(layer) == 0 else None
    if reader.type not in ("Convolution", "DepthwiseConvolution", "ConvolutionDepthwise"):
        return None
    return reader if reader.param.convolution_param.axis == 1 else None


def _homogeneous(layer: Layer) -> bool:
    """Whether f(s x) = s f(x) for each channel and s > 0."""
    if layer.type == "Pooling":
        methods = (caffe_pb2.PoolingParameter.MAX, caffe_pb2.PoolingParameter.AVE)
        return layer.param.pooling_param.pool in methods
    return layer.type in ("Dropout", "Flatten", "PReLU", "ReLU")


def _width(net: Net, layer: Layer) -> int:
    shape = net.parameters.shape(layer.parameters[0]) if layer.parameters else (0, 0)
    return shape[0 if layer.param.inner_product_param.transpose else 1]


def _outputs(layer: Layer) -> int:
    if layer.type == "InnerProduct":
        return layer.param.inner_product_param.num_output
    return layer.param.convolution_param.num_output


def _transposed(layer: Layer) -> bool:
    return layer.type == "InnerProduct" and layer.param.inner_product_param.transpose


def _by_output(layer: Layer, weights: dict[str, Doubles]) -> Doubles:
    """Return the weights as rows of the layer's outputs, a copy."""
    values = weights[layer.key]
    matrix = values.T if _transposed(layer) else values.reshape(values.shape[0], -1)
    return matrix.copy()


def _put_output(layer: Layer, weights: dict[str, Doubles], rows: Doubles) -> None:
    shape = weights[layer.key].shape
    weights[layer.key] = rows.T.copy() if _transposed(layer) else rows.reshape(shape)


def _by_input(first: Layer, layer: Layer, weights: dict[str, Doubles]) -> Doubles:
    """Return the weights as rows of the layer's input channels, a copy."""
    values = weights[layer.key]
    if layer.type == "InnerProduct":
        matrix = values if _transposed(layer) else values.T
        return matrix.reshape(_outputs(first), -1).copy()
    groups = _outputs(first) // values.shape[1]
    split = values.reshape(groups, -1, *values.shape[1:3], int(np.prod(values.shape[3:])))
    return split.swapaxes(1, 2).reshape(_outputs(first), -1).copy()


def _put_input(first: Layer, layer: Layer, weights: dict[str, Doubles], rows: Doubles) -> None:
    shape = weights[layer.key].shape
    if layer.type == "InnerProduct":
        inputs = shape[0 if _transposed(layer) else 1]
        matrix = rows.reshape(inputs, -1)
        weights[layer.key] = matrix.copy() if _transposed(layer) else matrix.T.copy()
        return
    groups = _outputs(first) // shape[1]
    split = rows.reshape(groups, shape[1], shape[0] // groups, *shape[2:])
    weights[layer.key] = split.swapaxes(1, 2).reshape(shape).copy()
