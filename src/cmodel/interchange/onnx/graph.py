"""A graph of ONNX nodes under construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper

from cmodel.errors import UnsupportedError
from cmodel.net import Layer, Net, Shape, Shapes

FLOAT, INT64, INT32 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.INT32


@dataclass(frozen=True)
class ParameterUse:
    """A parameter of the net under the name and the shape in which nodes read it."""

    value: str
    parameter: str
    shape: Shape


class GraphBuilder:
    """Nodes, small constants, and the parameters that the nodes read.

    Every name is given out once. Nothing of a parameter is looked at here: two builds for two batch
    sizes can be compared.
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.parameters: list[ParameterUse] = []
        self._names = set(reserved)
        self._known: dict[tuple[str, Shape, bytes], str] = {}

    def unique(self, name: str) -> str:
        """Return a name that nothing has yet."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}#{count}"
        self._names.add(candidate)
        return candidate

    def constant(self, values: NDArray[Any], name: str) -> str:
        """Return the name of a constant with these values."""
        key = (values.dtype.str, values.shape, values.tobytes())
        if key in self._known:
            return self._known[key]
        value = self._known[key] = self.unique(name)
        self.constants[value] = values
        return value

    def parameter(self, name: str, shape: Shape) -> str:
        """Return the name of a parameter's value in that shape."""
        for use in self.parameters:
            if use.parameter == name and use.shape == shape:
                return use.value
        value = self.unique(name)
        self.parameters.append(ParameterUse(value, name, shape))
        return value


class LayerGraph:
    """What the emitter of one layer works with.

    x : names of the values that the layer reads.
    bottoms, tops, parameters : their shapes.
    """

    def __init__(
        self, graph: GraphBuilder, net: Net, layer: Layer, x: Sequence[str], shapes: Shapes
    ) -> None:
        self.graph = graph
        self.net = net
        self.layer = layer
        self.x = tuple(x)
        self.tops: list[Shape] = [shape or () for shape in shapes.tops[layer.key]]
        self.parameters: list[Shape] = list(shapes.parameters[layer.key] or ())
        self.bottoms: list[Shape] = []

    def unsupported(self, what: str) -> UnsupportedError:
        """Return the error that ONNX cannot say this."""
        return UnsupportedError(
            f"ONNX cannot say {what}", where=f"layer `{self.layer.key}` ({self.layer.type})"
        )

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of one output; return the output's name."""
        return self.nodes(op, inputs, 1, **attributes)[0]

    def nodes(self, op: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Add a node; return the names of its outputs."""
        names = [self.graph.unique(f"{self.layer.key}:{op}") for _ in range(outputs)]
        # A node is called as its first output, which no other has.
        self.graph.nodes.append(helper.make_node(op, inputs, names, names[0], **attributes))
        return names

    def floats(self, values: Any) -> str:
        """Return the name of a float32 constant."""
        return self.graph.constant(np.asarray(values, np.float32), f"{self.layer.key}:float")

    def integers(self, values: Any) -> str:
        """Return the name of an int64 constant."""
        return self.graph.constant(np.asarray(values, np.int64), f"{self.layer.key}:int")

    def parameter(self, index: int, shape: Shape | None = None) -> str:
        """Return the name of a parameter's value, in its own or in another shape."""
        own = self.parameters[index]
        return self.graph.parameter(self.layer.parameters[index], own if shape is None else shape)

    def values(self, index: int) -> NDArray[np.float32]:
        """Return the values of a small parameter from which constants are worked out."""
        dense = self.net.parameters[self.layer.parameters[index]].to_dense()
        return dense.reshape(self.parameters[index])

    def reshape(self, x: str, shape: Shape) -> str:
        """Return `x` in that shape; the first size is left to be worked out, as batches differ."""
        sizes = [-1, *shape[1:]] if shape else []
        return self.node("Reshape", x, self.integers(sizes))


Emitter = Callable[[LayerGraph], Sequence[str]]
