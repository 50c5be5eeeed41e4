"""Facts about the tensors of a container, for `pack` and `inspect` alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cmodel.cli.terminal import bytes_text, table
from cmodel.container import Container, StoredTensor
from cmodel.proto import manifest_pb2
from cmodel.tensors import size_of


def form_facts(form: manifest_pb2.Form, elements: int) -> dict[str, Any]:
    """Return the form's notation, such as "sparse(codebook 32)", and its facts."""
    kind = form.WhichOneof("kind")
    match kind:
        case "dense":
            half = form.dense.type == manifest_pb2.Dense.F16
            return {"form": "dense f16" if half else "dense f32"}
        case "codebook":
            entries = form.codebook.entries
            return {"form": f"codebook {entries}", "entries": entries}
        case "linear":
            wide = form.linear.type in (manifest_pb2.Linear.I16, manifest_pb2.Linear.U16)
            return {"form": f"linear {16 if wide else 8}", "scales": form.linear.scale_count}
        case "sparse":
            inner = form_facts(form.sparse.values, form.sparse.count)
            density = form.sparse.count / max(elements, 1)
            return {**inner, "form": f"sparse({inner['form']})", "density": density}
        case _:
            return {"form": "unknown"}


def tensor_facts(tensor: StoredTensor) -> dict[str, Any]:
    """Return everything that the manifest says of one tensor, as JSON data."""
    elements = size_of(tensor.shape)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "elements": elements,
        **form_facts(tensor.message.form, elements),
        "bytes": tensor.size,
        "bits_per_weight": 8 * tensor.size / elements if elements else 0.0,
        "crc32": f"{tensor.message.crc32:08x}",
        "section": tensor.section,
        "streams": [
            {"name": stream.name, "coder": stream.coder, "bytes": stream.size}
            for stream in tensor.layout.streams
        ],
    }


def layer_facts(container: Container) -> list[dict[str, Any]]:
    """Return the layers that own tensors, in order, with the facts of each tensor."""
    from cmodel.container.manifest import keys_of

    network = container.manifest.network
    keys = keys_of(network)
    layers: dict[int, dict[str, Any]] = {}
    for tensor, place in zip(container.tensors, container.places, strict=True):
        if place is None:
            continue
        layer = layers.setdefault(
            place[0],
            {
                "name": keys[place[0]],
                "type": network.layer[place[0]].type,
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
