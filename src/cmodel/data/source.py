"""Source: labelled items by index, read when they are asked for. And the limits on what is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.data.pixels import to_gray
from cmodel.errors import DataError, LimitError

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]
# An image, uint8 (H,W,3) RGB or (H,W) gray, still to be transformed; float32 as it is fed; or
# planes (see `Source.planes`).
Item = NDArray[np.uint8] | NDArray[np.float32]
# Items one by one, or stacked along a new first axis.
Items = Sequence[Item] | Item

MAX_IMAGE_BYTES = 64 << 20  # of an encoded image, and of a member of a zip once unpacked
MAX_IMAGE_PIXELS = 64 << 20
MAX_ARRAY_BYTES = 4 << 30  # of a compressed array once unpacked; a plain .npy is mapped
MAX_TEXT_BYTES = 256 << 20


class Source(ABC):
    """Items by index, 0 to ``len(source) - 1``. Nothing is read before `read` is called.

    path : the file or folder it was opened from.
    names : one for each item, to print: a file's path in the source, or the index.
    labels : int64 (N,), or None where there are none.
    as_fed : whether items are float32 arrays that reach the net unchanged: no transform applies.
    planes : whether items are C,H,W in the order that the net takes channels in, uint8 or float32:
        the transform applies, except for its channel order.
    """

    as_fed = False
    planes = False

    def __init__(self, path: Path, names: Sequence[str], *, gray: bool = False) -> None:
        if not names:
            raise DataError("there are no images in this source", where=str(path))
        self.path = path
        self.names = names
        self.labels: IntArray | None = None
        self._gray = gray

    def __len__(self) -> int:
        return len(self.names)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what the source holds open."""
        return

    def set_labels(self, labels: IntArray, where: str) -> None:
        """Take these labels, (N,) one for each item; `where` names their file in the error."""
        if len(labels) != len(self):
            raise DataError(
                f"{len(self)} images but {len(labels)} labels",
                where=where,
                notes=(f"images: {self.path}",),
            )
        self.labels = labels

    def read(self, indices: Sequence[int] | IntArray) -> Items:
        """Return the items at these indices, in this order."""
        items = self._read(np.asarray(indices, dtype=np.int64))
        if not self._gray or self.as_fed or self.planes:
            return items
        if isinstance(items, np.ndarray):
            return to_gray(items) if items.ndim == 4 else items
        return [to_gray(item) if item.ndim == 3 else item for item in items]

    @abstractmethod
    def _read(self, indices: IntArray) -> Items:
        """Return the items as they are stored."""


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the bytes of a file of at most `limit` bytes."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > limit:
        raise LimitError(f"the file is larger than {limit >> 20} MiB", where=str(path))
    return data


def decode_text(data: bytes, where: str) -> list[str]:
    """Return the lines of UTF-8 text."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 text (byte {error.start})", where=where) from error
    return text.split("\n")
