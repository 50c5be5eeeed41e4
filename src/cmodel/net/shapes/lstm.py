"""LSTM and LSTMUnit."""

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


def lstm(layer: Layer, bottoms: Sequence[Shape]) -> LayerShapes:
    """Top (T, N, H) from x (T, N, ...), cont (T, N) and a static input (N, ...) if there is one.

    Parameters: weights of x (4H, I), bias (4H,), weights of the static input (4H, S), weights of
    the hidden state (4H, H).
    """
    expect_bottoms(layer, bottoms, 2, 3)
    expect_tops(layer, 1)
    expect_rank(layer, bottoms, 0, 3)
    hidden = positive(layer, layer.param.recurrent_param.num_output, "num_output")
    steps, streams = bottoms[0][:2]
    if bottoms[1] != (steps, streams):
        raise fail(
            layer,
            f"its shape {text(bottoms[1])} is not {steps}x{streams}: steps and streams",
            blob=layer.bottoms[1],
        )
    static: list[Shape] = []
    if len(bottoms) == 3:
        if bottoms[2][:1] != (streams,):
            raise fail(
                layer,
                f"its shape {text(bottoms[2])} does not start with the {streams} streams",
                blob=layer.bottoms[2],
            )
        static = [(4 * hidden, prod(bottoms[2][1:]))]
    inputs = prod(bottoms[0][2:])
    parameters = [(4 * hidden, inputs), (4 * hidden,), *static, (4 * hidden, hidden)]
    return LayerShapes([(steps, streams, hidden)], parameters)


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
