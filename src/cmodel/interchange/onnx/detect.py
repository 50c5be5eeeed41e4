"""Telling an ONNX model from Caffe's files, by content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from cmodel.errors import InputError

# Fields of ONNX's ModelProto with their wire types: 0 a number, 2 bytes. In a caffemodel field 1 is
# the name, so bytes; and no text starts like this.
_FIELDS = {(1, 0), (2, 2), (3, 2), (4, 2), (5, 0), (6, 2), (7, 2), (8, 2), (14, 2), (20, 2)}
_FIELDS |= {(25, 2), (26, 2)}
MAX_FIELDS = 10_000


def is_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether a file is laid out as an ONNX model: its outermost fields are looked at.

    Raises
    ------
    InputError : it cannot be read.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            return _has_model_fields(stream, file.stat().st_size)
    except OSError as error:
        raise InputError(f"cannot read it: {error.strerror}", where=str(file)) from error


def _has_model_fields(stream: BinaryIO, size: int) -> bool:
    seen = set()
    for _ in range(MAX_FIELDS):
        tag = _varint(stream)
        if tag is None:
            break
        field, wire = tag >> 3, tag & 7
        value = _varint(stream)
        if (field, wire) not in _FIELDS or value is None:
            return False
        seen.add(field)
        if wire == 2:
            # A file that is cut short is still an ONNX model: its reader says what is wrong.
            if stream.tell() + value >= size:
                break
            stream.seek(value, os.SEEK_CUR)
    # The version of the format, and either the graph or the versions of its operators.
    return 1 in seen and bool(seen & {7, 8})


def _varint(stream: BinaryIO) -> int | None:
    value = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << shift
        if byte[0] < 128:
            return value
    return None
