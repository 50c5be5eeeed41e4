"""Activations for 8-bit integers: the range of what each layer reads, found on calibration images.

Post-training static quantization, for example R. Krishnamoorthi, "Quantizing deep convolutional
networks for efficient inference", 2018, section 3.1; ranges that clip the rarest values as in
M. Nagel et al., "A White Paper on Neural Network Quantization", 2021, section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.options import check_choice, check_number
from cmodel.compress.ranges import SCHEMES, Histogram, histograms
from cmodel.compress.registry import IMAGES, Facts, RewriteTask, Rewritten, rewrite
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net, Range
from cmodel.tensors import Linear

_TYPES = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "InnerProduct")


@dataclass(frozen=True)
class Options:
    """How the range is chosen.

    range : "minmax" takes all that was seen, "percentile" leaves the rarest values out, "mse"
        clips where the mean squared error of the integers is least.
    percentile : of the values, in percent, that lie within a range of "percentile".
    """

    range: str = "mse"
    percentile: float = 99.99

    def __post_init__(self) -> None:
        check_choice("range", self.range, SCHEMES)
        check_number("percentile", self.percentile, 50, 100)


@rewrite("quantize.activations", Options, needs=IMAGES)
def quantize_activations(task: RewriteTask[Options]) -> Rewritten:
    """Calibrate the selected layers whose weights are 8-bit integers; others stay as they are.

    With `math="int8"` the engine computes these layers with integers. Their weights are those of
    `quantize.linear` with 8 bits or fewer, symmetric, one scale or one for each channel.
    """
    chosen = {
        target.layer.key: task.options[target.name]
        for target in task.targets
        if target.blob == 0 and target.layer.type in _TYPES and _of_integers(task.net, target.layer)
    }
    if not chosen:
        raise RecipeError(
            "`quantize.activations` finds no Convolution or InnerProduct of 8-bit integers",
            hint='put `quantize.linear` with `scheme = "symmetric"` before it',
        )
    found = histograms(task.net, list(chosen), task.images, task.threads)
    facts: dict[str, Facts] = {}
    for layer in task.net.layers:
        if layer.key in chosen:
            options, histogram = chosen[layer.key], found[layer.key]
            layer.range = _rounded(histogram.range_of(options.range, options.percentile))
            facts[layer.parameters[0]] = _facts(layer.range, histogram)
    return Rewritten(task.net, facts)


def _of_integers(net: Net, layer: Layer) -> bool:
    form = net.parameters[layer.parameters[0]]
    return (
        isinstance(form, Linear)
        and form.ints.dtype == np.int8
        and not form.zeros.any()
        and form.groups in (1, form.shape[0])
    )


def _rounded(bounds: Range) -> Range:
    """Return the range as float32 holds it: so it is stored."""
    low, high = bounds
    return float(np.float32(low)), float(np.float32(high))


def _facts(bounds: Range, histogram: Histogram) -> Facts:
    return {"low": bounds[0], "high": bounds[1], "clipped": histogram.outside(bounds)}
