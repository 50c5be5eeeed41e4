"""Re-estimation of normalisation: mean and variance as the compressed net has them.

S. Ioffe, C. Szegedy, "Batch Normalization", 2015, algorithm 2 normalises by the statistics of the
net that was trained; those of the compressed net differ (X. Sun et al., "Hybrid 8-bit Floating
Point", 2019, section 3.3; I. Hubara et al., "Improving Post Training Neural Quantization", 2020,
section 3.4). A BatchNorm takes over the change of mean and variance between both nets on the same
images, so that few images do not replace what all of the training set told. Where BatchNorm has
been folded away, rows and biases are adjusted instead: outputs get back the mean and the variance
that they had.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.options import check_bool
from cmodel.compress.registry import IMAGES, Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.responses import Moments, Responses
from cmodel.compress.surgery import (
    channel_layers,
    form_of,
    plain_bias,
    positive_zeros,
    readers_of,
    set_bias,
)
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net
from cmodel.tensors import Dense, Linear

Doubles = NDArray[np.float64]

# A variance further away than this squared tells of a dead channel or of too few images.
_LARGEST_GAIN = 2.0


@dataclass(frozen=True)
class Options:
    """How rows are adjusted where there is no BatchNorm.

    rows : whether they are: Dense ones, and fixed point with a scale for each output.
    expand : give fixed point with one scale for all a scale for each output (4 bytes each).
    """

    rows: bool = True
    expand: bool = False

    def __post_init__(self) -> None:
        check_bool("rows", self.rows)
        check_bool("expand", self.expand)


@rewrite("correct.batchnorm", Options, needs=IMAGES)
def correct_batchnorm(task: RewriteTask[Options]) -> Rewritten:
    """Correct the BatchNorm layers of the net, and selected layers that none follows."""
    net, facts = task.net, dict[str, Facts]()
    options = {target.layer.key: task.options[target.name] for target in task.targets}
    selected = {
        layer.key: layer
        for layer in channel_layers(net, task.targets)
        if len(layer.parameters) > 1 and not _normalised(net, layer)
    }
    layers = [layer for layer in net.layers if layer.key in selected or _estimated(layer)]
    if not layers:
        raise RecipeError(
            "`correct.batchnorm` finds no BatchNorm, and no selected layer with a bias",
            hint="leave the step out",
        )
    original = Responses(task.original, task.images, task.threads)
    here = Responses(net, task.images, task.threads)
    places = {layer.key: original.at(here.place(_value(here, layer))) for layer in layers}
    wanted = original.moments(name for name in places.values() if name is not None)
    for layer in layers:
        place = places[layer.key]
        if place is None:
            facts[layer.parameters[0]] = {"unchanged": "the original has no such output"}
            continue
        name = _value(here, layer)
        found = here.moments([name])[name]
        gain = _gain(wanted[place], found)
        if layer.type == "BatchNorm":
            _reestimate(net, layer, wanted[place], found, gain)
        else:
            gain = _match(net, layer, wanted[place], found, gain, options[layer.key])
        facts[layer.parameters[0]] = {"gain": float(np.exp(np.abs(np.log(gain)).mean()))}
        here = Responses(net, task.images, task.threads)
    return Rewritten(net, facts)


def _estimated(layer: Layer) -> bool:
    """Whether the layer normalises by statistics that it stores."""
    if layer.type != "BatchNorm" or len(layer.parameters) != 3:
        return False
    param = layer.param.batch_norm_param
    return param.use_global_stats or not param.HasField("use_global_stats")


def _normalised(net: Net, layer: Layer) -> bool:
    readers = readers_of(net, net.layers.index(layer), layer.tops[0])
    return any(_estimated(reader) for reader in readers)


def _value(here: Responses, layer: Layer) -> str:
    return here.input(layer) if layer.type == "BatchNorm" else here.output(layer)


def _gain(wanted: Moments, found: Moments) -> Doubles:
    """Return what outputs are to be multiplied with, channel by channel."""
    alive = (found.variance > 0) & (wanted.variance > 0)
    ratio = np.divide(wanted.variance, found.variance, out=np.ones_like(alive, float), where=alive)
    gain: Doubles = np.clip(np.sqrt(ratio), 1 / _LARGEST_GAIN, _LARGEST_GAIN)
    return gain


def _reestimate(net: Net, layer: Layer, wanted: Moments, found: Moments, gain: Doubles) -> None:
    mean, variance, shared = (form_of(net, name) for name in layer.parameters)
    for form, name in ((mean, layer.parameters[0]), (variance, layer.parameters[1])):
        if not isinstance(form, Dense):
            raise RecipeError(
                f"`correct.batchnorm` comes before `{name}` is quantized",
                hint="put `quantize.side` after it",
            )
    factor = float(shared.to_dense().reshape(-1)[0])
    if factor == 0:
        return
    eps = layer.param.batch_norm_param.eps
    means = mean.to_dense().astype(np.float64) / factor
    variances = variance.to_dense().astype(np.float64) / factor
    # So that (found - mean') / sqrt(variance' + eps) has the moments that it had in the original.
    means = found.mean - (wanted.mean - means) / gain
    variances = np.maximum((variances + eps) / np.square(gain) - eps, 0.0)
    net.parameters[layer.parameters[0]] = Dense(positive_zeros(means * factor))
    net.parameters[layer.parameters[1]] = Dense(positive_zeros(variances * factor))


def _match(
    net: Net, layer: Layer, wanted: Moments, found: Moments, gain: Doubles, options: Options
) -> Doubles:
    """Adjust rows, where that can be, and bias; return the gains that were applied."""
    bias = plain_bias(net, layer, "correct.batchnorm")
    if not options.rows or not _scale_rows(net, layer, gain, options.expand):
        gain = np.ones_like(gain)
    set_bias(net, layer, wanted.mean - gain * (found.mean - bias))
    return gain


def _scale_rows(net: Net, layer: Layer, gain: Doubles, expand: bool) -> bool:
    name = layer.parameters[0]
    form = form_of(net, name)
    transposed = layer.type == "InnerProduct" and layer.param.inner_product_param.transpose
    if isinstance(form, Dense):
        along = gain if transposed else gain.reshape(-1, *(1,) * (len(form.shape) - 1))
        net.parameters[name] = Dense(positive_zeros(form.to_dense() * along))
        return True
    if not isinstance(form, Linear) or transposed:
        return False
    scales, zeros = form.scales.to_dense(), form.zeros
    if form.groups == 1 and expand:
        scales, zeros = np.repeat(scales, gain.size), np.repeat(zeros, gain.size)
    if scales.size != gain.size:
        return False
    scaled = (scales * gain).astype(np.float32)
    net.parameters[name] = replace(form, scales=Dense(scaled), zeros=zeros)
    return True
