"""A Net becomes a graph of ONNX nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from onnx import NodeProto, helper

from cmodel.errors import NetError, UnsupportedError, WeightsError, did_you_mean
from cmodel.interchange.onnx.emit.registry import EMITTERS
from cmodel.interchange.onnx.graph import GraphBuilder, LayerGraph
from cmodel.net import INPUT_TYPES, Layer, Net, Shape, Shapes, infer_shapes

BATCH = "N"
# A size of an input or output: a number, the batch, or None where it follows from the batch.
Size = int | str | None


@dataclass
class Graph:
    """A built graph.

    inputs, outputs : sizes by value name.
    batched : whether the batch is left open.
    """

    builder: GraphBuilder
    inputs: dict[str, tuple[Size, ...]]
    outputs: dict[str, tuple[Size, ...]]
    batched: bool


def build(net: Net) -> Graph:
    """Build the graph of a net for its declared shapes, of any batch size where that can be.

    The graph is built for two batch sizes; where both are the same, it serves all.

    Raises
    ------
    UnsupportedError : ONNX lacks layers; all of them are named.
    NetError : an input has no shape, or shapes do not fit.
    WeightsError : parameters are missing.
    """
    inputs = _input_shapes(net)
    first = _build(net, inputs)
    batches = {shape[0] for shape in inputs.values() if shape}
    other = None
    if len(batches) == 1 and all(inputs.values()):
        other = _other_batch(net, inputs, first)
    larger = other or first
    return Graph(
        first.builder,
        {name: _sizes(shape, larger.inputs[name]) for name, shape in inputs.items()},
        {name: _sizes(shape, larger.outputs[name]) for name, shape in first.outputs.items()},
        other is not None,
    )


@dataclass
class _Built:
    builder: GraphBuilder
    inputs: Mapping[str, Shape]
    outputs: dict[str, Shape]


def _input_shapes(net: Net) -> dict[str, Shape]:
    shapes = {}
    for name, shape in net.inputs.items():
        if shape is None:
            raise NetError(
                f"the input `{name}` has no declared shape",
                hint="give a deploy prototxt, whose Input layer states it",
            )
        shapes[name] = shape
    return shapes


def _other_batch(net: Net, inputs: Mapping[str, Shape], first: _Built) -> _Built | None:
    """Return the graph for a batch of one more, or None where it is not the same graph."""
    larger = {name: (shape[0] + 1, *shape[1:]) for name, shape in inputs.items()}
    try:
        other = _build(net, larger)
    except NetError:
        return None
    same = (
        first.builder.nodes == other.builder.nodes
        and first.builder.parameters == other.builder.parameters
        and first.outputs.keys() == other.outputs.keys()
        and _bits(first.builder) == _bits(other.builder)
    )
    return other if same else None


def _bits(builder: GraphBuilder) -> dict[str, tuple[str, Shape, bytes]]:
    return {
        name: (str(array.dtype), array.shape, array.tobytes())
        for name, array in builder.constants.items()
    }


def _sizes(shape: Shape, other: Shape) -> tuple[Size, ...]:
    """Return the sizes for any batch, from those for one batch and for one of one more."""
    return tuple(
        size if size == larger else BATCH if i == 0 and larger == size + 1 else None
        for i, (size, larger) in enumerate(zip(shape, other, strict=True))
    )


def _build(net: Net, inputs: Mapping[str, Shape]) -> _Built:
    layers = [layer for layer in net.layers if layer.type not in INPUT_TYPES]
    _check_types(layers)
    shapes = infer_shapes(net, inputs)
    builder = GraphBuilder([*inputs, *(top for layer in layers for top in layer.tops)])
    writes = Counter(top for layer in layers for top in layer.tops)
    # By blob: the value that holds it, and its shape, as the walk goes on.
    values = {name: name for name in inputs}
    sizes: dict[str, Shape] = dict(inputs)
    refused: list[UnsupportedError] = []
    for layer in layers:
        _check_parameters(net, layer, shapes)
        view = LayerGraph(builder, net, layer, [values[name] for name in layer.bottoms], shapes)
        view.bottoms = [sizes[name] for name in layer.bottoms]
        start = len(builder.nodes)
        emitter = EMITTERS.get(layer.type)
        assert emitter is not None
        try:
            found = list(emitter(view))
        except UnsupportedError as error:
            refused.append(error)
            found = [builder.unique("refused") for _ in layer.tops]
        for top, value, shape in zip(layer.tops, found, view.tops, strict=True):
            writes[top] -= 1
            # The last value of a blob has its name, unless an input has it.
            last = not writes[top] and top not in inputs
            name = top if last else builder.unique(f"{top}#before" if top not in inputs else top)
            _name(builder, view, start, value, name)
            values[top], sizes[top] = name, shape
    _raise(refused)
    outputs = [name for name in net.outputs if name not in inputs or values[name] != name]
    return _Built(builder, inputs, {values[name]: sizes[name] for name in outputs})


def _name(builder: GraphBuilder, view: LayerGraph, start: int, value: str, name: str) -> None:
    """Give a value of the nodes from `start` on another name."""
    own = builder.nodes[start:]
    if not any(value in node.output for node in own):
        builder.nodes.append(helper.make_node("Identity", [value], [name], f"{name}:Identity"))
        return
    for node in own:
        _rename(node, value, name)


def _rename(node: NodeProto, value: str, name: str) -> None:
    for names in (node.input, node.output):
        for i, old in enumerate(names):
            if old == value:
                names[i] = name


def _check_types(layers: list[Layer]) -> None:
    lacking = [layer for layer in layers if layer.type not in EMITTERS]
    if not lacking:
        return
    types = sorted({layer.type for layer in lacking})
    hint = did_you_mean(types[0], EMITTERS) if len(types) == 1 else None
    if all(name == "Accuracy" or name.endswith("Loss") for name in types):
        hint = "give the deploy prototxt, which has no layers for labels"
    raise UnsupportedError(
        f"ONNX export has no layer type {', '.join(f'`{name}`' for name in types)}",
        notes=[f"layer `{layer.key}` ({layer.type})" for layer in lacking],
        hint=hint,
    )


def _raise(refused: list[UnsupportedError]) -> None:
    if len(refused) > 1:
        raise UnsupportedError(
            f"ONNX cannot say {len(refused)} of the layers",
            notes=[f"{error.where}: {error.message}" for error in refused],
        )
    if refused:
        raise refused[0]


def _check_parameters(net: Net, layer: Layer, shapes: Shapes) -> None:
    needed = shapes.parameters[layer.key] or []
    held = [net.parameters.shape(name) for name in layer.parameters if name in net.parameters]
    if len(held) == len(needed) and all(map(_same_size, held, needed)):
        return
    error = WeightsError if len(held) != len(needed) else NetError
    raise error(
        f"the layer needs parameters of shapes {needed} and has {held}",
        where=f"layer `{layer.key}` ({layer.type})",
        hint="load the net together with its weights",
    )


def _same_size(held: Shape, needed: Shape) -> bool:
    return prod(held) == prod(needed)
