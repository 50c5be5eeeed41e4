"""Parameters become initialisers, and nodes where a form is kept."""

from __future__ import annotations

from collections import Counter
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, SparseTensorProto, StringStringEntryProto, TensorProto, helper

from cmodel.interchange.onnx.graph import FLOAT, INT32, ParameterUse
from cmodel.net import Shape
from cmodel.tensors import BFLOAT16, Codebook, Dense, Form, Linear, Sparse, size_of

# A stored value of a sparse initialiser takes 4 bytes and its place 8, a dense value 4.
SPARSE_BELOW = 1 / 3
# Where an initialiser starts in the file beside the model, as memory pages do.
ALIGNMENT = 4096


class Initializers:
    """The initialisers of a model, in it or in a file beside it.

    data : the file beside it, or None; `location` is its name.
    kinds : how many parameters are held in which way.
    """

    def __init__(self, form: str, data: BinaryIO | None = None, location: str = "") -> None:
        self.tensors: list[TensorProto] = []
        self.sparse: list[SparseTensorProto] = []
        self.nodes: list[NodeProto] = []
        self.kinds: Counter[str] = Counter()
        self._form = form
        self._data = data
        self._location = location

    def add(self, name: str, values: NDArray[Any], data_type: int | None = None) -> str:
        """Add an initialiser as it is; `data_type` where NumPy has none for its words."""
        if data_type is None:
            data_type = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = TensorProto(name=name, data_type=data_type, dims=values.shape)
        raw = values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
        if self._data is None or len(raw) < ALIGNMENT:
            tensor.raw_data = raw
        else:
            self._data.write(bytes(-self._data.tell() % ALIGNMENT))
            tensor.data_location = TensorProto.EXTERNAL
            place = {"location": self._location, "offset": self._data.tell(), "length": len(raw)}
            tensor.external_data.extend(
                StringStringEntryProto(key=key, value=str(value)) for key, value in place.items()
            )
            self._data.write(raw)
        self.tensors.append(tensor)
        return name

    def parameter(self, use: ParameterUse, form: Form) -> None:
        """Add a parameter in the way that `form` asks for."""
        if self._form == "qdq" and self._kept(use, form):
            return
        dense = form.to_dense().reshape(use.shape)
        if self._form == "sparse" and self._scattered(use, dense):
            return
        self.kinds["float32"] += 1
        self.add(use.value, dense)

    def _node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.nodes.append(helper.make_node(op, inputs, [output], f"{output}:{op}", **attributes))

    def _reshaped(self, use: ParameterUse, shape: Shape) -> str:
        """Return the name under which to make a value of `shape` that becomes the parameter."""
        if shape == use.shape:
            return use.value
        value = f"{use.value}:flat"
        sizes = self.add(f"{use.value}:shape", np.array(use.shape, np.int64))
        self._node("Reshape", [value, sizes], use.value)
        return value

    def _kept(self, use: ParameterUse, form: Form) -> bool:
        """Add a form that ONNX can decode to the same bits; False where it is none."""
        match form:
            case Dense() if form.values.dtype != np.float32:
                kind = TensorProto.BFLOAT16 if form.values.dtype == BFLOAT16 else None
                stored = self.add(f"{use.value}:half", form.values.reshape(use.shape), kind)
                self._node("Cast", [stored], use.value, to=FLOAT)
                self.kinds["Cast"] += 1
            case Linear() if _zeros_fit(form):
                self._linear(use, form)
            case Codebook():
                self._codebook(use, form.centroids.to_dense(), form.indices)
            case Sparse(values=Linear(groups=1) as inner, block=(1, 1)) if _zeros_fit(inner):
                # A place without a stored value has the integer that stands for zero.
                filling = inner.ints.dtype.type(inner.zeros[0])
                ints = _scatter(form, inner.ints, filling)
                self._linear(use, Linear(inner.scales, inner.zeros, ints))
            case Sparse(values=Codebook(groups=1) as inner, block=(1, 1)) if (
                inner.entries < 1 << 16
            ):
                # One more entry, 0, for the places without a stored value.
                centroids = np.append(inner.centroids.to_dense(), np.zeros((1, 1), "f4"), axis=1)
                small = np.dtype(np.uint8 if inner.entries < 1 << 8 else np.uint16)
                indices = _scatter(form, inner.indices.astype(small), inner.entries)
                self._codebook(use, centroids, indices)
            case _:
                return False
        return True

    def _linear(self, use: ParameterUse, form: Linear) -> None:
        by_row = form.groups > 1
        # Groups that are no rows of the tensor are made rows of a matrix.
        rows = not by_row or (use.shape and form.groups == use.shape[0])
        shape = use.shape if rows else (form.groups, form.ints.size // form.groups)
        self.kinds["DequantizeLinear"] += 1
        operands = [
            self.add(f"{use.value}:ints", form.ints.reshape(shape)),
            self.add(f"{use.value}:scales", _one_or_many(form.scales.to_dense())),
            self.add(f"{use.value}:zeros", _one_or_many(form.zeros.astype(form.ints.dtype))),
        ]
        start = len(self.nodes)
        value = self._reshaped(use, shape)
        axis = {"axis": 0} if by_row else {}
        self._node("DequantizeLinear", operands, value, **axis)
        self.nodes[start:] = self.nodes[start:][::-1]

    def _codebook(
        self, use: ParameterUse, centroids: NDArray[np.float32], indices: NDArray[Any]
    ) -> None:
        groups = len(centroids)
        shape = (groups, indices.size // groups)
        self.kinds["GatherElements"] += 1
        stored = self.add(f"{use.value}:indices", indices.reshape(shape))
        entries = self.add(f"{use.value}:codebook", centroids)
        wide = f"{use.value}:wide"
        start = len(self.nodes)
        value = self._reshaped(use, shape)
        self._node("GatherElements", [entries, wide], value, axis=1)
        self._node("Cast", [stored], wide, to=INT32)
        self.nodes[start:] = self.nodes[start:][::-1]

    def _scattered(self, use: ParameterUse, dense: NDArray[np.float32]) -> bool:
        """Add a sparse initialiser where that is smaller; zeros are those of all bits."""
        words = np.ascontiguousarray(dense).reshape(-1).view(np.uint32)
        places = np.flatnonzero(words).astype(np.int64)
        if not 0 < places.size < SPARSE_BELOW * words.size:
            return False
        values = words[places].view(np.float32)
        self.sparse.append(
            SparseTensorProto(
                values=TensorProto(
                    name=use.value, data_type=FLOAT, dims=values.shape, raw_data=values.tobytes()
                ),
                indices=TensorProto(
                    data_type=TensorProto.INT64, dims=places.shape, raw_data=places.tobytes()
                ),
                dims=use.shape,
            )
        )
        self.kinds["sparse"] += 1
        return True


def _one_or_many(values: NDArray[Any]) -> NDArray[Any]:
    """Return one value as a scalar: ONNX then means the whole tensor."""
    return values.reshape(()) if values.size == 1 else values


def _zeros_fit(form: Linear) -> bool:
    """Whether the zeros are of the integers' own type, as ONNX wants them."""
    limits = np.iinfo(form.ints.dtype)
    return bool(((form.zeros >= limits.min) & (form.zeros <= limits.max)).all())


def _scatter(form: Sparse, values: NDArray[Any], filling: Any) -> NDArray[Any]:
    dense = np.full(size_of(form.dense_shape), filling, values.dtype)
    dense[form.positions] = values
    return dense.reshape(form.dense_shape)
