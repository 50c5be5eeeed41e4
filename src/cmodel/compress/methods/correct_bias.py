"""Bias correction: compressed layers get back the mean outputs that they had.

M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight
Equalization and Bias Correction", 2019, section 4.2 and appendix D (the empirical form): weights
that change by E shift the mean of an output by E E[x], which its bias takes back. Layer by layer in
the order of the net, so that each corrects what the layers before it left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cmodel.compress.registry import IMAGES, Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.responses import Responses
from cmodel.compress.surgery import channel_layers, plain_bias, set_bias
from cmodel.errors import RecipeError


@dataclass(frozen=True)
class Options:
    """There are none."""


@rewrite("correct.bias", Options, needs=IMAGES)
def correct_bias(task: RewriteTask[Options]) -> Rewritten:
    """Correct the biases of the selected layers; those without a bias stay as they are."""
    net, facts = task.net, dict[str, Facts]()
    layers = [layer for layer in channel_layers(net, task.targets) if len(layer.parameters) > 1]
    if not layers:
        raise RecipeError(
            "`correct.bias` finds no Convolution or InnerProduct with a bias of its own",
            hint="put `fold.batchnorm` before it, which gives biases, or leave the step out",
        )
    original = Responses(task.original, task.images, task.threads)
    here = Responses(net, task.images, task.threads)
    places = {layer.key: original.at(here.place(here.output(layer))) for layer in layers}
    wanted = original.moments(name for name in places.values() if name is not None)
    for layer in layers:
        name = places[layer.key]
        if name is None:
            facts[layer.parameters[1]] = {"unchanged": "the original has no such output"}
            continue
        bias = plain_bias(net, layer, "correct.bias")
        output = here.output(layer)
        shift = wanted[name].mean - here.moments([output])[output].mean
        set_bias(net, layer, bias + shift)
        here = Responses(net, task.images, task.threads)
        deviation = np.sqrt(wanted[name].variance.mean())
        size = float(np.sqrt(np.square(shift).mean()))
        facts[layer.parameters[1]] = {"shift": size / deviation if deviation > 0 else 0.0}
    return Rewritten(net, facts)
