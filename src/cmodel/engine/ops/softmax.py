"""Softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from cmodel import _engine
from cmodel.engine.ops.op import ELEMENT, Kernel, NativeKernel, Op, team
from cmodel.net import Shape


class Softmax(Op):
    """exp(x - max) over its sum, along one axis."""

    overwrites = True
    multiplies = False

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the bottom's shape."""
        bottom = bottoms[0]
        axis = self.layer.param.softmax_param.axis % len(bottom)
        before, behind = prod(bottom[:axis]), prod(bottom[axis + 1 :])
        workers = team(threads, prod(bottom) * ELEMENT)
        return NativeKernel(_engine.Softmax(before, bottom[axis], behind, workers))
