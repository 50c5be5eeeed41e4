"""Prototxt and weights become a Net."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cmodel.caffe.deep_compression import LayerSizes
from cmodel.caffe.fillers import fill, filler_of, is_random
from cmodel.caffe.filter import is_included, net_state
from cmodel.caffe.forks import report, unknown_names
from cmodel.caffe.hdf5 import MAX_MEMORY
from cmodel.caffe.prototxt import ParsedNet, read_prototxt
from cmodel.caffe.upgrade import UpgradedLayer, upgrade_layers
from cmodel.caffe.weights import Blob, StoredLayer, Weights, read_weights
from cmodel.caffe.wire import blob_of_bytes, read_blob
from cmodel.errors import (
    CaffemodelError,
    CmodelError,
    LimitError,
    NetError,
    PrototxtError,
    WeightsError,
)
from cmodel.net import (
    Layer,
    Net,
    Parameter,
    ParameterLoader,
    Parameters,
    Shape,
    layer_keys,
    parameter_name,
)
from cmodel.net.shapes import infer_shapes
from cmodel.proto import caffe_pb2
from cmodel.tensors import Dense

# Values of all missing parameters: sizes that only a prototxt states are not to be trusted.
MAX_FILL = 1 << 28

# Ranks of weights and bias where a net's input has no known size: legacy blobs always have four
# dimensions, and the leading ones are to be taken off.
_RANKS = {
    "InnerProduct": (2, 1),
    "CInnerProduct": (2, 1),
    "Embed": (2, 1),
    "Convolution": (4, 1),
    "CConvolution": (4, 1),
    "Deconvolution": (4, 1),
}


def load_net(
    prototxt_path: str | Path,
    weights_path: str | Path | None = None,
    *,
    phase: str = "TEST",
    stages: Iterable[str] = (),
    level: int = 0,
    strict: bool = False,
    allow_missing: bool = True,
    allow_unknown: bool = False,
    require_weights: bool = True,
    max_memory: int = MAX_MEMORY,
    on_warning: Callable[[str], None] | None = None,
) -> Net:
    """Load a net of any Caffe version, and its weights.

    Weights are matched by the names of layers. They are decoded when they are asked for: a
    parameter is a view on the mapped file where that can be, else a copy made at each access.

    Parameters
    ----------
    prototxt_path : the net.
    weights_path : a caffemodel, Caffe's HDF5 weights (the extra `hdf5`) or a `.net` file of Deep
        Compression, whose forms stay as they are; told by content. None for a net whose layers
        have no parameters.
    phase, stages, level : the state that include and exclude rules are held against.
    strict : make every warning an error.
    allow_missing : whether layers may be missing in the weights. They get the values of their
        fillers; the names of those that a random filler gave are in ``notes["unfilled"]``.
    allow_unknown : whether fields and layer types that are not Caffe's go without a warning. They
        are kept in any case.
    require_weights : False to load a net without its weights, for listing: its layers then have no
        parameters.
    max_memory : most bytes that HDF5 weights, which may be packed, may come to.
    on_warning : told of what is odd: missing layers, layers of the weights that the net lacks,
        unknown fields and layer types, those all together.

    Raises
    ------
    InputError
        A file cannot be read.
    PrototxtError, CaffemodelError
        A file is not what it should be, or is damaged.
    NetError
        The layers do not fit together.
    WeightsError
        The weights do not fit the net.
    UnsupportedError
        A layer type, filler or format that cmodel does not have.
    LimitError
        A file is larger or more intricate than any real one.
    """
    warn = _Warnings(strict, on_warning)
    parsed = read_prototxt(prototxt_path)
    net, blobs = _build(parsed, str(prototxt_path), warn, phase, stages, level, allow_unknown)
    if weights_path is None and not require_weights:
        return net
    expected = infer_shapes(net).parameters
    binder = _Binder(net, expected, blobs, str(prototxt_path))
    if weights_path is None:
        binder.bind_without_weights()
    else:
        weights = read_weights(weights_path, _sizes(net, expected), max_memory=max_memory)
        binder.bind(weights, allow_missing, warn)
    return net


def load_mean(path: str | Path) -> NDArray[np.float32]:
    """Read a mean image (mean.binaryproto), C,H,W float32.

    Raises
    ------
    InputError
        It cannot be read.
    CaffemodelError
        It is damaged, or holds no image.
    """
    blob = read_blob(path)
    shape = blob.shape[1:] if len(blob.shape) == 4 and blob.shape[0] == 1 else blob.shape
    if len(shape) != 3 or not prod(shape):
        raise CaffemodelError(
            f"the file holds no mean image: its blob has shape {blob.shape}",
            where=str(path),
            hint="a mean image has shape (1, channels, height, width)",
        )
    _check_size(blob, str(path))
    return np.array(blob.values(), np.float32).reshape(shape)


@dataclass
class _Warnings:
    """Passes warnings on, or raises them as errors."""

    strict: bool
    on_warning: Callable[[str], None] | None

    def __call__(self, error: CmodelError) -> None:
        if self.strict:
            raise error
        if self.on_warning is not None:
            self.on_warning(str(error))


def _build(
    parsed: ParsedNet,
    path: str,
    warn: _Warnings,
    phase: str,
    stages: Iterable[str],
    level: int,
    allow_unknown: bool,
) -> tuple[Net, dict[str, Sequence[Blob]]]:
    """Return the net without parameters, and the blobs that stand in the prototxt itself."""
    message = parsed.message
    if message.layers and message.layer:
        raise NetError(
            "the net mixes `layers` (before 2015) and `layer`",
            where=path,
            hint="write all of them as `layer`",
        )
    state = net_state(message.state, phase, stages, level)
    unknown = [] if allow_unknown else unknown_names(parsed, state)
    if unknown:
        warn(report(unknown, path))
    upgraded = upgrade_layers(
        message,
        parsed.layers_unknown,
        parsed.layer_unknown,
        on_warning=lambda text: warn(PrototxtError(text, where=path)),
    )
    included = [layer for layer in upgraded if is_included(layer.param, state)]
    header = caffe_pb2.NetParameter()
    header.CopyFrom(message)
    header.ClearField("layer")
    header.ClearField("layers")
    keys = layer_keys(layer.param.name for layer in included)
    blobs: dict[str, Sequence[Blob]] = {}
    layers = []
    for key, layer in zip(keys, included, strict=True):
        if layer.param.blobs:
            blobs[key] = _inline_blobs(layer, path)
            layer.param.ClearField("blobs")
        layers.append(Layer(layer.param, key, unknown=layer.unknown))
    return Net(header, layers, Parameters(), tuple(parsed.unknown)), blobs


def _inline_blobs(layer: UpgradedLayer, path: str) -> list[Blob]:
    where = f"{path}, layer `{layer.param.name}`"
    return [blob_of_bytes(blob.SerializeToString(), where) for blob in layer.param.blobs]


@dataclass
class _Binder:
    """Gives the layers of a net their parameters.

    expected : by layer key, the shapes that the layer needs; None where that is not known.
    blobs : by layer key, values that stand in the prototxt itself.
    """

    net: Net
    expected: dict[str, list[Shape] | None]
    blobs: dict[str, Sequence[Blob]]
    prototxt: str
    # By name of the parameter.
    shapes: dict[str, Shape] = field(default_factory=dict)
    entries: dict[str, Parameter | ParameterLoader] = field(default_factory=dict)
    # By name of a shared parameter as `param { name }` gives it.
    owners: dict[str, str] = field(default_factory=dict)

    def bind_without_weights(self) -> None:
        """Take what the prototxt has; nothing else may be needed."""
        needy = [
            layer.key
            for layer in self.net.layers
            if self.expected.get(layer.key) and layer.key not in self.blobs
        ]
        if needy:
            raise WeightsError(
                f"no weights are given, and the net needs them for {_some('layer', needy)}",
                where=self.prototxt,
                hint="give the .caffemodel with the net",
            )
        for layer in self.net.layers:
            self.entries |= self.bind_layer(layer, self.blobs.get(layer.key), self.prototxt)
        self.finish(())

    def bind(self, model: Weights, allow_missing: bool, warn: _Warnings) -> None:
        """Take the weights of a file, by the names of its layers."""
        # Where a name repeats, Caffe fills the first layer of the net, from the last of the file.
        keys: dict[str, str] = {}
        for layer in self.net.layers:
            keys.setdefault(layer.name, layer.key)
        records = {keys[r.name]: (i, r) for i, r in enumerate(model.layers) if r.name in keys}
        strangers = [r.name for r in model.layers if r.blobs and r.name not in keys]
        self.check_any_match(model, [record for _, record in records.values()])

        last_writer: dict[str, int] = {}
        for layer in self.net.layers:
            position, record = records.get(layer.key, (-1, None))
            found: Sequence[Blob | None] | None = self.blobs.get(layer.key)
            if record is not None:
                found = self.padded(layer, record.blobs) if model.shared_once else record.blobs
            # Shared parameters stand in the file once for each of their layers; in Caffe the last
            # one read remains.
            for name, entry in self.bind_layer(layer, found, model.path).items():
                if position >= last_writer.get(name, -1):
                    self.entries[name] = entry
                    last_writer[name] = position
        if strangers:
            warn(
                WeightsError(
                    f"left out: the net lacks {_some('layer', strangers)} of the weights",
                    where=model.path,
                )
            )
        missing = [
            layer
            for layer in self.net.layers
            if any(name not in self.entries for name in layer.parameters)
        ]
        self.fill_missing(missing, model.path, allow_missing, warn)

    def check_any_match(self, model: Weights, matched: Sequence[StoredLayer]) -> None:
        if any(record.blobs for record in matched):
            return
        needy = [layer.name for layer in self.net.layers if self.expected.get(layer.key) != []]
        if not needy:
            return
        have = [record.name for record in model.layers if record.blobs]
        raise WeightsError(
            "the weights hold parameters for no layer of the net",
            where=model.path,
            notes=(
                f"the net {self.prototxt} has {_some('layer', needy)}",
                f"the weights have {_some('layer', have)}",
            ),
            hint="weights are matched by the names of layers; is this the right net?",
        )

    def bind_layer(
        self, layer: Layer, found: Sequence[Blob | None] | None, path: str
    ) -> dict[str, Parameter | ParameterLoader]:
        """Name a layer's parameters; return the entries that its blobs give."""
        shapes = self.expected.get(layer.key)
        where = f"{path}, layer `{layer.name}` ({layer.type})"
        if found is not None:
            shapes = self.fitted(layer, found, shapes, where)
        for i, shape in enumerate(shapes or ()):
            name = self.own_or_shared(layer, i, shape)
            layer.parameters.append(name)
            if found is not None and found[i] is None and name == parameter_name(layer.key, i):
                raise WeightsError(
                    f"the weights lack parameter {i} of the layer, which it shares with no other",
                    where=where,
                    notes=(f"net: {self.prototxt}",),
                    hint="the weights belong to another version of the net",
                )
        # A shared parameter has its owner's shape.
        return {
            name: ParameterLoader(self.shapes[name], partial(blob.form, self.shapes[name]))
            for name, blob in zip(layer.parameters, found or (), strict=False)
            if blob is not None
        }

    def padded(self, layer: Layer, found: Sequence[Blob | None]) -> Sequence[Blob | None]:
        """Return a layer's blobs with None for those that stand with their owners only."""
        lacking = len(self.expected.get(layer.key) or ()) - len(found)
        return [*found, *[None] * lacking]

    def fitted(
        self,
        layer: Layer,
        found: Sequence[Blob | None],
        expected: list[Shape] | None,
        where: str,
    ) -> list[Shape]:
        """Return the shapes of a layer's parameters, once its blobs are known to fit."""
        for blob in found:
            if blob is not None:
                _check_size(blob, where)
        if expected is None:
            ranks = _RANKS.get(layer.type, ())
            return [
                self.stated(layer, i, blob, ranks[i] if i < len(ranks) else 4, where)
                for i, blob in enumerate(found)
            ]
        if len(found) != len(expected):
            raise WeightsError(
                f"the layer has {_plural(len(expected), 'parameter')}, "
                f"the weights give {_plural(len(found), 'blob')}",
                where=where,
                notes=(
                    f"net {self.prototxt}: {_shape_list(expected)}",
                    f"weights: {_shape_list(blob.shape for blob in found if blob is not None)}",
                ),
                hint="the weights belong to another version of the net",
            )
        for i, (blob, shape) in enumerate(zip(found, expected, strict=True)):
            if blob is not None and not _matches(blob, shape):
                raise WeightsError(
                    f"parameter {i} has shape {shape} in the net and {blob.shape} in the weights",
                    where=where,
                    notes=(f"net: {self.prototxt}",),
                    hint="the weights belong to another version of the net",
                )
        return expected

    def stated(self, layer: Layer, index: int, blob: Blob | None, rank: int, where: str) -> Shape:
        """Shape of a parameter that only the weights tell, or else the one it is shared with."""
        if blob is not None:
            return _without_leading_ones(blob, rank)
        spec = layer.param.param[index] if index < len(layer.param.param) else None
        owner = self.owners.get(spec.name) if spec is not None else None
        if owner is None:
            raise WeightsError(f"the weights lack parameter {index} of the layer", where=where)
        return self.shapes[owner]

    def own_or_shared(self, layer: Layer, index: int, shape: Shape) -> str:
        """Return the name of a layer's parameter: its own, or that of the one it shares."""
        name = parameter_name(layer.key, index)
        spec = layer.param.param[index] if index < len(layer.param.param) else None
        if spec is not None and spec.name:
            owner = self.owners.setdefault(spec.name, name)
            if owner != name:
                theirs = self.shapes[owner]
                permissive = spec.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
                fits = prod(theirs) == prod(shape) if permissive else theirs == shape
                if not fits:
                    raise NetError(
                        f"the layers share the parameter `{spec.name}`, "
                        f"but `{owner}` has shape {theirs} and `{name}` {shape}",
                        where=self.prototxt,
                    )
                return owner
        self.shapes[name] = shape
        return name

    def fill_missing(
        self, missing: Sequence[Layer], path: str, allow_missing: bool, warn: _Warnings
    ) -> None:
        """Give what no file has the values of its filler."""
        unfilled = []
        absent: dict[str, None] = {}
        made_up = 0
        for layer in missing:
            for i, name in enumerate(layer.parameters):
                if name in self.entries:
                    continue
                absent[layer.key] = None
                shape = self.shapes[name]
                made_up += prod(shape)
                if made_up > MAX_FILL:
                    raise LimitError(
                        f"`{name}` is missing in the weights, and {made_up:,} values are "
                        "too many to make up",
                        where=path,
                    )
                filler = filler_of(layer, i, shape)
                self.entries[name] = ParameterLoader(shape, partial(_filled, filler, shape, name))
                if is_random(filler):
                    unfilled.append(name)
        if absent:
            notes = ["they keep the values of their fillers"]
            if unfilled:
                notes.append(f"drawn at random: {', '.join(unfilled)}")
            error = WeightsError(
                f"the weights lack {_some('layer', list(absent))} of the net",
                where=path,
                notes=notes,
            )
            if not allow_missing:
                raise error
            warn(error)
        self.finish(unfilled)

    def finish(self, unfilled: Sequence[str]) -> None:
        """Put the parameters into the net, in the order of its layers."""
        for name in self.shapes:
            self.net.parameters[name] = self.entries[name]
        if unfilled:
            self.net.notes["unfilled"] = list(unfilled)


