"""The walk over the layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmodel.errors import NetError, did_you_mean
from cmodel.net.net import INPUT_TYPES, Layer, Net, Shape
from cmodel.net.shapes.registry import RULES
from cmodel.net.shapes.rule import check_shape, fail, place

# Layers whose tops have as many entries as the values of their bottoms say. Their rules give the
# shapes that Caffe itself sets up before it has seen any values.
DYNAMIC_TYPES = frozenset({"DetectionOutput", "Filter"})


@dataclass
class Shapes:
    """What shape inference found; None stands for a shape that cannot be known.

    blobs : by blob name, as they stand after the whole net.
    tops : by layer key, one entry per top.
    parameters : by layer key, one shape per parameter that the layer needs.
    """

    blobs: dict[str, Shape | None] = field(default_factory=dict)
    tops: dict[str, list[Shape | None]] = field(default_factory=dict)
    parameters: dict[str, list[Shape] | None] = field(default_factory=dict)


def infer_shapes(net: Net, input_shapes: Mapping[str, Shape | None] | None = None) -> Shapes:
    """Work out the shapes of all blobs and parameters.

    Parameters
    ----------
    net : only its layers and inputs are read, not its parameters.
    input_shapes : shapes of input blobs by name, instead of what the net declares; None makes one
        unknown.

    Raises
    ------
    NetError : where layers do not fit together; it names the layer and the blob.
    """
    given = dict(input_shapes or {})
    inputs = net.inputs
    for name in given:
        if name not in inputs:
            hint = did_you_mean(name, inputs) or f"the inputs are: {', '.join(inputs)}"
            raise NetError(f"the net has no input blob `{name}`", hint=hint)
    inputs.update(given)
    result = Shapes()
    for name in net.header.input:
        if name in result.blobs:
            raise NetError("the net declares an input twice", where=f"blob `{name}`")
        shape = inputs[name]
        if shape is not None:
            check_shape(f"input `{name}`", shape, "the blob")
        result.blobs[name] = shape
    for layer in net.layers:
        _infer_layer(layer, inputs, result)
    return result


def _infer_layer(layer: Layer, inputs: Mapping[str, Shape | None], result: Shapes) -> None:
    bottoms: list[Shape | None] = []
    for name in layer.bottoms:
        if name not in result.blobs:
            raise fail(
                layer,
                "the bottom blob is made by no earlier layer",
                blob=name,
                hint=did_you_mean(name, result.blobs),
            )
        bottoms.append(result.blobs[name])
    for i, name in enumerate(layer.tops):
        in_place = i < len(layer.bottoms) and layer.bottoms[i] == name
        if (name in result.blobs and not in_place) or name in layer.tops[:i]:
            raise fail(layer, "the top blob is made by an earlier layer already", blob=name)

    tops: list[Shape | None] = [None] * len(layer.tops)
    parameters: list[Shape] | None = None
    rule = RULES.get(layer.type)
    if layer.type in INPUT_TYPES:
        tops = [inputs[name] for name in layer.tops]
        parameters = []
    elif rule is not None:
        known = [shape for shape in bottoms if shape is not None]
        if len(known) == len(bottoms):
            found = rule(layer, known)
            tops, parameters = list(found.tops), list(found.parameters)
    for name, shape in zip(layer.tops, tops, strict=True):
        if shape is not None:
            check_shape(place(layer, name), shape, "the top")
        result.blobs[name] = shape
    for i, shape in enumerate(parameters or ()):
        check_shape(place(layer), shape, f"parameter {i}")
    result.tops[layer.key] = tops
    result.parameters[layer.key] = parameters
