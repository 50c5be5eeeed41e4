"""What the steps share: a module of the net, its teacher, and the training of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, TypeVar

from cmodel.compress.registry import RewriteTask
from cmodel.compress.selectors import is_weight, matches_any, targets_of
from cmodel.compress.surgery import form_of
from cmodel.errors import RecipeError
from cmodel.finetune.extras import need_torch
from cmodel.finetune.options import TrainingOptions
from cmodel.net import Net

OptionsT = TypeVar("OptionsT", bound=TrainingOptions)

if TYPE_CHECKING:
    from cmodel.finetune.loop import Rule, Trained
    from cmodel.finetune.module import NetModule


def one_options(task: RewriteTask[OptionsT], name: str) -> OptionsT:
    """Return how the step trains: what parameters may have of their own does not concern that.

    The first parameter's options tell it.
    """
    need_torch(f"the step `{name}`")
    return next(iter(task.options.values()))


def module_of(task: RewriteTask[Any], options: TrainingOptions, name: str) -> NetModule:
    """Return the net as a module in which what the step selects trains."""
    from cmodel.finetune.forms import Fixed
    from cmodel.finetune.module import NetModule

    net = task.net
    module = NetModule(net, frozen=frozen_layers(net, options, name))
    set_up(module, options)
    selected = {target.name for target in task.targets}
    for target in targets_of(net):
        if target.name not in selected and (is_weight(target) or not options.side):
            module.replace(target.name, Fixed(form_of(net, target.name)))
    return module


def set_up(module: NetModule, options: TrainingOptions) -> None:
    """Tell a module how its layers behave in training."""
    layers = module.net.layers
    module.batch_statistics = options.batch_statistics
    module.dropout = {layer.key: options.dropout for layer in layers if layer.type == "Dropout"}


def frozen_layers(net: Net, options: TrainingOptions, name: str) -> Collection[str]:
    """Return the keys of the layers that `freeze` names.

    Raises
    ------
    RecipeError : a glob names none.
    """
    keys = [layer.key for layer in net.layers]
    for pattern in options.frozen:
        if not any(matches_any(key, (pattern,)) for key in keys):
            raise RecipeError(
                f"`{name}`: freeze names no layer `{pattern}`", notes=[f"layers: {', '.join(keys)}"]
            )
    return frozenset(key for key in keys if matches_any(key, options.frozen))


def train(
    task: RewriteTask[Any],
    module: NetModule,
    options: TrainingOptions,
    name: str,
    rule: Rule | None = None,
    round_: int = 0,
) -> Trained:
    """Train a module by the options."""
    from cmodel.finetune.loop import Fit

    return Fit(
        module,
        task.lesson,
        options,
        name=name,
        rule=rule,
        teacher=teacher_of(task, options),
        threads=task.threads,
        tell=task.tell,
        round_=round_,
    ).run()


def teacher_of(task: RewriteTask[Any], options: TrainingOptions) -> NetModule | None:
    """Return the net whose answers are the soft targets."""
    from cmodel.finetune.module import NetModule

    if not options.distill:
        return None
    net = task.original if options.teacher == "original" else task.net
    teacher = NetModule(net)
    teacher.eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher
