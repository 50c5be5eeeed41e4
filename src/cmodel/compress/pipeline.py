"""Runs a recipe over a net."""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cmodel.blas import limit_threads
from cmodel.compress.recipe import DEFAULT_PRESET, Recipe, Step, resolve_recipe
from cmodel.compress.registry import Facts, Method, Rewrite, RewriteTask, Task
from cmodel.compress.selection import select_ahead
from cmodel.compress.selectors import Target
from cmodel.compress.sensitivity import Fisher, fisher_once
from cmodel.compress.statistics import (
    MAX_BYTES,
    Calibration,
    Statistics,
    bytes_of_gram,
    gather,
    gather_once,
)
from cmodel.compress.training import Training, pace_of
from cmodel.errors import RecipeError, UsageError, WeightsError
from cmodel.net import Net
from cmodel.tensors import Form, stored_floats
from cmodel.threads import thread_count

Images = NDArray[np.floating] | Iterable[NDArray[np.float32]]


@dataclass(frozen=True)
class Progress:
    """An event: `done` of `total` pieces of work, and what comes next."""

    done: int
    total: int
    what: str


def apply_recipe(
    net: Net,
    recipe: str | os.PathLike[str] | Recipe = DEFAULT_PRESET,
    *,
    data: Images | Calibration | None = None,
    train: Training | None = None,
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Net:
    """Apply the steps of a recipe in order; return a new net, `net` is unchanged.

    Each parameter has a random generator of its own, made from `seed`, the step and the name, so
    that the result does not depend on the order of the work.

    Parameters
    ----------
    net : the network.
    recipe : the name of a preset, the path of a recipe file, or a Recipe.
    data : images to calibrate on, as they are fed to the net's first input: float32 (N, C, H, W),
        or an iterable of such batches; or a Calibration of them. Only some methods need
        them; labels are never needed.
    train : labelled images that steps which train use, and what else they need to know. Without
        `data` some of them calibrate.
    threads : most threads of what runs in parallel; None means all cores of the process.

    Raises
    ------
    RecipeError : a step selects nothing, does not go with what came before, or needs `data`.
    DataError : the calibration images do not fit the net.
    LimitError : statistics that a step needs would take too much memory.
    WeightsError : a weight is NaN or infinite, and a step does not keep every bit.
    """
    if seed < 0 or (threads is not None and threads < 1):
        raise UsageError(f"seed is from 0 on, threads from 1 on; not {seed} and {threads}")
    recipe = resolve_recipe(recipe)
    if not all(isinstance(step.method, Method) and step.method.exact for step in recipe.steps):
        check_finite(net)
    run = _Run(
        net.copy(),
        _calibration(net, data, train, seed),
        seed,
        threads or thread_count(),
        on_progress,
        net,
        train,
    )
    run.steps(recipe.steps)
    result = run.net
    result.notes["recipe"] = dict(recipe.source)
    result.notes["seed"] = seed
    count = net.notes.get("parameters", net.parameter_count())
    if count != result.parameter_count():
        # What ratios are measured against; the layers do not tell it any more.
        result.notes["parameters"] = count
    if run.facts:
        result.notes["facts"] = run.facts
    return result


def _calibration(
    net: Net, data: Images | Calibration | None, train: Training | None, seed: int
) -> Calibration | None:
    some = None if train is None else train.some(net, seed)
    data = some if data is None else data
    if data is None or isinstance(data, Calibration):
        return data
    return Calibration(net, data)


@dataclass
class _Run:
    """A net on its way through a recipe."""

    net: Net
    calibration: Calibration | None
    seed: int
    threads: int
    on_progress: Callable[[Progress], None] | None
    reference: Net
    training: Training | None = None
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    information: dict[str, Fisher] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    pace: float = 1.0

    def steps(self, steps: Sequence[Step]) -> None:
        """Apply the steps."""
        options = [step.method.make_options(step.options) for step in steps]
        # What every parameter would need is known before anything is computed, labels first.
        for labels in (True, False):
            for step, own in zip(steps, options, strict=True):
                if labels == ("labels" in step.method.needs(own)):
                    self._check_data(step, own)
        self.pace = pace_of(options, self.training)
        chosen: list[list[Target]] = []
        for number, step in enumerate(steps):
            if not chosen:
                # The layers after a rewrite are known when it is done, all others now.
                chosen = select_ahead(self.net, steps[number:])
                later = len(steps) - number - len(chosen)
                self.total = self.done + sum(len(targets) for targets in chosen) + later
                self._judge(steps[number:], chosen)
            targets = chosen.pop(0)
            # After the method's module has loaded its libraries: only loaded ones are limited.
            with limit_threads(self.threads):
                try:
                    if isinstance(step.method, Rewrite):
                        self._rewrite(step.method, step, number, targets)
                    else:
                        self._map(step.method, step, number, targets)
                except RecipeError as error:
                    error.where = error.where or step.where
                    raise
        self._tell("done")

    def _map(self, method: Method, step: Step, number: int, targets: list[Target]) -> None:
        options = {target.name: step.options_for(target) for target in targets}
        survey = None
        if method.survey is not None:
            forms = [self._form(target) for target in targets]
            survey = method.survey(forms, list(options.values()))
        for target, statistics in self._with_statistics(step, targets, options):
            self._tell(f"{method.name} {target.name}")
            rng = np.random.default_rng([self.seed, number, zlib.crc32(target.name.encode())])
            task = Task(
                target.layer,
                target.name,
                self._form(target),
                options[target.name],
                rng,
                statistics,
                survey,
                self.threads,
            )
            outcome = method.run(task)
            self.net.parameters[target.name] = outcome.form
            self._note(target.name, method.name, outcome.facts)
            self.done += 1

    def _rewrite(self, rewrite: Rewrite, step: Step, number: int, targets: list[Target]) -> None:
        self._tell(f"{rewrite.name}, {len(targets)} layers")
        options = {target.name: step.options_for(target) for target in targets}
        needed = [t.name for t in targets if "gram" in self._needs(step, options[t.name])]
        statistics = self._gather(needed) if needed else {}
        rng = np.random.default_rng([self.seed, number])
        task = RewriteTask(
            self.net.copy(),
            targets,
            options,
            statistics,
            rng,
            self.calibration,
            self.reference,
            self.threads,
            self.training.lesson(number, self.seed, self.pace) if self.training else None,
            lambda words: self._tell(f"{rewrite.name}: {words}"),
        )
        rewritten = rewrite.run(task)
        self.net = rewritten.net
        for name, facts in rewritten.facts.items():
            self._note(name, rewrite.name, facts)
        self.done += len(targets)

    def _with_statistics(
        self, step: Step, targets: list[Target], options: dict[str, Any]
    ) -> Iterator[tuple[Target, Statistics | None]]:
        """Yield each target with the statistics that it needs, gathered as late as need be.

        One pass serves as many targets as fit into memory. One that is compared with the net before
        the step has a pass of its own, in which all targets before it are compressed already.
        """
        before = self.net.copy()
        pending: list[Target] = []
        room = 0

        def flush() -> Iterator[tuple[Target, Statistics | None]]:
            needed = [t.name for t in pending if self._needs(step, options[t.name])]
            found = self._gather(needed) if needed else {}
            for target in pending:
                yield target, found.get(target.name)
            pending.clear()

        for target in targets:
            needs = self._needs(step, options[target.name])
            if "cross" in needs:
                yield from flush()
                yield target, self._gather([target.name], before)[target.name]
                room = 0
                continue
            size = bytes_of_gram(self.net, target.name, False) if needs else 0
            if pending and room + size > MAX_BYTES:
                yield from flush()
                room = 0
            pending.append(target)
            room += size
        yield from flush()

    def _gather(self, names: list[str], reference: Net | None = None) -> dict[str, Statistics]:
        if self.calibration is None:
            raise AssertionError("statistics are gathered after the check for data")
        calibration = self.calibration
        self._tell(f"calibrating {', '.join(names)}")

        if reference is None:
            found = gather_once(self.net, names, calibration, self.threads)
        else:
            found = gather(self.net, names, calibration, reference=reference, threads=self.threads)
        known = {name: self.information[name] for name in found if name in self.information}
        return found | {
            name: replace(found[name], sensitivity=fisher.outputs, fisher=fisher.inputs)
            for name, fisher in known.items()
        }

    def _judge(self, steps: Sequence[Step], chosen: Sequence[Sequence[Target]]) -> None:
        """Estimate the Fisher information of all parameters for which one of the steps needs it."""
        needs: dict[str, frozenset[str]] = {}
        for step, targets in zip(steps, chosen, strict=False):
            for target in targets:
                wanted = self._needs(step, step.options_for(target))
                if "sensitivity" in wanted:
                    needs[target.name] = needs.get(target.name, frozenset()) | wanted
        self.information = {}
        calibration = self.calibration
        if not needs or calibration is None:
            return
        self._tell(f"sensitivities of {len(needs)} parameters")
        self.information = fisher_once(
            self.net,
            list(needs),
            calibration,
            inputs=[name for name, wanted in needs.items() if "fisher" in wanted],
            seed=self.seed,
            threads=self.threads,
            on_progress=lambda images: self._tell(f"sensitivities, {images} images"),
        )

    def _needs(self, step: Step, options: Any) -> frozenset[str]:
        self._check_data(step, options)
        return step.method.needs(options)

    def _check_data(self, step: Step, options: Any) -> None:
        needs = step.method.needs(options)
        if self.training is None and "labels" in needs:
            raise RecipeError(
                f"`{step.method.name}` needs labelled images to train on",
                where=step.where,
                hint="give some with `--train SOURCE`, or compress(..., train=Training(...))",
            )
        if self.calibration is None and needs - {"labels"}:
            raise RecipeError(
                f"`{step.method.name}` needs images to calibrate on",
                where=step.where,
                hint="give some with `--calib SOURCE`, or compress(..., data=images); "
                "labels are not needed",
            )

    def _form(self, target: Target) -> Form:
        return cast(Form, self.net.parameters[target.name])

    def _note(self, name: str, method: str, facts: Facts) -> None:
        """Keep facts by method; "#2", "#3" follow one that ran before."""
        if facts:
            known = self.facts.setdefault(name, {})
            runs = sum(key.partition("#")[0] == method for key in known) + 1
            known[method if runs == 1 else f"{method}#{runs}"] = dict(facts)

    def _tell(self, what: str) -> None:
        if self.on_progress is not None:
            self.on_progress(Progress(self.done, self.total, what))


def check_finite(net: Net) -> None:
    """Refuse NaN and infinite values, naming parameter and index.

    Raises
    ------
    WeightsError
    """
    for name in net.parameters:
        form = cast(Form, net.parameters[name])
        if all(np.isfinite(floats).all() for floats in stored_floats(form)):
            continue
        dense = form.to_dense()
        bad = np.flatnonzero(~np.isfinite(dense))
        if bad.size:
            value = dense.reshape(-1)[bad[0]]
            place = ", ".join(str(i) for i in np.unravel_index(bad[0], dense.shape or (1,)))
            raise WeightsError(
                f"the parameter `{name}` has {bad.size} values that are NaN or infinite",
                notes=[f"the first is {value} at ({place})"],
                hint="train the model again from the last good snapshot",
            )
