"""`cmodel inspect`: what is in a file."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmodel.cli.listing import layer_facts, layer_table, original_count
from cmodel.cli.options import add_math_option, add_state_options, positive
from cmodel.cli.plan_listing import plan_facts
from cmodel.cli.terminal import Terminal, bytes_text, table

if TYPE_CHECKING:
    from cmodel.container import Container
    from cmodel.net import Net, Shape

HELP = "tell what is in a .cmodel, prototxt, caffemodel, ONNX model or HDF5 weights"
EXAMPLES = """\
  cmodel inspect net.cmodel
  cmodel inspect deploy.prototxt --weights net.caffemodel --json
  cmodel inspect net.cmodel --plan --math fast"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--weights", metavar="W", help="the caffemodel of a prototxt")
    add_state_options(parser)
    group = parser.add_argument_group("how the engine runs it")
    group.add_argument(
        "--plan", action="store_true", help="run it on noise: kernels, their times, memory"
    )
    group.add_argument(
        "--batch", type=positive, metavar="N", help="images at a time (default: as declared)"
    )
    add_math_option(group)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    """Find out by content what FILE is, and list it."""
    from cmodel.api import is_container
    from cmodel.interchange import is_onnx

    if args.plan:
        facts, text = plan_facts(args, terminal)
    elif is_container(args.file):
        facts, text = _container(args)
    elif args.weights is None and _is_binary(Path(args.file)) and not is_onnx(args.file):
        facts, text = _weights(args.file, args.max_memory)
    else:
        facts, text = _net(args, terminal)
    terminal.document("inspect", facts, text)
    return 0


def _is_binary(path: Path) -> bool:
    """Whether a file is no text: files of weights have control bytes among their first."""
    with path.open("rb") as file:
        head = file.read(4096)
    return any(byte < 9 for byte in head)


