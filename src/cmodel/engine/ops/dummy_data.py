"""DummyData with constant fillers."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.engine.ops.op import Array, Kernel, Op
from cmodel.errors import UnsupportedError
from cmodel.net import Layer, Parameter, Shape


class DummyData(Op):
    """Constant tops. A random filler has no result that could be repeated, so it is refused."""

    def __init__(self, layer: Layer, parameters: Sequence[Parameter]) -> None:
        super().__init__(layer, parameters)
        fillers = layer.param.dummy_data_param.data_filler
        for filler in fillers:
            if filler.type != "constant":
                raise UnsupportedError(
                    f"DummyData with the random filler `{filler.type}`",
                    where=f"layer `{layer.key}` (DummyData)",
                    hint="make it an Input layer and feed the blob",
                )
        values = [filler.value for filler in fillers] or [0.0]
        self.values = values * len(layer.tops) if len(values) == 1 else values

    def bind(self, bottoms: Sequence[Shape], tops: Sequence[Shape], threads: int) -> Kernel:
        """Return a kernel that fills."""

        def kernel(bottoms: Sequence[Array], tops: Sequence[Array]) -> None:
            for top, value in zip(tops, self.values, strict=True):
                top.fill(value)

        return kernel
