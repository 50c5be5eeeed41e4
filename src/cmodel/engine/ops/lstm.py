"""LSTM over a sequence, from a state of zeros."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel._gemm import inner_product
from cmodel.engine.ops.lstm_unit import step
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.errors import UnsupportedError
from cmodel.net import Layer, Parameter, Shape


class LSTM(Op):
    """Weights of the input, bias, weights of the static input if any, of the hidden state."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        if layer.param.recurrent_param.expose_hidden:
            raise UnsupportedError("expose_hidden", where=f"layer `{layer.key}` (LSTM)")
        rows = 4 * layer.param.recurrent_param.num_output
        matrices = [dense(parameter) for parameter in parameters]
        self.bias = matrices.pop(1).reshape(-1)
        self.weights, *self.static, self.recurrent = (m.reshape(rows, -1) for m in matrices)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to steps and streams."""
        steps, streams, hidden = tops[0]
        inputs = self.weights.shape[1]
        workers = team(threads, steps * streams * self.weights.size)
        sums = np.empty((steps * streams, 4 * hidden), np.float32)
        recurrent = np.empty((streams, 4 * hidden), np.float32)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(-1, inputs)
            inner_product(x, self.weights, False, self.bias, sums, workers)
            gates = sums.reshape(steps, streams, 4 * hidden)
            for weights in self.static:
                still = bottoms[2].reshape(streams, -1)
                inner_product(still, weights, False, None, recurrent, 1)
                gates += recurrent
            state = cell = np.zeros((streams, hidden), np.float32)
            for t in range(steps):
                goes_on = bottoms[1][t, :, None]
                inner_product(goes_on * state, self.recurrent, False, None, recurrent, 1)
                cell, state = step(cell, gates[t] + recurrent, goes_on)
                tops[0][t] = state

        return kernel
