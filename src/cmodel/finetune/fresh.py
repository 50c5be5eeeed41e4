"""New values to start from.

K. He, X. Zhang, S. Ren, J. Sun, "Delving Deep into Rectifiers", 2015, equation 10: a variance of 2
over the number of inputs keeps the size of what goes through rectifiers.
"""

from __future__ import annotations

from math import prod, sqrt

import numpy as np
import torch

from cmodel.caffe.fillers import fill, filler_of
from cmodel.compress.selectors import is_weight, targets_of
from cmodel.finetune.module import NetModule
from cmodel.net import Net, infer_shapes, parameter_name
from cmodel.tensors import Dense


def draw(module: NetModule, rng: np.random.Generator) -> None:
    """Draw all weights that train anew, whatever their form stores; biases become zero."""
    for target in targets_of(module.net):
        held = module.parameter(target.name)
        shape = module.net.parameters.shape(target.name)
        stored = [p for p in held.parameters() if p.requires_grad]
        if target.layer.type in ("BatchNorm", "BN", "Scale", "PReLU") or not stored:
            continue
        deviation = sqrt(2 / max(prod(shape[1:]), 1)) if is_weight(target) else 0.0
        with torch.no_grad():
            for values in stored:
                drawn = deviation * rng.standard_normal(tuple(values.shape))
                values.copy_(torch.from_numpy(drawn.astype(np.float32)))


def filled(net: Net) -> Net:
    """Return a net that came without weights with the values of its fillers."""
    net, shapes = net.copy(), infer_shapes(net).parameters
    for layer in net.layers:
        needed = shapes.get(layer.key) or []
        layer.parameters = [parameter_name(layer.key, i) for i in range(len(needed))]
        for i, (name, shape) in enumerate(zip(layer.parameters, needed, strict=True)):
            net.parameters[name] = Dense(fill(filler_of(layer, i, shape), shape, name))
    return net
