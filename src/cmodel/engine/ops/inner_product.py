"""InnerProduct."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from cmodel import _engine
from cmodel.engine.ops.compressed import Coded, coded, sparse_rows
from cmodel.engine.ops.costs import coded_pays, sparse_product_pays
from cmodel.engine.ops.finish import Finish
from cmodel.engine.ops.int8 import Int8Weights, int8_inner_product, int8_weights
from cmodel.engine.ops.native import LEAST_SHARED
from cmodel.engine.ops.op import Array, Held, Kernel, NativeKernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.tensors import Sparse, size_of

# Starts of rows, columns, values, indices, entries: see _engine.Coded.
_Arguments = tuple[
    NDArray[np.int64] | None,
    NDArray[np.uint16] | None,
    Array | None,
    NDArray[np.uint8] | None,
    Array | None,
]


class _Weights:
    """Of one layer, as kernels read them; each is made when it is first asked for."""

    def __init__(self, held: Held, outputs: int, transposed: bool) -> None:
        self.outputs = outputs
        self.held = held
        self._transposed = transposed

    @cached_property
    def inner(self) -> int:
        """Number of inputs."""
        return size_of(self.held.form.shape) // self.outputs

    @cached_property
    def plain(self) -> Array:
        """(N, K), or (K, N) where they are transposed."""
        return dense(self.held.form).reshape(
            (-1, self.outputs) if self._transposed else (self.outputs, -1)
        )

    @cached_property
    def int8(self) -> Int8Weights | None:
        """Those of a form of 8-bit integers, as they are."""
        return None if self._transposed else int8_weights(self.held.form, self.outputs)

    @cached_property
    def stored(self) -> int | None:
        """Number of stored weights, where the form is sparse and the kernel can take it."""
        if not isinstance(self.held.form, Sparse) or self.inner > _engine.MOST_COLUMNS:
            return None
        return self.held.form.values.shape[0]

    @cached_property
    def sparse(self) -> _Arguments | None:
        """Those of a sparse form, as the kernel takes them."""
        rows = sparse_rows(self.held.form, self.outputs)
        if rows is None:
            return None
        columns, values = rows.columns.astype(np.uint16), rows.values
        if isinstance(values, Coded):
            return rows.starts, columns, None, values.indices, values.entries
        return rows.starts, columns, values, None, None

    @cached_property
    def coded(self) -> _Arguments | None:
        """Those of a form with a small codebook, as the kernel takes them."""
        table = coded(self.held.form, self.outputs)
        return None if table is None else (None, None, None, table.indices, table.entries)


class InnerProduct(Op):
    """Weights (N, K), or (K, N) with `transpose`, and bias (N,)."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        param = layer.param.inner_product_param
        self.transposed = param.transpose
        self.weights = _Weights(Held(parameters, 0), param.num_output, param.transpose)
        self.bias: Array | None = dense(parameters[1]).reshape(-1) if param.bias_term else None
        self.native = _engine.available() and not param.transpose
        self.finish = Finish(bias=self.bias)

    def followed(self, following: Op) -> InnerProduct | None:
        """Return it with an operation that is done while the values are still in registers."""
        param = self.layer.param.inner_product_param
        if not self.native or param.axis != 1:
            return None
        finish = self.finish.then(following, param.num_output)
        if finish is None:
            return None
        other = copy(self)
        other.finish = finish
        return other

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the number of rows."""
        try:
            return self._bind(bottoms, tops, threads)
        finally:
            self.weights.held.release()

    def _bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        outputs, inputs = self.weights.outputs, self.weights.inner
        work = prod(bottoms[0]) * outputs
        rows, workers = prod(bottoms[0]) // inputs, threads if work >= LEAST_SHARED else 1
        if self.range is not None and (int8 := self.weights.int8):
            return NativeKernel(
                int8_inner_product(rows, int8, self.range, self.finish, workers),
                self.finish.residual,
            )
        if self.native:
            layer = self._compressed(rows, workers) if self.compressed else None
            finish = self.finish.native(outputs)
            return NativeKernel(
                layer or _engine.Dense(rows, self.weights.plain, finish, workers),
                self.finish.residual,
            )
        from cmodel._gemm import inner_product  # loads SciPy

        workers = team(threads, work)
        weights = self.weights.plain

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            inner_product(
                bottoms[0].reshape(-1, inputs),
                weights,
                self.transposed,
                self.bias,
                tops[0].reshape(-1, outputs),
                workers,
            )

        return kernel

    def _compressed(self, rows: int, threads: int) -> _engine.Coded | None:
        """Return the kernel on compressed weights, None where there is none or it is slower."""
        weights = self.weights
        outputs, inner = weights.outputs, weights.inner
        found = None
        if weights.stored is not None:
            if sparse_product_pays(rows, outputs, inner, weights.stored):
                found = weights.sparse
        elif coded_pays(rows, outputs, inner):
            found = weights.coded
        if found is None:
            return None
        return _engine.Coded(rows, outputs, inner, *found, self.finish.native(outputs), threads)
