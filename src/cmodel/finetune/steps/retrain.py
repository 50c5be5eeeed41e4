"""Plain retraining of whatever the weights are by now.

Zeros of a sparse form stay (S. Han et al., "Learning both Weights and Connections for Efficient
Neural Networks", 2015, section 3); members of a codebook keep sharing (S. Han et al., "Deep
Compression", 2016, section 3.3); hashed weights, codewords of product codes, scales of fixed point
and the factors of factorised layers train as what they are. With `distill` towards the answers of
a teacher (G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

from cmodel.compress.registry import LABELS, RewriteTask, Rewritten, rewrite
from cmodel.finetune.options import TrainingOptions
from cmodel.finetune.steps.common import module_of, one_options, train


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """As all steps that train."""


@rewrite("retrain", Options, needs=LABELS)
def retrain(task: RewriteTask[Options]) -> Rewritten:
    """Train the selected weights, and with `side` all biases and the like."""
    options = one_options(task, "retrain")
    module = module_of(task, options, "retrain")
    if options.scratch:
        from cmodel.finetune.fresh import draw

        draw(module, task.rng)
    trained = train(task, module, options, "retrain")
    net = module.to_net()
    net.notes = task.net.notes
    return Rewritten(net, {task.targets[0].name: trained.facts()} if task.targets else {})
