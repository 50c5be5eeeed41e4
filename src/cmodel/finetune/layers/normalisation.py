"""BatchNorm, BN, LRN, MVN and Normalize."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from cmodel.engine.ops.bn import SEGNET_EPS
from cmodel.finetune.layers.affine import channels_first
from cmodel.finetune.layers.pooling import average
from cmodel.finetune.layers.registry import Call, twin
from cmodel.net.shapes.bn import is_segnet
from cmodel.net.shapes.windows import Window
from cmodel.proto import caffe_pb2


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and variance of each channel over the batch."""
    flat = channels_first(x)
    mean = flat.mean(dim=(0, 2))
    return mean, (flat - mean[:, None]).square().mean(dim=(0, 2))


def _by_channel(values: Tensor, x: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (x.ndim - 2))


@twin("BatchNorm")
def batch_norm(call: Call) -> list[Tensor]:
    """By the stored statistics, or by the batch's, which then move the stored ones.

    Caffe stores decaying sums that share a factor: s <- f s + new, with the unbiased variance.
    """
    x, param = call.bottoms[0], call.layer.param.batch_norm_param
    mean, variance, factor = (values.reshape(-1) for values in call.parameters)
    stored = param.use_global_stats if param.HasField("use_global_stats") else True
    if stored and not (call.training and call.batch_statistics):
        unit = 0.0 if float(factor[0]) == 0 else 1 / float(factor[0])
        found = (mean * unit, variance * unit)
    else:
        found = _moments(x)
        if call.training and call.batch_statistics:
            count = x.numel() // x.shape[1]
            fraction = param.moving_average_fraction
            with torch.no_grad():
                unbiased = found[1] * (count / max(count - 1, 1))
                call.updates += [
                    mean * fraction + found[0],
                    variance * fraction + unbiased,
                    factor * fraction + 1,
                ]
    scale = (found[1] + param.eps).rsqrt()
    return [(x - _by_channel(found[0], x)) * _by_channel(scale, x)]


@twin("BN")
def bn(call: Call) -> list[Tensor]:
    """Of two forks: with statistics of its own, or by the batch."""
    x, param = call.bottoms[0], call.layer.param.bn_param
    slope, offset, *statistics = (values.reshape(-1) for values in call.parameters)
    if statistics:
        mean, variance = statistics
        slope = slope * (variance + param.eps).rsqrt()
    elif is_segnet(call.layer) and param.bn_mode == caffe_pb2.BNParameter.LEARN:
        mean, variance = _moments(x)
        slope = slope * (variance + SEGNET_EPS).rsqrt()
    else:
        mean = torch.zeros_like(slope)
    return [(x - _by_channel(mean, x)) * _by_channel(slope, x) + _by_channel(offset, x)]


@twin("LRN")
def lrn(call: Call) -> list[Tensor]:
    """Across channels (k + alpha/n sum), or within each (1 + alpha mean, Caffe ignores k)."""
    x, param = call.bottoms[0], call.layer.param.lrn_param
    size = param.local_size
    squares = x.square()
    if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS:
        half = size // 2
        padded = F.pad(squares, (0, 0, 0, 0, half, half))
        total = padded.unfold(1, size, 1).sum(dim=-1)
        return [x * (param.k + param.alpha / size * total).pow(-param.beta)]
    half = (size - 1) // 2
    window = Window(1, (size, size), (1, 1), (half, half), (1, 1))
    means = average(squares, window, tuple(x.shape[2:]))
    return [x * (1 + param.alpha * means).pow(-param.beta)]


@twin("MVN")
def mvn(call: Call) -> list[Tensor]:
    """Mean and, if asked for, deviation of each channel or image removed."""
    x, param = call.bottoms[0], call.layer.param.mvn_param
    axes = tuple(range(1 if param.across_channels else 2, x.ndim))
    y = x - x.mean(dim=axes, keepdim=True)
    if param.normalize_variance:
        y = y / (y.square().mean(dim=axes, keepdim=True).sqrt() + param.eps)
    return [y]
