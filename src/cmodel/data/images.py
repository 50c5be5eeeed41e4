"""Image files, folders of them, and Caffe's ImageData lists; decoded by Pillow.

Pixels are those that OpenCV's `imread` gives: transparency is dropped, 16-bit channels keep their
upper 8 bits, and the EXIF orientation is applied (OpenCV does so since 3.1; older builds of Caffe
did not turn such images). Images of one channel stay gray.
"""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cmodel.data.labels import parse_list
from cmodel.data.source import (
    MAX_IMAGE_BYTES,
    MAX_IMAGE_PIXELS,
    MAX_TEXT_BYTES,
    IntArray,
    Items,
    Source,
    decode_text,
    read_bytes,
)
from cmodel.errors import DataError, LimitError, MissingExtraError

LIST_NAME = "list.txt"
SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm"}
)
_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
_ORIENTATION = 0x0112
# What Pillow's decoders are known to raise on damaged files.
_DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


class ImageFiles(Source):
    """Images in files of their own."""

    def __init__(
        self, path: Path, files: Sequence[Path], names: Sequence[str], *, gray: bool = False
    ) -> None:
        super().__init__(path, names, gray=gray)
        self._files = files

    def _read(self, indices: IntArray) -> Items:
        files = (self._files[i] for i in indices)
        return [decode_image(read_bytes(file, MAX_IMAGE_BYTES), str(file)) for file in files]


def is_image(head: bytes) -> bool:
    """Whether a file that starts so is an image."""
    return (
        head.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"II*\0", b"MM\0*"))
        or (head.startswith(b"BM") and head[6:10] == bytes(4))
        or (head.startswith(b"RIFF") and head[8:12] == b"WEBP")
        or (
            head[:1] == b"P" and head[1:2] in b"2356" and head[2:3] in b"\n\r\t #" and len(head) > 2
        )
    )


def open_image(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open one image file."""
    del own_labels  # there are none
    return ImageFiles(path, [path], [path.name], gray=gray)


def open_folder(path: Path, *, own_labels: bool, gray: bool) -> Source:
    """Open the images of a folder in the order of their names.

    In sub-folders they have the position of their sub-folder among the sorted names as label.
    Images in the folder itself, and those of a single sub-folder, have none. A list.txt in the
    folder is followed instead.
    """
    if (path / LIST_NAME).is_file():
        return open_list(path / LIST_NAME, own_labels=own_labels, gray=gray, root=None)
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
    flat = [entry for entry in entries if _is_image_name(entry.name) and entry.is_file()]
    folders = [entry for entry in entries if entry.is_dir()]
    nested = [_images_below(folder) for folder in folders]
    if flat and any(nested):
        raise DataError(
            "images lie both in the folder and in its sub-folders: labels are unclear",
            where=str(path),
            notes=(f"for example {flat[0].name} and a file in {folders[0].name}/",),
        )
    files = flat or [file for group in nested for file in group]
    source = ImageFiles(
        path, files, [file.relative_to(path).as_posix() for file in files], gray=gray
    )
    if own_labels and not flat and len(folders) > 1:
        counts = [len(group) for group in nested]
        source.set_labels(np.repeat(np.arange(len(folders), dtype=np.int64), counts), str(path))
    return source


def open_list(path: Path, *, own_labels: bool, gray: bool, root: Path | None) -> Source:
    """Open the images of a list file.

    Paths are relative to `root`, or to the list's folder, or to the working directory if the first
    of them is there.
    """
    listing = parse_list(decode_text(read_bytes(path, MAX_TEXT_BYTES), str(path)), str(path))
    folder = os.fspath(path.parent if root is None else root)
    if root is None and _only_here(listing.paths[:1], path.parent):
        folder = ""
    # os.path and not Path.is_file: lists of a million lines are checked in seconds.
    files = [os.path.join(folder, entry) for entry in listing.paths]  # noqa: PTH118
    for number, file in zip(listing.lines, files, strict=True):
        if "\0" in file or not os.path.isfile(file):  # noqa: PTH113
            raise DataError(
                f"there is no file {file!r}",
                where=f"{path}:{number}",
                hint="paths are relative to the list, or to the folder given with `--root`",
            )
    source = ImageFiles(path, [Path(file) for file in files], listing.paths, gray=gray)
    if own_labels and listing.labels is not None:
        source.set_labels(listing.labels, str(path))
    return source


def _only_here(first: Sequence[str], folder: Path) -> bool:
    """Whether the first file of a list is in the working directory and not in the list's folder."""
    return any(
        "\0" not in name and not (folder / name).is_file() and Path(name).is_file()
        for name in first
    )


def decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an image file to uint8 (H,W,3) RGB, or (H,W) if it is gray; `where` is for errors."""
    pillow, operations = _pillow()
    bombs = (pillow.DecompressionBombError, pillow.DecompressionBombWarning)
    try:
        with pillow.open(io.BytesIO(data), formats=_FORMATS) as image:
            width, height = image.size
            if width * height > MAX_IMAGE_PIXELS:
                raise _too_large(f"{height}x{width} pixels", where)
            if image.getexif().get(_ORIENTATION, 1) != 1:
                image = operations.exif_transpose(image)
            mode = image.mode
            if mode == "F":
                raise DataError("floating point images are not supported", where=where)
            if mode.startswith("I"):
                wide = np.asarray(image, dtype=np.int32) >> 8
                return wide.clip(0, 255).astype(np.uint8)
            if mode in ("P", "PA"):
                image = image.convert("RGBA")
            gray = mode in ("1", "L", "LA", "La")
            return np.asarray(image.convert("L" if gray else "RGB"), dtype=np.uint8)
    except bombs as error:
        raise _too_large("too many pixels", where) from error
    except pillow.UnidentifiedImageError as error:
        raise DataError(
            "not an image of a known format", where=where, notes=(", ".join(_FORMATS),)
        ) from error
    except _DECODER_ERRORS as error:
        raise DataError(f"the image is damaged: {error}", where=where) from error


def _pillow() -> tuple[ModuleType, ModuleType]:
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise MissingExtraError("reading image files", "images") from error
    return Image, ImageOps


def _too_large(what: str, where: str) -> LimitError:
    return LimitError(f"the image has {what}; the limit is {MAX_IMAGE_PIXELS} pixels", where=where)


def _is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES


def _raise(error: OSError) -> None:
    raise error


def _images_below(folder: Path) -> list[Path]:
    return sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder, onerror=_raise)
        for name in names
        if _is_image_name(name) and not name.startswith(".")
    )
