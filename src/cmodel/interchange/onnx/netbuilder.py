"""A Net under construction from the nodes of an ONNX graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper

from cmodel.errors import NetError, UnsupportedError
from cmodel.interchange.onnx.constants import Constants
from cmodel.net import Layer, Parameters, Shape, parameter_name
from cmodel.net.shapes.registry import RULES
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense, Form, Linear, Sparse

# Sizes of a padding: before and after each spatial axis.
Pads = tuple[Shape, Shape]


class NetBuilder:
    """Layers and parameters, and what is known of each blob.

    blobs : the blob that holds an ONNX value.
    shapes : by blob; an open batch has the size `constants.BATCH`.
    pads : values that are a blob with a padding around it: the blob, the padding, its value.
    uses : how often each ONNX value is read.
    """

    def __init__(self, constants: Constants, opset: int, reserved: Sequence[str]) -> None:
        self.constants = constants
        self.opset = opset
        self.layers: list[Layer] = []
        self.parameters = Parameters()
        self.blobs: dict[str, str] = {}
        self.shapes: dict[str, Shape] = {}
        self.pads: dict[str, tuple[str, Pads, float]] = {}
        self.uses: Counter[str] = Counter()
        self._names = set(reserved)
        self._keys: set[str] = set()

    def unique(self, name: str) -> str:
        """Return a blob name that nothing has yet."""
        candidate, count = name, 1
        while candidate in self._names:
            count += 1
            candidate = f"{name}_{count}"
        self._names.add(candidate)
        return candidate

    def key(self, name: str) -> str:
        """Return a layer name that nothing has yet."""
        # A name that starts with a slash would be an empty folder in files with folders.
        name = name.strip("/") or "layer"
        candidate, count = name, 1
        while candidate in self._keys:
            count += 1
            candidate = f"{name}_{count}"
        self._keys.add(candidate)
        return candidate

    def producer(self, blob: str) -> Layer | None:
        """Return the layer that makes a blob."""
        return next((layer for layer in reversed(self.layers) if blob in layer.tops), None)

    def rename(self, blob: str, name: str, start: int = 0) -> None:
        """Give a blob another name, in the layers from `start` on."""
        for layer in self.layers[start:]:
            for names in (layer.param.bottom, layer.param.top):
                for i, old in enumerate(names):
                    if old == blob:
                        names[i] = name
        self.shapes[name] = self.shapes.pop(blob)

    def set_parameters(self, layer: Layer, forms: Sequence[Form], shapes: Sequence[Shape]) -> None:
        """Give a layer its parameters, in the shapes that it needs."""
        layer.parameters = [parameter_name(layer.key, i) for i in range(len(forms))]
        for name, form, shape in zip(layer.parameters, forms, shapes, strict=True):
            self.parameters[name] = fitted(form, shape)


def fitted(form: Form, shape: Shape) -> Form:
    """Return a form in another shape of the same size."""
    if form.shape == shape:
        return form
    match form:
        case Dense():
            return Dense(form.values.reshape(shape))
        case Linear():
            return Linear(form.scales, form.zeros, form.ints.reshape(shape))
        case Sparse(block=(1, 1)):
            return Sparse(shape, form.positions, form.values)
        case _:
            return Dense(form.to_dense().reshape(shape))


class NodeView:
    """What the acceptor of one ONNX node works with."""

    def __init__(self, net: NetBuilder, node: NodeProto) -> None:
        self.net = net
        self.node = node
        self.name = node.name or node.output[0]
        self._attributes = {
            entry.name: helper.get_attribute_value(entry) for entry in node.attribute
        }

    def unsupported(self, what: str, hint: str | None = None) -> UnsupportedError:
        """Return the error that Caffe's layers cannot say this."""
        return UnsupportedError(what, where=f"node `{self.name}` ({self.node.op_type})", hint=hint)

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute; text comes as str."""
        value = self._attributes.get(name, default)
        return value.decode(errors="replace") if isinstance(value, bytes) else value

    def has(self, index: int) -> bool:
        """Whether the node has that input."""
        return index < len(self.node.input) and bool(self.node.input[index])

    def is_constant(self, index: int) -> bool:
        """Whether an input is a constant."""
        return self.node.input[index] in self.net.constants

    def bottom(self, index: int = 0) -> str:
        """Return the blob of an input."""
        name = self.node.input[index]
        if name in self.net.pads:
            raise self.unsupported("Caffe pads only inside a convolution or a pooling")
        if name in self.net.constants:
            raise self.unsupported(f"input {index} is a constant where Caffe needs a blob")
        return self.net.blobs[name]

    def padded(self, index: int = 0) -> tuple[str, Pads | None, float]:
        """Return the blob of an input, the padding around it, and the padding's value."""
        name = self.node.input[index]
        if name in self.net.pads:
            return self.net.pads[name]
        return self.bottom(index), None, 0.0

    def shape(self, index: int = 0) -> Shape:
        """Shape of an input's blob."""
        return self.net.shapes[self.bottom(index)]

    def constant(self, index: int) -> NDArray[Any]:
        """Return the value of an input that has to be constant."""
        return self.net.constants.array(self._constant_name(index))

    def _constant_name(self, index: int) -> str:
        name = self.node.input[index]
        if name not in self.net.constants:
            raise self.unsupported(f"input {index} (`{name}`) is no constant")
        if self.net.constants.depends_on_batch(name):
            raise self.unsupported(f"input {index} (`{name}`) depends on the batch size")
        return name

    def floats(self, index: int) -> NDArray[np.float32]:
        """Return a constant input as float32."""
        return np.asarray(self.constant(index), np.float32)

    def form(self, index: int) -> Form:
        """Return a constant input as a tensor form."""
        return self.net.constants.form(self._constant_name(index))

    def spend(self, elements: int) -> None:
        """Make sure that parameters which are worked out here take no more memory than they may."""
        self.net.constants.spend(elements, f"node `{self.name}` ({self.node.op_type})")

    def integers(self, name: str, index: int) -> list[int] | None:
        """Return whole numbers that old operators have as an attribute, new ones as an input."""
        if self.has(index):
            return [int(value) for value in self.constant(index).reshape(-1)]
        found = self.attribute(name)
        return None if found is None else [int(value) for value in np.atleast_1d(found)]

    def add(
        self, kind: str, bottoms: Sequence[str], forms: Sequence[Form] = (), **fields: Any
    ) -> str:
        """Add a layer of one top; return the name of the top."""
        return self.add_many(kind, bottoms, 1, forms, **fields)[0]

    def add_many(
        self,
        kind: str,
        bottoms: Sequence[str],
        tops: int,
        forms: Sequence[Form] = (),
        **fields: Any,
    ) -> list[str]:
        """Add a layer; return the names of its tops."""
        net = self.net
        key = net.key(self.name)
        names = [net.unique(key) for _ in range(tops)]
        param = caffe_pb2.LayerParameter(name=key, type=kind, bottom=bottoms, top=names, **fields)
        layer = Layer(param, key)
        rule = RULES.get(kind)
        if rule is None:
            raise self.unsupported(f"cmodel has no layer type `{kind}`")
        try:
            found = rule(layer, [net.shapes[name] for name in bottoms])
            net.set_parameters(layer, forms, found.parameters)
        except (NetError, ValueError) as error:
            raise self.unsupported(f"Caffe's {kind} cannot say it: {error}") from error
        net.layers.append(layer)
        net.shapes.update(zip(names, found.tops, strict=True))
        return names


# Adds the layers of a node; returns the blobs of its outputs.
Acceptor = Callable[[NodeView], Sequence[str]]
