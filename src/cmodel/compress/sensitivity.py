"""How much the output of a net minds errors in the responses of its layers.

Where y are the responses of a layer and CE the cross entropy of the net's softmax with a label that
is drawn from the softmax itself, output o has the sensitivity

    G_o = E over images and labels of the sum over positions of (dCE / dy_o)².

It is the diagonal of the Fisher information: errors dw_o of the weights, small and independent,
change the output distribution by KL = 1/2 sum_o G_o dw_oᵀ A dw_o, where A = E[x xᵀ] over patches.

That takes the positions of an image as independent. They are not: one error of a weight acts at all
of them at once. Of the gradient at the weights of one image, M = sum over positions of
(dCE / dy) xᵀ, the input side of the Fisher information is

    H = E over images and labels of Mᵀ M,

and KL = 1/2 sum_o dw_oᵀ H dw_o / outputs where all outputs count alike. (As K-FAC for convolutions,
R. Grosse, J. Martens 2016, without its assumption of uncorrelated derivatives.)
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.patches import weight_gradients
from cmodel.compress.statistics import (
    MAX_BYTES,
    Calibration,
    bytes_of_gram,
    digest_of,
    product,
    size_of_gram,
)
from cmodel.engine import Engine, Gradients, differentiable
from cmodel.errors import NetError, RecipeError, UsageError
from cmodel.net import DYNAMIC_TYPES, Layer, Net, Parameters, infer_shapes, unfolded
from cmodel.net.shapes.windows import convolution_window
from cmodel.tensors import Dense

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]

_SLIDING = ("Convolution", "ConvolutionDepthwise", "DepthwiseConvolution", "Deconvolution")
_SCORES = (*_SLIDING, "InnerProduct", "Pooling")
_ALIASES = ("Dropout", "Flatten", "Reshape", "Split")
# Their tops are numbers of classes, or judgements: errors do not change them smoothly.
_DISCRETE = ("Accuracy", "ArgMax", "Silence", "Threshold")
_BYTES = 192 << 20
_MAX_BATCH = 64
# Size of the noise that a perturbation adds, relative to the root mean square of the weights.
_NOISE = 0.02
# Random sums of the outputs that Mᵀ M is estimated by, for each image and label.
_SUMS = 8


@dataclass(frozen=True, eq=False)
class Fisher:
    """What the Fisher information tells of a parameter.

    outputs : G, float64 (outputs,). inputs : H, float64 (groups, K, K); None where it was not asked
        for, where there is no backward pass, or where it does not fit into MAX_BYTES.
    """

    outputs: Doubles
    inputs: Doubles | None = None


@dataclass(frozen=True)
class _Head:
    """A blob at which gradients start; axis: of the classes, or None for a regression."""

    blob: str
    axis: int | None


def fisher_information(
    net: Net,
    names: Sequence[str],
    calibration: Calibration,
    *,
    inputs: Collection[str] = (),
    draws: int = 4,
    seed: int = 0,
    threads: int | None = None,
    images: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Fisher]:
    """Return G and H by name, for weights of convolutions and InnerProducts.

    An output that comes from a Softmax, or that is the top of an InnerProduct, convolution or
    pooling (scores), is judged by cross entropy. Any other is judged by the squared error
    1/2 |y - t|² with targets t = y + Gaussian noise of variance 1: its unit is that of the output.
    Several outputs add up. Of a parameter that several layers use the sensitivities add up.

    A layer from which there is no backward pass to an output gets one value for all its outputs, by
    perturbation: noise is added to its weights, which changes its responses by dy, and

        G = 2 KL / sum_o of the mean over patches of dy_o².

    Parameters
    ----------
    inputs : names to return H of too, weights of types Convolution and InnerProduct.
    draws : labels for each image. images : use only so many of the images; None for all.
    on_progress : called with the number of images done, from 0 again for each perturbed parameter.

    Raises
    ------
    RecipeError : a name is not the weights of such a layer.
    NetError : the net has no output that can be judged, or values that are not finite.
    """
    if draws < 1 or seed < 0 or (images is not None and images < 1):
        raise UsageError(
            f"draws and images are from 1 on, seed from 0 on; not {draws}, {images} and {seed}"
        )
    walk = _judged(unfolded(net))
    users = {name: _users(walk, name) for name in names}
    heads = _heads(walk, calibration.blob)
    smooth = differentiable(walk, [head.blob for head in heads])
    run = _Run(walk, calibration, heads, draws, seed, threads, images, on_progress)
    backward = {
        name: layers
        for name, layers in users.items()
        if all(smooth.issuperset(layer.tops) for layer in layers)
    }
    sides = {name: _Side(net, name, run.rng(name)) for name in _fitting(net, backward, inputs)}
    found = run.fisher(backward, sides) if backward else {}
    for name, layers in users.items():
        if name not in found:
            found[name] = Fisher(run.perturbed(name, layers))
        if not np.isfinite(found[name].outputs).all():
            raise NetError(
                f"the sensitivity of the output to `{name}` is not finite",
                hint="the net gives NaN or infinite values on the calibration images",
            )
    return {name: found[name] for name in names}


def fisher_once(
    net: Net,
    names: Sequence[str],
    calibration: Calibration,
    *,
    inputs: Sequence[str] = (),
    seed: int = 0,
    threads: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Fisher]:
    """Return what `fisher_information` does, from the calibration's memory or its cache."""
    key = ("fisher", str(seed), *names, "of which", *inputs)

    def arrays() -> Mapping[str, Doubles]:
        found: dict[str, Doubles] = {}
        for name, fisher in fisher_information(
            net,
            names,
            calibration,
            inputs=inputs,
            seed=seed,
            threads=threads,
            on_progress=on_progress,
        ).items():
            found[f"{name} outputs"] = fisher.outputs
            if fisher.inputs is not None:
                found[f"{name} inputs"] = fisher.inputs
        return found

    def compute() -> dict[str, Fisher]:
        found = calibration.stored(net, key, arrays)
        return {
            name: Fisher(found[f"{name} outputs"], found.get(f"{name} inputs")) for name in names
        }

    size = sum(bytes_of_gram(net, name, False) for name in inputs)
    return calibration.remembered((*key, digest_of(net)), size, compute)


