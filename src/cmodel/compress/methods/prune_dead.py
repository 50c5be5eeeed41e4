"""Dead channels go: those that nothing reads, and those that are the same for every image.

A net that was pruned weight by weight has filters without weights, and filters whose every reader
is pruned. Neither is needed: what nothing reads is left out, and what a channel without weights
adds to its readers, its bias after the layers between, is added to their biases. The answers stay
the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cmodel.compress.channels import Channels, Numbers, Use, channels_of, shrink
from cmodel.compress.registry import Facts, RewriteTask, Rewritten, rewrite
from cmodel.compress.selectors import WEIGHT_TYPES
from cmodel.compress.surgery import form_of
from cmodel.engine import Engine
from cmodel.net import Layer, Net, unfolded
from cmodel.tensors import Codebook, Dense, FloatArray, Form, Linear, Sparse

Doubles = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Options:
    """None."""


@dataclass(frozen=True, eq=False)
class _Read:
    """The columns of a layer's weights that read something."""

    layer: Layer
    use: Use
    roots: Numbers


@rewrite("prune.dead", Options)
def prune_dead(task: RewriteTask[Options]) -> Rewritten:
    """Remove the dead channels that the selected layers make, until there is none.

    Those of parameters in blocks, in groups of grids or codebooks, and in vector codes stay.
    """
    net, names = task.net, {target.name for target in task.targets if target.blob == 0}
    before = {name: net.parameters.shape(name) for name in sorted(names)}
    while _prune(net, names):
        pass
    facts: dict[str, Facts] = {}
    for name, shape in before.items():
        after = net.parameters.shape(name)
        if after != shape:
            facts[name] = {"shape_before": list(shape), "shape": list(after)}
    return Rewritten(net, facts)


def _prune(net: Net, names: set[str]) -> bool:
    """Remove what is dead as the net stands; return whether there was anything."""
    channels = channels_of(net)
    filters = [use for use in channels.uses if use.filters]
    reads = _reads(net, channels)
    candidates = _roots(channels, filters)
    for use in channels.uses:
        if not _can_be_cut(form_of(net, use.parameter)) or (
            use.filters and use.parameter not in names
        ):
            candidates -= set(channels.roots(use.numbers).tolist())
    candidates = {root for root in candidates if channels.reason(np.array([root])) is None}
    read = _nonzero(net, [(r.use, r.roots) for r in reads])
    made = _nonzero(net, [(use, channels.roots(use.numbers)) for use in filters])
    dead = candidates - (read & made)
    for numbers in channels.outputs.values():
        # No layer loses all its filters.
        roots = channels.roots(numbers).tolist()
        if roots and dead.issuperset(roots):
            dead.discard(roots[0])
    removed = dead - read
    removed |= _folded(net, dead - removed, reads)
    if removed:
        shrink(net, channels, removed, _take)
    return bool(removed)


def _can_be_cut(form: Form) -> bool:
    """Whether entries can be taken out of a form without changing the others."""
    match form:
        case Dense():
            return True
        case Sparse(values=values):
            return form.block == (1, 1) and _can_be_cut(values)
        case Linear() | Codebook():
            return form.groups == 1
        case _:
            return False


def _take(net: Net, name: str, axis: int, mask: Flags) -> None:
    net.parameters[name] = _part(form_of(net, name), axis, mask)


def _part(form: Form, axis: int, mask: Flags) -> Form:
    """Keep part of an axis."""
    match form:
        case Dense():
            kept: FloatArray = np.compress(mask, form.values, axis=axis)
            return Dense(kept)
        case Linear():
            return replace(form, ints=np.compress(mask, form.ints, axis=axis))
        case Codebook():
            return replace(form, indices=np.compress(mask, form.indices, axis=axis))
        case Sparse():
            order = np.zeros(form.shape, np.int64)
            order.reshape(-1)[form.positions] = np.arange(1, form.positions.size + 1)
            part = np.compress(mask, order, axis=axis)
            positions = np.flatnonzero(part).astype(np.int64)
            stays = np.zeros(form.positions.size, np.bool_)
            stays[part.reshape(-1)[positions] - 1] = True
            values = _part(form.values, 0, stays)
            return replace(form, dense_shape=part.shape, positions=positions, values=values)
        case _:
            raise AssertionError(f"{type(form).__name__} cannot be cut")


