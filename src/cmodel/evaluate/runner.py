"""What evaluation asks of an engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cmodel.data import FloatArray
from cmodel.errors import DataError


class Runner(Protocol):
    """Something that runs a net; `cmodel.engine.Engine` does."""

    def run(
        self, feed: Mapping[str, NDArray[np.float32]], blobs: Sequence[str]
    ) -> Mapping[str, NDArray[np.float32]]:
        """Return the named blobs for these inputs."""


def scores_of(engine: Runner, input_blob: str, output_blob: str, x: FloatArray) -> FloatArray:
    """Return the scores of each class, float32 (N, classes), for a batch (N,C,H,W)."""
    output = engine.run({input_blob: x}, [output_blob])[output_blob]
    shape = output.shape
    if len(shape) < 2 or shape[0] != len(x) or any(n != 1 for n in shape[2:]):
        raise DataError(
            f"blob `{output_blob}` has the shape {'x'.join(map(str, shape))} for {len(x)} images: "
            "not a score for each class",
            hint="name the blob that holds the scores with `--output`",
        )
    return np.asarray(output, dtype=np.float32).reshape(len(x), shape[1])