@dataclass
class _Run:
    """What all estimates share."""

    net: Net
    calibration: Calibration
    heads: list[_Head]
    draws: int
    seed: int
    threads: int | None
    images: int | None
    on_progress: Callable[[int], None] | None

    def batches(self, draws: int) -> Iterator[Array]:
        shapes = infer_shapes(self.net, {self.calibration.blob: (1, *self.calibration.shape)})
        sizes = [4 * prod(shape) for shape in shapes.blobs.values() if shape is not None]
        each = sum(sizes) + 3 * draws * max(sizes)
        done = 0
        for batch in self.calibration.batches(min(max(_BYTES // each, 1), _MAX_BATCH)):
            left = len(batch) if self.images is None else self.images - done
            if left <= 0:
                return
            yield batch[:left]
            done += len(batch[:left])
            if self.on_progress is not None:
                self.on_progress(done)

    def fisher(
        self, users: Mapping[str, Sequence[Layer]], sides: Mapping[str, _Side]
    ) -> dict[str, Fisher]:
        """Return the information by backward passes."""
        tops = {
            top: (name, layer, bottom)
            for name, layers in users.items()
            for layer in layers
            for bottom, top in zip(layer.bottoms, layer.tops, strict=True)
        }
        read = {bottom for name, _, bottom in tops.values() if name in sides}
        gradients = Gradients(
            self.net, [head.blob for head in self.heads], list(tops), self.threads, read
        )
        rngs = {head.blob: self.rng(head.blob) for head in self.heads}
        found = {name: np.zeros(_outputs(layers[0])) for name, layers in users.items()}
        count = 0
        for batch in self.batches(self.draws):
            feed = {self.calibration.blob: batch}
            values = gradients.forward(feed)
            given = {
                head.blob: _drawn(values[head.blob], head.axis, self.draws, rngs[head.blob])
                for head in self.heads
            }
            count += len(batch) * self.draws
            for top, gradient in gradients.backward(feed, values, given):
                name, layer, bottom = tops[top]
                found[name] += _by_output(layer, gradient, gradient.ndim - 1)
                if name in sides:
                    sides[name].add(layer, values[bottom], gradient, len(batch))
            for side in sides.values():
                side.close()
        return {
            name: Fisher(sums / count, sides[name].total / count if name in sides else None)
            for name, sums in found.items()
        }

    def perturbed(self, name: str, layers: Sequence[Layer]) -> Doubles:
        """Return one value for all outputs, by adding noise to the weights."""
        weights = self.net.parameters[name].to_dense()
        level = _NOISE * float(np.sqrt(np.mean(np.square(weights, dtype=np.float64))))
        heads = [head.blob for head in self.heads]
        tops = {top: layer for layer in layers for top in layer.tops}
        before = Engine(self.net, self.threads)
        rng = self.rng(name)
        engines = []
        for _ in range(self.draws):
            noise = rng.standard_normal(weights.shape).astype(np.float32)
            parameters: Parameters = self.net.parameters.copy()
            parameters[name] = Dense(weights + np.float32(level) * noise)
            engines.append(Engine(replace(self.net, parameters=parameters), self.threads))
        divergence = change = 0.0
        for batch in self.batches(1):
            feed = {self.calibration.blob: batch}
            old = before.run(feed, [*heads, *tops])
            for engine in engines:
                new = engine.run(feed, [*heads, *tops])
                divergence += sum(_divergence(old[h.blob], new[h.blob], h.axis) for h in self.heads)
                for top, layer in tops.items():
                    squares = _by_output(layer, new[top] - old[top], new[top].ndim)
                    patches = new[top].size // len(batch) // len(squares)
                    change += float(squares.sum()) / patches
        value = 2 * divergence / (change / len(tops)) if change > 0 else 0.0
        return np.full(_outputs(layers[0]), value)

    def rng(self, name: str) -> np.random.Generator:
        """Return a generator of a name's own."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])


def _fitting(net: Net, names: Collection[str], wanted: Collection[str]) -> list[str]:
    """Return which of the wanted names have matrices that fit into MAX_BYTES together."""
    room, fitting = MAX_BYTES, []
    for name in wanted:
        size = bytes_of_gram(net, name, False) if name in names else room + 1
        if size <= room:
            fitting.append(name)
            room -= size
    return fitting


class _Side:
    """The sum of Mᵀ M of a parameter; all its users' shares of one image's M come before `close`.

    M has many rows: random sums of them, with signs s, give E[(sᵀ M)ᵀ (sᵀ M)] = Mᵀ M.
    """

    def __init__(self, net: Net, name: str, rng: np.random.Generator) -> None:
        self.groups, self.columns = size_of_gram(net, name)
        self.total: Doubles = np.zeros((self.groups, self.columns, self.columns))
        self._rng = rng
        self._signs: Array | None = None
        self._sums: Array | None = None

    def add(self, layer: Layer, x: Array, gradient: Array, images: int) -> None:
        """Add what one layer does to M, of gradients (draws, *its top)."""
        outputs = _outputs(layer) // self.groups
        draws = len(gradient)
        rows = gradient.reshape(draws, images, -1, self.groups, outputs, 1)
        if layer.type != "InnerProduct":
            rows = gradient.reshape(draws, images, 1, self.groups, outputs, -1)
        rows = np.moveaxis(rows, 2, -1).reshape(draws, images, self.groups, outputs, -1)
        if outputs > _SUMS:
            if self._signs is None:
                # Image by image, so that batches do not matter.
                shape = (draws, self.groups, _SUMS, outputs)
                signs = [self._rng.integers(0, 2, shape, np.int8) for _ in range(images)]
                self._signs = (2 * np.stack(signs, axis=1) - 1).astype(np.float32)
                self._signs /= np.float32(_SUMS**0.5)
            rows = np.matmul(self._signs, rows)
        # All draws see the same inputs: they are rows of one image.
        rows = np.moveaxis(rows, 0, 2).reshape(images, self.groups, draws * rows.shape[3], -1)
        sums = weight_gradients(layer, self.groups, self.columns, x, rows)
        self._sums = sums if self._sums is None else self._sums + sums

    def close(self) -> None:
        """Take the products of what one batch gave."""
        if self._sums is not None:
            for group in range(self.groups):
                columns = self._sums[:, group].reshape(-1, self.columns).T
                self.total[group] += product(columns, columns)
        self._signs = self._sums = None


def _judged(net: Net) -> Net:
    """Return the net up to what is discrete, or of a size that only values tell."""
    layers = list(net.layers)
    for i, layer in enumerate(layers):
        if layer.type in DYNAMIC_TYPES:
            del layers[i:]
            break
    while True:
        read = {name for layer in layers for name in layer.bottoms}
        kept = [
            layer
            for layer in layers
            if not read.isdisjoint(layer.tops)
            or not (layer.type in _DISCRETE or layer.type.endswith("Loss"))
        ]
        if len(kept) == len(layers):
            return replace(net, layers=layers)
        layers = kept


def _heads(net: Net, fed: str) -> list[_Head]:
    from cmodel.engine.selection import select

    heads = []
    makers = {top: layer for layer in net.layers for top in layer.tops}
    for name in select(net, {fed}, None).blobs:
        if name in net.inputs:
            continue
        source = name
        while makers[source].type in _ALIASES and makers[source].bottoms[0] in makers:
            source = makers[source].bottoms[0]
        layer = makers[source]
        if layer.type == "Softmax":
            heads.append(_Head(layer.bottoms[0], layer.param.softmax_param.axis))
        else:
            heads.append(_Head(name, 1 if layer.type in _SCORES else None))
    if not heads:
        raise NetError("the net has no output whose errors can be judged")
    return list(dict.fromkeys(heads))


def _users(net: Net, name: str) -> list[Layer]:
    users = [layer for layer in net.layers if name in layer.parameters[:1]]
    if not users or any(layer.type not in (*_SLIDING, "InnerProduct") for layer in users):
        raise RecipeError(
            f"`{name}` is not the weights of a convolution or an InnerProduct: it has no outputs",
            hint="select layers of the types Convolution and InnerProduct",
        )
    return users


def _outputs(layer: Layer) -> int:
    if layer.type == "InnerProduct":
        return layer.param.inner_product_param.num_output
    return layer.param.convolution_param.num_output


def _by_output(layer: Layer, values: Array, rank: int) -> Doubles:
    """Return the sum of squares of each output; the last `rank` axes are the layer's top."""
    outputs = _outputs(layer)
    if layer.type == "InnerProduct":
        rows = values.reshape(-1, outputs)
        return np.asarray(np.einsum("no,no->o", rows, rows, dtype=np.float64))
    # The channel axis of bottom and top is the same.
    axis = convolution_window(layer, values.shape[values.ndim - rank :]).axis
    flat = values.reshape(-1, outputs, prod(values.shape[values.ndim - rank + axis + 1 :]))
    return np.asarray(np.einsum("nop,nop->no", flat, flat).sum(axis=0, dtype=np.float64))


def _probabilities(scores: Array, axis: int) -> Doubles:
    shifted = scores.astype(np.float64)
    shifted -= shifted.max(axis=axis, keepdims=True)
    powers = np.exp(shifted)
    return np.asarray(powers / powers.sum(axis=axis, keepdims=True))


def _classes(scores: Array, axis: int | None) -> int | None:
    """Return the axis of the classes, or None where there are not two of them."""
    if axis is None or not -scores.ndim <= axis < scores.ndim or scores.shape[axis] < 2:
        return None
    return axis % scores.ndim


def _drawn(scores: Array, axis: int | None, draws: int, rng: np.random.Generator) -> Array:
    """Return the gradients at a head for random labels or targets, (draws, *its shape)."""
    found = np.empty((draws, *scores.shape), np.float32)
    place = _classes(scores, axis)
    # Image by image, so that batches do not matter.
    for i in range(len(scores)):
        if place is None or place == 0:
            found[:, i] = rng.standard_normal((draws, *scores.shape[1:]))
            continue
        p = np.moveaxis(_probabilities(scores[i], place - 1), place - 1, -1)
        steps = np.cumsum(p, axis=-1)
        uniform = rng.random((draws, *p.shape[:-1], 1)) * steps[..., -1:]
        labels = np.minimum((steps <= uniform).sum(axis=-1, keepdims=True), p.shape[-1] - 1)
        drawn = np.arange(p.shape[-1]) == labels
        found[:, i] = np.moveaxis(p - drawn, -1, place)
    return found


def _divergence(old: Array, new: Array, axis: int | None) -> float:
    """Return the KL divergence, or half the squared error, summed over everything."""
    place = _classes(old, axis)
    if place is None or place == 0:
        return float(np.square(new.astype(np.float64) - old).sum()) / 2
    p, q = _probabilities(old, place), _probabilities(new, place)
    tiny = np.finfo(np.float64).tiny
    return float((p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))).sum())
