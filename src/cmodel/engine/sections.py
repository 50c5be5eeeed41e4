"""Cuts a run behind each layer whose tops' shapes only its values tell.

Within a section all shapes are known before it starts, so that it can be planned; the next section
is planned once the layer at the end of this one has run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmodel.engine.selection import Selection
from cmodel.net import DYNAMIC_TYPES, Layer


@dataclass
class Section:
    """Layers that are planned together.

    layers : in order. last : the layer behind them that closes the section, if there is one.
    inputs : blobs of earlier sections, or fed ones, that it reads.
    outputs : blobs that `layers` write and that are wanted, or read by `last` or later sections.
    changes : by layer key, what a layer changes besides its tops.
    """

    changes: Mapping[str, Mapping[str, str]]
    layers: list[Layer] = field(default_factory=list)
    last: Layer | None = None
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


def cut(selection: Selection) -> list[Section]:
    """Return the sections of a run; one where no layer is dynamic."""
    sections = [Section(selection.changes)]
    for layer in selection.layers:
        if layer.type in DYNAMIC_TYPES:
            sections[-1].last = layer
            sections.append(Section(selection.changes))
        else:
            sections[-1].layers.append(layer)
    needed = set(selection.blobs)
    for section in reversed(sections):
        closing = [] if section.last is None else [section.last]
        for layer in closing:
            needed.difference_update(layer.tops)
            needed.update(layer.bottoms)
        written: dict[str, None] = {}
        read: dict[str, None] = {}
        made: set[str] = set()
        for layer in (*section.layers, *closing):
            changed = selection.changes[layer.key]
            read.update((name, None) for name in (*layer.bottoms, *changed) if name not in made)
            made.update(name for name in layer.tops if name not in read)
            if layer is not section.last:
                written.update(dict.fromkeys((*layer.tops, *changed)))
        section.inputs = list(read)
        section.outputs = [name for name in written if name in needed]
        needed.difference_update(section.outputs)
        needed.update(section.inputs)
    return [section for section in sections if section.layers or section.last is not None]
