"""Nodes that join, cut and rearrange blobs."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from cmodel.interchange.onnx.constants import BATCH
from cmodel.interchange.onnx.netbuilder import NodeView
from cmodel.net import Shape
from cmodel.net.shapes.registry import RULES


def same(node: NodeView) -> Sequence[str]:
    """The blob itself."""
    return [node.bottom()]


def cast(node: NodeView) -> Sequence[str]:
    """From one kind of floats to another: all are float32 here."""
    if node.attribute("to") not in (1, 10, 11, 16):
        raise node.unsupported("blobs hold float32, no whole numbers")
    return [node.bottom()]


def dropout(node: NodeView) -> Sequence[str]:
    """A Dropout, which is nothing at test time."""
    ratio = float(node.constant(1)) if node.has(1) else node.attribute("ratio", 0.5)
    fields = {"dropout_ratio": ratio} if ratio != 0.5 else {}
    return [node.add("Dropout", [node.bottom()], dropout_param=fields)]


def reshaped(node: NodeView, bottom: str, target: Shape) -> str:
    """Return the blob in another shape, whatever the batch."""
    shape = node.net.shapes[bottom]
    if shape == target:
        return bottom
    if target == (shape[0], prod(shape[1:])):
        return node.add("Flatten", [bottom])
    copied = bool(target) and target[0] == shape[0]
    sizes = [0 if copied else target[0], *target[1:]] if target else []
    if any(size % BATCH == 0 for size in sizes if size) and shape[0] % BATCH == 0:
        # Only the first axis may follow the batch, and only where it is worked out.
        if any(size % BATCH == 0 for size in target[1:]):
            raise node.unsupported(f"a reshape from {shape} to {target} depends on the batch")
        sizes[0] = -1
    return node.add("Reshape", [bottom], reshape_param={"shape": {"dim": sizes}})


def flatten(node: NodeView) -> Sequence[str]:
    """Two axes: those before `axis`, and those from there on."""
    shape = node.shape()
    axis = node.attribute("axis", 1)
    axis += len(shape) if axis < 0 else 0
    return [reshaped(node, node.bottom(), (prod(shape[:axis]), prod(shape[axis:])))]


def reshape(node: NodeView) -> Sequence[str]:
    """To a constant shape, or one that is worked out from the blob's."""
    name, shape = node.node.input[1], node.shape()
    if name not in node.net.constants:
        raise node.unsupported("the shape is not constant")
    sizes = [int(size) for size in node.net.constants.array(name).reshape(-1)]
    if not node.attribute("allowzero", 0):
        sizes = [shape[i] if size == 0 and i < len(shape) else size for i, size in enumerate(sizes)]
    if -1 in sizes:
        rest = -prod(sizes)
        sizes[sizes.index(-1)] = prod(shape) // rest if rest > 0 else 0
    if prod(sizes) != prod(shape) or min(sizes, default=1) < 1:
        raise node.unsupported(f"a reshape from {shape} to {sizes}")
    return [reshaped(node, node.bottom(), tuple(sizes))]


def squeeze(node: NodeView) -> Sequence[str]:
    """Without axes of size 1."""
    shape = node.shape()
    axes = node.integers("axes", 1)
    if axes is None:
        axes = [axis for axis, size in enumerate(shape) if size == 1]
    gone = {axis % len(shape) for axis in axes}
    kept = tuple(size for axis, size in enumerate(shape) if axis not in gone)
    if prod(kept) != prod(shape):
        raise node.unsupported(f"axes {axes} of {shape} are not all 1")
    return [reshaped(node, node.bottom(), kept)]


def unsqueeze(node: NodeView) -> Sequence[str]:
    """With more axes of size 1."""
    shape = list(node.shape())
    axes = node.integers("axes", 1) or []
    rank = len(shape) + len(axes)
    for axis in sorted(axis % rank for axis in axes):
        shape.insert(axis, 1)
    return [reshaped(node, node.bottom(), tuple(shape))]


