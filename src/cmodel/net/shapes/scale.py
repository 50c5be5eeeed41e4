"""Scale and Bias: a factor, an offset, from parameters or from a second bottom."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    canonical_axis,
    expect_bottoms,
    expect_tops,
    fail,
    text,
)
from cmodel.proto import caffe_pb2


def operand(
    layer: Layer,
    param: caffe_pb2.ScaleParameter | caffe_pb2.BiasParameter,
    bottoms: Sequence[Shape],
) -> tuple[int, Shape]:
    """Return the first axis that the operand covers, and its shape."""
    expect_bottoms(layer, bottoms, 1, 2)
    expect_tops(layer, 1)
    bottom = bottoms[0]
    if len(bottoms) == 2:
        shape = bottoms[1]
        # A scalar has no axis to align.
        axis = canonical_axis(layer, param.axis, len(bottom)) if shape else 0
        if bottom[axis : axis + len(shape)] != shape:
            raise fail(
                layer,
                f"its shape {text(shape)} does not match {text(bottom)} from axis {axis}",
                blob=layer.bottoms[1],
            )
        return axis, shape
    count = param.num_axes
    if count == 0:
        return 0, ()
    axis = canonical_axis(layer, param.axis, len(bottom))
    if count < -1 or axis + count > len(bottom):
        raise fail(
            layer,
            f"num_axes {count} from axis {axis} does not fit the shape {text(bottom)}",
            blob=layer.bottoms[0],
        )
    return axis, bottom[axis:] if count == -1 else bottom[axis : axis + count]


def scale(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the first bottom; the factor where there is no second, then the bias if any."""
    param = layer.param.scale_param
    _, shape = operand(layer, param, bottoms)
    factor = [shape] if len(bottoms) == 1 else []
    bias = [shape] if param.bias_term else []
    return LayerShapes([bottoms[0]], [*factor, *bias])


def bias(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top as the first bottom; the offset is a parameter where there is no second."""
    _, shape = operand(layer, layer.param.bias_param, bottoms)
    return LayerShapes([bottoms[0]], [shape] if len(bottoms) == 1 else [])
