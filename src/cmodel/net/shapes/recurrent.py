"""RNN, LSTM and LSTMUnit."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel.net.net import Layer, Shape
from cmodel.net.shapes.rule import (
    LayerShapes,
    expect_bottoms,
    expect_rank,
    expect_tops,
    fail,
    positive,
    text,
)

# What a layer keeps from step to step: an RNN its hidden state, an LSTM its cell too.
RNN_STATES, LSTM_STATES = 1, 2


def has_static_input(layer: Layer, states: int) -> bool:
    """Whether a bottom follows x and cont that is the same at every step."""
    exposed = states if layer.param.recurrent_param.expose_hidden else 0
    return len(layer.bottoms) > 2 + exposed


def _recurrent(layer: Layer, bottoms: Sequence[Shape], states: int) -> tuple[list[Shape], Shape]:
    """Check the blobs of a layer with so many states; return its tops and the input sizes.

    Bottoms: x (T, N, ...), cont (T, N), a static input (N, ...) if there is one, and with
    `expose_hidden` the first states (1, N, H). Tops: (T, N, H), and the last states.
    """
    exposed = states if layer.param.recurrent_param.expose_hidden else 0
    expect_bottoms(layer, bottoms, 2 + exposed, 3 + exposed)
    expect_tops(layer, 1 + exposed)
    expect_rank(layer, bottoms, 0, 3)
    hidden = positive(layer, layer.param.recurrent_param.num_output, "num_output")
    steps, streams = bottoms[0][:2]
    if bottoms[1] != (steps, streams):
        raise fail(
            layer,
            f"its shape {text(bottoms[1])} is not {steps}x{streams}: steps and streams",
            blob=layer.bottoms[1],
        )
    sizes = [prod(bottoms[0][2:])]
    if has_static_input(layer, states):
        if bottoms[2][:1] != (streams,):
            raise fail(
                layer,
                f"its shape {text(bottoms[2])} does not start with the {streams} streams",
                blob=layer.bottoms[2],
            )
        sizes.append(prod(bottoms[2][1:]))
    state = (1, streams, hidden)
    for name, shape in list(zip(layer.bottoms, bottoms, strict=True))[len(bottoms) - exposed :]:
        if shape != state:
            raise fail(layer, f"its shape {text(shape)} is not {text(state)}", blob=name)
    return [(steps, streams, hidden), *[state] * exposed], tuple(sizes)


def rnn(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (T, N, H) from x, cont and a static input if there is one.

    Parameters: weights of x (H, I), bias (H,), weights of the static input (H, S), of the hidden
    state (H, H), of the output (H, H) and its bias (H,).
    """
    tops, (inputs, *static) = _recurrent(layer, bottoms, RNN_STATES)
    hidden = tops[0][2]
    parameters: list[Shape] = [(hidden, inputs), (hidden,), *((hidden, size) for size in static)]
    return LayerShapes(tops, [*parameters, (hidden, hidden), (hidden, hidden), (hidden,)])


def lstm(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (T, N, H) from x, cont and a static input if there is one.

    Parameters: weights of x (4H, I), bias (4H,), weights of the static input (4H, S), weights of
    the hidden state (4H, H).
    """
    tops, (inputs, *static) = _recurrent(layer, bottoms, LSTM_STATES)
    gates = 4 * tops[0][2]
    parameters: list[Shape] = [(gates, inputs), (gates,), *((gates, size) for size in static)]
    return LayerShapes(tops, [*parameters, (gates, tops[0][2])])


def lstm_unit(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Tops (1, N, H), cell and hidden state, from (1, N, H), gates (1, N, 4H) and cont (1, N)."""
    expect_bottoms(layer, bottoms, 3)
    expect_tops(layer, 2)
    expect_rank(layer, bottoms, 0, 3, 3)
    one, streams, hidden = bottoms[0]
    wanted = [(one, streams, hidden), (one, streams, 4 * hidden), (one, streams)]
    for name, shape, needed in zip(layer.bottoms, bottoms, wanted, strict=True):
        if shape != needed or one != 1:
            raise fail(layer, f"its shape {text(shape)} is not {text(needed)}", blob=name)
    return LayerShapes([bottoms[0]] * 2)
