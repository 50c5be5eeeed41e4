"""How the loss is shared out among the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, isfinite, log
from typing import Any

import numpy as np

from cmodel.compress.judge import Judge
from cmodel.compress.selectors import targets_of
from cmodel.compress.trials import Trial
from cmodel.net import Net, Parameters

# Images that measure single layers: a KL needs far fewer than an accuracy.
LAYER_IMAGES = 256
MOST_SHIFT = 4.0
# Least difference of two knobs between which bytes are told apart, in the logarithm.
APART = log(1.1)


def layer_shares(
    best: Trial, trials: Sequence[Trial], base: Net, packed: Net, judge: Judge
) -> dict[str, float]:
    """Return a factor of the knob for each layer (by key), from the KL that it alone costs.

    Where the total KL is least for its bytes, d KL / d bytes is the same in every layer. With
    KL_l ~ knob_l^2 and bytes_l ~ -b_l log(knob_l) it is 2 KL_l / b_l: the layers that cost more
    than their share get a smaller knob. b_l is measured between two trials.

    Parameters
    ----------
    base : the net as the first step with the knob finds it. packed : that of the trial `best`.

    Returns
    -------
    Nothing where no other trial's knob is far enough, or less than two layers tell their share.
    """
    others = [t for t in trials if abs(log(t.knob / best.knob)) > APART]
    if not others:
        return {}
    other = min(others, key=lambda t: abs(log(t.knob / best.knob)))
    # Decoded once, so that what is the same in two nets is the same object.
    base = replace(base, parameters=Parameters([(n, base.parameters[n]) for n in base.parameters]))
    names = [
        name
        for name in best.sizes
        if name in base.parameters and not _same(base.parameters[name], packed.parameters[name])
    ]
    variants = []
    for name in names:
        variants.append(replace(base, parameters=base.parameters.copy()))
        variants[-1].parameters[name] = packed.parameters[name]
    ratios: dict[str, tuple[float, float]] = {}
    kls = judge.first(LAYER_IMAGES).variants(base, variants)
    for name, kl in zip(names, kls, strict=True):
        change = best.sizes[name] - other.sizes[name]
        slope = -change / log(best.knob / other.knob)
        if isfinite(kl) and kl > 0 and slope > 0:
            ratios[name] = (kl, slope)
    if len(ratios) < 2:
        return {}
    wanted = {name: 0.5 * log(slope / kl) for name, (kl, slope) in ratios.items()}
    total = sum(slope for _, slope in ratios.values())
    centre = sum(wanted[name] * slope for name, (_, slope) in ratios.items()) / total
    layers = {target.name: target.layer.key for target in targets_of(packed)}
    limit = log(MOST_SHIFT)
    return {
        layers[name]: exp(min(max(value - centre, -limit), limit)) for name, value in wanted.items()
    }


def _same(one: Any, two: Any) -> bool:
    return one is two or np.array_equal(one.to_dense(), two.to_dense())
