"""Which blobs of a net are its images and its scores."""

from __future__ import annotations

from cmodel.net.net import Net

_JUDGES = ("Accuracy", "SoftmaxWithLoss")


def image_inputs(net: Net) -> list[str]:
    """Return the inputs that take images: the first top of each data layer, without the labels."""
    labels = {
        blob
        for layer in net.layers
        if layer.type in _JUDGES and len(layer.bottoms) > 1
        for blob in layer.bottoms[1:]
    }
    return [name for name in net.inputs if name not in labels]


def score_blobs(net: Net) -> list[str]:
    """Return the blobs that score classes: what a loss or accuracy layer reads, or the outputs."""
    fed = [layer.bottoms[0] for layer in net.layers if layer.type in _JUDGES and layer.bottoms]
    return list(dict.fromkeys(fed)) or net.outputs
