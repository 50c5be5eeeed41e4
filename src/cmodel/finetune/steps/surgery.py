"""Pruning that can take back what it did, while the net trains.

Y. Guo, A. Yao, Y. Chen, "Dynamic Network Surgery for Efficient DNNs", 2016: equation 3 (weights
that are pruned train on: their gradient is that of the pruned net), equation 4 (a weight goes below
a threshold a, comes back above b, and stays as it is between), section 3.4 (a = 0.9 t, b = 1.1 t
around t = mean + c deviation of the magnitudes; masks change with a probability that falls).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmodel.compress.options import check_number, check_range
from cmodel.compress.registry import LABELS, Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.surgery import form_of
from cmodel.compress.values import unquantized
from cmodel.finetune.options import TrainingOptions
from cmodel.finetune.steps.common import module_of, one_options, train

if TYPE_CHECKING:
    from cmodel.finetune.splicing import Spliced


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """How much is pruned.

    deviations : c, how many deviations above the mean magnitude the threshold lies; with it about
        a half (0) to a twentieth (2) of the weights stay.
    gamma, power : the probability at iteration i that masks change: (1 + gamma i)^-power.
    until : share of the training after which masks stay as they are.
    """

    keep: str = "last"
    deviations: float = 1.0
    gamma: float = 1e-4
    power: float = 1.0
    until: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("deviations", self.deviations, -100, 100)
        check_range("gamma", self.gamma, 0, 1000)
        check_range("power", self.power, 0, 100)
        check_number("until", self.until, 0, 1)
        if self.keep == "best" and self.until < 1:
            raise ValueError('surgery keeps the "last" epoch: earlier ones have other masks')


@rewrite("retrain.surgery", Options, needs=LABELS)
def surgery(task: RewriteTask[Options]) -> Rewritten:
    """Prune and splice the selected weights in training."""
    options = one_options(task, "retrain.surgery")
    from cmodel.finetune.splicing import SplicingRule, spliced

    module = module_of(task, options, "retrain.surgery")
    held: dict[str, Spliced] = {}
    for target in task.targets:
        values = unquantized(form_of(task.net, target.name), target.name, "retrain.surgery")
        held[target.name] = spliced(values, task.options[target.name].deviations)
        module.replace(target.name, held[target.name])
    rule = SplicingRule(list(held.values()), options, task.lesson.seed)
    trained = train(task, module, options, "retrain.surgery", rule)
    facts: dict[str, Facts] = {name: {"density": one.density()} for name, one in held.items()}
    first = task.targets[0].name
    facts[first] = {**facts[first], **trained.facts()}
    return Rewritten(module.to_net(), facts)
