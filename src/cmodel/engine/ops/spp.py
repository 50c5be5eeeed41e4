"""SPP: pooling over a pyramid of bins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.engine.ops.pooling import pooling_kernel
from cmodel.errors import UnsupportedError
from cmodel.net import Layer, Parameter, Shape
from cmodel.net.shapes.spp import spp_windows
from cmodel.proto import caffe_pb2


class SPP(Op):
    """The levels of the pyramid, flattened, one after another."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        kinds = caffe_pb2.SPPParameter
        if layer.param.spp_param.pool == kinds.STOCHASTIC:
            raise UnsupportedError("stochastic pooling", where=f"layer `{layer.key}` (SPP)")
        self.maximum = layer.param.spp_param.pool == kinds.MAX

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind the pooling of each level."""
        bottom = bottoms[0]
        windows = spp_windows(self.layer, bottom)
        kernels = [pooling_kernel(window, self.maximum, bottom, threads) for window in windows]
        levels = [
            np.empty((*bottom[:2], 2**level, 2**level), np.float32) for level in range(len(windows))
        ]

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            for pool, level in zip(kernels, levels, strict=True):
                pool(bottoms, [level])
            images = bottoms[0].shape[0]
            parts = [level.reshape(images, -1) for level in levels]
            np.concatenate(parts, axis=1, out=tops[0].reshape(images, -1))

        return kernel
