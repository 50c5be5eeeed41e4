"""Net and Layer: Caffe's network, its parameters held as tensor forms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cmodel.net.transform import InputTransform
from cmodel.proto import caffe_pb2

Shape = tuple[int, ...]
# The least and the greatest of some values; 0 lies between them.
Range = tuple[float, float]


class Parameter(Protocol):
    """What the net asks of a tensor form; `cmodel.tensors` has them."""

    @property
    def shape(self) -> Shape:
        """Shape of the tensor."""

    def to_dense(self) -> NDArray[np.float32]:
        """Return the values as float32."""


# Layers whose tops are fed from outside. All but Input read a data source in Caffe.
INPUT_TYPES = frozenset({"Input", "Data", "ImageData", "HDF5Data", "MemoryData", "WindowData"})


@dataclass(frozen=True)
class UnknownField:
    """A field of a fork that our schema lacks, kept verbatim so that nothing is lost.

    path : where it stands inside its layer (or the net): "" for the layer itself, else names joined
        by ".", an index after repeated ones ("convolution_param", "param[1]").
    text : the field as prototxt text ("my_param { a: 1 }"), or "" where it came from binary.
    wire : the field as protobuf wire bytes with its tag, or b"" where it came from text.
    line, column : where it was read, from 1; 0 where it came from binary.
    """

    path: str
    text: str = ""
    wire: bytes = b""
    line: int = 0
    column: int = 0


@dataclass
class Layer:
    """One layer. `param` is Caffe's LayerParameter (V2) without its blobs.

    key : unique name in the net: the layer's name, with "#2" and so on where names repeat.
    parameters : for each of its blobs the name of the tensor in `Net.parameters`; a shared
        parameter has its owner's name.
    range : of the values that the layer reads, where it is calibrated for 8-bit integers.
    """

    param: caffe_pb2.LayerParameter
    key: str
    parameters: list[str] = field(default_factory=list)
    unknown: tuple[UnknownField, ...] = ()
    range: Range | None = None

    @property
    def name(self) -> str:
        """Name as the prototxt gives it."""
        return self.param.name

    @property
    def type(self) -> str:
        """Caffe's type name, such as "Convolution"."""
        return self.param.type

    @property
    def bottoms(self) -> tuple[str, ...]:
        """Names of the blobs it reads."""
        return tuple(self.param.bottom)

    @property
    def tops(self) -> tuple[str, ...]:
        """Names of the blobs it writes."""
        return tuple(self.param.top)


@dataclass(frozen=True)
class ParameterLoader:
    """A parameter that is decoded when it is asked for; its shape is known before."""

    shape: Shape
    load: Callable[[], Parameter]


class Parameters(MutableMapping[str, Parameter]):
    """The parameters by name, ``<layer>/<index>``, in the order of the layers.

    An entry may be a `ParameterLoader`: it is decoded at each access and not kept, so that a large
    model never lies in memory twice.
    """

    def __init__(self, entries: Iterable[tuple[str, Parameter | ParameterLoader]] = ()) -> None:
        self._entries: dict[str, Parameter | ParameterLoader] = dict(entries)

    def __getitem__(self, name: str) -> Parameter:
        entry = self._entries[name]
        return entry.load() if isinstance(entry, ParameterLoader) else entry

    def __setitem__(self, name: str, form: Parameter | ParameterLoader) -> None:
        self._entries[name] = form

    def __delitem__(self, name: str) -> None:
        del self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def shape(self, name: str) -> Shape:
        """Shape of a parameter, without decoding it."""
        return self._entries[name].shape

    def copy(self) -> Parameters:
        """Return a new mapping with the same forms."""
        return Parameters(self._entries.items())


@dataclass
class Net:
    """A network and its parameters.

    header : Caffe's NetParameter without layers (name, input, input_shape, state, ...).
    layers : in execution order.
    transform : how its images are prepared; None where that is not known.
    labels : class names in the order of the outputs, may be empty.
    notes : where it came from (recipe, measured facts): plain JSON data, never needed to run it.
    """

    header: caffe_pb2.NetParameter
    layers: list[Layer]
    parameters: Parameters
    unknown: tuple[UnknownField, ...] = ()
    transform: InputTransform | None = None
    labels: tuple[str, ...] = ()
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name as the prototxt gives it."""
        return self.header.name

    @property
    def inputs(self) -> dict[str, Shape | None]:
        """Blobs fed from outside with their declared shapes (None where the file has none)."""
        result: dict[str, Shape | None] = {}
        dims = list(self.header.input_dim)
        for i, blob in enumerate(self.header.input):
            if i < len(self.header.input_shape):
                result[blob] = tuple(self.header.input_shape[i].dim)
            else:
                result[blob] = tuple(dims[4 * i : 4 * i + 4]) or None
        for layer in self.layers:
            if layer.type not in INPUT_TYPES:
                continue
            shapes = layer.param.input_param.shape if layer.type == "Input" else ()
            for i, top in enumerate(layer.tops):
                # Caffe: one shape serves all tops.
                shape = shapes[min(i, len(shapes) - 1)] if shapes else None
                result[top] = tuple(shape.dim) if shape is not None else None
        return result

    @property
    def outputs(self) -> list[str]:
        """Blobs that no later layer reads, in order; inputs that nobody reads included."""
        available = dict.fromkeys(self.header.input)
        for layer in self.layers:
            for bottom in layer.bottoms:
                available.pop(bottom, None)
            available.update(dict.fromkeys(layer.tops))
        return list(available)

    def layer(self, key: str) -> Layer:
        """Return the layer with this key."""
        return next(layer for layer in self.layers if layer.key == key)

    def parameter_count(self) -> int:
        """Return the number of parameter values, shared ones counted once."""
        return sum(prod(self.parameters.shape(name)) for name in self.parameters)

    def copy(self) -> Net:
        """Return a net of its own whose layers and parameter mapping may be changed."""
        header = caffe_pb2.NetParameter()
        header.CopyFrom(self.header)
        layers = []
        for layer in self.layers:
            param = caffe_pb2.LayerParameter()
            param.CopyFrom(layer.param)
            layers.append(replace(layer, param=param, parameters=list(layer.parameters)))
        return replace(
            self,
            header=header,
            layers=layers,
            parameters=self.parameters.copy(),
            notes=dict(self.notes),
        )


def layer_keys(names: Iterable[str]) -> list[str]:
    """Return unique keys for layer names: "#2", "#3" follow repeated ones."""
    names = list(names)
    taken = set(names)
    seen: dict[str, int] = {}
    keys = []
    for name in names:
        count = seen.get(name, 0) + 1
        key = name if count == 1 else f"{name}#{count}"
        # A layer may be called "conv#2" by its net.
        while count > 1 and key in taken:
            count += 1
            key = f"{name}#{count}"
        seen[name] = count
        taken.add(key)
        keys.append(key)
    return keys


def parameter_name(layer_key: str, index: int) -> str:
    """Name of a layer's tensor: ``<layer>/<index>``."""
    return f"{layer_key}/{index}"
