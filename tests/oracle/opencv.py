"""Runs a net in OpenCV's own reader and engine of Caffe nets."""

import io
from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from cmodel.caffe import print_prototxt, write_caffemodel
from cmodel.net import Net


def files_of(net: Net) -> tuple[bytes, bytes]:
    """Return the prototxt and the caffemodel, as this package writes them."""
    weights = io.BytesIO()
    write_caffemodel(net, weights)
    return print_prototxt(net).encode(), weights.getvalue()


def run_opencv(
    net: Net, feed: Mapping[str, np.ndarray], layers: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return the first top of each of these layers, by layer name."""
    prototxt, weights = files_of(net)
    model = cv2.dnn.readNetFromCaffe(
        np.frombuffer(prototxt, np.uint8), np.frombuffer(weights, np.uint8)
    )
    model.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    # A layer that is fused into another one would no longer give its own values.
    model.enableFusion(False)
    model.enableWinograd(False)
    for name, values in feed.items():
        model.setInput(np.ascontiguousarray(values, np.float32), name)
    return dict(zip(layers, model.forward(list(layers)), strict=True))
