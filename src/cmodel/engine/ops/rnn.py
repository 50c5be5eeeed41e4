"""RNN over a sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op, dense, team
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.recurrent import RNN_STATES, has_static_input


class RNN(Op):
    """The hidden state is tanh of sums over input and last state; the output tanh of its own sum.

    Weights of the input, bias, weights of the static input if any, of the hidden state, of the
    output, and its bias. The first state is 0 unless it is a bottom.
    """

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        rows = layer.param.recurrent_param.num_output
        values = [dense(parameter) for parameter in parameters]
        self.out_bias = values.pop().reshape(-1)
        self.bias = values.pop(1).reshape(-1)
        matrices = [matrix.reshape(rows, -1) for matrix in values]
        self.weights, *self.static, self.recurrent, self.out = matrices

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to steps and streams."""
        from cmodel._gemm import inner_product  # loads SciPy

        steps, streams, hidden = tops[0]
        inputs = self.weights.shape[1]
        workers = team(threads, steps * streams * self.weights.size)
        sums = np.empty((steps * streams, hidden), np.float32)
        states = np.empty((steps, streams, hidden), np.float32)
        recurrent = np.empty((streams, hidden), np.float32)
        exposed = self.layer.param.recurrent_param.expose_hidden
        static = has_static_input(self.layer, RNN_STATES)

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            x = bottoms[0].reshape(-1, inputs)
            inner_product(x, self.weights, False, self.bias, sums, workers)
            steps_sums = sums.reshape(steps, streams, hidden)
            if static:
                still = bottoms[2].reshape(streams, -1)
                inner_product(still, self.static[0], False, None, recurrent, 1)
                steps_sums += recurrent
            state = bottoms[-1][0] if exposed else np.zeros((streams, hidden), np.float32)
            for t in range(steps):
                goes_on = bottoms[1][t, :, None]
                inner_product(goes_on * state, self.recurrent, False, None, recurrent, 1)
                state = np.tanh(steps_sums[t] + recurrent, out=states[t])
            flat = tops[0].reshape(-1, hidden)
            inner_product(states.reshape(-1, hidden), self.out, False, self.out_bias, flat, workers)
            np.tanh(tops[0], out=tops[0])
            if exposed:
                np.copyto(tops[1][0], state)

        return kernel
