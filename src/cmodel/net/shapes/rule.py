"""What a shape rule is given and gives back, and the checks that rules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

from cmodel.errors import NetError
from cmodel.net.net import Layer, Shape

MAX_AXES = 32
# Caffe counts the elements of a blob in an int.
MAX_ELEMENTS = 2**31 - 1


@dataclass(frozen=True)
class LayerShapes:
    """Shapes of a layer's tops and of its parameters."""

    tops: Sequence[Shape]
    parameters: Sequence[Shape] = field(default=())


Rule = Callable[[Layer, Sequence[Shape]], LayerShapes]


def fail(
    layer: Layer, message: str, *, blob: str | None = None, hint: str | None = None
) -> NetError:
    """Return the error about a layer, and about one of its blobs."""
    return NetError(message, where=place(layer, blob), hint=hint)


def place(layer: Layer, blob: str | None = None) -> str:
    """Name a layer, and one of its blobs, for the `where` of an error."""
    where = f"layer `{layer.key}` ({layer.type})"
    return where if blob is None else f"{where}, blob `{blob}`"


def expect_bottoms(
    layer: Layer, bottoms: Sequence[Shape], least: int, most: int | None = None
) -> None:
    """Check the number of bottoms: `least`, or `least` to `most`."""
    most = least if most is None else most
    if not least <= len(bottoms) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise fail(layer, f"the layer takes {wanted} bottom blobs, not {len(bottoms)}")


def expect_tops(layer: Layer, least: int, most: int | None = None) -> None:
    """Check the number of tops: `least`, or `least` to `most`."""
    most = least if most is None else most
    if not least <= len(layer.tops) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise fail(layer, f"the layer gives {wanted} top blobs, not {len(layer.tops)}")


def expect_rank(
    layer: Layer, bottoms: Sequence[Shape], index: int, least: int, most: int | None = None
) -> None:
    """Check the number of axes of a bottom: at least `least`, at most `most`."""
    rank = len(bottoms[index])
    if rank < least or (most is not None and rank > most):
        wanted = f"{least}" if most == least else f"{least} or more"
        if most is not None and most != least:
            wanted = f"{least} to {most}"
        raise fail(
            layer,
            f"the bottom needs {wanted} axes, its shape is {text(bottoms[index])}",
            blob=layer.bottoms[index],
        )


def canonical_axis(layer: Layer, axis: int, rank: int, name: str = "axis") -> int:
    """Return `axis` counted from the front; negative ones count from the end."""
    if not -rank <= axis < rank:
        raise fail(layer, f"{name} {axis} lies outside a blob of {rank} axes")
    return axis + rank if axis < 0 else axis


def expect_same(layer: Layer, bottoms: Sequence[Shape]) -> None:
    """Check that all bottoms have one shape."""
    for name, shape in zip(layer.bottoms, bottoms, strict=True):
        if shape != bottoms[0]:
            raise fail(
                layer,
                f"its shape {text(shape)} differs from that of `{layer.bottoms[0]}`, "
                f"{text(bottoms[0])}",
                blob=name,
            )


def positive(layer: Layer, value: int, name: str) -> int:
    """Return `value`, which has to be 1 or more."""
    if value < 1:
        raise fail(layer, f"{name} must be 1 or more, not {value}")
    return value


def check_shape(where: str, shape: Shape, what: str) -> None:
    """Check that each size is positive and that the blob is not too large for Caffe."""
    if any(size < 1 for size in shape):
        raise NetError(f"{what} would have the shape {text(shape)}", where=where)
    if len(shape) > MAX_AXES:
        raise NetError(f"{what} would have {len(shape)} axes, Caffe allows {MAX_AXES}", where=where)
    if prod(shape) > MAX_ELEMENTS:
        raise NetError(
            f"{what} of shape {text(shape)} would have {prod(shape):,} elements; "
            f"the limit is {MAX_ELEMENTS:,}",
            where=where,
        )


def text(shape: Shape) -> str:
    """Return a shape for messages, such as "1x3x227x227"."""
    return "x".join(map(str, shape)) if shape else "scalar"
