"""A container -> what its page shows, as JSON data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np

from cmodel.container import Container, StoredTensor
from cmodel.container.layout import HEADER_SIZE, pack_table
from cmodel.engine import Engine
from cmodel.errors import CmodelError
from cmodel.net import Net
from cmodel.report.pictures import FloatArray, entropy_bits, histogram, levels, weight_map
from cmodel.tensors import Form, size_of

# Kinds of bytes, in the order in which they are stacked.
KINDS = ("indices", "positions", "floats", "codebooks", "scales", "tables", "side")
# Most tensors that get a card with pictures, the largest ones.
MAX_CARDS = 48
_SIDE, _SIDE_OF_MANY, _MANY = 256, 112, 8
_BATCH = 4

Progress = Callable[[int, int], None]


def container_facts(
    stored: Container, original: Net | None = None, *, on_progress: Progress | None = None
) -> dict[str, Any]:
    """Return the facts of an open container: bytes by kind, layers, tensors with their pictures.

    original : the net before compression; with it each weight tensor's error is told.

    Raises
    ------
    CmodelError : a tensor is damaged.
    """
    net = stored.net()
    network = stored.manifest.network
    count = net.parameter_count()
    before = 4 * (original.parameter_count() if original is not None else count)
    cards = _with_cards(stored.tensors)
    side = _SIDE if len(cards) <= _MANY else _SIDE_OF_MANY
    layers: dict[str, dict[str, Any]] = {}
    other = dict.fromkeys(KINDS, 0)
    for done, tensor in enumerate(stored.tensors):
        if on_progress is not None:
            on_progress(done, len(stored.tensors))
        kinds = _kinds(stored, tensor)
        if tensor.place is None:
            # The mean image belongs to no layer.
            other["side"] += sum(kinds.values())
            continue
        key = stored.keys[tensor.place[0]]
        layer = layers.setdefault(
            key,
            {
                "name": key,
                "type": network.layer[tensor.place[0]].type,
                "bytes_before": 0,
                "kinds": dict.fromkeys(KINDS, 0),
                "tensors": [],
            },
        )
        layer["bytes_before"] += 4 * size_of(tensor.shape)
        for kind, size in kinds.items():
            layer["kinds"][kind] += size
        drawn = tensor.name in cards
        layer["tensors"].append(_tensor_facts(stored, tensor, original, side if drawn else 0))
    tensor_bytes = sum(tensor.size for tensor in stored.tensors)
    other["side"] += stored.size - tensor_bytes
    for layer in layers.values():
        layer["bytes"] = sum(layer["kinds"].values())
    totals = {
        kind: other[kind] + sum(layer["kinds"][kind] for layer in layers.values()) for kind in KINDS
    }
    with stored.path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "kind": "container",
        "file": Path(stored.path).name,
        "name": net.name,
        "sha256": digest,
        "format": "{}.{}".format(*stored.version),
        "bytes": stored.size,
        "bytes_before": before,
        "parameters": count,
        "parameters_before": before // 4,
        "ratio": before / stored.size,
        "bits_per_weight": 8 * stored.size / max(before // 4, 1),
        "kinds": totals,
        "side": _side_data(stored),
        "layers": list(layers.values()),
        "recipe": net.notes.get("recipe"),
        "seed": net.notes.get("seed"),
        "accuracy": None,
        "outputs": None,
    }


def _with_cards(tensors: Iterable[StoredTensor]) -> set[str]:
    weights = [t for t in tensors if t.place is not None and _is_weight(t)]
    weights.sort(key=lambda tensor: -size_of(tensor.shape))
    return {tensor.name for tensor in weights[:MAX_CARDS]}


def _is_weight(tensor: StoredTensor) -> bool:
    """Whether a tensor is a matrix or filters, no bias."""
    return sum(extent > 1 for extent in tensor.shape) >= 2


def _kinds(stored: Container, tensor: StoredTensor) -> dict[str, int]:
    """Return the bytes of a tensor's streams by kind; code tables are a kind of their own."""
    kinds = dict.fromkeys(KINDS, 0)
    tables = stored.table_sizes(tensor)
    for stream, table in zip(tensor.stored.streams(), tables, strict=True):
        kinds["tables"] += table
        kinds[kind_of(stream.name)] += stream.size - table
    return kinds


def kind_of(stream: str) -> str:
    """Return the kind of a stream by its name, such as "values.centroids.values"."""
    parts = stream.split(".")
    if "centroids" in parts or "codebooks" in parts or "rotation" in parts:
        return "codebooks"
    if "scales" in parts or "zeros" in parts:
        return "scales"
    if parts[-1] in ("gaps", "bitmap", "mask"):
        return "positions"
    return "floats" if parts[-1] == "values" else "indices"


