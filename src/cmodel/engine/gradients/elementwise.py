"""Backward passes of activations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.gradients.gradient import Elementwise, Pass
from cmodel.engine.ops.op import Array, dense
from cmodel.net import Layer, Parameter


class ReLU(Elementwise):
    """1 above zero, the slope below."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.slope = np.float32(layer.param.relu_param.negative_slope)
        # The sign of the top tells that of the bottom: a fused ReLU leaves no bottom.
        self.reads_tops = bool(self.slope >= 0)
        self.reads_bottoms = not self.reads_tops

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        values = (at.tops or at.bottoms)[0]
        return np.where(values > 0, np.float32(1), self.slope)


class ReLU6(Elementwise):
    """1 between 0 and 6."""

    reads_tops = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        y = at.tops[0]
        return ((y > 0) & (y < 6)).astype(np.float32)


class Clip(Elementwise):
    """1 between min and max."""

    reads_bottoms = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        param, x = self.layer.param.clip_param, at.bottoms[0]
        return ((x > np.float32(param.min)) & (x < np.float32(param.max))).astype(np.float32)


class PReLU(Elementwise):
    """1 above zero, the channel's slope below."""

    reads_bottoms = True

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.slopes = dense(parameters[0]).reshape(-1)

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        x = at.bottoms[0]
        return np.where(x > 0, np.float32(1), self.slopes.reshape(-1, *(1,) * (x.ndim - 2)))


class ELU(Elementwise):
    """1 above zero, alpha exp(x) below."""

    reads_bottoms = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        x = at.bottoms[0]
        alpha = np.float32(self.layer.param.elu_param.alpha)
        return np.where(x > 0, np.float32(1), alpha * np.exp(np.minimum(x, 0)))


class Sigmoid(Elementwise):
    """y (1 - y)."""

    reads_tops = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        y = at.tops[0]
        return y * (1 - y)


class TanH(Elementwise):
    """1 - y²."""

    reads_tops = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        return 1 - np.square(at.tops[0])


class Swish(Elementwise):
    """The derivative of x sigmoid(beta x)."""

    reads_bottoms = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        scaled = at.bottoms[0] * np.float32(self.layer.param.swish_param.beta)
        sigmoid: Array = np.float32(0.5) * np.tanh(np.float32(0.5) * scaled) + np.float32(0.5)
        return sigmoid * (1 + scaled * (1 - sigmoid))


class AbsVal(Elementwise):
    """The sign."""

    reads_bottoms = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        return np.sign(at.bottoms[0])


class Power(Elementwise):
    """power scale (shift + scale x)^(power - 1)."""

    reads_bottoms = True

    def derivative(self, at: Pass) -> Array:
        """Return it."""
        param = self.layer.param.power_param
        factor = np.float32(param.power * param.scale)
        if factor == 0 or param.power == 1:
            return np.full((1,) * len(at.bottom_shapes[0]), factor, np.float32)
        base = np.float32(param.shift) + np.float32(param.scale) * at.bottoms[0]
        slope: Array = factor * np.power(base, np.float32(param.power - 1))
        return slope
