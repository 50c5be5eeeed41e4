"""Backward passes of Pooling: MAX and AVE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel._gradients import average_pool, max_pool
from cmodel.engine.gradients.gradient import Gradient, Pass
from cmodel.engine.ops.op import ELEMENT, Array, team
from cmodel.net import Layer, Parameter
from cmodel.net.shapes.windows import pooling_window
from cmodel.proto import caffe_pb2


class Pooling(Gradient):
    """Windows clipped as Caffe clips them; the positions of the maxima have no gradient."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        self.reads_bottoms = layer.param.pooling_param.pool == caffe_pb2.PoolingParameter.MAX

    def run(self, at: Pass) -> list[Array]:
        """Give each window's gradient to its maximum, or in equal parts to its elements."""
        bottom, top = at.bottom_shapes[0], at.top_shapes[0]
        window = pooling_window(self.layer, bottom)
        planes = bottom[0] * bottom[1]
        gradient = np.ascontiguousarray(at.gradients[0]).reshape(at.count, planes, *top[2:])
        out = np.zeros((at.count, planes, *bottom[2:]), np.float32)
        geometry = (window.kernel, window.stride, window.pad)
        workers = team(at.threads, out.size * ELEMENT)
        if self.reads_bottoms:
            max_pool(at.bottoms[0].reshape(planes, *bottom[2:]), gradient, out, *geometry, workers)
        else:
            average_pool(gradient, out, *geometry, workers)
        return [out.reshape(at.count, *bottom)]
