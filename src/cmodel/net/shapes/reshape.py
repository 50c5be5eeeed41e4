"""Reshape."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_bottoms, expect_tops, fail, text


def reshape(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top of the stated sizes: 0 copies the bottom's, -1 is worked out."""
    expect_bottoms(layer, bottoms, 1)
    expect_tops(layer, 1)
    bottom, param = bottoms[0], layer.param.reshape_param
    rank = len(bottom)
    # A negative axis counts from the end plus one, so that -1 appends.
    start = param.axis if param.axis >= 0 else rank + param.axis + 1
    if not 0 <= start <= rank:
        raise fail(layer, f"axis {param.axis} lies outside a blob of {rank} axes")
    end = rank if param.num_axes == -1 else start + param.num_axes
    if param.num_axes < -1 or end > rank:
        raise fail(
            layer, f"num_axes {param.num_axes} from axis {start} does not fit {text(bottom)}"
        )
    sizes = []
    inferred = None
    for i, size in enumerate(param.shape.dim):
        if size == 0:
            if start + i >= rank:
                raise fail(
                    layer,
                    f"dim {i} copies axis {start + i} of a blob of {rank} axes",
                    blob=layer.bottoms[0],
                )
            sizes.append(bottom[start + i])
        elif size == -1:
            if inferred is not None:
                raise fail(layer, "more than one dim is -1")
            inferred = i
            sizes.append(1)
        elif size < 0:
            raise fail(layer, f"dim {i} is {size}")
        else:
            sizes.append(size)
    kept = prod(bottom[:start]) * prod(bottom[end:]) * prod(sizes)
    if inferred is not None and kept and prod(bottom) % kept == 0:
        sizes[inferred] = prod(bottom) // kept
    top = (*bottom[:start], *sizes, *bottom[end:])
    if prod(top) != prod(bottom):
        raise fail(
            layer,
            f"{prod(bottom):,} elements ({text(bottom)}) do not fill the stated shape "
            f"{text(tuple(param.shape.dim))}",
            blob=layer.bottoms[0],
        )
    return LayerShapes([top])
