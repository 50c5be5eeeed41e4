"""Caffe's fillers: the values of parameters that no weights file gives."""

from __future__ import annotations

import zlib
from math import prod, sqrt

import numpy as np
from numpy.typing import NDArray

from cmodel.errors import NetError, UnsupportedError, did_you_mean
from cmodel.net import Layer, Shape
from cmodel.proto import caffe_pb2

Filler = caffe_pb2.FillerParameter

FIXED_FILLERS = frozenset({"constant", "bilinear"})
RANDOM_FILLERS = frozenset({"gaussian", "uniform", "xavier", "msra", "positive_unitball"})

# Layer type -> where its fillers stand: of the weights, of the bias.
_FILLERS = {
    "Convolution": ("convolution_param", "weight_filler", "bias_filler"),
    "ConvolutionDepthwise": ("convolution_param", "weight_filler", "bias_filler"),
    "Deconvolution": ("convolution_param", "weight_filler", "bias_filler"),
    "DepthwiseConvolution": ("convolution_param", "weight_filler", "bias_filler"),
    "InnerProduct": ("inner_product_param", "weight_filler", "bias_filler"),
    "Embed": ("embed_param", "weight_filler", "bias_filler"),
    "Scale": ("scale_param", "filler", "bias_filler"),
    "Bias": ("bias_param", "filler", "filler"),
    "Normalize": ("norm_param", "scale_filler", "scale_filler"),
    "PReLU": ("prelu_param", "filler", "filler"),
    "RNN": ("recurrent_param", "weight_filler", "bias_filler"),
    "LSTM": ("recurrent_param", "weight_filler", "bias_filler"),
}
# Where a layer states no filler, its values are 0 but for these.
_DEFAULTS = {"Normalize": 1.0, "PReLU": 0.25, "Scale": 1.0}


def filler_of(layer: Layer, index: int, shape: Shape) -> caffe_pb2.FillerParameter:
    """Return the filler of a layer's parameter, Caffe's default where it states none."""
    place = _FILLERS.get(layer.type)
    if place is None:
        return Filler()
    # The bias comes second; an LSTM's weights follow it, and are matrices.
    is_bias = len(shape) == 1 if layer.type in ("RNN", "LSTM") else index == 1
    param = getattr(layer.param, place[0])
    name = place[2] if is_bias else place[1]
    if param.HasField(name):
        filler: caffe_pb2.FillerParameter = getattr(param, name)
        return filler
    return Filler(value=0.0 if is_bias else _DEFAULTS.get(layer.type, 0.0))


def is_random(filler: caffe_pb2.FillerParameter) -> bool:
    """Whether the values are drawn, so that they mean nothing without training."""
    return filler.type in RANDOM_FILLERS


def fill(filler: caffe_pb2.FillerParameter, shape: Shape, name: str) -> NDArray[np.float32]:
    """Return the values that Caffe would start from.

    Random ones follow Caffe's distributions but not its generator: they are drawn from NumPy's
    PCG64, seeded by the CRC-32 of the parameter's name, and so are the same in every run.

    Raises
    ------
    UnsupportedError
        There is no such filler.
    NetError
        A bilinear filler for what is no square kernel.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    count = prod(shape)
    if filler.type == "constant":
        return np.full(shape, filler.value, np.float32)
    if filler.type == "bilinear":
        return _bilinear(shape, name)
    if filler.type == "uniform":
        values = rng.uniform(filler.min, filler.max, count)
    elif filler.type == "gaussian":
        values = rng.normal(filler.mean, filler.std, count)
        if filler.sparse >= 0:
            inputs = shape[0] if shape else 1
            values *= rng.random(count) < min(filler.sparse / max(inputs, 1), 1)
    elif filler.type == "xavier":
        limit = sqrt(3 / _fan(filler, shape))
        values = rng.uniform(-limit, limit, count)
    elif filler.type == "msra":
        values = rng.normal(0, sqrt(2 / _fan(filler, shape)), count)
    elif filler.type == "positive_unitball":
        values = rng.random(count)
        rows = values.reshape(shape[0] if shape else 1, -1)
        rows /= rows.sum(axis=1, keepdims=True)
    else:
        raise UnsupportedError(
            f"there is no filler `{filler.type}`",
            where=f"parameter `{name}`",
            hint=did_you_mean(filler.type, FIXED_FILLERS | RANDOM_FILLERS),
        )
    return values.reshape(shape).astype(np.float32)


def _fan(filler: caffe_pb2.FillerParameter, shape: Shape) -> float:
    """Number that xavier and msra divide by, from the legacy view of a shape as N, C, ..."""
    count = max(prod(shape), 1)
    fan_in = count / (shape[0] if shape else 1)
    fan_out = count / (shape[1] if len(shape) > 1 else 1)
    if filler.variance_norm == Filler.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == Filler.FAN_OUT else fan_in


def _bilinear(shape: Shape, name: str) -> NDArray[np.float32]:
    if len(shape) != 4 or shape[2] != shape[3]:
        raise NetError(
            f"a bilinear filler needs a square kernel, not shape {shape}",
            where=f"parameter `{name}`",
        )
    half = np.float32((shape[3] + 1) // 2)
    centre = np.float32((shape[3] - 1) / (2 * half))
    ramp = 1 - np.abs(np.arange(shape[3], dtype=np.float32) / half - centre)
    return np.broadcast_to(np.outer(ramp, ramp).astype(np.float32), shape).copy()
