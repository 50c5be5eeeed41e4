"""Filter."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import LayerShapes, expect_rank, fail, text


def filter_(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Tops as the bottoms but the last, the selector (N,), as if it let everything through."""
    if len(bottoms) < 2 or len(layer.tops) != len(bottoms) - 1:
        raise fail(
            layer,
            f"{len(bottoms)} bottom blobs and {len(layer.tops)} tops: the last bottom selects, "
            "each other one has a top",
        )
    selector = bottoms[-1]
    if prod(selector[1:]) != 1:
        raise fail(
            layer,
            f"the selector {text(selector)} has more than one value for an item",
            blob=layer.bottoms[-1],
        )
    for i, (name, bottom) in enumerate(zip(layer.bottoms, bottoms, strict=True)):
        expect_rank(layer, bottoms, i, 1)
        if bottom[0] != selector[0]:
            raise fail(
                layer,
                f"its {bottom[0]} items do not go with the {selector[0]} of the selector",
                blob=name,
            )
    return LayerShapes(list(bottoms[:-1]))
