"""The graph of a section: operations, the values between them, and what is done at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from cmodel.engine.ops.op import Alias, Op
from cmodel.engine.sections import Section
from cmodel.net import Shape, Shapes


@dataclass
class Node:
    """An operation and the values it reads and writes, by number.

    layers : keys of those that it does, the fused ones behind the first.
    """

    op: Op
    bottoms: list[int]
    tops: list[int]
    layers: list[str]


@dataclass
class Graph:
    """A value is what one layer writes to a blob: a layer in place makes a new one.

    shapes : of each value. inputs : values by input blob. final : values by blob name, at the end.
    """

    nodes: list[Node] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    final: dict[str, int] = field(default_factory=dict)

    def value(self, name: str, shape: Shape) -> int:
        """Return the number of a new value of a blob."""
        self.shapes.append(shape)
        self.final[name] = len(self.shapes) - 1
        return self.final[name]


def graph_of(
    section: Section, fed: Mapping[str, Shape], shapes: Shapes, ops: Mapping[str, Op]
) -> Graph:
    """Return the graph of a section for these fed shapes."""
    graph = Graph()
    for name in fed:
        graph.inputs[name] = graph.value(name, fed[name])
    for layer in section.layers:
        bottoms = [graph.final[name] for name in layer.bottoms]
        tops = []
        for name, shape in zip(layer.tops, shapes.tops[layer.key], strict=True):
            if shape is None:
                raise AssertionError(f"layer `{layer.key}` has an operation but no shape rule")
            tops.append(graph.value(name, shape))
        graph.nodes.append(Node(ops[layer.key], bottoms, tops, [layer.key]))
        for name, top in section.changes[layer.key].items():
            new, old = graph.final[top], graph.final[name]
            graph.nodes.append(
                Node(Alias(layer, ()), [new], [graph.value(name, graph.shapes[old])], [layer.key])
            )
    return graph


def last_uses(graph: Graph, wanted: Sequence[int]) -> list[float]:
    """Return for each value the number of the node that uses it last."""
    uses: list[float] = [-1] * len(graph.shapes)
    for i, node in enumerate(graph.nodes):
        for value in (*node.bottoms, *node.tops):
            uses[value] = i
    for value in wanted:
        uses[value] = inf
    return uses


def fuse(graph: Graph, wanted: Sequence[int]) -> None:
    """Let operations take over those that follow them and are the only readers of their top."""
    readers: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for value in node.bottoms:
            readers.setdefault(value, []).append(node)
    kept = set(wanted)
    fused: set[int] = set()
    there = set(graph.inputs.values())
    for node in graph.nodes:
        if id(node) not in fused:
            while (following := _only_reader(node, readers, kept)) is not None:
                others = [value for value in following.bottoms if value != node.tops[0]]
                op = node.op.followed(following.op) if there.issuperset(others) else None
                if op is None:
                    break
                fused.add(id(following))
                node.op, node.tops = op, following.tops
                node.bottoms = [*node.bottoms, *others]
                node.layers = [*node.layers, *following.layers]
        there.update(node.tops)
    graph.nodes = [node for node in graph.nodes if id(node) not in fused]


def _only_reader(
    node: Node, readers: Mapping[int, Sequence[Node]], kept: Collection[int]
) -> Node | None:
    if len(node.tops) != 1 or node.tops[0] in kept:
        return None
    found = readers.get(node.tops[0], [])
    one = len(found) == 1 and len(found[0].tops) == 1
    return found[0] if one else None
