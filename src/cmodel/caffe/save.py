"""A Net becomes a caffemodel (and, by `print_prototxt`, its prototxt)."""

from __future__ import annotations

from collections.abc import Collection
from math import prod
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from cmodel.caffe.wire import encode_varint
from cmodel.net import Layer, Net
from cmodel.proto import caffe_pb2

# Tags of length-delimited fields.
_LAYER = encode_varint(100 << 3 | 2)
_BLOBS = encode_varint(7 << 3 | 2)
_DATA = encode_varint(5 << 3 | 2)
_SHAPE = encode_varint(7 << 3 | 2)


def write_caffemodel(net: Net, file: BinaryIO, *, without: Collection[str] = ()) -> int:
    """Write a net with its parameters as a V2 caffemodel; return the number of bytes.

    Layer by layer: the lengths are worked out from the shapes, so that no more than one parameter
    lies in memory, and files over 2 GB come out (which Caffe itself cannot read). Values keep their
    bits. A shared parameter is written with each layer that has it, as Caffe does. Unknown fields
    that came from a binary file are written back; those that came from text belong into the
    prototxt. Layers whose keys are in `without` are left out.
    """
    # Caffe writes the name alone; the inputs make the file complete without its prototxt.
    total = file.write(net.header.SerializePartialToString(deterministic=True))
    for entry in net.unknown:
        total += file.write(entry.wire)
    for layer in net.layers:
        if layer.key not in without:
            total += _write_layer(net, layer, file)
    return total


def _write_layer(net: Net, layer: Layer, file: BinaryIO) -> int:
    message = layer.param.SerializePartialToString(deterministic=True)
    message += b"".join(entry.wire for entry in layer.unknown if not entry.path)
    heads = []
    size = len(message)
    for name in layer.parameters:
        head, values = _blob_head(net.parameters.shape(name))
        heads.append(head)
        size += len(head) + values
    total = file.write(_LAYER + encode_varint(size) + message)
    for name, head in zip(layer.parameters, heads, strict=True):
        total += file.write(head)
        dense = np.ascontiguousarray(net.parameters[name].to_dense(), "<f4")
        if dense.size:
            total += file.write(dense.reshape(-1).data.cast("B"))
    return total


def _blob_head(shape: tuple[int, ...]) -> tuple[bytes, int]:
    """Return all bytes of a blob that stand before its values, and the bytes of the values."""
    values = 4 * prod(shape)
    dims = caffe_pb2.BlobShape(dim=shape).SerializeToString()
    body = _SHAPE + encode_varint(len(dims)) + dims + _DATA + encode_varint(values)
    return _BLOBS + encode_varint(len(body) + values) + body, values


def write_mean(image: NDArray[np.float32], file: BinaryIO) -> None:
    """Write a mean image (C,H,W) as Caffe's mean.binaryproto: one blob of shape 1,C,H,W."""
    channels, height, width = image.shape
    blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width)
    blob.data.extend(image.reshape(-1).tolist())
    file.write(blob.SerializeToString())
