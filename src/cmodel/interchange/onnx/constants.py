"""The constants of an ONNX graph: initialisers, and what can be worked out from them.

A batch size that the model leaves open takes part in computed shapes. So everything that depends on
it is worked out for two sizes; what differs is no constant, though `Reshape` may still read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import (
    GraphProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    checker,
    helper,
    numpy_helper,
)
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx.reference import ReferenceEvaluator

from cmodel.errors import InputError, UnsupportedError
from cmodel.net import Shape
from cmodel.tensors import BFLOAT16, Dense, Form, Linear, Sparse

# The size that an open batch has while the graph is read, and another one to compare with.
BATCH, OTHER_BATCH = 97, 101
# Elements that a computed constant may have beyond those that it is made from.
MAX_COMPUTED = 1 << 20
# Operators that are worked out; all of them are cheap, and none looks outside.
_OPERATORS = """
Abs Add And Cast CastLike Ceil Concat Constant ConstantOfShape DequantizeLinear Div Equal Expand
Flatten Floor Gather GatherElements Greater Identity Less Max Min Mod Mul Neg Not Or Pow Reciprocal
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Slice Split Sqrt Squeeze Sub Tile
Transpose Unsqueeze Where
"""
FOLDED = frozenset(_OPERATORS.split())
_INTS = (np.int8, np.uint8, np.int16, np.uint16)


class Constants:
    """Values by name."""

    def __init__(self, graph: GraphProto, folder: Path, opset: int) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._sparse = {tensor.values.name: tensor for tensor in graph.sparse_initializer}
        self._arrays: dict[str, NDArray[Any]] = {}
        self._forms: dict[str, Form] = {}
        # Values for the other batch size, where they differ.
        self._other: dict[str, NDArray[Any]] = {}
        self._folder = folder
        self._opset = opset

    def __contains__(self, name: object) -> bool:
        return any(
            name in held for held in (self._tensors, self._arrays, self._forms, self._sparse)
        )

    def depends_on_batch(self, name: str) -> bool:
        """Whether the value is another one for another batch size."""
        return name in self._other

    def array(self, name: str) -> NDArray[Any]:
        """Return a value, in its own type."""
        if name in self._arrays:
            return self._arrays[name]
        if name in self._tensors:
            return self._read(self._tensors[name])
        return self.form(name).to_dense()

    def form(self, name: str) -> Form:
        """Return a value as a tensor form: halves and fixed point stay what they are."""
        if name in self._forms:
            return self._forms[name]
        if name in self._sparse:
            return _sparse_form(self._sparse[name])
        return dense_form(self.array(name))

    def _read(self, tensor: TensorProto) -> NDArray[Any]:
        where = f"initialiser `{tensor.name}`"
        try:
            if uses_external_data(tensor):
                loaded = TensorProto()
                loaded.CopyFrom(tensor)
                load_external_data_for_tensor(loaded, str(self._folder))
                tensor = loaded
            return numpy_helper.to_array(tensor)
        except (
            ValueError,
            TypeError,
            OSError,
            AttributeError,
            RuntimeError,
            checker.ValidationError,
        ) as error:
            raise InputError(f"the tensor cannot be read: {error}", where=where) from error

    def add_shape(self, name: str, shape: Shape, node: NodeProto, batched: bool) -> None:
        """Add the result of a Shape node that reads a blob of that shape."""
        attributes = {entry.name: entry.i for entry in node.attribute}
        part = slice(attributes.get("start", 0), attributes.get("end"))
        self._arrays[name] = np.array(shape[part], np.int64)
        if batched and shape and shape[0] % BATCH == 0:
            other = (shape[0] // BATCH * OTHER_BATCH, *shape[1:])
            self._set_other(name, np.array(other[part], np.int64))

    def _set_other(self, name: str, value: NDArray[Any]) -> None:
        if not np.array_equal(value, self._arrays[name]):
            self._other[name] = value

    def fold(self, node: NodeProto) -> bool:
        """Work a node out where all that it reads is constant; False where it is not."""
        names = [name for name in node.input if name]
        if node.op_type not in FOLDED or not all(name in self for name in names):
            return False
        if node.op_type == "DequantizeLinear" and self._fold_linear(node):
            return True
        found = self._evaluate(node, names, {name: self.array(name) for name in names})
        self._arrays.update(zip(node.output, found, strict=True))
        if any(name in self._other for name in names):
            feed = {name: self._other.get(name, self.array(name)) for name in names}
            for name, value in zip(node.output, self._evaluate(node, names, feed), strict=True):
                self._set_other(name, value)
        return True

    def _evaluate(
        self, node: NodeProto, names: Sequence[str], feed: dict[str, NDArray[Any]]
    ) -> Sequence[NDArray[Any]]:
        where = f"node `{node.name}` ({node.op_type})"
        size = sum(array.size for array in feed.values()) + MAX_COMPUTED
        if _result_size(node, [feed[name] for name in names]) > size:
            raise UnsupportedError("the computed constant is too large", where=where)
        inputs = [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in feed.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "constant", inputs, outputs)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        try:
            with np.errstate(all="ignore"):
                found = ReferenceEvaluator(model).run(None, feed)
        except Exception as error:
            # The evaluator raises whatever NumPy does for operands that do not fit.
            raise InputError(f"it cannot be worked out: {error}", where=where) from error
        return [np.asarray(value) for value in found]

    def _fold_linear(self, node: NodeProto) -> bool:
        """Keep fixed point as such where one scale serves the tensor or a row of it."""
        attributes = {entry.name: entry.i for entry in node.attribute}
        ints = self.array(node.input[0])
        scales = self.array(node.input[1])
        one = scales.size == 1
        by_row = ints.ndim > 0 and attributes.get("axis", 1) % ints.ndim == 0
        if ints.dtype not in _INTS or scales.dtype != np.float32 or scales.ndim > 1:
            return False
        if attributes.get("block_size", 0) or not np.isfinite(scales).all():
            return False
        if not one and not (by_row and scales.size == ints.shape[0]):
            return False
        zeros = np.zeros(scales.size, np.int32)
        if len(node.input) > 2 and node.input[2]:
            zeros[:] = self.array(node.input[2]).reshape(-1)
        self._forms[node.output[0]] = Linear(Dense(scales.reshape(-1)), zeros, ints)
        return True


def dense_form(array: NDArray[Any]) -> Dense:
    """Return an array as a Dense form: half floats as they are, all else as float32."""
    if array.dtype.name == "bfloat16":
        return Dense(array.view(BFLOAT16))
    if array.dtype == np.float16:
        return Dense(array)
    with np.errstate(over="ignore"):
        return Dense(np.ascontiguousarray(array, np.float32).reshape(array.shape))


def _sparse_form(tensor: SparseTensorProto) -> Form:
    shape = tuple(tensor.dims)
    where = f"sparse initialiser `{tensor.values.name}`"
    try:
        values = dense_form(numpy_helper.to_array(tensor.values))
        places = numpy_helper.to_array(tensor.indices).astype(np.int64)
        if places.ndim == 2:
            places = np.ravel_multi_index(tuple(places.T), shape).astype(np.int64)
        if prod(shape) > np.iinfo(np.int32).max:
            raise ValueError(f"a tensor of shape {shape}")
        return Sparse(shape, places, values)
    except (ValueError, TypeError) as error:
        raise InputError(f"the tensor cannot be read: {error}", where=where) from error


def _result_size(node: NodeProto, operands: Sequence[NDArray[Any]]) -> int:
    """Return at least how many elements a result will have, before it is made."""
    if node.op_type == "Concat":
        return sum(array.size for array in operands)
    if node.op_type == "ConstantOfShape":
        return prod(int(size) for size in operands[0].reshape(-1))
    if node.op_type == "Tile":
        return operands[0].size * prod(int(count) for count in operands[1].reshape(-1))
    if node.op_type == "Gather":
        axis = next((entry.i for entry in node.attribute if entry.name == "axis"), 0)
        data, index = operands
        return int(data.size // max(data.shape[axis], 1) * index.size)
    shapes = [array.shape for array in operands]
    if node.op_type == "Expand":
        shapes[1] = tuple(int(size) for size in operands[1].reshape(-1))
    try:
        return prod(np.broadcast_shapes(*shapes))
    except ValueError:
        # Its operands are not spread over each other, so it gives no more than it has.
        return max((array.size for array in operands), default=0)
