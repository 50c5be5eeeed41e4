"""Other files than ours: a Net as caffemodel, HDF5, npz, safetensors or ONNX, and ONNX as a Net."""

from __future__ import annotations

import os

from cmodel.interchange.export import FORMATS, export, format_of
from cmodel.interchange.extras import need
from cmodel.interchange.onnx.detect import is_onnx
from cmodel.net import Net

__all__ = ["FORMATS", "export", "format_of", "is_onnx", "read_onnx"]


def read_onnx(path: str | os.PathLike[str]) -> Net:
    """Read an ONNX model as a net; see `cmodel.interchange.onnx.reader`.

    Raises
    ------
    MissingExtraError : the package onnx is not installed.
    InputError, UnsupportedError, LimitError : as the reader says.
    """
    need("onnx", "reading ONNX", "onnx")
    from cmodel.interchange.onnx import reader

    return reader.read_onnx(os.fspath(path))
