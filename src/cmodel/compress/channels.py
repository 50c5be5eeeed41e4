"""Which parameters depend on which channels: what has to shrink together when a filter goes.

Every output channel of a layer with filters gets a number. Blobs are followed layer by layer as the
numbers that stand along their axis 1; layers that join channels one to one (Eltwise, depthwise
convolution) make the numbers one; layers that mix them in a way that a removal would change fix
them, with a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.surgery import form_of
from cmodel.compress.values import unquantized
from cmodel.errors import RecipeError
from cmodel.net import INPUT_TYPES, Layer, Net, Shape, infer_shapes
from cmodel.net.shapes.concat import concat_axis
from cmodel.net.shapes.convolution import convolution_groups
from cmodel.net.shapes.rule import canonical_axis
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense, Sparse

Numbers = NDArray[np.int64]

# Each element for itself: a channel goes through unchanged in number.
_ELEMENTWISE = frozenset(
    {
        "AbsVal",
        "BNLL",
        "Clip",
        "Dropout",
        "ELU",
        "Exp",
        "Log",
        "Pooling",
        "Power",
        "ReLU",
        "ReLU6",
        "Sigmoid",
        "Swish",
        "TanH",
        "Threshold",
    }
)


@dataclass(frozen=True, eq=False)
class Use:
    """An axis of a parameter whose entries belong to channels."""

    parameter: str
    axis: int
    numbers: Numbers
    filters: bool = False


@dataclass(eq=False)
class Channels:
    """What is known of a net's channels.

    uses : of all parameters; `filters` marks those whose entries make the channel.
    outputs : by layer key, the numbers of its channels, for layers with filters.
    groups : layers whose number of groups is that of their channels.
    slices : by layer key, the numbers of its bottom.
    """

    uses: list[Use] = field(default_factory=list)
    outputs: dict[str, Numbers] = field(default_factory=dict)
    groups: set[str] = field(default_factory=set)
    slices: dict[str, Numbers] = field(default_factory=dict)
    _parents: list[int] = field(default_factory=list)
    _reasons: dict[int, str] = field(default_factory=dict)

    def new(self, count: int) -> Numbers:
        """Return `count` new channels."""
        start = len(self._parents)
        self._parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def root(self, number: int) -> int:
        """Return the number that stands for all that are tied to this one."""
        while self._parents[number] != number:
            self._parents[number] = self._parents[self._parents[number]]
            number = self._parents[number]
        return number

    def roots(self, numbers: Numbers) -> Numbers:
        """Return the roots of an array of numbers."""
        return np.array([self.root(int(number)) for number in numbers], np.int64)

    def tie(self, first: Numbers, second: Numbers) -> None:
        """Make channels one, pair by pair."""
        for a, b in zip(first, second, strict=True):
            one, other = self.root(int(a)), self.root(int(b))
            if one == other:
                continue
            self._parents[other] = one
            if other in self._reasons:
                self._reasons.setdefault(one, self._reasons.pop(other))

    def fix(self, numbers: Numbers, reason: str) -> None:
        """Keep channels from being removed."""
        for number in numbers:
            self._reasons.setdefault(self.root(int(number)), reason)

    def reason(self, numbers: Numbers) -> str | None:
        """Return why one of the channels cannot be removed, or None."""
        for number in numbers:
            if self.root(int(number)) in self._reasons:
                return self._reasons[self.root(int(number))]
        return None


def channels_of(net: Net) -> Channels:
    """Follow the channels through a net.

    Raises
    ------
    NetError : the layers do not fit together.
    """
    return _Walk(net).channels


class _Walk:
    def __init__(self, net: Net) -> None:
        self.net = net
        self.channels = Channels()
        self.blobs: dict[str, Numbers] = {}
        self.shapes: dict[str, Shape | None] = {}
        shapes = infer_shapes(net)
        self.tops = shapes.tops
        for name in net.header.input:
            self._source(name, shapes.blobs[name])
        for layer in net.layers:
            tops = dict(zip(layer.tops, shapes.tops[layer.key], strict=True))
            if layer.type in INPUT_TYPES:
                for name, shape in tops.items():
                    self._source(name, shape)
                continue
            found = self._rule(layer)(layer, [self.blobs[name] for name in layer.bottoms])
            for name, numbers in zip(layer.tops, found, strict=True):
                shape = tops[name]
                if shape is not None and len(shape) > 1 and len(numbers) != shape[1]:
                    raise AssertionError(f"`{layer.key}`: {len(numbers)} channels for {shape}")
                self.blobs[name] = numbers
                self.shapes[name] = shape
        for name in net.outputs:
            self.channels.fix(self.blobs[name], f"`{name}` is an output of the net")
        self._fix_shared()

    def _source(self, name: str, shape: Shape | None) -> None:
        numbers = self.channels.new(_width(shape))
        self.channels.fix(numbers, f"`{name}` is fed from outside")
        self.blobs[name] = numbers
        self.shapes[name] = shape

    def _fix_shared(self) -> None:
        owners: dict[str, str] = {}
        for layer in self.net.layers:
            for name in layer.parameters:
                if owners.setdefault(name, layer.key) != layer.key:
                    for use in self.channels.uses:
                        if use.parameter == name:
                            self.channels.fix(use.numbers, f"`{name}` is shared by layers")

    def _rule(self, layer: Layer) -> Callable[[Layer, list[Numbers]], list[Numbers]]:
        if layer.type in _ELEMENTWISE:
            return self._same
        rules = {
            "BatchNorm": self._batch_norm,
            "Bias": self._per_channel,
            "Concat": self._concat,
            "Convolution": self._convolution,
            "ConvolutionDepthwise": self._convolution,
            "Crop": self._crop,
            "DepthwiseConvolution": self._convolution,
            "Eltwise": self._eltwise,
            "Flatten": self._flatten,
            "InnerProduct": self._inner_product,
            "LRN": self._lrn,
            "PReLU": self._per_channel,
            "Scale": self._per_channel,
            "Silence": self._same,
            "Slice": self._slice,
            "Split": self._same,
        }
        return rules.get(layer.type, self._unknown)

    def _shape(self, layer: Layer, index: int = 0) -> Shape:
        return self.shapes[layer.bottoms[index]] or ()

    def _use(self, layer: Layer, blob: int, axis: int, numbers: Numbers, own: bool = False) -> None:
        if blob < len(layer.parameters):
            self.channels.uses.append(Use(layer.parameters[blob], axis, numbers, own))

    def _same(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        return [bottoms[0]] * len(layer.tops)

    def _unknown(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        """Fix what goes in, and what comes out."""
        reason = f"the layer `{layer.key}` ({layer.type}) depends on the number of its channels"
        for numbers in bottoms:
            self.channels.fix(numbers, reason)
        tops = [self.channels.new(_width(shape)) for shape in self.tops[layer.key]]
        for numbers in tops:
            self.channels.fix(numbers, reason)
        return tops

    def _batch_norm(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        for blob in (0, 1):
            self._use(layer, blob, 0, bottoms[0])
        return bottoms

    def _per_channel(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        if layer.type == "PReLU":
            plain = not layer.param.prelu_param.channel_shared
        else:
            param = layer.param.scale_param if layer.type == "Scale" else layer.param.bias_param
            rank = len(self._shape(layer))
            axis = canonical_axis(layer, param.axis, rank) if rank else 0
            plain = len(bottoms) == 1 and axis == 1 and param.num_axes == 1
            if not plain:
                return self._unknown(layer, bottoms)
        if plain:
            for blob in range(len(layer.parameters)):
                self._use(layer, blob, 0, bottoms[0])
        return [bottoms[0]]

    def _concat(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        if concat_axis(layer, len(self._shape(layer))) == 1:
            return [np.concatenate(bottoms)]
        return self._eltwise(layer, bottoms)

    def _eltwise(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        for other in bottoms[1:]:
            self.channels.tie(bottoms[0], other)
        return [bottoms[0]]

    def _crop(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        if canonical_axis(layer, layer.param.crop_param.axis, len(self._shape(layer))) < 2:
            return self._unknown(layer, bottoms)
        return [bottoms[0]]

    def _lrn(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        param = layer.param.lrn_param
        if param.norm_region == caffe_pb2.LRNParameter.ACROSS_CHANNELS and param.local_size > 1:
            self.channels.fix(bottoms[0], f"`{layer.key}` normalises across neighbouring channels")
        return bottoms

    def _slice(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        param = layer.param.slice_param
        axis = param.slice_dim if param.HasField("slice_dim") else param.axis
        if canonical_axis(layer, axis, len(self._shape(layer))) != 1:
            return bottoms * len(layer.tops)
        points = list(param.slice_point)
        if not points:
            step = len(bottoms[0]) // len(layer.tops)
            points = [step * i for i in range(1, len(layer.tops))]
        self.channels.slices[layer.key] = bottoms[0]
        return [np.asarray(part) for part in np.split(bottoms[0], points)]

    def _flatten(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        shape = self._shape(layer)
        param = layer.param.flatten_param
        start = canonical_axis(layer, param.axis, len(shape))
        end = canonical_axis(layer, param.end_axis, len(shape), "end_axis")
        if start == 1:
            return [np.repeat(bottoms[0], prod(shape[2 : end + 1]))]
        return bottoms if start > 1 else self._unknown(layer, bottoms)

    def _convolution(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        param = layer.param.convolution_param
        if len(bottoms) > 1 or canonical_axis(layer, param.axis, len(self._shape(layer))) != 1:
            return self._unknown(layer, bottoms)
        inputs, outputs = bottoms[0], self.channels.new(param.num_output)
        self.channels.outputs[layer.key] = outputs
        self._use(layer, 0, 0, outputs, own=True)
        self._use(layer, 1, 0, outputs)
        group = convolution_groups(layer, len(inputs))
        if group == 1:
            self._use(layer, 0, 1, inputs)
        elif group == len(inputs) == param.num_output:
            self.channels.tie(inputs, outputs)
            # A ConvolutionDepthwise has no groups to state.
            if layer.type != "ConvolutionDepthwise":
                self.channels.groups.add(layer.key)
        else:
            reason = f"`{layer.key}` has {group} groups"
            self.channels.fix(inputs, reason)
            self.channels.fix(outputs, reason)
        return [outputs]

    def _inner_product(self, layer: Layer, bottoms: list[Numbers]) -> list[Numbers]:
        param = layer.param.inner_product_param
        shape = self._shape(layer)
        if canonical_axis(layer, param.axis, len(shape)) != 1:
            return self._unknown(layer, bottoms)
        outputs = self.channels.new(param.num_output)
        self.channels.outputs[layer.key] = outputs
        rows, columns = (1, 0) if param.transpose else (0, 1)
        self._use(layer, 0, rows, outputs, own=True)
        self._use(layer, 1, 0, outputs)
        self._use(layer, 0, columns, np.repeat(bottoms[0], prod(shape[2:])))
        return [outputs]


def _width(shape: Shape | None) -> int:
    return shape[1] if shape is not None and len(shape) > 1 else 0


def kept(numbers: Numbers, channels: Channels, removed: set[int]) -> NDArray[np.bool_]:
    """Return which entries of an axis stay."""
    return np.array([channels.root(int(number)) not in removed for number in numbers], bool)


def shrink(net: Net, channels: Channels, removed: set[int], take: Take) -> None:
    """Remove channels (roots) from all parameters and layers of a net, in place.

    take : called with the net, a parameter's name, an axis and the mask of what stays.

    Raises
    ------
    RecipeError : a part that a Slice cuts would be empty.
    """
    for use in channels.uses:
        mask = kept(use.numbers, channels, removed)
        if not mask.all():
            take(net, use.parameter, use.axis, mask)
    for layer in net.layers:
        if layer.key in channels.outputs:
            count = int(kept(channels.outputs[layer.key], channels, removed).sum())
            if layer.type == "InnerProduct":
                layer.param.inner_product_param.num_output = count
            else:
                layer.param.convolution_param.num_output = count
                if layer.key in channels.groups:
                    layer.param.convolution_param.group = count
        if layer.key in channels.slices:
            _cut(layer, kept(channels.slices[layer.key], channels, removed))


def taking(method: str) -> Take:
    """Return what keeps a part of a parameter, Dense or pruned, for `shrink`; errors name `method`.

    It raises RecipeError where the parameter is quantized, or pruned in blocks.
    """

    def take(net: Net, name: str, axis: int, mask: NDArray[np.bool_]) -> None:
        form = form_of(net, name)
        part = np.compress(mask, unquantized(form, name, method), axis=axis)
        if not isinstance(form, Sparse):
            net.parameters[name] = Dense(part)
            return
        if form.block != (1, 1):
            raise RecipeError(
                f"`{method}`: the blocks of `{name}` would no longer fit",
                hint="put the step before `prune.block`",
            )
        positions = np.flatnonzero(part).astype(np.int64)
        values = Dense(part.reshape(-1)[positions])
        net.parameters[name] = replace(
            form, dense_shape=part.shape, positions=positions, values=values
        )

    return take


def _cut(layer: Layer, mask: NDArray[np.bool_]) -> None:
    """State anew where a Slice cuts."""
    param = layer.param.slice_param
    points: Sequence[int] = list(param.slice_point)
    if not points:
        step = mask.size // len(layer.tops)
        points = [step * i for i in range(1, len(layer.tops))]
    ends = [0, *(int(mask[:point].sum()) for point in points), int(mask.sum())]
    for top, (start, end) in zip(layer.tops, pairwise(ends), strict=True):
        if start == end:
            raise RecipeError(
                f"nothing would be left of `{top}`, a part that the Slice `{layer.key}` cuts",
                hint="keep more filters of the layers before it",
            )
    param.slice_point[:] = ends[1:-1]


Take = Callable[[Net, str, int, NDArray[np.bool_]], None]
