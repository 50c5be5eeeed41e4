"""LSTM over a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.lstm_unit import step
from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.recurrent import LSTM_STATES, has_static_input


class LSTM(Op):
    """Weights of the input, bias, weights of the static input if any, of the hidden state.

    The first hidden state and cell are 0 unless they are bottoms.
    """

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        rows = 4 * layer.param.recurrent_param.num_output
        matrices = [dense(parameter) for parameter in parameters]
        self.bias = matrices.pop(1).reshape(-1)
        self.weights, *self.static, self.recurrent = (m.reshape(rows, -1) for m in matrices)

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to steps and streams."""
        from cmodel._gemm import inner_product  # loads SciPy

        steps, streams, hidden = tops[0]
        inputs = self.weights.shape[1]
        workers = team(threads, steps * streams * self.weights.size)
        sums = np.empty((steps * streams, 4 * hidden), np.float32)
        recurrent = np.empty((streams, 4 * hidden), np.float32)
        exposed = self.layer.param.recurrent_param.expose_hidden
        static = has_static_input(self.layer, LSTM_STATES)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(-1, inputs)
            inner_product(x, self.weights, False, self.bias, sums, workers)
            gates = sums.reshape(steps, streams, 4 * hidden)
            if static:
                still = bottoms[2].reshape(streams, -1)
                inner_product(still, self.static[0], False, None, recurrent, 1)
                gates += recurrent
            state = cell = np.zeros((streams, hidden), np.float32)
            if exposed:
                state, cell = bottoms[-2][0], bottoms[-1][0]
            for t in range(steps):
                goes_on = bottoms[1][t, :, None]
                inner_product(goes_on * state, self.recurrent, False, None, recurrent, 1)
                cell, state = step(cell, gates[t] + recurrent, goes_on)
                tops[0][t] = state
            if exposed:
                tops[1][0], tops[2][0] = state, cell

        return kernel
