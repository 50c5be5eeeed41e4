"""What may follow a sum before its results leave the registers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmodel._engine import Finish as Native
from cmodel.engine.ops.batch_norm import BatchNorm
from cmodel.engine.ops.bias import Bias
from cmodel.engine.ops.eltwise import Eltwise
from cmodel.engine.ops.op import Array, Op
from cmodel.engine.ops.relu import ReLU
from cmodel.engine.ops.scale import Scale

Wide = NDArray[np.float64]


@dataclass(frozen=True)
class Finish:
    """rectify(sum * scale + bias + residual): each part may be missing.

    scale, bias : by output, (outputs,). residual : another blob is added. slope : of the ReLU.
    """

    scale: Array | None = None
    bias: Array | None = None
    residual: bool = False
    slope: float | None = None

    def then(self, following: Op, outputs: int) -> Finish | None:
        """Return this with an operation after it, or None where it does not fit.

        The operation's axis of parameters, where it has one, is that of the outputs.
        """
        if self.slope is not None:
            return None
        if isinstance(following, ReLU):
            return replace(self, slope=following.slope)
        if self.residual:
            return None
        if isinstance(following, Eltwise):
            return replace(self, residual=True) if following.adds_two else None
        affine = _affine(following, outputs)
        return None if affine is None else self._and(*affine)

    def _and(self, factor: Wide, offset: Wide) -> Finish:
        before = np.zeros(1, np.float64) if self.bias is None else self.bias.astype(np.float64)
        scale = factor if self.scale is None else self.scale * factor
        return replace(
            self,
            scale=scale.astype(np.float32),
            bias=np.asarray(before * factor + offset).astype(np.float32),
        )

    def native(self, outputs: int) -> Native:
        """Return it as the compiled kernels take it."""
        return Native(outputs, self.scale, self.bias, self.slope)


def _affine(op: Op, outputs: int) -> tuple[Wide, Wide] | None:
    """Return factor and offset of an operation by channel, in float64, or None."""
    if isinstance(op, BatchNorm) and op.stored and op.mean.size == outputs:
        inverse = 1 / np.sqrt(op.variance.astype(np.float64) + op.eps)
        return inverse, -op.mean * inverse
    if not isinstance(op, Scale | Bias) or not op.by_channel:
        return None
    factor = op.factor if isinstance(op, Scale) else np.ones(outputs, np.float32)
    offset = np.zeros(outputs, np.float32) if op.offset is None else op.offset
    if factor is None or factor.size != outputs or offset.size != outputs:
        return None
    return factor.astype(np.float64), offset.astype(np.float64)
