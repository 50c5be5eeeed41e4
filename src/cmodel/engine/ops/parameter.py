"""Parameter: a top that is the layer's parameter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op, dense
from cmodel.net import Layer, Shape
from cmodel.net import Parameter as Form


class Parameter(Op):
    """The values of the parameter."""

    def __init__(self, layer: Layer, parameters: Sequence[Form]) -> None:
        super().__init__(layer, parameters)
        self.values = dense(parameters[0])

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return a kernel that copies."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            np.copyto(tops[0], self.values.reshape(tops[0].shape))

        return kernel