def transpose(node: NodeView) -> Sequence[str]:
    """A Permute; a reshape where only axes of size 1 move."""
    shape = node.shape()
    order = list(node.attribute("perm", range(len(shape))[::-1]))
    target = tuple(shape[axis] for axis in order)
    moving = [axis for axis in order if shape[axis] != 1]
    if moving == sorted(moving):
        return [reshaped(node, node.bottom(), target)]
    if "Permute" not in RULES:
        raise node.unsupported(
            f"Caffe has no layer that reorders axes {order}",
            "export the model with channels first (NCHW)",
        )
    return [node.add("Permute", [node.bottom()], permute_param={"order": order})]


def concat(node: NodeView) -> Sequence[str]:
    """Along an axis."""
    bottoms = [node.bottom(i) for i in range(len(node.node.input))]
    axis = node.attribute("axis") % len(node.shape())
    return [node.add("Concat", bottoms, concat_param={"axis": axis})]


def split(node: NodeView) -> Sequence[str]:
    """Parts along an axis."""
    count = len(node.node.output)
    axis = node.attribute("axis", 0) % len(node.shape())
    size = node.shape()[axis]
    each = -(-size // count)
    sizes = node.integers("split", 1) or [each] * (count - 1) + [size - each * (count - 1)]
    points = [int(point) for point in np.cumsum(sizes)[:-1]]
    fields = {"axis": axis, "slice_point": points}
    return node.add_many("Slice", [node.bottom()], count, slice_param=fields)


def slice_(node: NodeView) -> Sequence[str]:
    """A part of a blob: Slice, and Silence for what is left over."""
    starts, ends = node.integers("starts", 1) or [], node.integers("ends", 2) or []
    axes = node.integers("axes", 3) or list(range(len(starts)))
    if any(step != 1 for step in node.integers("steps", 4) or []):
        raise node.unsupported("a slice with steps")
    x = node.bottom()
    for start, end, axis in zip(starts, ends, axes, strict=True):
        shape = node.net.shapes[x]
        start, end, _ = slice(start, end).indices(shape[axis])
        if (start, end) != (0, shape[axis]):
            x = part_of(node, x, axis % len(shape), start, end)
    return [x]


def part_of(node: NodeView, x: str, axis: int, start: int, end: int) -> str:
    """Return the entries from `start` to `end` of an axis; Silence takes the others."""
    size = node.net.shapes[x][axis]
    if axis == 0 and size % BATCH == 0:
        raise node.unsupported("a part of a batch whose size is open")
    points = [point for point in (start, end) if 0 < point < size]
    fields = {"axis": axis, "slice_point": points}
    parts = node.add_many("Slice", [x], len(points) + 1, slice_param=fields)
    wanted = parts[1 if start > 0 else 0]
    node.add_many("Silence", [part for part in parts if part != wanted], 0)
    return wanted


def pad(node: NodeView) -> Sequence[str]:
    """Remembered until a convolution or a pooling takes it over."""
    if node.attribute("mode", "constant") != "constant":
        raise node.unsupported(f"a padding of mode {node.attribute('mode')}")
    bottom, around, _ = node.padded()
    shape = node.net.shapes[bottom]
    amounts = node.integers("pads", 1) or []
    if node.has(3):
        axes = [axis % len(shape) for axis in node.integers("axes", 3) or []]
        full = [0] * 2 * len(shape)
        for i, axis in enumerate(axes):
            full[axis], full[axis + len(shape)] = amounts[i], amounts[i + len(axes)]
        amounts = full
    value = float(node.constant(2).reshape(())) if node.has(2) else node.attribute("value", 0.0)
    begin, end = amounts[: len(shape)], amounts[len(shape) :]
    if not any(amounts) and around is None:
        return [bottom]
    if around is not None or len(amounts) != 2 * len(shape) or min(amounts) < 0:
        raise node.unsupported(f"a padding of {amounts}")
    if any(begin[:2] + end[:2]):
        raise node.unsupported("Caffe pads only height and width")
    node.net.pads[node.node.output[0]] = (bottom, (tuple(begin[2:]), tuple(end[2:])), value)
    return [bottom]
