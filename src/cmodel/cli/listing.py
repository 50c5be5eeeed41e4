"""Facts about the tensors of a container, for `pack` and `inspect` alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmodel.cli.terminal import bytes_text, table
from cmodel.container import Container, StoredTensor
from cmodel.net import Net
from cmodel.tensors import size_of

# Of parameters: more is no number that this file can have.
MAX_COUNT = 1 << 53


def tensor_facts(tensor: StoredTensor) -> dict[str, Any]:
    """Return everything that the directory says of one tensor, as JSON data."""
    elements = size_of(tensor.shape)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "elements": elements,
        **tensor.stored.facts(),
        "bytes": tensor.size,
        "bits_per_weight": 8 * tensor.size / elements if elements else 0.0,
        "crc32": f"{tensor.crc32:08x}",
        "section": tensor.section,
        "streams": [
            {"name": stream.name, "coder": stream.coder, "bytes": stream.size}
            for stream in tensor.stored.streams()
        ],
    }


def layer_facts(container: Container) -> list[dict[str, Any]]:
    """Return the layers that own tensors, in order, with the facts of each tensor."""
    network = container.manifest.network
    layers: dict[int, dict[str, Any]] = {}
    for tensor in container.tensors:
        if tensor.place is None:
            continue
        index = tensor.place[0]
        layer = layers.setdefault(
            index,
            {
                "name": container.keys[index],
                "type": network.layer[index].type,
                "bytes_before": 0,
                "bytes": 0,
                "parameters": [],
            },
        )
        facts = tensor_facts(tensor)
        layer["parameters"].append(facts)
        layer["bytes_before"] += 4 * facts["elements"]
        layer["bytes"] += facts["bytes"]
    return list(layers.values())


def original_count(net: Net) -> int:
    """Return the number of parameters of the net that a ratio is measured against.

    It is the net's own, or what its notes say where rewrites changed it.
    """
    noted = net.notes.get("parameters")
    if isinstance(noted, int) and not isinstance(noted, bool) and 0 < noted < MAX_COUNT:
        return noted
    return net.parameter_count()


def layer_table(layers: Sequence[Mapping[str, Any]]) -> str:
    """Lay out one line for each tensor."""
    rows = []
    for layer in layers:
        for facts in layer["parameters"]:
            density = f"{100 * facts['density']:.1f} %" if "density" in facts else ""
            before = 4 * facts["elements"]
            rows.append(
                [
                    facts["name"],
                    layer["type"],
                    facts["form"],
                    "x".join(str(n) for n in facts["shape"]) or "scalar",
                    density,
                    bytes_text(before),
                    bytes_text(facts["bytes"]),
                    f"{facts['bits_per_weight']:.2f}",
                ]
            )
    header = ["tensor", "layer", "form", "shape", "density", "before", "after", "bits/weight"]
    return table(header, rows, left=3)
