"""RNN, LSTM and LSTMUnit."""

from __future__ import annotations

import numpy as np

from cmodel.engine.reference.registry import Call, Doubles, register, sigmoid


def _lstm_step(cell: Doubles, gates: Doubles, goes_on: Doubles) -> tuple[Doubles, Doubles]:
    admit, keep, show, value = np.split(gates, 4, axis=1)
    new = goes_on[:, None] * sigmoid(keep) * cell + sigmoid(admit) * np.tanh(value)
    return new, sigmoid(show) * np.tanh(new)


@register("LSTMUnit")
def _lstm_unit(call: Call) -> list[Doubles]:
    return list(_lstm_step(call.bottoms[0][0], call.bottoms[1][0], call.bottoms[2][0]))


def _first_states(call: Call, states: int) -> list[Doubles]:
    if call.layer.param.recurrent_param.expose_hidden:
        return [bottom[0] for bottom in call.bottoms[-states:]]
    return [np.zeros(call.tops[0][1:])] * states


@register("LSTM")
def _lstm(call: Call) -> list[Doubles]:
    weights, bias, *static, recurrent = call.parameters
    streams = call.tops[0][1]
    state, cell = _first_states(call, 2)
    states = []
    for x, goes_on in zip(call.bottoms[0], call.bottoms[1], strict=True):
        gates = x.reshape(streams, -1) @ weights.T + bias
        if static:
            gates += call.bottoms[2].reshape(streams, -1) @ static[0].T
        gates += (goes_on[:, None] * state) @ recurrent.T
        cell, state = _lstm_step(cell, gates, goes_on)
        states.append(state)
    return [np.stack(states), state, cell][: len(call.tops)]


@register("RNN")
def _rnn(call: Call) -> list[Doubles]:
    weights, bias, *static, recurrent, out, out_bias = call.parameters
    streams = call.tops[0][1]
    (state,) = _first_states(call, 1)
    outputs = []
    for x, goes_on in zip(call.bottoms[0], call.bottoms[1], strict=True):
        total = x.reshape(streams, -1) @ weights.T + bias
        if static:
            total += call.bottoms[2].reshape(streams, -1) @ static[0].T
        state = np.tanh(total + (goes_on[:, None] * state) @ recurrent.T)
        outputs.append(np.tanh(state @ out.T + out_bias))
    return [np.stack(outputs), state][: len(call.tops)]
