"""Which layers have to run, given what is fed and what is wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cmodel.errors import NetError, did_you_mean
from cmodel.net import INPUT_TYPES, Layer, Net, Sharing
from cmodel.net.shapes.rule import text


@dataclass(frozen=True)
class Selection:
    """What a run has to do.

    layers : those to run, in order, without the input layers.
    blobs : the names to return.
    changes : by layer key, what the layer changes besides its tops, as `Sharing` says.
    """

    layers: list[Layer]
    blobs: list[str]
    changes: dict[str, dict[str, str]]


def describe_inputs(net: Net) -> str:
    """Name the inputs and their declared shapes, for a hint."""
    inputs = net.inputs
    if not inputs:
        return "the net has no input blobs"
    parts = [f"`{name}`" + (f" ({text(shape)})" if shape else "") for name, shape in inputs.items()]
    return f"the net's inputs are {', '.join(parts)}"


def _evaluates(layer: Layer) -> bool:
    return layer.type == "Accuracy" or layer.type.endswith("Loss")


def select(net: Net, fed: Collection[str], blobs: Sequence[str] | str | None) -> Selection:
    """Choose the layers to run.

    Layers that depend on an input which is not fed are left out. With `blobs` None or "all" that is
    right only for layers that evaluate (accuracy, losses): otherwise a NetError names the input.
    """
    # What a blob lacks: the input that is not fed and on which it depends.
    lacks = {name: name for name in net.inputs if name not in fed}
    makers: dict[str, Layer] = {}
    run = []
    for layer in net.layers:
        if layer.type in INPUT_TYPES:
            continue
        missing = next((lacks[name] for name in layer.bottoms if name in lacks), None)
        for name in layer.tops:
            makers[name] = layer
            if missing is not None:
                lacks[name] = missing
        if missing is None:
            run.append(layer)

    if blobs is None or blobs == "all":
        for name in net.outputs:
            if name in lacks and name in makers and not _evaluates(makers[name]):
                raise _not_fed(net, lacks[name], name)
        known = [*net.inputs, *makers] if blobs == "all" else _outputs(net, run)
        wanted = [name for name in dict.fromkeys(known) if name not in lacks]
        if not wanted and lacks:
            raise _not_fed(net, next(iter(lacks.values())), None)
    else:
        wanted = [blobs] if isinstance(blobs, str) else list(dict.fromkeys(blobs))
        for name in wanted:
            if name not in makers and name not in net.inputs:
                raise NetError(
                    f"the net has no blob `{name}`",
                    hint=did_you_mean(name, [*net.inputs, *makers]),
                )
            if name in lacks:
                raise _not_fed(net, lacks[name], name)
    sharing = Sharing()
    changes = {layer.key: sharing.enter(layer) for layer in run}
    needed = _needed(run, wanted, changes)
    chosen = [layer for layer in run if layer.key in needed]
    there = {*fed, *(name for layer in chosen for name in layer.tops)}
    changes = {
        layer.key: {name: top for name, top in changes[layer.key].items() if name in there}
        for layer in chosen
    }
    return Selection(chosen, wanted, changes)


def _not_fed(net: Net, missing: str, wanted: str | None) -> NetError:
    what = f", which `{wanted}` needs," if wanted and wanted != missing else ""
    return NetError(f"the input `{missing}`{what} is not fed", hint=describe_inputs(net))


def _outputs(net: Net, run: Sequence[Layer]) -> list[str]:
    """Blobs that none of the layers that run reads later."""
    available = dict.fromkeys(net.inputs)
    for layer in run:
        for name in layer.bottoms:
            available.pop(name, None)
        available.update(dict.fromkeys(layer.tops))
    return list(available)


def _needed(
    run: Sequence[Layer], wanted: Sequence[str], changes: Mapping[str, Mapping[str, str]]
) -> set[str]:
    """Keys of the layers on which the wanted blobs depend."""
    blobs = set(wanted)
    keys = set()
    for layer in reversed(run):
        if blobs.isdisjoint((*layer.tops, *changes[layer.key])):
            continue
        # In place or not, the blob as it was before this layer is another one. What it changes
        # besides keeps its own shape, so whatever made that has to run too.
        blobs.difference_update(layer.tops)
        blobs.update(layer.bottoms)
        keys.add(layer.key)
    return keys
