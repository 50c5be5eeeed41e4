"""Labelled images by index, for whoever needs them in an order of their own."""

from __future__ import annotations

import numpy as np

from cmodel.data.batching import Inputs, batches
from cmodel.data.source import FloatArray, IntArray
from cmodel.errors import DataError

# Prepared images of at most so many bytes are kept in memory.
HELD_BYTES = 2 << 30


class Labelled:
    """Images (N, C, H, W) as they are fed, and their labels, int64 (N,).

    images : one array, or prepared inputs, which are read once and kept if they take at most `most`
        bytes, and read anew each time otherwise.

    Raises
    ------
    DataError : there is no image, or not one label for each.
    """

    def __init__(
        self, images: FloatArray | Inputs, labels: IntArray | None, most: int = HELD_BYTES
    ) -> None:
        count = len(images) if isinstance(images, np.ndarray) else len(images.indices)
        where = None if isinstance(images, np.ndarray) else str(images.source.path)
        if not count:
            raise DataError("there is no image to train on", where=where)
        if labels is None:
            raise DataError(
                "training needs labels, and these images have none",
                where=where,
                hint="name their file with --train-labels",
            )
        labels = np.asarray(labels)
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise DataError(
                f"{count} images but labels {labels.dtype} of the shape {labels.shape}", where=where
            )
        self.labels: IntArray = labels.astype(np.int64)
        self.where = where
        self._images = images if isinstance(images, np.ndarray) else images.held(most)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: IntArray) -> FloatArray:
        """Return the images at these indices, in this order, as an array of its own."""
        if isinstance(self._images, np.ndarray):
            return np.ascontiguousarray(self._images[indices], np.float32)
        held = self._images
        read = batches(
            held.source,
            held.indices[indices],
            held.transform,
            held.input_shape,
            max(len(indices), 1),
            threads=0,
        )
        return next(read)[0]

    def check_classes(self, classes: int) -> None:
        """Check that every label is one of so many classes.

        Raises
        ------
        DataError
        """
        bad = np.flatnonzero((self.labels < 0) | (self.labels >= classes))
        if bad.size:
            raise DataError(
                f"label {self.labels[bad[0]]} of image {bad[0]} is none of the {classes} classes "
                "that the net scores",
                where=self.where,
                notes=[f"{bad.size} of {len(self)} labels are out of range"],
                hint="labels count from 0",
            )
