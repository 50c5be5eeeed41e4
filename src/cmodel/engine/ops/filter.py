"""Filter: the items of a batch that a selector lets through."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.engine.ops.op import Array, DynamicOp


class Filter(DynamicOp):
    """Items whose value in the last bottom is not 0."""

    def compute(self, bottoms: Sequence[Array]) -> list[Array]:
        """Return the items let through, of each bottom but the last."""
        chosen = bottoms[-1].reshape(-1) != 0
        return [bottom[chosen] for bottom in bottoms[:-1]]
