"""ArgMax: the places, or the values, of the largest entries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.net import Shape


class ArgMax(Op):
    """The `top_k` largest; among equals the highest index comes first."""

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Bind to the axis, or to all axes but the first."""
        param = self.layer.param.argmax_param
        count, with_values = param.top_k, param.out_max_val

        def largest(x: Array) -> tuple[Array, Array]:
            # Last axis: a stable ascending sort, read from the end, gives equals from the end too.
            order = np.argsort(x, axis=-1, kind="stable")[..., ::-1][..., :count]
            return order.astype(np.float32), np.take_along_axis(x, order, axis=-1)

        def along_axis(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            places, values = largest(np.moveaxis(bottoms[0], param.axis, -1))
            np.copyto(tops[0], np.moveaxis(values if with_values else places, -1, param.axis))

        def flat(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            images = bottoms[0].shape[0]
            places, values = largest(bottoms[0].reshape(images, -1))
            rows = (places, values) if with_values else (places,)
            np.copyto(tops[0], np.stack(rows, axis=1).reshape(tops[0].shape))

        return along_axis if param.HasField("axis") else flat