def _side_data(stored: Container) -> dict[str, int]:
    """Return the bytes that are no tensor's, by what they are."""
    side = {"header": HEADER_SIZE + len(pack_table(stored.sections))}
    data = 0
    for section in stored.sections:
        if section.name == "data":
            data += section.stored_size
        else:
            side[section.name] = side.get(section.name, 0) + section.stored_size
    side["mean image"] = sum(tensor.size for tensor in stored.tensors if tensor.place is None)
    side["padding"] = (
        stored.size - data - sum(size for name, size in side.items() if name != "mean image")
    )
    return {name: size for name, size in side.items() if size}


def _tensor_facts(
    stored: Container, tensor: StoredTensor, original: Net | None, side: int
) -> dict[str, Any]:
    elements = size_of(tensor.shape)
    described = tensor.stored.facts()
    form = stored.form(tensor.name)
    dense = form.to_dense()
    entropy = entropy_bits(form)
    coded = sum(
        stream.size - table
        for stream, table in zip(tensor.stored.streams(), stored.table_sizes(tensor), strict=True)
        if kind_of(stream.name) in ("indices", "positions")
    )
    weights = max(elements, 1)
    return {
        "name": tensor.name,
        "shape": list(tensor.shape),
        "elements": elements,
        "weight": _is_weight(tensor),
        "form": described["form"],
        "density": described.get("density"),
        "coders": sorted({stream.coder for stream in tensor.stored.streams()}),
        "bytes": tensor.size,
        "crc32": f"{tensor.crc32:08x}",
        "bits_per_weight": 8 * tensor.size / weights,
        "coded_bits_per_weight": None if entropy is None else 8 * coded / weights,
        "entropy_bits_per_weight": None if entropy is None else entropy / weights,
        "error": None if original is None else _error(original, tensor.name, dense),
        "histogram": histogram(dense) if side else None,
        "levels": levels(form) if side else None,
        "picture": weight_map(dense, side) if side else None,
    }


def _error(original: Net, name: str, dense: FloatArray) -> float | None:
    """Return |packed - original| / |original| where the original has such a tensor."""
    if name not in original.parameters or original.parameters.shape(name) != dense.shape:
        return None
    truth = cast(Form, original.parameters[name]).to_dense()
    return _relative(_squares(dense - truth), _squares(truth))


def _squares(values: FloatArray) -> float:
    flat = values.reshape(-1)
    total = 0.0
    for start in range(0, flat.size, 1 << 20):
        part = flat[start : start + (1 << 20)].astype(np.float64)
        total += float(part @ part)
    return total


def _relative(error: float, truth: float) -> float | None:
    if not np.isfinite(error) or not np.isfinite(truth):
        return None
    if truth == 0:
        return 0.0 if error == 0 else None
    return float(np.sqrt(error / truth))


def output_errors(
    packed: Net, original: Net, feeds: Iterable[FloatArray], input_blob: str, source: str
) -> dict[str, Any]:
    """Return the relative error of the output of each layer that has parameters, and of the scores.

    feeds : batches of images as they are fed, float32 (n, C, H, W). Only blobs that both nets have
        are compared, as they stand at the end of a run.
    source : says what the images are.
    """
    both = {top for layer in original.layers for top in layer.tops}
    tops = [layer.tops[0] for layer in packed.layers if layer.parameters and layer.tops]
    wanted = [top for top in dict.fromkeys([*tops, *packed.outputs]) if top in both]
    found: dict[str, Any] = {"source": source, "images": 0, "why": None, "blobs": []}
    if not wanted:
        return {**found, "why": "the two nets have no blob in common"}
    engines = Engine(packed), Engine(original)
    errors, truths = dict.fromkeys(wanted, 0.0), dict.fromkeys(wanted, 0.0)
    try:
        for feed in feeds:
            for start in range(0, len(feed), _BATCH):
                x = {input_blob: feed[start : start + _BATCH]}
                ours, theirs = (engine.run(x, wanted) for engine in engines)
                for blob in wanted:
                    if ours[blob].shape != theirs[blob].shape:
                        errors[blob] = np.inf
                        continue
                    errors[blob] += _squares(ours[blob] - theirs[blob])
                    truths[blob] += _squares(theirs[blob])
            found["images"] += len(feed)
    except CmodelError as error:
        return {**found, "why": error.message}
    blobs = ((blob, _relative(errors[blob], truths[blob])) for blob in wanted)
    found["blobs"] = [{"blob": blob, "error": error} for blob, error in blobs]
    return found
