"""What the steps of a recipe select in a net."""

from __future__ import annotations

from collections.abc import Sequence

from cmodel.compress.recipe import Step
from cmodel.compress.registry import Rewrite
from cmodel.compress.selectors import Target, matches_any, targets_of
from cmodel.errors import RecipeError, did_you_mean
from cmodel.net import Net
from cmodel.tensors import size_of


def select_ahead(net: Net, steps: Sequence[Step]) -> list[list[Target]]:
    """Select for each step up to the first that changes the layers, itself included.

    Raises
    ------
    RecipeError : a step selects nothing, or has options for layers that are not there.
    """
    chosen = []
    for step in steps:
        chosen.append(select(net, step))
        if isinstance(step.method, Rewrite):
            break
    return chosen


def select(net: Net, step: Step) -> list[Target]:
    """Return the parameters that a step works on.

    Raises
    ------
    RecipeError : there are none, or the step has options for layers that are not there.
    """
    every = list(targets_of(net))
    targets = _matching(net, step, every)
    if not targets and not step.optional:
        raise _nothing_selected(step, every)
    _check_overrides(step, every)
    return targets


def preview(net: Net, steps: Sequence[Step]) -> tuple[list[list[Target]], int]:
    """Return what each step selects, and for how many steps that is certain.

    Steps behind one that changes the layers select among layers that are not there yet: what they
    would select in the net as it is stands for it.

    Raises
    ------
    RecipeError : as a run over the net would.
    """
    chosen = select_ahead(net, steps)
    every = list(targets_of(net))
    later = [_matching(net, step, every) for step in steps[len(chosen) :]]
    return chosen + later, len(chosen)


def _matching(net: Net, step: Step, every: Sequence[Target]) -> list[Target]:
    shape = net.parameters.shape
    return [t for t in every if step.selector.matches(t, size_of(shape(t.name)))]


def _nothing_selected(step: Step, every: list[Target]) -> RecipeError:
    selector = step.selector
    stated = [
        f"select.{key} = {', '.join(value) if isinstance(value, tuple) else value}"
        for key, value in vars(selector).items()
        if value and value != 1
    ]
    names = list(dict.fromkeys(target.layer.key for target in every))
    hint = None
    for pattern in selector.name:
        hint = hint or did_you_mean(pattern, names)
    return RecipeError(
        f"`{step.method.name}` matches no parameter",
        where=f"{step.where}: {'; '.join(stated)}",
        notes=[f"layers with parameters: {', '.join(names) or 'none'}"],
        hint=hint or "`cmodel inspect` lists every layer",
    )


def _check_overrides(step: Step, every: list[Target]) -> None:
    """Refuse an override by name that matches no layer: it would silently do nothing."""
    names = list(dict.fromkeys(target.layer.key for target in every))
    for pattern in step.by_name:
        if not any(matches_any(name, (pattern,)) for name in names):
            raise RecipeError(
                f"the options for `{pattern}` match no layer",
                where=step.where,
                notes=[f"layers with parameters: {', '.join(names)}"],
                hint=did_you_mean(pattern, names),
            )
