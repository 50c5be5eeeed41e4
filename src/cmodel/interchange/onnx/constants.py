"""The constants of an ONNX graph: initialisers, and what can be worked out from them.

A batch size that the model leaves open takes part in computed shapes. So everything that depends on
it is worked out for two sizes; what differs is no constant, though `Reshape` may still read it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
    ValueInfoProto,
    checker,
    helper,
    numpy_helper,
)
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data
from onnx.reference import ReferenceEvaluator

from cmodel.errors import InputError, LimitError, UnsupportedError
from cmodel.net import Shape
from cmodel.tensors import BFLOAT16, Dense, Form, Linear, Sparse

# The size that an open batch has while the graph is read, and another one to compare with.
BATCH, OTHER_BATCH = 97, 101
# Elements that all computed constants of a model may have together; every initialiser that is read
# adds as many as some conversions of it (to another type, transposed) have.
MAX_COMPUTED = 1 << 24
CONVERSIONS = 4
# Operators that are worked out; all of them are cheap, and none looks outside.
_OPERATORS = """
Abs Add And Cast CastLike Ceil Concat Constant ConstantOfShape DequantizeLinear Div Equal Expand
Flatten Floor Gather GatherElements Greater Identity Less Max Min Mod Mul Neg Not Or Pow Reciprocal
ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Slice Split Sqrt Squeeze Sub Tile
Transpose Unsqueeze Where
"""
FOLDED = frozenset(_OPERATORS.split())
_SPREAD = frozenset(
    [
        "Add",
        "And",
        "Div",
        "Equal",
        "Greater",
        "Less",
        "Max",
        "Min",
        "Mod",
        "Mul",
        "Or",
        "Pow",
        "Sub",
        "Where",
    ]
)
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
        self._budget = MAX_COMPUTED
        # Initialisers that the budget knows of.
        self._counted: set[str] = set()
        # Sparse initialisers whose zeros it knows of.
        self._dense: set[str] = set()

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
            found = self._read(self._tensors[name])
            self._earn(name, found.size)
            return found
        form = self.form(name)
        if name in self._sparse and name not in self._dense:
            self.spend(prod(form.shape), f"sparse initialiser `{name}`")
            self._dense.add(name)
        return form.to_dense()

    def form(self, name: str) -> Form:
        """Return a value as a tensor form: halves and fixed point stay what they are."""
        if name in self._forms:
            return self._forms[name]
        if name in self._sparse:
            sparse = _sparse_form(self._sparse[name])
            self._earn(name, sparse.positions.size)
            return sparse
        return dense_form(self.array(name))

    def describe(self, name: str) -> ValueInfoProto:
        """Return the type and the shape of a value."""
        if name in self._forms:
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, self._forms[name].shape)
        array = self.array(name)
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    def is_computed(self, name: str) -> bool:
        """Whether the value is the result of a node."""
        return name in self._arrays or name in self._forms

    def _earn(self, name: str, elements: int) -> None:
        if name not in self._counted:
            self._counted.add(name)
            self._budget += CONVERSIONS * elements

    def spend(self, elements: int, where: str) -> None:
        """Take elements from the budget, before they are made.

        Raises
        ------
        LimitError : there are not so many left.
        """
        if elements > self._budget:
            raise LimitError(
                f"{elements} elements are too large for a constant that is worked out: it and "
                "those before it take too much memory",
                where=where,
            )
        self._budget -= max(elements, 0)

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
        where = _where(node)
        _refuse_text(feed.values(), where)
        try:
            self.spend(_result_size(node, [feed[name] for name in names]), where)
        except (ValueError, TypeError, IndexError) as error:
            raise InputError(f"its operands do not fit: {error}", where=where) from error
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
        if len(found) != len(node.output):
            raise InputError(
                f"it has {len(node.output)} outputs for {len(found)} values", where=where
            )
        results = [np.asarray(value) for value in found]
        _refuse_text(results, where)
        return results

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
        self.spend(ints.size, _where(node))
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


def _sparse_form(tensor: SparseTensorProto) -> Sparse:
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


def _where(node: NodeProto) -> str:
    return f"node `{node.name or next(iter(node.output), '')}` ({node.op_type})"


def _refuse_text(arrays: Iterable[NDArray[Any]], where: str) -> None:
    """Refuse texts: sums of them grow without growing in elements."""
    if any(array.dtype.kind in "OSTU" for array in arrays):
        raise UnsupportedError("a constant that is no tensor of numbers", where=where)


def _result_size(node: NodeProto, operands: Sequence[NDArray[Any]]) -> int:
    """Return how many elements a result has at most, before it is made.

    Raises
    ------
    ValueError, TypeError, IndexError : the operands do not fit the operator.
    """
    attributes = {entry.name: entry.i for entry in node.attribute}
    if node.op_type == "Concat":
        return sum(array.size for array in operands)
    if node.op_type == "Constant":
        # The model itself holds it, so that it is no larger than the model.
        return 0
    if node.op_type == "ConstantOfShape":
        return _product(operands[0])
    if node.op_type == "Tile":
        return operands[0].size * _product(operands[1])
    if node.op_type == "Gather":
        data, index = operands
        return int(data.size // max(data.shape[attributes.get("axis", 0)], 1) * index.size)
    if node.op_type == "GatherElements":
        return operands[1].size
    if node.op_type == "Split":
        # Every part takes memory, even an empty one.
        return max(operands[0].size, attributes.get("num_outputs", 0))
    if node.op_type == "Expand":
        sizes = tuple(int(size) for size in operands[1].reshape(-1))
        return max(prod(sizes), prod(np.broadcast_shapes(operands[0].shape, sizes)))
    if node.op_type in _SPREAD:
        return prod(np.broadcast_shapes(*(array.shape for array in operands)))
    # All others give no more than they read.
    return operands[0].size


def _product(sizes: NDArray[Any]) -> int:
    return prod(int(size) for size in sizes.reshape(-1))
