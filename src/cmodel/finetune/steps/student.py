"""A thinner net that learns from the one that is there.

G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", 2015; and with a
hint A. Romero et al., "FitNets: Hints for Thin Deep Nets", 2015: first the student's lower half
learns what the teacher's hint layer says, through a regressor that is thrown away (equation 3,
section 2.2), then the whole student is distilled (algorithm 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cmodel.compress.methods.prune_structured import Options as StructuredOptions
from cmodel.compress.methods.prune_structured import prune_structured
from cmodel.compress.options import check_int, check_number
from cmodel.compress.registry import LABELS, RewriteTask, Rewritten, rewrite
from cmodel.compress.selectors import is_weight, targets_of
from cmodel.errors import RecipeError, did_you_mean
from cmodel.finetune.options import MAX_EPOCHS, TrainingOptions
from cmodel.finetune.steps.common import frozen_layers, one_options, set_up, train
from cmodel.net import Net, infer_shapes, unfolded


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions):
    """Which student, and how it learns; `distill = 0` trains it alone.

    width : share of the filters and units of each layer that the student has.
    prototxt : file of the student, instead.
    hint_epochs : passes of the first stage; 0 leaves it out.
    hint, guided : blobs of the teacher and of the student; by default the one that enters the
        middle layer with weights.
    """

    epochs: int = 20
    distill: float = 0.7
    scratch: bool = True
    width: float | None = None
    prototxt: str | None = None
    hint_epochs: int = 0
    hint: str = ""
    guided: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("hint_epochs", self.hint_epochs, 0, MAX_EPOCHS)
        if (self.width is None) == (self.prototxt is None):
            raise ValueError("either width or prototxt is given")
        if self.width is not None:
            check_number("width", self.width, 0, 1)

    @property
    def total_epochs(self) -> int:
        """Both stages."""
        return self.epochs + self.hint_epochs


@rewrite("retrain.student", Options, needs=LABELS)
def student(task: RewriteTask[Options]) -> Rewritten:
    """Put the student, trained, into the place of the net."""
    options = one_options(task, "retrain.student")
    from cmodel.finetune.fresh import draw
    from cmodel.finetune.hints import HintRule
    from cmodel.finetune.module import NetModule

    teacher = task.original if options.teacher == "original" else task.net
    net = _student(task, options)
    module = NetModule(net, frozen=frozen_layers(net, options, "retrain.student"))
    set_up(module, options)
    if options.scratch:
        draw(module, task.rng)
    learner = replace(task, net=net) if options.teacher == "original" else task
    facts: dict[str, Any] = {}
    if options.hint_epochs:
        hint = _blob(teacher, options.hint, "hint")
        guided = _blob(net, options.guided or options.hint, "guided")
        rule = HintRule(module, teacher, hint, guided, task.lesson.seed)
        first = replace(
            options,
            epochs=options.hint_epochs,
            keep="last",
            validation=options.validation,
            patience=0,
            distill=0.0,
        )
        train(learner, module, first, "retrain.student hint", rule)
        rule.remove()
        facts["hint"] = hint
    trained = train(learner, module, options, "retrain.student", round_=bool(options.hint_epochs))
    made = module.to_net()
    facts |= {**trained.facts(), "parameters": made.parameter_count()}
    return Rewritten(made, {next(iter(made.parameters)): facts})


def _student(task: RewriteTask[Options], options: Options) -> Net:
    if options.prototxt is None:
        net = task.net.copy()
        targets = [target for target in targets_of(net) if is_weight(target)]
        how = StructuredOptions(density=options.width or 1.0)
        own = {target.name: how for target in targets}
        return prune_structured(
            RewriteTask(net, targets, own, {}, np.random.default_rng(0), threads=task.threads)
        ).net
    from cmodel.caffe import load_net
    from cmodel.finetune.fresh import filled
    from cmodel.net import deployed

    net = deployed(filled(load_net(Path(options.prototxt), None, require_weights=False)))
    net.transform, net.labels = task.net.transform, task.net.labels
    ours, theirs = task.net.inputs, net.inputs
    if [shape and shape[1:] for shape in ours.values()] != [s and s[1:] for s in theirs.values()]:
        raise RecipeError(
            f"`retrain.student`: {options.prototxt} takes other inputs than the net",
            notes=[f"the net: {ours}", f"the student: {theirs}"],
        )
    return net


def _blob(net: Net, name: str, option: str) -> str:
    """Return the blob of the unfolded net: the last value of this name, or the middle one."""
    flat = unfolded(net)
    blobs = infer_shapes(flat).blobs
    if not name:
        entering = [layer.bottoms[0] for layer in flat.layers if layer.parameters]
        entering = [blob for blob in entering if blob not in net.inputs]
        if not entering:
            raise RecipeError("`retrain.student`: the net has no middle to take hints from")
        return entering[len(entering) // 2]
    if name not in blobs:
        raise RecipeError(
            f"`retrain.student`: {option} names no blob `{name}`", hint=did_you_mean(name, blobs)
        )
    while f"{name}'" in blobs:
        name += "'"
    return name
