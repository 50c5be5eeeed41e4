"""Structured pruning: whole filters go, and with them the channels of all that reads them.

By norm: H. Li, A. Kadav, I. Durdanovic, H. Samet, H. Graf, "Pruning Filters for Efficient
ConvNets", 2017, section 3.1: the filters with the smallest sums of magnitudes go, with the matching
kernels of the next layer. By the factor of the normalisation that follows: Z. Liu et al., "Learning
Efficient Convolutional Networks through Network Slimming", 2017, section 3.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.channels import Channels, Numbers, channels_of, shrink, taking
from cmodel.compress.options import check_choice, check_number
from cmodel.compress.registry import Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.surgery import form_of
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.net import Layer, Net


@dataclass(frozen=True)
class Options:
    """Which filters stay.

    density : fraction of a layer's filters to keep, at least one (0 < density <= 1).
    by : "l1" or "l2" norm of a filter, or "scale": the magnitude of the factor of the Scale layers
        that its channel goes through.
    """

    density: float = 0.5
    by: str = "l1"

    def __post_init__(self) -> None:
        check_number("density", self.density, 0, 1)
        check_choice("by", self.by, ("l1", "l2", "scale"))


@rewrite("prune.structured", Options)
def prune_structured(task: RewriteTask[Options]) -> Rewritten:
    """Prune the filters of the selected layers; those that cannot shrink stay as they are.

    Layers whose channels are added up, or go through a depthwise convolution, lose the same
    channels: the sum of their filters' norms counts.
    """
    net, channels = task.net, channels_of(task.net)
    facts: dict[str, Facts] = {}
    kept: dict[str, str] = {}
    removed: set[int] = set()
    decided: set[int] = set()
    for target in task.targets:
        numbers = channels.outputs.get(target.layer.key)
        if numbers is None or target.blob != 0:
            kept[target.name] = f"`{target.layer.key}` has no filters that can be told apart"
            continue
        reason = channels.reason(numbers)
        if reason is not None:
            kept[target.name] = reason
            continue
        roots = channels.roots(numbers)
        if not decided.isdisjoint(roots.tolist()):
            continue
        options = task.options[target.name]
        score = _scores(net, channels, numbers, options.by, target.name)
        count = max(round(options.density * len(roots)), 1)
        stay = np.sort(np.argsort(-score, kind="stable")[:count])
        gone = np.setdiff1d(roots, roots[stay])
        removed.update(gone.tolist())
        decided.update(roots.tolist())
        facts[target.name] = {"filters": len(roots), "kept": count}
    if not facts:
        raise RecipeError(
            "`prune.structured` can shrink none of the selected layers",
            notes=[f"{name}: {reason}" for name, reason in kept.items()],
        )
    shrink(net, channels, removed, taking("prune.structured"))
    facts.update({name: {"unchanged": reason} for name, reason in kept.items()})
    return Rewritten(net, facts)


def _scores(
    net: Net, channels: Channels, numbers: Numbers, by: str, name: str
) -> NDArray[np.float64]:
    """Return how much each channel matters, tied ones added up."""
    scores: defaultdict[int, float] = defaultdict(float)
    roots = channels.roots(numbers)
    wanted = set(roots.tolist())
    scales = {layer.parameters[0] for layer in net.layers if layer.type == "Scale" and _own(layer)}
    found = False
    for use in channels.uses:
        if not (use.parameter in scales if by == "scale" else use.filters):
            continue
        mine = channels.roots(use.numbers)
        if wanted.isdisjoint(mine.tolist()):
            continue
        found = True
        values = unquantized(form_of(net, use.parameter), use.parameter, "prune.structured")
        rows = np.moveaxis(values, use.axis, 0).reshape(len(mine), -1).astype(np.float64)
        norms = np.square(rows).sum(axis=1) if by == "l2" else np.abs(rows).sum(axis=1)
        for root, norm in zip(mine.tolist(), norms, strict=True):
            scores[root] += float(norm)
    if not found:
        raise RecipeError(
            f"no Scale layer follows `{name}`: there are no factors to prune by",
            hint='by = "l1" takes the norms of the filters',
        )
    return np.array([scores[root] for root in roots.tolist()])


def _own(layer: Layer) -> bool:
    return len(layer.bottoms) == 1 and bool(layer.parameters)