def _sizes(net: Net, expected: dict[str, list[Shape] | None]) -> list[LayerSizes] | None:
    """Return the layers that a `.net` file of Deep Compression holds: those with weights.

    None where the net does not tell all of their shapes.
    """
    sizes = []
    for layer in net.layers:
        shapes = expected.get(layer.key)
        if layer.type in _RANKS and shapes is None:
            return None
        if layer.type in _RANKS and shapes:
            sizes.append(LayerSizes(layer.name, shapes[0], shapes[1] if shapes[1:] else None))
    return sizes


def _filled(filler: caffe_pb2.FillerParameter, shape: Shape, name: str) -> Dense:
    return Dense(fill(filler, shape, name))


def _check_size(blob: Blob, where: str) -> None:
    if blob.size != prod(blob.shape):
        raise CaffemodelError(
            f"a blob of shape {blob.shape} holds {blob.size:,} values, not {prod(blob.shape):,}",
            where=f"{where}, {blob.place}",
            hint="the file is damaged; fetch it again",
        )


def _matches(blob: Blob, shape: Shape) -> bool:
    if not blob.legacy:
        return blob.shape == shape
    return len(shape) <= 4 and blob.shape == (1,) * (4 - len(shape)) + shape


def _without_leading_ones(blob: Blob, rank: int) -> Shape:
    """Shape of a legacy blob in a layer whose parameters have this rank."""
    extra = len(blob.shape) - rank
    if blob.legacy and blob.shape[:extra] == (1,) * extra:
        return blob.shape[extra:]
    return blob.shape


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _some(noun: str, names: Sequence[str], most: int = 10) -> str:
    """Return "3 layers (a, b, c)", long lists cut."""
    shown = ", ".join(f"`{name}`" for name in names[:most])
    more = ", ..." if len(names) > most else ""
    return f"{_plural(len(names), noun)} ({shown}{more})" if names else f"no {noun}"


def _shape_list(shapes: Iterable[Shape]) -> str:
    return ", ".join(map(str, shapes)) or "none"
