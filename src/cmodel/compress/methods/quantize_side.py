"""Side parameters (biases, and what Scale, BatchNorm and PReLU hold) on a grid of their own.

What rounding does to a value is uniform noise of variance step^2 / 12 (W. Bennett, "Spectra of
quantized signals", 1948, section III). Here the step is a fraction of what the layer's outputs vary
by, so that the noise is that fraction of them whatever the size of the parameter: a bias that is
small beside the outputs needs few bits, and one that rules them gets many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.options import check_choice, check_number
from cmodel.compress.registry import IMAGES, NOTHING, Facts, Needs, RewriteTask, Rewritten, rewrite
from cmodel.compress.responses import Responses
from cmodel.compress.selectors import Target, is_weight
from cmodel.compress.statistics import digest_of
from cmodel.compress.surgery import form_of
from cmodel.container import size_of_form
from cmodel.errors import RecipeError
from cmodel.net import Net
from cmodel.tensors import Dense, Form, Linear, size_of

Doubles = NDArray[np.float64]

_TOP = (1 << 15) - 1
# Channels that vary less than this fraction of the others count as if they varied so much.
_LEAST = 0.1
# Blobs that are added to a layer's outputs, by type.
_ADDED = {
    "Bias": 0,
    "Convolution": 1,
    "ConvolutionDepthwise": 1,
    "Deconvolution": 1,
    "DepthwiseConvolution": 1,
    "InnerProduct": 1,
    "Scale": 1,
}


@dataclass(frozen=True)
class Options:
    """How fine the grid is.

    step : of the grid, as a fraction of what `by` says (0 < step <= 1).
    by : "values": the root mean square of the parameter itself; "outputs": for what is added to a
        layer's outputs, their standard deviation over the calibration images (else as "values").
    """

    step: float = 0.05
    by: str = "values"

    def __post_init__(self) -> None:
        check_number("step", self.step, 0, 1)
        check_choice("by", self.by, ("values", "outputs"))


def _needs(options: Options) -> Needs:
    return IMAGES if options.by == "outputs" else NOTHING


@rewrite("quantize.side", Options, needs=_needs)
def quantize_side(task: RewriteTask[Options]) -> Rewritten:
    """Quantize the selected parameters other than weights; what would take more bytes stays.

    BatchNorm's means and variances have steps relative to its deviations, whatever `by` is: a
    change of the mean by one of them is a change of the normalised output by 1.
    """
    net, facts = task.net, dict[str, Facts]()
    side = [target for target in task.targets if not is_weight(target)]
    if not side:
        raise RecipeError(
            "`quantize.side` is for biases and the like; only weights are selected",
            hint='select = { kind = "biases" }',
        )
    measured = [t for t in side if task.options[t.name].by == "outputs"]
    deviations = _deviations(task, measured) if measured else {}
    for target in side:
        form = form_of(net, target.name)
        if not isinstance(form, Dense):
            raise RecipeError(
                f"`quantize.side`: `{target.name}` is quantized already",
                hint="leave one of the two steps out, or select different layers",
            )
        step = task.options[target.name].step * _unit(net, target, deviations)
        best, size = _smallest(form, step)
        net.parameters[target.name] = best
        values = form.to_dense().astype(np.float64)
        error = float(np.sqrt(np.square(best.to_dense() - values).mean())) if values.size else 0.0
        facts[target.name] = {"bytes": size, "error": error}
    return Rewritten(net, facts)


def _deviations(task: RewriteTask[Options], targets: Sequence[Target]) -> dict[str, Doubles]:
    """Return the standard deviations of the channels that parameters are added to, by name.

    They are those of the net before the first step where it has these channels: a search that
    compresses it again and again asks for them once.
    """
    here = Responses(task.net, task.images, task.threads)
    outputs = {
        target.name: here.output(task.net.layer(target.layer.key))
        for target in targets
        if _ADDED.get(target.layer.type) == target.blob
    }
    before = Responses(task.original, task.images, task.threads)
    known = {name: before.at(here.place(output)) for name, output in outputs.items()}
    wanted = sorted({value for value in known.values() if value is not None})
    key = ("variances", *wanted)

    def variances() -> Mapping[str, Doubles]:
        return {value: entry.variance for value, entry in before.moments(wanted).items()}

    original = task.images.remembered(
        (*key, digest_of(task.original)),
        0,
        lambda: task.images.stored(task.original, key, variances),
    )
    found = {}
    for name, value in known.items():
        count = size_of(task.net.parameters.shape(name))
        if value is not None and original[value].size == count:
            found[name] = np.sqrt(original[value])
    moments = here.moments(output for name, output in outputs.items() if name not in found)
    for name, output in outputs.items():
        if name not in found:
            found[name] = np.sqrt(moments[output].variance)
    return found


def _unit(net: Net, target: Target, deviations: dict[str, Doubles]) -> float:
    """Return what the step is a fraction of; 0 where nothing may be lost."""
    values = form_of(net, target.name).to_dense().reshape(-1).astype(np.float64)
    if target.layer.type == "BatchNorm":
        if target.blob == 2:
            return 0.0
        _, variance_name, shared_name = target.layer.parameters
        factor = float(form_of(net, shared_name).to_dense().reshape(-1)[0])
        eps = target.layer.param.batch_norm_param.eps
        if target.blob == 1:
            return float((values + eps * factor).min(initial=np.inf)) if values.size else 0.0
        variance = form_of(net, variance_name).to_dense().reshape(-1).astype(np.float64)
        least = max(float(variance.min(initial=np.inf)) / factor + eps, 0.0) if factor else 0.0
        return float(np.sqrt(least)) * factor if np.isfinite(least) else 0.0
    found = deviations.get(target.name)
    if found is not None and found.any():
        floor = _LEAST * float(np.sqrt(np.square(found).mean()))
        # The mean of the relative noise over the channels decides.
        return float(1 / np.sqrt(np.square(1 / np.maximum(found, floor)).mean()))
    return float(np.sqrt(np.square(values).mean())) if values.size else 0.0


def _smallest(form: Dense, step: float) -> tuple[Form, int]:
    """Return the form of the fewest bytes whose error is that of the step, and its bytes."""
    values = form.to_dense()
    candidates: list[Form] = [form]
    with np.errstate(over="ignore"):
        half = (values + np.float32(0)).astype(np.float16)
    half[half == 0] = 0
    if np.abs(half.astype(np.float64) - values).max(initial=0.0) <= step / 2:
        candidates.append(Dense(half))
    largest = float(np.abs(values).max(initial=0.0))
    if step > 0:
        scale = _scale(max(step, largest / _TOP))
        ints = np.rint(values.astype(np.float64) / float(scale)).astype(np.int64)
        fits = np.abs(ints).max(initial=0) <= 127
        kind = np.dtype(np.int8 if fits else np.int16)
        if np.abs(ints).max(initial=0) <= _TOP:
            zeros = np.zeros(1, np.int32)
            candidates.append(Linear(Dense(scale.reshape(1)), zeros, ints.astype(kind)))
    sizes = [size_of_form(candidate) for candidate in candidates]
    best = int(np.argmin(sizes))
    return candidates[best], sizes[best]


def _scale(step: float) -> NDArray[Any]:
    """Return the step as float16, which takes half the bytes, or float32 out of its range."""
    half = np.array(step, np.float16 if 1e-4 < step < 60000 else np.float32)
    # Never coarser than asked for.
    if float(half) > step and half.dtype == np.float16:
        half = np.nextafter(half, np.float16(0))
    return np.asarray(half)
