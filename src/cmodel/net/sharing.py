"""Which blobs lie on the same memory in Caffe, and what a layer in place therefore changes.

Caffe does not copy where a layer only renames or reshapes a blob: its tops are set on the memory of
the bottom. A layer that later works in place on one of these blobs writes to that memory, and so
changes all of them: what later layers read there, and what stands there after the pass.
"""

from __future__ import annotations

from cmodel.net.net import Layer


def shares_bottom(layer: Layer) -> bool:
    """Whether Caffe sets the tops of this layer on the memory of its only bottom."""
    if layer.type == "Concat":
        return len(layer.bottoms) == 1
    if layer.type == "Slice":
        return len(layer.tops) == 1
    return layer.type in ("Flatten", "Reshape", "Split")


class Sharing:
    """Follows a net layer by layer, in order, and knows which blobs share memory."""

    def __init__(self) -> None:
        self._groups: dict[str, list[str]] = {}

    def enter(self, layer: Layer) -> dict[str, str]:
        """Enter a layer; return the blobs that it changes besides its tops.

        Each comes with the top whose values it takes over, in its own shape.
        """
        changed: dict[str, str] = {}
        for top in layer.tops:
            if top in layer.bottoms:
                for name in self._groups.get(top, ()):
                    changed[name] = top
            elif shares_bottom(layer):
                group = self._groups.setdefault(layer.bottoms[0], [layer.bottoms[0]])
                group.append(top)
                self._groups[top] = group
        return {name: top for name, top in changed.items() if name not in layer.tops}
