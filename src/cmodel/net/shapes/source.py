"""DummyData and Parameter: tops that come from the layer itself."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops, fail


def dummy_data(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Tops of the stated shapes; one shape serves all."""
    expect_bottoms(layer, bottoms, 0)
    param = layer.param.dummy_data_param
    tops = len(layer.tops)
    if param.shape:
        shapes = [tuple(shape.dim) for shape in param.shape]
    else:
        legacy = (param.num, param.channels, param.height, param.width)
        # A single entry serves all tops.
        rows = max((len(sizes) for sizes in legacy), default=0)
        if any(len(sizes) not in (1, rows) for sizes in legacy):
            raise fail(layer, "num, channels, height and width differ in number")
        shapes = [tuple(sizes[min(i, len(sizes) - 1)] for sizes in legacy) for i in range(rows)]
    if len(shapes) not in (1, tops):
        raise fail(layer, f"{len(shapes)} shapes for {tops} top blobs")
    return LayerShapes(shapes if len(shapes) == tops else shapes * tops)


def parameter(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top is the layer's only parameter."""
    expect_bottoms(layer, bottoms, 0)
    expect_tops(layer, 1)
    shape = tuple(layer.param.parameter_param.shape.dim)
    return LayerShapes([shape], [shape])
