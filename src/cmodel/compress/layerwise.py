"""What it costs to compress one layer alone, all others untouched."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.pipeline import apply_recipe
from cmodel.compress.recipe import recipe_of
from cmodel.compress.selectors import is_weight, targets_of
from cmodel.compress.tails import run_tails, tail_of, walk_of
from cmodel.container import size_of_form
from cmodel.errors import DataError, RecipeError, UsageError, did_you_mean
from cmodel.evaluate import Comparison, compare
from cmodel.net import Net, Parameters, image_inputs, score_blobs
from cmodel.tensors import Form

Array = NDArray[np.float32]
Step = Mapping[str, Any]
DEFAULT_STEPS: tuple[Step, ...] = tuple(
    {"method": "quantize.uniform", "bits": bits} for bits in (2, 3, 4, 6)
)


@dataclass(frozen=True)
class Sensitivity:
    """One layer compressed alone by one step.

    layer : its key. step : the recipe step, without its selector.
    weights : number of the layer's weights. bytes_before : 4 for each weight; bytes : what the
        compressed parameters take in a container.
    comparison : with the untouched net on the same images.
    """

    layer: str
    step: Step
    weights: int
    bytes_before: int
    bytes: int
    comparison: Comparison


def sensitivity(
    net: Net,
    images: Array,
    labels: NDArray[np.int64] | None = None,
    *,
    steps: Sequence[Step] = DEFAULT_STEPS,
    layers: Iterable[str] | None = None,
    calibration: NDArray[np.floating] | Iterable[Array] | None = None,
    output: str | None = None,
    batch: int = 100,
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[int, int, str], None] | None = None,
) -> list[Sensitivity]:
    """Compress each layer alone by each step; return the results by layer, in order of the net.

    What the layers before the changed one make is computed once for a batch and serves all steps;
    only the layers from it on run again.

    Parameters
    ----------
    images : as they are fed, float32 (N,C,H,W).
    labels : int64 (N,), for accuracy.
    steps : recipe steps without `select`.
    layers : keys of the layers; all that have weights if not given.
    calibration : as `data` of `compress`.
    output : the blob of the scores; may be left out where there is only one.

    Raises
    ------
    UsageError : unknown layers, or a net whose input or output is not evident.
    RecipeError : a wrong step, or one that does not go with a layer.
    DataError : the images do not fit.
    """
    judge = Layerwise(
        net,
        images,
        labels,
        steps=steps,
        layers=layers,
        calibration=calibration,
        output=output,
        batch=batch,
        seed=seed,
        threads=threads,
    )
    results: list[Sensitivity] = []
    total = len(judge.layers) * len(steps)
    for number, key in enumerate(judge.layers):

        def tell(done: int, step: Step, key: str = key, before: int = len(results)) -> None:
            if on_progress is not None:
                on_progress(before + done, total, f"{key}: {step['method']}")

        results += judge.measure(key, steps, tell)
        if on_progress is not None:
            on_progress(len(results), total, f"{number + 1} of {len(judge.layers)} layers")
    return results


class Layerwise:
    """A net whose layers are compressed alone; parameters and errors as `sensitivity`.

    layers : keys of those to compress, in order of the net.
    """

    def __init__(
        self,
        net: Net,
        images: Array,
        labels: NDArray[np.int64] | None = None,
        *,
        steps: Sequence[Step] = DEFAULT_STEPS,
        layers: Iterable[str] | None = None,
        calibration: NDArray[np.floating] | Iterable[Array] | None = None,
        output: str | None = None,
        batch: int = 100,
        seed: int = 0,
        threads: int | None = None,
    ) -> None:
        self._feed = _one(image_inputs(net), "input")
        self._scores = output or _one(score_blobs(net), "output")
        for step in steps:
            if "select" in step:
                raise RecipeError("a step that each layer gets has no `select`")
            recipe_of({"step": [dict(step)]}, "sensitivity")
        if len(images) == 0:
            raise DataError("there are no images to run")
        self._images, self._labels, self._batch = images, labels, batch
        self._calibration, self._seed, self._threads = calibration, seed, threads
        # Decoded once, so that what a step leaves alone is the same object afterwards.
        held = Parameters([(n, net.parameters[n]) for n in net.parameters])
        self._net = replace(net, parameters=held)
        self.layers = _layers(self._net, layers)
        self._walk = walk_of(self._net)
        tail = replace(tail_of(self._walk, self._net, self._scores), start=0)
        (self._reference,) = run_tails(self._walk, [tail], self._feed, self._batches(), threads)

    def measure(
        self,
        key: str,
        steps: Sequence[Step],
        on_step: Callable[[int, Step], None] | None = None,
    ) -> list[Sensitivity]:
        """Compress one layer by each step, and run the net from it on.

        on_step : called with the steps done and the one that comes next.
        """
        packed: list[Net] = []
        for step in steps:
            if on_step is not None:
                on_step(len(packed), step)
            recipe = recipe_of(
                {"step": [{**step, "select": {"name": glob.escape(key)}}]}, "sensitivity"
            )
            packed.append(
                apply_recipe(
                    self._net,
                    recipe,
                    data=self._calibration,
                    seed=self._seed,
                    threads=self._threads,
                )
            )
        tails = [tail_of(self._walk, other, self._scores) for other in packed]
        runs = run_tails(self._walk, tails, self._feed, self._batches(), self._threads)
        return [
            _result(self._net, other, key, step, compare(self._reference, found, self._labels))
            for step, other, found in zip(steps, packed, runs, strict=True)
        ]

    def _batches(self) -> Iterator[Array]:
        starts = range(0, len(self._images), self._batch)
        return (self._images[first : first + self._batch] for first in starts)


def _result(net: Net, other: Net, key: str, step: Step, comparison: Comparison) -> Sensitivity:
    before = [name for name in net.layer(key).parameters[:1] if name in net.parameters]
    weights = sum(int(np.prod(net.parameters.shape(name))) for name in before)
    # A step may rename what it rewrites: all that is new is what the layer became.
    untouched = {id(net.parameters[name]) for name in net.parameters}
    changed = [name for name in other.parameters if id(other.parameters[name]) not in untouched]
    if not changed:  # the step found nothing to do
        changed = [name for name in before if name in other.parameters]
    size = sum(size_of_form(cast(Form, other.parameters[name])) for name in changed)
    return Sensitivity(key, dict(step), weights, 4 * weights, size, comparison)


def _layers(net: Net, wanted: Iterable[str] | None) -> list[str]:
    known = list(dict.fromkeys(t.layer.key for t in targets_of(net) if is_weight(t)))
    if wanted is None:
        if not known:
            raise UsageError("the net has no layer with weights")
        return known
    chosen = list(wanted)
    for key in chosen:
        if key not in known:
            raise UsageError(
                f"there is no layer `{key}` with weights",
                notes=[f"layers with weights: {', '.join(known) or 'none'}"],
                hint=did_you_mean(key, known),
            )
    return [key for key in known if key in chosen]


def _one(names: Sequence[str], what: str) -> str:
    if len(names) != 1:
        raise UsageError(
            f"the net has {len(names)} {what}s: {', '.join(names)}",
            hint="name the blob of the scores with `output`" if what == "output" else None,
        )
    return names[0]
