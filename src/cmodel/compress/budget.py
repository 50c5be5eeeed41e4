"""The budget search: the knob of a recipe for which a target of bytes or of loss holds.

A recipe whose `quantize.rdo` steps have a `knob` is a curve of rate against distortion: a larger
knob gives fewer bytes and more loss. Every point of it is measured: the bytes of the container that
would be written, and the answers for images that no method has seen. On the curve

- log(bytes) and log(KL) are nearly straight in log(knob), so a secant finds the target;
- the loss of accuracy is nearly proportional to the KL but counts whole images, so it is estimated
  by the line through the origin that fits all points measured so far, and the standard error of
  the nearest point is a margin.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from math import exp, inf, isfinite, log
from typing import Any, cast

from cmodel import container
from cmodel.compress.judge import Judge
from cmodel.compress.knobs import KNOB_METHOD, Changes, before_knob, changed, has_knob, with_knob
from cmodel.compress.pipeline import Progress, apply_recipe
from cmodel.compress.recipe import Recipe
from cmodel.compress.selectors import is_weight, targets_of
from cmodel.compress.shares import layer_shares
from cmodel.compress.statistics import Calibration
from cmodel.compress.trials import Found, Goal, Trial, standard_error
from cmodel.container import size_of_form
from cmodel.data import FloatArray
from cmodel.errors import RecipeError, UsageError
from cmodel.net import Net
from cmodel.tensors import Form

START = 0.001
LEAST, MOST = 1e-7, 30.0
# A size is met when it is missed from below by no more than this part.
SLACK = 0.01
# Knobs nearer than this factor to each other are not told apart.
NEAR = 1.03
MAX_TRIALS = 9
# Trials of a refinement, which starts near its end.
FEW_TRIALS = 4
# Options of the recipe's steps that pay on some nets and cost on others: tried one after the other.
# A fine grid of biases costs little beside large tensors.
FINER: Changes = {"quantize.side": {"step": 0.01}}
RATED: Changes = {KNOB_METHOD: {"rate_weight": 0.03}}
SHRUNK: Changes = {KNOB_METHOD: {"shrink": 0.05}}
CORRECTED: Changes = {KNOB_METHOD: {"correct": True}}
# How log(KL) falls with log(bytes), and how much less of it makes a change of options worth while.
FALL, WORTH = 3.0, 0.02
# A secant leaves what was tried by no more than this, in log(knob).
REACH = log(8)
# Where only one side of the target is known and the secant points back: a step by this factor.
OUTWARD = 1.5
# Standard errors of the loss that are kept in reserve: other images answer differently.
MARGIN = 0.5


def search(
    net: Net,
    recipe: Recipe,
    goal: Goal,
    *,
    data: FloatArray | Iterable[FloatArray] | Calibration,
    judge: Judge | None = None,
    level: int = container.DEFAULT_LEVEL,
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Found:
    """Find the knob for which the goal holds, then the share of each layer in the loss.

    Parameters
    ----------
    data : images to calibrate on, as `apply_recipe` takes them; none of the judge's.
    judge : what measures loss and KL. A size alone needs none; with one, the layers' shares are
        measured too.
    level : of the container whose bytes are counted, see `cmodel.container.levels`.

    Raises
    ------
    RecipeError : the recipe has no knob.
    UsageError : a goal of loss or KL without a judge.
    """
    if not has_knob(recipe):
        raise RecipeError(
            f"the recipe `{recipe.name}` has no `{KNOB_METHOD}` step with a `knob`: there is "
            "nothing to search",
            hint="leave the recipe out, or the target",
        )
    if judge is None and goal.size is None:
        raise UsageError("a loss or a KL is measured on images: there are none to judge by")
    calibration = data if isinstance(data, Calibration) else Calibration(net, data)
    run = _Search(net, recipe, goal, calibration, judge, level, seed, threads, on_progress)
    best = run.bisect({}, START)
    if judge is not None and run.meets(best):
        factors = layer_shares(best, run.trials, run.before(), run.net_of(best), judge)
        if factors:
            best = run.better(best, run.bisect(factors, best.knob, most=FEW_TRIALS))
        for options in (FINER, RATED, SHRUNK):
            best = run.changed(best, options)
        if any(layer.type == "Eltwise" for layer in net.layers):
            # What is added to a shortcut is best fitted to what the shortcut has become. Each layer
            # takes a pass over the images, so that this is not done where it gains little.
            best = run.changed(best, CORRECTED)
    # What later trials tell of the losses of earlier ones may change which of them meet the goal.
    best = run.best(run.trials)
    if not run.meets(best) and len(run.trials) > MAX_TRIALS:
        run.refine(best, FEW_TRIALS)
        best = run.best(run.trials)
    if goal.size is not None and run.meets(best):
        # Bytes that are left over are worth some loss.
        best = run.better(best, run.refine(best, FEW_TRIALS))
    return Found(best, run.net_of(best), run.meets(best), run.trials)


@dataclass
class _Search:
    net: Net
    recipe: Recipe
    goal: Goal
    calibration: Calibration
    judge: Judge | None
    level: int
    seed: int
    threads: int | None
    on_progress: Callable[[Progress], None] | None
    trials: list[Trial] = field(default_factory=list)
    # The net of one trial, that which has been the best: any other is made again.
    kept: tuple[Trial, Net] | None = None

    def attempt(self, knob: float, factors: Mapping[str, float], changes: Changes) -> Trial:
        """Measure a point."""
        net = self._packed(knob, factors, changes, f"attempt {len(self.trials) + 1}")
        size = container.write_to(cast(Any, _Counter()), net, level=self.level)
        comparison = None if self.judge is None else self.judge(net)
        sizes = {} if self.judge is None else self._sizes(net)
        trial = Trial(knob, factors, changes, size, comparison, sizes)
        self.trials.append(trial)
        if self.kept is None or self.better(self.kept[0], trial) is trial:
            self.kept = trial, net
        return trial

    def net_of(self, trial: Trial) -> Net:
        """Return the net of a trial."""
        if self.kept is None or self.kept[0] is not trial:
            self.kept = None
            net = self._packed(trial.knob, trial.factors, trial.changes, "the best attempt again")
            self.kept = trial, net
        return self.kept[1]

    def _packed(
        self, knob: float, factors: Mapping[str, float], changes: Changes, what: str
    ) -> Net:
        tell = self.on_progress

        def relay(event: Progress) -> None:
            if tell is not None:
                tell(replace(event, what=f"{what}: {event.what}"))

        return apply_recipe(
            self.net,
            with_knob(self.recipe, knob, factors, changes),
            data=self.calibration,
            seed=self.seed,
            threads=self.threads,
            on_progress=relay,
        )

    def _sizes(self, net: Net) -> dict[str, int]:
        """Return the bytes of the weights of each layer, by parameter name."""
        return {
            target.name: size_of_form(cast(Form, net.parameters[target.name]), level=self.level)
            for target in targets_of(net)
            if is_weight(target)
        }

    def before(self) -> Net:
        """Return the net as the first step with the knob finds it."""
        recipe = before_knob(self.recipe)
        if recipe is None:
            return self.net
        return apply_recipe(
            self.net, recipe, data=self.calibration, seed=self.seed, threads=self.threads
        )

    def bisect(
        self,
        factors: Mapping[str, float],
        start: float,
        changes: Changes | None = None,
        most: int = MAX_TRIALS,
    ) -> Trial:
        """Return the best of `most` trials: a secant in logarithms, kept in a bracket."""
        return self.refine(self.attempt(start, factors, changes or {}), most - 1)

    def refine(self, first: Trial, more: int) -> Trial:
        """Return the best of a trial and at most `more` more with the same factors and changes."""
        mine = [first]
        # In x = log(knob) for a loss and its negative for a size, the goal holds up to some x.
        sign = -1.0 if self.goal.size is not None else 1.0
        ends = sorted((sign * log(LEAST), sign * log(MOST)))
        x = sign * log(first.knob)
        while len(mine) <= more:
            points = sorted((sign * log(t.knob), self._excess(t)) for t in mine)
            low = max((u for u, excess in points if excess <= 0), default=ends[0])
            high = min((u for u, excess in points if excess > 0 and u > low), default=ends[1])
            if self._is_close(mine) or high - low < log(NEAR) or x in ends:
                break
            x = self._next(points, low, high, ends)
            mine.append(self.attempt(exp(sign * x), first.factors, first.changes))
        return self.best(mine)

    def best(self, trials: Sequence[Trial]) -> Trial:
        """Return the trial to prefer to all others."""
        return reduce(self.better, trials)

    def changed(self, best: Trial, more: Changes) -> Trial:
        """Return the best trial with more options set, or `best` where they do not pay."""
        if not any(step.method.name in more for step in self.recipe.steps):
            return best
        trial = self.attempt(best.knob, best.factors, changed(best.changes, more))
        gain = _log(best.judged.kl / trial.judged.kl) if trial.judged.kl else inf
        gain += FALL * log(best.bytes / trial.bytes)
        if not gain > WORTH:
            return best
        return self.better(best, self.refine(trial, FEW_TRIALS - 1))

    def better(self, one: Trial, two: Trial) -> Trial:
        """Return the trial to prefer: one that meets the goal, then the fewer bytes or less KL."""
        if self.meets(one) != self.meets(two):
            return one if self.meets(one) else two
        if not self.meets(one):
            return min(one, two, key=self._excess)
        if self.goal.size is not None:
            if one.comparison is None or two.comparison is None:
                return min(one, two, key=lambda trial: trial.knob)
            return min(one, two, key=lambda trial: trial.judged.kl)
        return min(one, two, key=lambda trial: (trial.bytes, trial.knob))

    def meets(self, trial: Trial) -> bool:
        """Whether the goal holds for a trial."""
        return self._excess(trial) <= 0

    def _is_close(self, mine: Sequence[Trial]) -> bool:
        if self.goal.size is None:
            return False
        return any(log(1 - SLACK) <= self._excess(trial) <= 0 for trial in mine)

    def _excess(self, trial: Trial) -> float:
        """Return how far a trial is from the goal, as a logarithm; it meets it from 0 downwards."""
        if self.goal.size is not None:
            return log(trial.bytes / self.goal.size)
        comparison = trial.judged
        if self.goal.max_kl is not None:
            return _log(comparison.kl / self.goal.max_kl)
        return _log(self._expected_loss(trial) / (self.goal.max_loss or inf))

    def _expected_loss(self, trial: Trial) -> float:
        """Return the loss of a trial, smoothed over the trials of a similar KL, with its margin."""
        kl = trial.judged.kl
        if not isfinite(kl):
            return inf
        near = [t for t in self.trials if kl / 4 <= t.judged.kl <= kl * 4]
        energy = sum(t.judged.kl**2 for t in near)
        slope = sum(t.loss * t.judged.kl for t in near) / energy if energy else 0.0
        # Of many trials some look better than they are, but none is taken that looks worse.
        return max(slope * kl + MARGIN * standard_error(trial), trial.loss, 0.0)

    def _next(
        self, points: Sequence[tuple[float, float]], low: float, high: float, ends: Sequence[float]
    ) -> float:
        """Return the x to try next, between `low`, where the goal holds, and `high`."""
        known = [(u, excess) for u, excess in points if isfinite(excess)]
        # Of a usual curve: KL goes with the square of the knob, bytes with the inverse root.
        slope = 0.5 if self.goal.size is not None else 2.0
        x = (low + high) / 2
        if len(known) == 1:
            x = known[0][0] - known[0][1] / slope
        elif known:
            (x0, y0), (x1, y1) = sorted(known, key=lambda point: abs(point[1]))[:2]
            if y1 != y0:
                x = x1 - y1 * (x1 - x0) / (y1 - y0)
        if self.goal.size is not None:
            # Aim a little below the limit: a file that is smaller meets it.
            x -= SLACK
        tried = [u for u, _ in points]
        x = min(max(x, min(tried) - REACH), max(tried) + REACH)
        x = min(max(x, ends[0]), ends[1])
        if low < x < high and all(abs(x - u) >= log(NEAR) / 2 for u in tried):
            return x
        # The secant points back, at noise: a step outwards where one side is not known yet.
        if high == ends[1]:
            return min(low + log(OUTWARD), high)
        if low == ends[0]:
            return max(high - log(OUTWARD), low)
        return (low + high) / 2


def _log(value: float) -> float:
    return log(value) if value > 0 else -inf


class _Counter(io.RawIOBase):
    """A file that forgets what is written."""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: Any) -> int:
        """Return how many bytes there were."""
        return len(data)
