"""Pruning and retraining in turn, a little more each round.

S. Han, J. Pool, J. Tran, W. Dally, "Learning both Weights and Connections for Efficient Neural
Networks", 2015, section 3; dropout follows the number C of a layer's connections (section 3.2,
equation 2): D_r = D_o sqrt(C_r / C_o).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np

from cmodel.compress.methods.prune_magnitude import Options as MagnitudeOptions
from cmodel.compress.methods.prune_magnitude import prune_magnitude
from cmodel.compress.options import check_int
from cmodel.compress.registry import LABELS, Facts, RewriteTask, Rewritten, Task, rewrite
from cmodel.compress.surgery import form_of
from cmodel.finetune.options import TrainingOptions
from cmodel.finetune.steps.common import module_of, one_options, train
from cmodel.net import Net, unfolded
from cmodel.tensors import Form, Sparse, size_of

_WEIGHTED = ("Convolution", "InnerProduct")


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """The first round leaves density^(1/turns) of the weights, the last one `density`.

    quality, density : as `prune.magnitude` has them; with a quality the threshold is the same in
        each round, and what has become small since falls under it.
    turns : rounds of pruning and training, `epochs` each.
    """

    quality: float | None = None
    density: float | None = None
    turns: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        MagnitudeOptions(self.quality, self.density)
        check_int("turns", self.turns, 1, 1000)

    @property
    def rounds(self) -> int:
        """As many as there are turns."""
        return self.turns


@rewrite("retrain.prune", Options, needs=LABELS)
def prune(task: RewriteTask[Options]) -> Rewritten:
    """Prune the selected weights and retrain, in turns."""
    options = one_options(task, "retrain.prune")
    net, facts = task.net, dict[str, Facts]()
    for turn in range(options.turns):
        for target in task.targets:
            own = task.options[target.name]
            part = None if own.density is None else own.density ** ((turn + 1) / options.turns)
            how = MagnitudeOptions(own.quality, part)
            one = Task(target.layer, target.name, form_of(net, target.name), how, task.rng)
            net.parameters[target.name] = prune_magnitude(one).form
        turned = replace(task, net=net)
        module = module_of(turned, options, "retrain.prune")
        for key, factor in dropout_factors(net).items():
            module.dropout[key] = options.dropout * factor
        trained = train(turned, module, options, "retrain.prune", round_=turn)
        net = module.to_net()
        facts[task.targets[0].name] = trained.facts()
    for target in task.targets:
        density = _density(form_of(net, target.name))
        facts[target.name] = {**facts.get(target.name, {}), "density": density}
    return Rewritten(net, facts)


def dropout_factors(net: Net) -> dict[str, float]:
    """Return sqrt(C_r / C_o) of the layer that feeds each Dropout layer, by the latter's key."""
    factors: dict[str, float] = {}
    source: dict[str, float] = {}
    for layer in unfolded(net).layers:
        if layer.type in _WEIGHTED and layer.parameters:
            value = sqrt(_density(form_of(net, layer.parameters[0])))
        else:
            value = source.get(layer.bottoms[0], 1.0) if layer.bottoms else 1.0
        if layer.type == "Dropout":
            factors[layer.key] = value
        source.update(dict.fromkeys(layer.tops, value))
    return factors


def _density(form: Form) -> float:
    if isinstance(form, Sparse):
        return form.density
    return float(np.count_nonzero(form.to_dense())) / max(size_of(form.shape), 1)
