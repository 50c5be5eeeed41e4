"""What steps that train are given: labelled images and where to leave checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmodel.data import FloatArray, Labelled, sample
from cmodel.errors import DataError
from cmodel.net import Net

# Training images that calibrate where no others are given.
_CALIBRATE = 500


@dataclass(frozen=True)
class Training:
    """What a recipe trains on.

    images : with labels; never those that accuracy is measured on.
    epochs : of the whole recipe, shared out among its steps in proportion to what they ask for;
        None leaves the steps theirs.
    checkpoints : folder in which each step leaves its state after each epoch, so that a run that
        was killed goes on from there to the same result; None leaves none.
    """

    images: Labelled
    epochs: int | None = None
    checkpoints: Path | None = None

    def some(self, net: Net, seed: int) -> FloatArray:
        """Return images to calibrate on, of every class.

        Raises
        ------
        DataError : the images do not fit the net.
        """
        found = self.images.take(sample(self.images.labels, _CALIBRATE, seed))
        declared = next(iter(net.inputs.values()), None)
        if declared is not None and found.shape[1:] != declared[1:]:
            raise DataError(
                f"an image to train on has the shape {found.shape[1:]}; the net takes "
                f"{declared[1:]}",
                where=self.images.where,
            )
        return found

    def lesson(self, number: int, seed: int, pace: float) -> Lesson:
        """Return what step `number` of a recipe gets."""
        file = None if self.checkpoints is None else self.checkpoints / f"step{number + 1}.npz"
        return Lesson(self.images, seed, pace, file)


@dataclass(frozen=True)
class Lesson:
    """What one step trains on.

    pace : factor of the step's own number of epochs.
    checkpoint : file for its state, or None.
    """

    images: Labelled
    seed: int = 0
    pace: float = 1.0
    checkpoint: Path | None = None


def pace_of(options: Iterable[Any], training: Training | None) -> float:
    """Return the factor of the steps' epochs that makes them last as long as was asked for.

    Options of steps that train have `total_epochs`.
    """
    wanted = sum(getattr(one, "total_epochs", 0) for one in options)
    if training is None or training.epochs is None or not wanted:
        return 1.0
    return training.epochs / wanted