def _container(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from cmodel.container import Container
    from cmodel.net import InputTransform

    stored = Container(args.file, max_memory=args.max_memory)
    net = stored.net()
    layers = layer_facts(stored)
    count, before = net.parameter_count(), 4 * original_count(net)
    transform = net.transform or InputTransform()
    facts: dict[str, Any] = {
        "kind": "container",
        "format": "{}.{}".format(*stored.version),
        "name": net.name,
        "bytes": stored.size,
        "bytes_before": before,
        "ratio": before / stored.size,
        "parameters": count,
        "alignment": 1 << stored.alignment_log2,
        "purposes": _purposes(stored),
        "sections": [
            {
                "type": section.name,
                "offset": section.offset,
                "bytes": section.stored_size,
                "decoded_bytes": section.decoded_size,
                "deflated": section.deflated,
                "crc32": f"{section.crc32:08x}",
            }
            for section in stored.sections
        ],
        "inputs": _shapes(net.inputs),
        "outputs": net.outputs,
        "transform": {
            "resize": transform.resize,
            "crop": transform.crop,
            "scale": transform.scale,
            "mean_values": transform.mean_values,
            "mean_image": None
            if transform.mean_image is None
            else list(transform.mean_image.shape),
            "channel_order": transform.channel_order,
        },
        "labels": list(net.labels),
        "recipe": net.notes.get("recipe"),
        "layers": layers,
    }
    recipe = (net.notes.get("recipe") or {}).get("name", "none stated")
    purposes = ", ".join(
        f"{name} {bytes_text(size)}" for name, size in facts["purposes"].items() if size
    )
    text = (
        f"{args.file}: container {facts['format']}, net `{net.name}`\n"
        f"{bytes_text(stored.size)} for {count} parameters"
        f" ({bytes_text(before)} as float32 before): {facts['ratio']:.1f}x\n"
        f"bytes: {purposes}\nrecipe: {recipe}\n"
        f"inputs: {_inputs_text(facts['inputs'])}\n"
        f"transform: {_transform_text(facts['transform'])}\n"
        f"labels: {_labels_text(net.labels)}\n\n{layer_table(layers)}"
    )
    return facts, text


def _inputs_text(inputs: dict[str, list[int] | None]) -> str:
    return ", ".join(
        name if shape is None else f"{name} {'x'.join(map(str, shape))}"
        for name, shape in inputs.items()
    )


def _transform_text(transform: dict[str, Any]) -> str:
    """Say in words what the transform states."""
    stated = []
    for name, value in transform.items():
        if value:
            joint = "x" if name in ("resize", "crop", "mean_image") else ","
            text = value if isinstance(value, str) else joint.join(f"{n:g}" for n in value)
            stated.append(f"{name.replace('_', ' ')} {text}")
    return "; ".join(stated) or "none stated"


def _labels_text(labels: Sequence[str], most: int = 3) -> str:
    if not labels:
        return "none"
    return f"{len(labels)} ({', '.join(labels[:most])}{', ...' if len(labels) > most else ''})"


def _purposes(stored: Container) -> dict[str, int]:
    """Bytes of the file by purpose; together they are the whole file."""
    from cmodel.container.layout import HEADER_SIZE, pack_table

    purposes = {"header": HEADER_SIZE, "section table": len(pack_table(stored.sections))}
    for section in stored.sections:
        purposes[section.name] = purposes.get(section.name, 0) + section.stored_size
    purposes["code tables"] = stored.table_bytes()
    purposes["payload"] = purposes.pop("data", 0) - purposes["code tables"]
    purposes["padding"] = stored.size - sum(purposes.values())
    return purposes


def _weights(path: str, max_memory: int) -> tuple[dict[str, Any], str]:
    from cmodel.caffe import Caffemodel, LayerRecord, read_weights, upgrade_layers

    weights = read_weights(path, max_memory=max_memory)
    facts: dict[str, Any] = {"kind": "hdf5", "name": "", "bytes": Path(path).stat().st_size}
    types: dict[str, str] = {}
    if isinstance(weights, Caffemodel):
        network = weights.net()
        types = {layer.param.name: layer.param.type for layer in upgrade_layers(network)}
        facts |= {"kind": "caffemodel", "name": network.name}
    layers: list[dict[str, Any]] = []
    rows = []
    for record in weights.layers:
        # In HDF5 a shared parameter stands with its owner only.
        blobs = [blob for blob in record.blobs if blob is not None]
        version = record.version if isinstance(record, LayerRecord) else None
        layers.append(
            {
                "name": record.name,
                "type": types.get(record.name, ""),
                "version": version,
                "blobs": [{"shape": list(blob.shape), "elements": blob.size} for blob in blobs],
            }
        )
        shapes = "  ".join("x".join(map(str, blob.shape)) or "scalar" for blob in blobs)
        shown = "" if version is None else f"V{version}"
        rows.append([record.name, types.get(record.name, ""), shown, shapes])
    count = sum(blob["elements"] for layer in layers for blob in layer["blobs"])
    facts |= {"parameters": count, "layers": layers}
    of_net = f", net `{facts['name']}`" if facts["name"] else ""
    header = ["layer", "type", "version", "blobs"]
    text = f"{path}: {facts['kind']}{of_net}, {count} values\n\n{table(header, rows, left=4)}"
    return facts, text


def _net(args: argparse.Namespace, terminal: Terminal) -> tuple[dict[str, Any], str]:
    from cmodel.api import load
    from cmodel.net.shapes import infer_shapes

    net: Net = load(
        args.file,
        args.weights,
        phase=args.phase,
        stages=tuple(args.stage),
        level=args.net_level,
        strict=args.strict,
        allow_unknown=args.allow_unknown,
        require_weights=False,
        max_memory=args.max_memory,
        on_warning=terminal.warn,
    )
    shapes = infer_shapes(net)
    layers: list[dict[str, Any]] = []
    rows = []
    for layer in net.layers:
        if layer.parameters:
            needed: Sequence[Shape] = [net.parameters.shape(name) for name in layer.parameters]
        else:
            needed = shapes.parameters.get(layer.key) or []
        tops = shapes.tops.get(layer.key, [])
        layers.append(
            {
                "name": layer.key,
                "type": layer.type,
                "bottoms": list(layer.bottoms),
                "tops": list(layer.tops),
                "shapes": [None if shape is None else list(shape) for shape in tops],
                "parameters": [
                    {"name": f"{layer.key}/{i}", "shape": list(shape)}
                    for i, shape in enumerate(needed)
                ],
            }
        )
        rows.append(
            [
                layer.key,
                layer.type,
                " ".join(layer.bottoms),
                " ".join(layer.tops),
                " ".join("?" if shape is None else "x".join(map(str, shape)) for shape in tops),
                str(sum(prod(shape) for shape in needed) or ""),
            ]
        )
    count = sum(prod(p["shape"]) for layer in layers for p in layer["parameters"])
    facts = {
        "kind": "net",
        "name": net.name,
        "inputs": _shapes(net.inputs),
        "outputs": net.outputs,
        "parameters": count,
        "layers": layers,
    }
    header = ["layer", "type", "bottoms", "tops", "shape", "parameters"]
    text = f"{args.file}: net `{net.name}`, {count} parameters\n\n{table(header, rows, left=5)}"
    return facts, text


def _shapes(inputs: dict[str, Shape | None]) -> dict[str, list[int] | None]:
    return {name: None if shape is None else list(shape) for name, shape in inputs.items()}
