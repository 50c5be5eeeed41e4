"""The same networks in plain NumPy: slow, obvious, float64 inside. Tests hold the engine to it.

It shares nothing with the operations but the shapes, and which blobs share memory: each layer type
has one function here, from its bottoms and parameters to its tops.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cmodel.engine.reference import caffe, forks, losses, recurrent
from cmodel.engine.reference.registry import FUNCTIONS, Call
from cmodel.errors import NetError, UnsupportedError
from cmodel.net import (
    DYNAMIC_TYPES,
    INPUT_TYPES,
    Layer,
    Net,
    Parameters,
    Shape,
    Sharing,
    infer_shapes,
)
from cmodel.proto import caffe_pb2

__all__ = ["FUNCTIONS", "caffe", "forks", "losses", "recurrent", "run_reference"]


def run_reference(net: Net, feed: Mapping[str, ArrayLike]) -> dict[str, NDArray[np.float32]]:
    """Run the whole net; return every blob as it stands at the end, as float32.

    Each layer computes in float64 and rounds its tops to float32 once. All inputs have to be fed.
    """
    blobs = {name: np.asarray(value, np.float32) for name, value in feed.items()}
    for name in net.inputs:
        if name not in blobs:
            raise NetError(f"the input `{name}` is not fed")
    infer_shapes(net, {name: array.shape for name, array in blobs.items()})
    sharing = Sharing()
    with np.errstate(all="ignore"):
        for layer in net.layers:
            if layer.type in INPUT_TYPES:
                continue
            function = FUNCTIONS.get(layer.type)
            if function is None:
                raise UnsupportedError(
                    f"the reference has no layer type `{layer.type}`", where=f"layer `{layer.key}`"
                )
            needed, sizes = _shapes(layer, blobs)
            parameters = [
                net.parameters[name].to_dense().reshape(shape).astype(np.float64)
                for name, shape in zip(layer.parameters, needed, strict=True)
            ]
            bottoms = [blobs[name].astype(np.float64) for name in layer.bottoms]
            tops = function(Call(layer, bottoms, parameters, sizes))
            for name, top, size in zip(layer.tops, tops, sizes, strict=True):
                known = np.shape(top) if layer.type in DYNAMIC_TYPES else size
                blobs[name] = np.asarray(top).reshape(known).astype(np.float32)
            for name, written in sharing.enter(layer).items():
                blobs[name] = blobs[written].reshape(blobs[name].shape)
    return blobs


def _shapes(
    layer: Layer, blobs: Mapping[str, NDArray[np.float32]]
) -> tuple[list[Shape], list[Shape]]:
    """Return the shapes of a layer's parameters and tops, for its bottoms as they are."""
    bottoms = {name: blobs[name].shape for name in layer.bottoms}
    alone = Net(caffe_pb2.NetParameter(input=list(bottoms)), [layer], Parameters())
    shapes = infer_shapes(alone, bottoms)
    tops = [shape for shape in shapes.tops[layer.key] if shape is not None]
    return shapes.parameters[layer.key] or [], tops