def _is_plain(form: Form) -> bool:
    if isinstance(form, Sparse):
        return form.block == (1, 1) and isinstance(form.values, Dense)
    return isinstance(form, Dense)


def _roots(channels: Channels, uses: Iterable[Use]) -> set[int]:
    return {root for use in uses for root in channels.roots(use.numbers).tolist()}


def _reads(net: Net, channels: Channels) -> list[_Read]:
    owners = {
        layer.parameters[0]: layer
        for layer in net.layers
        if layer.type in WEIGHT_TYPES and layer.parameters
    }
    return [
        _Read(owners[use.parameter], use, channels.roots(use.numbers))
        for use in channels.uses
        if not use.filters and use.parameter in owners
    ]


def _nonzero(net: Net, uses: Iterable[tuple[Use, Numbers]]) -> set[int]:
    """Return the roots that one of the uses has a weight other than 0 for."""
    found: set[int] = set()
    for use, roots in uses:
        values = form_of(net, use.parameter).to_dense()
        others = tuple(axis for axis in range(values.ndim) if axis != use.axis)
        found.update(roots[values.any(axis=others)].tolist())
    return found


def _folded(net: Net, still: set[int], reads: list[_Read]) -> set[int]:
    """Add what constant channels give to their readers' biases; return those that could be."""
    if not still or None in net.inputs.values():
        return set()
    reads = [read for read in reads if not still.isdisjoint(read.roots.tolist())]
    walk = unfolded(net)
    wanted = {read.layer.key: walk.layer(read.layer.key).bottoms for read in reads}
    feed = {name: np.zeros((1, *(s or ())[1:]), "f4") for name, s in net.inputs.items()}
    blobs = Engine(walk).run(feed, sorted({b for bottoms in wanted.values() for b in bottoms}))
    done = set[int]()
    for root in sorted(still):
        added: dict[str, Doubles] = {}
        for read in reads:
            where = read.roots == root
            if not where.any():
                continue
            part = _added(net, read, where, blobs[wanted[read.layer.key][0]])
            if part is None:
                break
            if part.any():
                added[read.layer.parameters[1]] = part
        else:
            for name, part in added.items():
                bias = form_of(net, name).to_dense()
                total = bias.astype(np.float64) + part.reshape(bias.shape)
                net.parameters[name] = Dense(total.astype(np.float32))
            done.add(root)
    return done


def _added(net: Net, read: _Read, where: Flags, blob: NDArray[np.float32]) -> Doubles | None:
    """Return what a channel that no image changes adds to a layer's outputs, or None.

    It is not one number for each output where the values differ from place to place, or where the
    filters reach into the padding, unless the channel is 0.
    """
    layer = read.layer
    values = np.moveaxis(form_of(net, read.use.parameter).to_dense(), read.use.axis, 1)
    columns = np.compress(where, values, axis=1).astype(np.float64)
    columns = columns.reshape(len(columns), -1)
    if layer.type == "InnerProduct":
        given = blob.reshape(-1)[where].astype(np.float64)
        added: Doubles = columns @ given
    else:
        given = blob[0, where].astype(np.float64)
        if not given.any():
            return np.zeros(len(columns))
        param = layer.param.convolution_param
        padded = any(param.pad) or param.pad_h or param.pad_w
        if padded or np.ptp(given) or layer.type != "Convolution":
            return None
        added = columns.sum(axis=1) * given.flat[0]
    has_bias = len(layer.parameters) > 1 and _is_plain(form_of(net, layer.parameters[1]))
    return added if has_bias or not added.any() else None
