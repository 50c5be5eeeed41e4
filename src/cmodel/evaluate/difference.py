"""Two nets held against each other: parameter by parameter, and blob by blob on the same images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from typing import cast

import numpy as np
from numpy.typing import NDArray

from cmodel.container import size_of_form
from cmodel.data import FloatArray, Inputs, IntArray
from cmodel.errors import UsageError
from cmodel.evaluate.comparison import Comparison, compare
from cmodel.evaluate.runner import Runner
from cmodel.net import Net, Shape, image_inputs, score_blobs
from cmodel.tensors import Form

# Beyond what the order of float32 sums explains.
THRESHOLD = 1e-4


@dataclass(frozen=True)
class ParameterDifference:
    """One parameter in both nets; what only one net has, or has in another shape, has no errors.

    shapes, forms, sizes : in A and in B, None where it is not there; sizes are the bytes that the
        form takes in a container.
    relative : |B - A| / |A| in the Euclidean norm; largest : the greatest |B - A| of an element.
    """

    name: str
    layer: str
    shapes: tuple[Shape | None, Shape | None]
    forms: tuple[str | None, str | None]
    sizes: tuple[int | None, int | None]
    relative: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class BlobDifference:
    """One blob, as it stands at the end of a run, in both nets.

    layer : of A, that makes it first. relative, cosine : of all its values over all images; None
        where B has the blob in another shape, inf and NaN where values are not finite.
    """

    name: str
    layer: str
    relative: float | None = None
    cosine: float | None = None


@dataclass(frozen=True)
class Difference:
    """What tells net B from net A.

    blobs : those that both nets have, in the order of A; only_a, only_b : the others.
    parts : the first layer of A whose blob differs by more than `threshold`, or in its shape.
    comparison : of the scores; None where a net has not just one blob of them, or not alike.
    """

    images: int
    threshold: float
    parameters: tuple[ParameterDifference, ...]
    blobs: tuple[BlobDifference, ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    parts: str | None
    comparison: Comparison | None


def difference(
    a: Net,
    b: Net,
    engines: tuple[Runner, Runner],
    inputs: FloatArray | Inputs,
    labels: IntArray | None = None,
    *,
    batch: int = 16,
    threshold: float = THRESHOLD,
    on_progress: Callable[[int, int], None] | None = None,
) -> Difference:
    """Run both nets over the same images and compare everything that they share by name.

    Parameters
    ----------
    engines : that run A and B, and give every blob for the name "all".
    inputs : the images as they are fed to both, (N,C,H,W), run `batch` at a time; or `Inputs`.
    labels : int64 (N,), for accuracy.

    Raises
    ------
    UsageError : a net has not just one input for images.
    CmodelError : the images do not fit a net, or a net does not run.
    """
    feeds = (_input(a, "first"), _input(b, "second"))
    if isinstance(inputs, Inputs):
        total, parts = len(inputs.indices), iter(inputs)
    else:
        total = len(inputs)
        parts = (inputs[start : start + batch] for start in range(0, total, batch))
    makers = {top: layer.key for layer in reversed(a.layers) for top in layer.tops}
    outputs = _scores(a), _scores(b)
    sums: dict[str, _Sums | None] = {}
    scores: tuple[list[FloatArray], list[FloatArray]] = ([], [])
    alone: tuple[list[str], list[str]] = ([], [])
    done = 0
    for x in parts:
        one = engines[0].run({feeds[0]: x}, "all")
        two = engines[1].run({feeds[1]: x}, "all")
        alone = [n for n in one if n not in two], [n for n in two if n not in one]
        for name in one:
            if name in makers and name in two and name not in a.inputs:
                _add(sums, name, one[name], two[name])
        for i, blobs in enumerate((one, two)):
            output = outputs[i]
            if output is not None and output in blobs:
                scores[i].append(blobs[output])
        done += len(x)
        if on_progress is not None:
            on_progress(done, total)
    found = tuple(_blob(name, makers[name], entry) for name, entry in sums.items())
    apart = (
        blob.layer for blob in found if blob.relative is None or not blob.relative <= threshold
    )
    return Difference(
        done,
        threshold,
        tuple(_parameters(a, b)),
        found,
        tuple(name for name in alone[0] if name not in a.inputs),
        tuple(name for name in alone[1] if name not in b.inputs),
        next(apart, None),
        _compared(scores, labels),
    )


@dataclass
class _Sums:
    """Sums of squares of B - A, A and B, and of A times B."""

    error: float = 0.0
    a: float = 0.0
    b: float = 0.0
    product: float = 0.0


def _add(sums: dict[str, _Sums | None], name: str, one: FloatArray, two: FloatArray) -> None:
    entry = sums.setdefault(name, _Sums())
    if entry is None or one.shape != two.shape:
        sums[name] = None
        return
    x, y = (values.astype(np.float64).reshape(-1) for values in (one, two))
    with np.errstate(invalid="ignore"):
        entry.error += float(((y - x) ** 2).sum())
        entry.a += float(x @ x)
        entry.b += float(y @ y)
        entry.product += float(x @ y)


def _blob(name: str, layer: str, entry: _Sums | None) -> BlobDifference:
    if entry is None:
        return BlobDifference(name, layer)
    scale = sqrt(entry.a) * sqrt(entry.b)
    cosine = entry.product / scale if scale else float(entry.a == entry.b)
    return BlobDifference(name, layer, _relative(entry.error, entry.a), cosine)


def _relative(error: float, norm: float) -> float:
    """Return the root of a quotient of sums of squares; inf for what has no number."""
    if error == 0:
        return 0.0
    found = sqrt(error / norm) if norm and np.isfinite(norm) and np.isfinite(error) else inf
    return found if np.isfinite(found) else inf


def _parameters(a: Net, b: Net) -> list[ParameterDifference]:
    owners = {
        name: layer.key
        for net in (b, a)
        for layer in reversed(net.layers)
        for name in layer.parameters
    }
    found = []
    for name in dict.fromkeys([*a.parameters, *b.parameters]):
        one, two = _form(a, name), _form(b, name)
        relative = largest = None
        if one is not None and two is not None and one.shape == two.shape:
            x = one.to_dense().astype(np.float64)
            error: NDArray[np.float64] = two.to_dense() - x
            relative = _relative(float((error**2).sum()), float((x**2).sum()))
            largest = float(np.abs(error).max(initial=0.0))
        found.append(
            ParameterDifference(
                name,
                owners.get(name, ""),
                (None if one is None else one.shape, None if two is None else two.shape),
                (_kind(one), _kind(two)),
                (
                    None if one is None else size_of_form(one),
                    None if two is None else size_of_form(two),
                ),
                relative,
                largest,
            )
        )
    return found


def _form(net: Net, name: str) -> Form | None:
    return cast(Form, net.parameters[name]) if name in net.parameters else None


def _kind(form: Form | None) -> str | None:
    return None if form is None else type(form).__name__.lower()


def _input(net: Net, which: str) -> str:
    names = image_inputs(net)
    if len(names) != 1:
        raise UsageError(
            f"the {which} net has {len(names)} inputs: {', '.join(names)}",
            hint="only nets with one input for images are compared",
        )
    return names[0]


def _scores(net: Net) -> str | None:
    names = score_blobs(net)
    return names[0] if len(names) == 1 else None


def _compared(
    scores: tuple[list[FloatArray], list[FloatArray]], labels: IntArray | None
) -> Comparison | None:
    """Compare the scores, where both nets have them for each image, in the same classes."""
    if not scores[0] or not scores[1]:
        return None
    one, two = (np.concatenate(parts) for parts in scores)
    if one.shape != two.shape or one.ndim < 2 or one.shape[1] < 2 or one[0].size != one.shape[1]:
        return None
    if not np.isfinite(one).all():
        return None
    return compare(one.reshape(len(one), -1), two.reshape(len(two), -1), labels)
