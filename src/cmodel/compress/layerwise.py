"""What it costs to compress one layer alone, all others untouched."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.pipeline import apply_recipe
from cmodel.compress.recipe import recipe_of
from cmodel.compress.selectors import is_weight, targets_of
from cmodel.container import size_of_form
from cmodel.engine import Engine
from cmodel.errors import DataError, RecipeError, UsageError, did_you_mean
from cmodel.evaluate import Comparison, compare
from cmodel.net import INPUT_TYPES, Net, Parameters, image_inputs, score_blobs, unfolded
from cmodel.proto import caffe_pb2
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
    feed = _one(image_inputs(net), "input")
    scores = output or _one(score_blobs(net), "output")
    for step in steps:
        if "select" in step:
            raise RecipeError("a step that each layer gets has no `select`")
        recipe_of({"step": [dict(step)]}, "sensitivity")
    if len(images) == 0:
        raise DataError("there are no images to run")
    # Decoded once, so that what a step leaves alone is the same object afterwards.
    held = replace(net, parameters=Parameters([(n, net.parameters[n]) for n in net.parameters]))
    chosen = _layers(held, layers)
    whole = _walk(held)
    results: list[Sensitivity] = []
    tail = (whole, _final(held, whole, scores))
    (reference,) = _run_tails(whole, [tail], 0, scores, feed, images, batch, threads)
    total = len(chosen) * len(steps)
    for number, key in enumerate(chosen):
        packed: list[Net] = []
        for step in steps:
            if on_progress is not None:
                on_progress(len(results) + len(packed), total, f"{key}: {step['method']}")
            recipe = recipe_of(
                {"step": [{**step, "select": {"name": glob.escape(key)}}]}, "sensitivity"
            )
            packed.append(apply_recipe(held, recipe, data=calibration, seed=seed, threads=threads))
        tails = [(_walk(other), other) for other in packed]
        start = min(_first_change(whole, walk) for walk, _ in tails)
        runs = _run_tails(
            whole,
            [(walk, _final(other, walk, scores)) for walk, other in tails],
            start,
            scores,
            feed,
            images,
            batch,
            threads,
        )
        for step, other, found in zip(steps, packed, runs, strict=True):
            results.append(_result(held, other, key, step, compare(reference, found, labels)))
            if on_progress is not None:
                on_progress(len(results), total, f"{number + 1} of {len(chosen)} layers")
    return results


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


def _walk(net: Net) -> Net:
    """Return the net with a name of its own for each value, without layers that feed it."""
    walk = unfolded(net)
    inputs = walk.inputs
    header = _header(list(inputs), [shape or () for shape in inputs.values()])
    layers = [layer for layer in walk.layers if layer.type not in INPUT_TYPES]
    return Net(header, layers, net.parameters)


def _final(net: Net, walk: Net, blob: str) -> str:
    """Return the name that the last value of a blob has in the walk."""
    layers = [layer for layer in net.layers if layer.type not in INPUT_TYPES]
    for layer, renamed in zip(reversed(layers), reversed(walk.layers), strict=True):
        for name, fresh in zip(layer.tops, renamed.tops, strict=True):
            if name == blob:
                return fresh
    raise UsageError(f"the net has no blob `{blob}`", hint=did_you_mean(blob, walk.outputs))


def _first_change(a: Net, b: Net) -> int:
    """Return the number of the first layer that is not the same in both, parameters included."""
    for number, (one, two) in enumerate(zip(a.layers, b.layers, strict=False)):
        if one.param != two.param or one.parameters != two.parameters:
            return number
        if any(a.parameters[n] is not b.parameters[n] for n in one.parameters):
            return number
    return min(len(a.layers), len(b.layers))


def _live(walk: Net, start: int, wanted: str) -> list[str]:
    """Return the values made before layer `start` that the layers from it on read, or `wanted`."""
    made: set[str] = set()
    live: dict[str, None] = {}
    for layer in walk.layers[start:]:
        live.update((name, None) for name in layer.bottoms if name not in made)
        made.update(layer.tops)
    if wanted not in made:
        live[wanted] = None
    return list(live)


def _run_tails(
    whole: Net,
    tails: Sequence[tuple[Net, str]],
    start: int,
    blob: str,
    feed: str,
    images: Array,
    batch: int,
    threads: int | None,
) -> list[Array]:
    """Run the layers before `start` once for each batch, and those from it on for each tail.

    A tail is a net and the name of its scores, which are those of `blob` in the net as given.
    """
    inputs = set(whole.inputs)
    live = [_live(tail, start, wanted) for tail, wanted in tails]
    needed = [n for n in dict.fromkeys(n for names in live for n in names) if n not in inputs]
    head = Engine(replace(whole, layers=whole.layers[:start]), threads)
    engines: list[Engine | None] = [None] * len(tails)
    found: list[list[Array]] = [[] for _ in tails]
    for first in range(0, len(images), batch):
        x = {feed: images[first : first + batch]}
        values = {**x, **(head.run(x, needed) if needed else {})}
        for i, (tail, wanted) in enumerate(tails):
            given = {name: values[name] for name in live[i] if name in values}
            engine = engines[i]
            if engine is None:
                engine = engines[i] = Engine(_cut(tail, start, given), threads)
            found[i].append(_flat(engine.run(given, [wanted])[wanted], blob))
    return [np.concatenate(parts) for parts in found]


def _cut(tail: Net, start: int, given: Mapping[str, Array]) -> Net:
    header = _header(list(given), [array.shape for array in given.values()])
    return Net(header, tail.layers[start:], tail.parameters)


def _header(names: Sequence[str], shapes: Sequence[Sequence[int]]) -> caffe_pb2.NetParameter:
    header = caffe_pb2.NetParameter(input=names)
    for shape in shapes:
        header.input_shape.add(dim=shape)
    return header


def _flat(scores: Array, blob: str) -> Array:
    if scores.ndim < 2 or scores[0].size != scores.shape[1]:
        raise UsageError(
            f"blob `{blob}` does not hold a score for each class",
            hint="name the blob that does with `output`",
        )
    return scores.reshape(len(scores), -1)


def _one(names: Sequence[str], what: str) -> str:
    if len(names) != 1:
        raise UsageError(
            f"the net has {len(names)} {what}s: {', '.join(names)}",
            hint="name the blob of the scores with `output`" if what == "output" else None,
        )
    return names[0]
